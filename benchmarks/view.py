"""How soon `wsra view` answers: in a browser, by HTTP alone, and beside `wsra ground`; what it keeps up; what extraction costs a question.

    python benchmarks/view.py --bundle BUNDLE [--cameras 20] [--hours 24] [--questions 40] [--threads 1] [--folder FOLDER]
    python benchmarks/view.py --bundle BUNDLE --soak 10 [--clients 10]
    python benchmarks/view.py --bundle BUNDLE --extracting VIDEO.mp4 [--seconds 20]

The archive has .feat files of one hour with random keys, cached as after a first question, and no videos. The page is a process of its
own. Without --soak and --extracting, each sentence is asked in Chromium (from the key Enter to the frame that shows the first card, and to
the one that says how many moments were found), by a client without a browser, and by a `wsra ground` process, in turn; the client has
sentences of its own, so that the page never hears one twice. With --soak, clients ask one random sentence after the other for that many
minutes. With --extracting, one client asks about one camera while a video is extracted in the background, and while none is, in turn. The
bundle must take rows of objects, as the stock bundle does. With --folder the archive is kept there, and is used again.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from browsed import opened_pages, timed_loads
from viewed import TOP_K, WSRA, Client, Served, made_archive, row, sentences, served

HEAD = "| way | n | p50, ms | p99, ms | longest, ms | CPU, ms each |\n|---|---|---|---|---|---|"
LOADS = 10
SAMPLE_S, WARM_S = 5.0, 60.0
ROUNDS = 2
MOST_FAULTS = 20


def by_command(archive: Path, bundle: Path, sentence: str, threads: int) -> tuple[float, float]:
    """Wall and CPU seconds of a `wsra ground` process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", WSRA, "ground", str(archive), sentence, "-b", str(bundle), "--no-extract", "--top-k", str(TOP_K)]
    begin_s = time.perf_counter()
    subprocess.run([*command, "--threads", str(threads), "--json"], capture_output=True, check=True)
    wall_s, after = time.perf_counter() - begin_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_browser(page: Served, archive: Path, bundle: Path, questions: int, threads: int) -> list[str]:
    """The first page, and what a person waits for an answer, beside a client without a browser and a command."""
    client, asked = Client(page.address), sentences(0)
    waits: dict[str, list[float]] = {name: [] for name in ("browser: first card", "browser: all", "client: first", "client: all", "ground")}
    cpu_s = dict.fromkeys(("browser", "client", "ground"), 0.0)
    with opened_pages(page.address) as browser:
        loads, sizes = timed_loads(browser, LOADS)
        for number in range(questions):
            before_s = page.cpu_s()
            first_s, last_s = browser.ask(asked[2 * number])
            between_s = page.cpu_s()
            first_alone_s, last_alone_s, _ = client.ask(asked[2 * number + 1])
            cpu_s["browser"] += between_s - before_s
            cpu_s["client"] += page.cpu_s() - between_s
            command_s, command_cpu_s = by_command(archive, bundle, asked[2 * number], threads)
            cpu_s["ground"] += command_cpu_s
            found = (first_s, last_s, last_alone_s if first_alone_s is None else first_alone_s, last_alone_s, command_s)
            for name, seconds in zip(waits, found, strict=True):
                waits[name].append(seconds)
    return [
        row("navigation to a search field that can be used", loads, " |"),
        row("browser: Enter to the first card", waits["browser: first card"], " |"),
        row("browser: Enter to the final answers", waits["browser: all"], f" {1000 * cpu_s['browser'] / questions:.0f} (server) |"),
        row("no browser: to the first moments", waits["client: first"], " |"),
        row("no browser: to the final answers", waits["client: all"], f" {1000 * cpu_s['client'] / questions:.0f} (server) |"),
        row("`wsra ground`, a process", waits["ground"], f" {1000 * cpu_s['ground'] / questions:.0f} |"),
        "",
        "| first page | requests | bytes |\n|---|---|---|",
        *(f"| {kind} | {count} | {size:,} |" for kind, (count, size) in sizes.items()),
    ]


