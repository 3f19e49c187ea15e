"""A server that keeps a bundle open, beside `wsra ground` commands, over a day of cached keys.

    python benchmarks/server.py [--bundle BUNDLE] [--rounds 10] [--clients 1 4] [--threads 1] [--hours 24] [--soak 3000] [--json OUT.json]

In each round every number of clients asks once through commands (each a process of its own, started at the same time) and several times
through the server, with a sentence of its own for each client, so that no two requests are equal. What a client waits for an answer is a
latency; ratios are of percentiles of the same run. Each answer of the server must be that of the command, number for number. Then one
client asks --soak times, and the memory, open files and memory maps of the process before and after are printed. Without --bundle, a bundle
is made (all-MiniLM-L6-v2, keys 512 wide), which takes a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from made import CAMERAS, SENTENCES, made_bundle, made_camera, made_video
from soak import look

from wsra.runtime.archive.answer_json import answer_json
from wsra.runtime.archive.request import Question
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.serving.server import Server

ASKED = 5  # requests of a client to the server in each round
GROUND = "import sys; from wsra.runtime.cli import main; main()"


def percentiles_ms(latencies_s: list[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    p50, p99 = np.percentile(latencies_s, [50, 99]) * 1000
    return float(p50), float(p99)


def by_commands(feat: Path, sentences: tuple[str, ...], bundle: Path, threads: int, clients: int) -> list[tuple[float, Any]]:
    """Latency and answer of one command per client, all started at the same time."""
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

    def one(client: int) -> tuple[float, Any]:
        command = [sys.executable, "-c", GROUND, "ground", str(feat), sentences[client], "-b", str(bundle)]
        start_s = time.perf_counter()
        run = subprocess.run([*command, "--threads", str(threads), "--json"], env=environment, capture_output=True, text=True, check=True)
        return time.perf_counter() - start_s, json.loads(run.stdout)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(one, range(clients)))


def by_server(server: Server, feat: Path, sentences: tuple[str, ...], clients: int) -> list[tuple[float, Any]]:
    """Latency and answer of each request of each client; a client asks again when it has its answer."""

    def one(client: int) -> list[tuple[float, Any]]:
        found = []
        for _ in range(ASKED):
            start_s = time.perf_counter()
            answer = server.ask([feat], Question((sentences[client],)))
            found.append((time.perf_counter() - start_s, json.loads(json.dumps(answer_json(answer.results[0], answer)))))
        return found

    with ThreadPoolExecutor(clients) as pool:
        return [each for of_client in pool.map(one, range(clients)) for each in of_client]


def main() -> int:
    """Measure and print; return 1 if an answer differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--soak", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, feat = given.bundle or made_bundle(folder), folder / "day.feat"
        if open_bundle(bundle).manifest.span_score == "lives":
            made_camera(bundle, feat, given.hours, CAMERAS["ordinary"])
        else:
            made_video(bundle, feat, round(given.hours * 3600))
        latencies: dict[tuple[str, int], list[float]] = {}
        differ = 0
        start_s = time.perf_counter()
        with Server(bundle, RunSettings(threads=given.threads)) as server:
            server.ask([feat], Question((SENTENCES[0],)))
            opened_s = time.perf_counter() - start_s
            by_commands(feat, SENTENCES, bundle, given.threads, 1)  # files and compiled modules are in caches from here on
            for _ in range(given.rounds):
                for clients in given.clients:
                    commands = by_commands(feat, SENTENCES, bundle, given.threads, clients)
                    served = by_server(server, feat, SENTENCES, clients)
                    latencies.setdefault(("commands", clients), []).extend(latency for latency, _ in commands)
                    latencies.setdefault(("server", clients), []).extend(latency for latency, _ in served)
                    expected = {answer["query"]: answer for _, answer in commands}
                    differ += sum(answer != expected[answer["query"]] for _, answer in served)
            load = os.getloadavg()[0]
            before = look(0)
            for number in range(given.soak):
                server.ask([feat], Question((SENTENCES[number % len(SENTENCES)],)))
                if number + 1 == given.soak // 10:
                    before = look(number + 1)  # after the warm-up
            after = look(given.soak)
    rows = []
    print(
        f"{given.hours:g} h of keys, {given.threads} threads, {os.cpu_count()} cores, load {load:.1f}, {given.rounds} rounds;"
        f" opening the server and its first answer took {opened_s:.2f} s\n"
    )
    print("| clients | way | answers | p50, ms | p99, ms | p50, of commands | p99, of commands |\n|---|---|---|---|---|---|---|")
    for clients in given.clients:
        base = percentiles_ms(latencies["commands", clients])
        for way in ("commands", "server"):
            found = latencies[way, clients]
            p50, p99 = percentiles_ms(found)
            rows.append({"clients": clients, "way": way, "answers": len(found), "p50_ms": p50, "p99_ms": p99})
            print(f"| {clients} | {way} | {len(found)} | {p50:.1f} | {p99:.1f} | {p50 / base[0]:.3f} | {p99 / base[1]:.3f} |")
    print(f"\nanswers of the server that differ from the command's: {differ}")
    print(
        f"after {before['queries']:.0f} and {after['queries']:.0f} further requests:",
        *(f"{name} {before[name]:.1f} and {after[name]:.1f};" for name in ("anonymous_mb", "resident_mb", "files", "maps", "threads")),
    )
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, "differ": differ, "before": before, "after": after}, indent=1) + "\n")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
