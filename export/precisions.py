"""A precision of a bundle: its graphs made from those of FP32 and put through both gates."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tokenizers import Tokenizer

from wsra.calib.ranges import Method
from wsra.calib.samples import Samples, choose_samples, samples_from_captions
from wsra.export.encoder import scene_pixels
from wsra.export.fp16 import half
from wsra.export.int8 import int8_until_it_passes, prepare
from wsra.export.onnx import read_onnx
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import read_settings
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import Device
from wsra.runtime.formats.bundle import REJECTED, TOKENIZER, Bundle
from wsra.runtime.progress import Progress
from wsra.runtime.verification.gates import FEWEST
from wsra.runtime.verification.golden import Golden
from wsra.runtime.verification.route_check import gate_route

logger = logging.getLogger(__name__)

Entry = dict[str, Any]


@dataclass(frozen=True)
class Calibration:
    """Where INT8 ranges come from.

    Attributes:
        captions: JSON lines, or None for the calibration part of the golden data.
        features: folder of .feat files of their videos.
        method: how ranges are read: "minmax" or "percentile".
    """

    captions: Path | None = None
    features: Path | None = None
    method: Method = "minmax"


def gated(bundle: Bundle, device: Device, precision: str, golden: Golden) -> tuple[Bundle, Entry]:
    """Put the graphs of a precision through both gates; the bundle as it is with them."""
    logger.info(f"checking {precision} against PyTorch: tensors at the edges, then moments of {len(golden.pairs)} queries")
    if len(golden.pairs) < FEWEST:
        logger.warning(f"fewer than {FEWEST} queries to judge it by; give more validation captions")
    entry = gate_route(_with(bundle, precision, {"passed": True}), device, Route(precision, "cpu"), golden)
    return _with(bundle, precision, entry), entry


def _with(bundle: Bundle, precision: str, entry: Entry) -> Bundle:
    return Bundle(bundle.folder, replace(bundle.manifest, precisions={**bundle.manifest.precisions, precision: entry}))


def _clear(bundle: Bundle, precision: str) -> Path:
    for name in (precision, f"{precision}{REJECTED}"):
        shutil.rmtree(bundle.folder / name, ignore_errors=True)
    (bundle.folder / precision).mkdir()
    return bundle.folder / precision


def make_fp16(bundle: Bundle, device: Device, golden: Golden) -> tuple[Bundle, Entry]:
    """Make FP16 of the graphs of FP32; the bundle with it, and what the gates said."""
    logger.info("exporting fp16")
    folder = _clear(bundle, "fp16")
    for name in bundle.graphs:
        halved = half(read_onnx(bundle.graph("fp32", name)), name=name, scorer=bundle.manifest.scorer)
        onnx.save_model(halved, str(folder / f"{name}.onnx"))
    return gated(bundle, device, "fp16", golden)


def make_int8(bundle: Bundle, device: Device, golden: Golden, calibration: Calibration, progress: Progress) -> tuple[Bundle, Entry]:
    """Make INT8; one that passed before stays until a new one passes."""
    samples = _samples(bundle, golden, calibration)
    if "image" in bundle.graphs:
        settings = read_settings(bundle.folder / BACKBONE_JSON)
        samples = replace(samples, images={settings.input: scene_pixels(settings, first=1000)})
    for warning in samples.warnings:
        logger.warning(warning)
    logger.info(f"calibrating int8 on {len(samples.features)} rows of features and {len(samples.token_ids)} sentences of {samples.source}")
    prepared = prepare(bundle.folder / "fp32", samples, calibration.method, bundle.manifest.scorer)
    before, kept = bundle, bundle.folder / ".int8"
    if "int8" in bundle.passed():
        os.replace(bundle.folder / "int8", kept)
    folder = _clear(bundle, "int8")
    logger.info("exporting int8")
    entry = int8_until_it_passes(
        prepared,
        folder,
        lambda: gated(bundle, device, "int8", golden)[1],
        replace(_probe(bundle, golden), images=samples.images),
        lambda done, total: progress("products", done, total),
    )
    if entry["passed"] or not kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        return _with(bundle, "int8", entry), entry
    os.replace(folder, bundle.folder / f"int8{REJECTED}")
    os.replace(kept, folder)
    logger.info("the int8 that passed before stays")
    return before, entry


def _probe(bundle: Bundle, golden: Golden) -> Samples:
    """The golden data's calibration part, to tell by which products suffer, whatever the calibration data are worth."""
    rows = np.concatenate([video.rows(0, len(video)) for video in golden.calibration_videos])
    tokens = _tokens(bundle)
    ids = sorted((tokens(sentence) for sentence in golden.calibration_sentences), key=len)
    return Samples(rows, ids, "golden data", [])


def _tokens(bundle: Bundle) -> Callable[[str], list[int]]:
    tokenizer = Tokenizer.from_file(str(bundle.folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def token_ids(sentence: str) -> list[int]:
        ids: list[int] = tokenizer.encode(sentence).ids
        return ids

    return token_ids


def _samples(bundle: Bundle, golden: Golden, calibration: Calibration) -> Samples:
    token_ids = _tokens(bundle)
    if calibration.captions is not None and calibration.features is not None:
        return samples_from_captions(
            calibration.captions,
            calibration.features,
            token_ids,
            width=bundle.manifest.feature_width,
            checked_sentences=golden.sentences,
            checked_videos=golden.videos,
        )
    source = "the golden data's calibration part"
    chosen = choose_samples(golden.calibration_videos, [token_ids(s) for s in golden.calibration_sentences], source=source)
    told = f"no --calib is given: INT8 ranges come from {source}, a few validation captions; the training captions are better"
    return replace(chosen, warnings=[told, *chosen.warnings])
