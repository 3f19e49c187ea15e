"""Time to the first answer over a day of cached keys, as a whole process, beside one that only runs the text encoder once.

    python benchmarks/cold_start.py [--bundle BUNDLE] [--rounds 9] [--threads 1] [--imports] [--json OUT.json]

The other process imports onnxruntime, opens the FP32 text encoder of the same bundle and runs it once. Runs are interleaved. Times are
medians of the rounds after the first, ratios are medians of the ratios within rounds, and CPU time is user plus system time. The goal is a
ratio of at most 3 for plain `wsra ground`; `--kernel numba`, which pays off only for weeks of video, is measured beside it. Without
--bundle, a bundle is made (all-MiniLM-L6-v2, keys 512 wide), which takes a minute. --imports lists the slowest packages to import.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from made import SENTENCES, made_bundle, made_video

SNIPPETS, GOAL = 86_400, 3.0
TEXT_ONLY = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
ids = numpy.array([[101, 1037, 2158, 1999, 1037, 3756, 3797, 7365, 2627, 102]])
session.run(None, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
"""
GROUND = "import sys; from wsra.runtime.cli import main; main()"


def spent(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process."""
    start_s = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return time.perf_counter() - start_s, used.ru_utime + used.ru_stime


def imports(command: list[str], environment: dict[str, str]) -> list[tuple[str, float]]:
    """The ten slowest packages by the import time of their own modules, in milliseconds."""
    run = subprocess.run([command[0], "-X", "importtime", *command[1:]], env=environment, capture_output=True, text=True, check=True)
    own: Counter[str] = Counter()
    for line in run.stderr.splitlines():
        if line.startswith("import time:") and "[us]" not in line:
            microseconds, _, name = line.removeprefix("import time:").split("|")
            own[".".join(name.strip().split(".")[:1])] += int(microseconds)
    return [(name, microseconds / 1000) for name, microseconds in own.most_common(10)]


def main() -> int:
    """Measure and print; return 0 if the goal was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = given.bundle or made_bundle(folder)
        made_video(bundle, folder / "day.feat", SNIPPETS)
        threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        environment = {**os.environ, **threads, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has compiled modules
        arguments = ["ground", str(folder / "day.feat"), SENTENCES[0], "-b", str(bundle), "--threads", str(given.threads), "--json"]
        commands = {
            "onnxruntime and the text encoder": [sys.executable, "-c", TEXT_ONLY, str(bundle / "fp32/text.onnx"), str(given.threads)],
            "wsra ground, numba": [sys.executable, "-c", GROUND, *arguments, "--kernel", "numba"],
            "wsra ground": [sys.executable, "-c", GROUND, *arguments],
            "wsra ground --help": [sys.executable, "-c", GROUND, "ground", "--help"],
        }
        base = next(iter(commands))
        for command in commands.values():  # later rounds find keys, compiled modules and the kernel in caches
            spent(command, environment)
        load = os.getloadavg()[0]
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.rounds):
            for name, command in commands.items():
                runs[name].append(spent(command, environment))
        rows = {}
        for name, times in runs.items():
            wall_s, cpu_s = (statistics.median(column) for column in zip(*times, strict=True))
            pairs = list(zip(times, runs[base], strict=True))
            wall, cpu = (statistics.median(one[which] / other[which] for one, other in pairs) for which in (0, 1))
            rows[name] = {"wall_s": wall_s, "cpu_s": cpu_s, "wall_ratio": wall, "cpu_ratio": cpu}
        print(
            f"{SNIPPETS:,} snippets, {given.threads} threads, {os.cpu_count()} cores, load {load:.1f}; medians of {given.rounds} rounds\n"
        )
        print("| process | wall | CPU | wall ratio to the first | CPU ratio to the first |\n|---|---|---|---|---|")
        for name, row in rows.items():
            print(f"| {name} | {row['wall_s']:.2f} s | {row['cpu_s']:.2f} s | {row['wall_ratio']:.2f} | {row['cpu_ratio']:.2f} |")
        if given.imports:
            for name in list(commands)[:3]:
                dear = ", ".join(f"{package} {ms:.0f}" for package, ms in imports(commands[name], environment))
                print(f"\nown import time of packages, ms, {name}: {dear}")
        if given.json:
            given.json.write_text(
                json.dumps({"threads": given.threads, "rounds": given.rounds, "load": load, "rows": rows}, indent=1) + "\n"
            )
    return int(rows["wsra ground"]["wall_ratio"] > GOAL)


if __name__ == "__main__":
    sys.exit(main())
