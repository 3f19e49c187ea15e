"""Inputs for benchmarks of grounding: a real bundle with keys 512 wide, and videos of any length with random cached keys."""

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

from wsra.runtime.formats.bundle import open_bundle, write_manifest
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.keys import KeyStore, made_by

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
tiny = import_module("tiny")  # the tests' small real models
WIDTH, SHARE, BLOCK = 512, 0.97, 16_384
ROWS_PER_TRACK = 8  # about as many as in the demo's scenes
CAMERAS = {"quiet": 36, "ordinary": 360, "busy": 19_653}  # rows per hour: in 1 % and 10 % of the seconds; in a crowded street
SENTENCES: tuple[str, ...] = tiny.SENTENCES[:8]


def made_bundle(folder: Path) -> Path:
    """A bundle over the real all-MiniLM-L6-v2 with keys 512 wide, hardly trained."""
    from wsra.export.publish import ExportOptions, export_bundle
    from wsra.train.command import train_run

    run = tiny.make_run(folder, kind="minilm", epochs=2, key_width=WIDTH)
    checkpoint = train_run(run, folder / "runs" / "made", [], resume=False)
    export_bundle(checkpoint, folder / "bundle", ExportOptions())
    return folder / "bundle"


def made_video(bundle: Path, path: Path, snippets: int) -> None:
    """Write a .feat file for the bundle, with random keys cached as FP32 on the CPU does; its features are 0 and never read."""
    manifest, starts = open_bundle(bundle).manifest, np.arange(snippets, dtype=np.float64)
    values = np.zeros((snippets, manifest.feature_width), np.float16)
    write_features(path, Features(values, np.stack([starts, starts + 1], 1), path.stem, float(snippets), manifest.backbone))
    _keep_random_keys(bundle, path, snippets)


def made_camera(bundle: Path, path: Path, hours: float, rows_per_hour: int, seed: int = 0) -> None:
    """Write the same for a camera with tracked objects, which stay for `ROWS_PER_TRACK` seconds and arrive at even intervals."""
    manifest, count = open_bundle(bundle).manifest, max(1, round(hours * rows_per_hour / ROWS_PER_TRACK))
    begins = np.arange(count) * (3600 * hours - ROWS_PER_TRACK) / count
    starts = (begins[:, None] + np.arange(ROWS_PER_TRACK)).reshape(-1)
    order = np.argsort(starts, kind="stable")
    everyone, boxes = np.arange(count, dtype=np.int32), np.tile(np.array([0.4, 0.4, 0.5, 0.8], np.float32), (len(starts), 1))
    tracks = Tracks(
        of_row=np.repeat(everyone, ROWS_PER_TRACK)[order],
        boxes=boxes,
        lives_s=np.stack([begins, begins + ROWS_PER_TRACK], axis=1),
        continues=np.full(count, -1, np.int32),
        view_of=everyone,
        views_s=begins + 1.0,
        view_boxes=boxes[:count],
    )
    times_s = np.stack([starts, starts + 1], axis=1)[order]
    values = np.zeros((len(starts), manifest.feature_width), np.float16)
    write_features(path, Features(values, times_s, path.stem, 3600 * hours, manifest.backbone, tracks=tracks))
    _keep_random_keys(bundle, path, len(starts), seed)


def of_lives(bundle: Path, out: Path) -> Path:
    """Copy a bundle so that it takes rows of objects."""
    shutil.copytree(bundle, out)
    write_manifest(out, replace(open_bundle(bundle).manifest, plan="tracks", span_score="lives"))
    return out


def _keep_random_keys(bundle: Path, path: Path, rows: int, seed: int = 0) -> None:
    opened, rng = open_bundle(bundle), np.random.default_rng(seed)
    manifest = opened.manifest

    def chunks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, rows, BLOCK):
            yield rng.standard_normal((min(BLOCK, rows - start), manifest.key_width), np.float32)

    KeyStore(width=manifest.key_width, made=made_by(opened, "fp32", "CPUExecutionProvider")).keys(read_features(path), chunks)


def tuned(bundle: Path, video: Path, out: Path) -> Path:
    """Copy the bundle with a theta at which 3 % of the video's first hour match the first sentence."""
    shutil.copytree(bundle, out)
    with Grounder.open(out, precision="fp32", provider="cpu", kernel="numpy", keep_keys=True) as grounder:
        keys: NDArray[Any] = grounder.scorer.keys(read_features(video))[:3600]
        logits = grounder.scorer.kernel.logits(keys, grounder.encoder.encode(SENTENCES[:1]))
        write_manifest(out, replace(grounder.manifest, theta=float(np.quantile(logits, SHARE))))
    return out
