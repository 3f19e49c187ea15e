"""Throughput of decoding, preparation and inference at once, against the slowest of them alone, with stages of adjustable latency.

    python benchmarks/pipeline.py [--calls 60]

Every stage sleeps, which releases the GIL as decoders, OpenCV and a GPU do. Latencies are per call of the encoder.
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

LATENCIES_MS = [(100, 30, 30), (30, 100, 30), (30, 30, 100), (100, 100, 30), (100, 100, 100)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    given = parser.parse_args()
    print("| decode, ms | prepare, ms | infer, ms | calls per s | of the slowest stage | one after the other | reported |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for decode, prepare, infer in LATENCIES_MS:
            done = paced.run_paced(Path(folder), decode_s=decode / 1e3, prepare_s=prepare / 1e3, infer_s=infer / 1e3, calls=given.calls)
            serial = max(done.busy_s.values()) / sum(done.busy_s.values())
            per_s = given.calls / done.total_s
            print(f"| {decode} | {prepare} | {infer} | {per_s:.1f} | {done.efficiency:.2f} | {serial:.2f} | {done.said} |")


if __name__ == "__main__":
    main()
