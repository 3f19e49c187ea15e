"""Cosine of FP16 and INT8 text vectors with those of FP32, on sentences of the UCA annotations of surveillance video.

python benchmarks/text_cosine.py BUNDLE UCFCrime_Test.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import QueryError
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.grounding.grounder import Grounder

SENTENCES = 300


def other_sentences(annotations: Path, encoder_of: Grounder, count: int = SENTENCES) -> list[str]:
    """A seeded sample of sentences that the encoder accepts."""
    table = json.loads(annotations.read_text(encoding="utf-8"))
    every = sorted({sentence.strip() for video in table.values() for sentence in video["sentences"]})
    chosen = []
    for number in np.random.default_rng(0).permutation(len(every)):
        try:
            encoder_of.encoder.token_ids(every[number])
        except QueryError:
            continue
        chosen.append(every[number])
        if len(chosen) == count:
            break
    return chosen


def cosines(bundle: Path, precision: str, sentences: list[str]) -> NDArray[np.float64]:
    """Cosine of each sentence's vector with that of FP32."""
    one, other = (
        Grounder.open(bundle, precision=name, provider="cpu", threads=2).encoder.encode(sentences).astype(np.float64)
        for name in ("fp32", precision)
    )
    return np.asarray((one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))


def main(bundle: Path, annotations: Path) -> None:
    """Print one row per precision."""
    sentences = other_sentences(annotations, Grounder.open(bundle, precision="fp32", provider="cpu", threads=2))
    print(f"{len(sentences)} sentences of {annotations.name}, of {np.median([len(s.split()) for s in sentences]):.0f} words (median)")
    for precision in open_bundle(bundle).passed()[1:]:
        found = cosines(bundle, precision, sentences)
        print(f"{precision}: cosine mean {found.mean():.5f}, smallest {found.min():.5f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
