"""What benchmarks of grounding ask: a real bundle with keys 512 wide, and videos of any length whose random keys are kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.bundle import open_bundle, write_manifest
from wsra.runtime.features import Features, read_features, write_features
from wsra.runtime.ground import Grounder
from wsra.runtime.keys import KeyStore, made_by

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
tiny = import_module("tiny")  # the tests' small real models
WIDTH, SHARE, BLOCK = 512, 0.97, 16_384
SENTENCES: tuple[str, ...] = tiny.SENTENCES[:8]


def made_bundle(folder: Path) -> Path:
    """A bundle over the real all-MiniLM-L6-v2 with keys 512 wide, hardly trained."""
    from wsra.export.pack import Wanted, export_bundle
    from wsra.train.command import train_run

    run = tiny.make_run(folder, kind="minilm", epochs=2, key_width=WIDTH)
    checkpoint = train_run(run, folder / "runs" / "made", [], resume=False)
    export_bundle(checkpoint, folder / "bundle", Wanted(), say=lambda _: None)
    return folder / "bundle"


def made_video(bundle: Path, path: Path, snippets: int) -> None:
    """A .feat file that the bundle takes, with random keys beside it, as FP32 on the CPU keeps them; its features are 0 and never read."""
    opened, starts = open_bundle(bundle), np.arange(snippets, dtype=np.float64)
    manifest = opened.manifest
    values = np.zeros((snippets, manifest.feature_width), np.float16)
    write_features(path, Features(values, np.stack([starts, starts + 1], 1), path.stem, float(snippets), manifest.backbone))
    rng = np.random.default_rng(0)

    def chunks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, snippets, BLOCK):
            yield rng.standard_normal((min(BLOCK, snippets - start), manifest.key_width), np.float32)

    KeyStore(width=manifest.key_width, made=made_by(opened, "fp32", "CPUExecutionProvider")).keys(read_features(path), chunks)


def tuned(bundle: Path, video: Path, out: Path) -> Path:
    """A copy of the bundle whose theta lets 3 % of the video's first hour speak for the first sentence."""
    shutil.copytree(bundle, out)
    with Grounder.open(out, precision="fp32", provider="cpu", kernel="numpy", keep_keys=True) as grounder:
        keys: NDArray[Any] = grounder.scorer.keys(read_features(video))[:3600]
        logits = grounder.scorer.kernel.logits(keys, grounder.encoder.encode(SENTENCES[:1]))
        write_manifest(out, replace(grounder.manifest, theta=float(np.quantile(logits, SHARE))))
    return out