def soak(page: Served, clients: int, minutes: float) -> tuple[list[str], int]:
    """Clients that ask at once; the tables, and the number of errors."""
    end_s = time.monotonic() + 60 * minutes
    waits: list[float] = []
    faults: list[str] = []
    lock = threading.Lock()

    def one(number: int) -> None:
        client = Client(page.address)
        for sentence in sentences(number) * 1000:
            if time.monotonic() > end_s or len(faults) > MOST_FAULTS:
                return
            try:
                _, last_s, _ = client.ask(sentence)
            except Exception as error:  # of whatever kind: it is counted
                with lock:
                    faults.append(f"{type(error).__name__}: {error}")
                client = Client(page.address)
            else:
                with lock:
                    waits.append(last_s)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    begin_s, cpu_s, samples = time.monotonic(), page.cpu_s(), []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(SAMPLE_S)
        samples.append((time.monotonic() - begin_s, page.memory_mb()))
    for thread in threads:
        thread.join()
    took_s, used_s = time.monotonic() - begin_s, page.cpu_s() - cpu_s
    during = [memory for at_s, memory in samples if at_s >= WARM_S] or [samples[0][1]]
    lines = [
        f"{clients} clients for {took_s / 60:.1f} minutes: {len(waits)} answers, {len(faults)} errors,"
        f" {len(waits) / took_s:.2f} answers a second, {used_s / took_s:.2f} processors used",
        *sorted(set(faults))[:5],
        "",
        HEAD,
        row("Enter to the final answers", waits, f" {1000 * used_s / len(waits):.0f} (server) |"),
        "",
        f"| | after {WARM_S:.0f} s | highest after that | at the end | growth |\n|---|---|---|---|---|",
    ]
    for name, first in during[0].items():
        last = during[-1][name]
        lines.append(f"| {name} | {first:.1f} | {max(one[name] for one in during):.1f} | {last:.1f} | {100 * (last / first - 1):+.1f} % |")
    return lines, len(faults)


def beside_extraction(page: Served, seconds: float) -> list[str]:
    """Questions about one camera while a video is extracted, and while none is, in turn."""
    client, jobs = Client(page.address), Client(page.address)
    held = client.get("/api/archive")
    camera = next(one["id"] for one in held["cameras"] if one["clock"])
    folder = next(one["id"] for one in held["folders"] if one["missing"] and not one["ready"])
    asked = iter(sentences(1))
    waits: dict[str, list[float]] = {"no video is extracted": [], "a video is extracted in the background": []}
    for _ in range(ROUNDS):
        for name, taken in waits.items():
            if taken is not waits["no video is extracted"]:
                jobs.post("/api/jobs", {"folder": folder})
                time.sleep(5)  # it has begun
            end_s, cpu_s = time.monotonic() + seconds, page.cpu_s()
            while time.monotonic() < end_s:
                taken.append(client.ask(next(asked), camera=camera)[1])
                time.sleep(0.03)
            print(f"{name}: {(page.cpu_s() - cpu_s) / seconds:.2f} processors used", file=sys.stderr)
            if taken is not waits["no video is extracted"] and not jobs.post("/api/jobs/cancel", {})["cancelled"]:
                raise SystemExit("all videos were extracted before the questions ended; give a longer video, or fewer --seconds")
            time.sleep(2)  # it has stopped
    return [HEAD, *(row(name, taken, " |") for name, taken in waits.items())]


def main() -> int:
    """Measure and print; return 1 if there was an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--soak", type=float, help="minutes")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--extracting", type=Path, help="a video")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        place = given.folder or Path(name)
        place.mkdir(parents=True, exist_ok=True)
        archive, bundle = made_archive(place, given.bundle, given.cameras, given.hours, given.threads)
        roots = [archive]
        if given.extracting:
            roots.append(Path(name) / "feed")
            for number in range(20):
                (roots[1] / "new").mkdir(parents=True, exist_ok=True)
                shutil.copy(given.extracting, roots[1] / "new" / f"{number}{given.extracting.suffix}")
        load = os.getloadavg()[0]
        with served(roots, bundle, given.threads, Path(name) / "cache") as page:
            if given.soak:
                lines, faults = soak(page, given.clients, given.soak)
            elif given.extracting:
                lines = beside_extraction(page, given.seconds)
            else:
                lines = [HEAD, *in_browser(page, archive, bundle, given.questions, given.threads)]
    print(
        f"{given.cameras} cameras of {given.hours} files of an hour, {given.threads} threads, {os.cpu_count()} cores,"
        f" load {load:.1f} before and {os.getloadavg()[0]:.1f} after\n"
    )
    print(*lines, sep="\n")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
