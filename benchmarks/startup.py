"""Checks that `wsra --help` and `wsra ground --help` take at most twice as long as `import typer, numpy`, plus 0.1 s.

Commands run in turn, so that a change of the machine's speed affects all equally. The exit code is 1 if the limit is exceeded.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9
FACTOR, ALLOWANCE_S = 2.0, 0.1
BARE = [sys.executable, "-c", "import typer, numpy"]
COMMANDS = {name: [sys.executable, "-m", "wsra.runtime.cli", *name.split()] for name in ("--help", "ground --help")}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure and print; return the exit code."""
    runs: dict[str, list[float]] = {"bare": [], **{name: [] for name in COMMANDS}}
    for number in range(ROUNDS + 1):
        for name, command in (("bare", BARE), *COMMANDS.items()):
            taken = seconds(command)
            if number:
                runs[name].append(taken)
    medians = {name: statistics.median(times) for name, times in runs.items()}
    limit = FACTOR * medians["bare"] + ALLOWANCE_S
    print(f"import typer, numpy: {medians['bare']:.3f} s; limit {limit:.3f} s (medians of {ROUNDS})")
    for name in COMMANDS:
        print(f"wsra {name}: {medians[name]:.3f} s, {medians[name] / medians['bare']:.2f} times")
    return int(any(medians[name] > limit for name in COMMANDS))


if __name__ == "__main__":
    sys.exit(main())
