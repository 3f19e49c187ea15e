"""Throughput of all stages of a video at once, against the slowest of them alone, with stages of adjustable latency.

    python benchmarks/pipeline.py [--calls 60]

Decoding, preparation and inference of an encoder, then those of a detector and its tracker. Every stage sleeps, which releases the GIL as
decoders, OpenCV and a GPU do. Latencies are per call of the graph. The exit code is 1 where a throughput is below 0.85 of the slowest
stage's; of few calls the filling of the stages takes too large a part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
paced: Any = import_module("paced")

ENCODER_MS = [(100, 30, 30), (30, 100, 30), (30, 30, 100), (100, 100, 30), (100, 100, 100)]
LEAST = 0.85  # throughput as a share of the slowest stage's
DETECTOR_MS = [(30, 30, 100, 30), (30, 30, 30, 100), (30, 30, 100, 100), (100, 100, 100, 100)]


def main() -> int:
    """Measure and print; 1 where a throughput is too low."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    given = parser.parse_args()
    worst = 1.0
    for run, stages, latencies_ms in (
        (paced.run_encoder, ("decode", "prepare", "infer"), ENCODER_MS),
        (paced.run_detector, ("decode", "prepare", "infer", "track"), DETECTOR_MS),
    ):
        heads = [*(f"{stage}, ms" for stage in stages), "calls per s", "of the slowest stage", "one after the other", "reported"]
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for each_ms in latencies_ms:
            latencies_s = {f"{stage}_s": each / 1e3 for stage, each in zip(stages, each_ms, strict=True)}
            with tempfile.TemporaryDirectory() as folder:
                done = run(Path(folder), **latencies_s, calls=given.calls)
            worst = min(worst, done.efficiency)
            serial = max(done.busy_s.values()) / sum(done.busy_s.values())
            figures = [*map(str, each_ms), f"{given.calls / done.total_s:.1f}", f"{done.efficiency:.2f}", f"{serial:.2f}", done.said]
            print(f"| {' | '.join(figures)} |", flush=True)
        print()
    if worst < LEAST:
        print(f"the least throughput is {worst:.3f} of the slowest stage's, expected at least {LEAST}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
