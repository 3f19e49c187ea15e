"""Cost of a first stage that reads fewer bytes: how many of the best answers it keeps, and what it could skip without loss.

    python benchmarks/coarse.py DEMO [--queries 100] [--seed 0]

DEMO is a folder of `wsra demo`. Its clips are joined into one video; queries are drawn from its test sentences. Two first stages over
blocks of snippets: the mean key of a block (approximate), and the largest and the smallest of each number of a key, which bound the score
of every snippet of the block (exact). If faiss-cpu is installed, product quantization is measured as
well, with each key decoded and scored (approximate).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # must be set before NumPy is loaded

import numpy as np

from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.kernels.weights import Trained, read_weights

BLOCKS, SHARES, BEST, RANK = (4, 15, 60), (0.01, 0.05, 0.2), 20, 5
CODE_BYTES = (8, 16, 32)
Array = Any


def logits(weights: Trained, keys: Array, offsets: Array) -> Array:
    """Logits (Q, T) of keys (T, H) and offsets (Q, H)."""
    return np.stack([np.maximum(keys + offset, 0) @ weights.out + weights.bias for offset in offsets])


def bounds(weights: Trained, low: Array, high: Array, offsets: Array) -> Array:
    """Upper bounds (Q, N) on the logit of any key between `low` and `high`, both (N, H)."""
    up, down = np.maximum(weights.out, 0), np.minimum(weights.out, 0)
    return np.stack([np.maximum(high + offset, 0) @ up + np.maximum(low + offset, 0) @ down + weights.bias for offset in offsets])


def kept(exact: Array, coarse: Array) -> list[float]:
    """Percent of the best blocks by `exact` (Q, N) that are among the top shares by `coarse` (Q, N)."""
    count, best = exact.shape[1], np.argsort(-exact, axis=1)[:, :BEST]
    ranks = np.argsort(np.argsort(-coarse, axis=1), axis=1)
    of_best = np.take_along_axis(ranks, best, axis=1)
    return [100 * float((of_best < share * count).mean()) for share in SHARES]


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    weights, rng = read_weights(open_bundle(given.demo / "bundle")), np.random.default_rng(given.seed)
    if not isinstance(weights, Trained):
        print("the bundle was not trained", file=sys.stderr)
        return 1
    lines = (given.demo / "spans-test.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = sorted({json.loads(line)["query"] for line in lines})
    sentences = [sentences[number] for number in rng.choice(len(sentences), given.queries, replace=False)]
    with Grounder.open(given.demo / "bundle", threads=1) as grounder:
        files = sorted((given.demo / "features").glob("*.feat"))
        keys = np.concatenate([np.asarray(grounder.scorer.keys(read_features(file)), np.float32) for file in files])
        offsets, theta = weights.offsets(grounder.encoder.encode(sentences)), grounder.manifest.theta
    exact = logits(weights, keys, offsets)
    print(f"{len(keys)} snippets, keys {keys.shape[1]} wide, {len(sentences)} queries; percent\n")
    shares = " | ".join(f"{share:.0%}" for share in SHARES)
    print(f"| approximate: share of the {BEST} best blocks or snippets within its top share | bytes | {shares} |")
    print("|---|---|---|---|---|")
    bounded = []
    for size in BLOCKS:
        count = len(keys) // size
        blocks = keys[: count * size].reshape(count, size, -1)
        highest = exact[:, : count * size].reshape(len(offsets), count, size).max(axis=2)
        mean = " | ".join(f"{share:.1f}" for share in kept(highest, logits(weights, blocks.mean(axis=1), offsets)))
        print(f"| mean of {size} keys | {100 / size:.1f} | {mean} |")
        bound = bounds(weights, blocks.min(axis=1), blocks.max(axis=1), offsets)
        needed = (bound >= np.sort(highest, axis=1)[:, -RANK, None]).mean()
        bounded.append((size, 200 / size, 100 * needed, 100 * (bound > theta).mean(), 100 * (highest > theta).mean()))
    if find_spec("faiss"):
        faiss: Any = import_module("faiss")
        for size in CODE_BYTES:
            quantizer = faiss.ProductQuantizer(keys.shape[1], size, 8)
            quantizer.train(keys)
            decoded = logits(weights, quantizer.decode(quantizer.compute_codes(keys)), offsets)
            found = " | ".join(f"{share:.1f}" for share in kept(exact, decoded))
            print(f"| product quantization, {size} bytes a key | {100 * size / (2 * keys.shape[1]):.1f} | {found} |")
    else:
        print("faiss is not installed; skipped", file=sys.stderr)
    print(f"\n| exact, by bounds | bytes | blocks read for the {RANK} best snippets | for all above theta | blocks with one above theta |")
    print("|---|---|---|---|---|")
    for row in bounded:
        print("| blocks of {} keys | {:.1f} | {:.0f} | {:.0f} | {:.0f} |".format(*row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
