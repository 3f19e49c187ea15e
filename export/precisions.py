"""The precisions of a bundle: make the FP16 and INT8 graphs from the FP32 ones, and put each precision through both gates."""

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
from wsra.export.fp16 import to_fp16
from wsra.export.int8 import Quantization, calibrate, int8_until_it_passes
from wsra.export.onnx import read_onnx
from wsra.runtime.backbones.common.protocol import BACKBONE_JSON
from wsra.runtime.backbones.encoders.encoder_settings import read_settings
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import Device
from wsra.runtime.formats.bundle import REJECTED, TOKENIZER, Bundle
from wsra.runtime.progress import Progress
from wsra.runtime.verification.gates import FEWEST
from wsra.runtime.verification.golden import Golden
from wsra.runtime.verification.reports import RouteReport
from wsra.runtime.verification.route_check import gate_route

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """Where INT8 ranges come from.

    Attributes:
        captions: captions as JSON lines; None takes the calibration part of the golden data.
        features: folder of the .feat files of their videos.
        method: how ranges are measured: "minmax" or "percentile".
    """

    captions: Path | None = None
    features: Path | None = None
    method: Method = "minmax"


@dataclass(frozen=True)
class PrecisionReport:
    """What the manifest says of a precision.

    Attributes:
        gates: what the gates found on the CPU of this machine.
        quantization: how INT8 was made; None for FP32 and FP16.
    """

    gates: RouteReport
    quantization: Quantization | None = None

    @property
    def passed(self) -> bool:
        """Whether the precision passed both gates."""
        return self.gates.passed

    @property
    def reason(self) -> str | None:
        """Why it failed, in one line; None when it passed."""
        return self.gates.reason

    def to_json(self) -> dict[str, Any]:
        """The entry of docs/schema/gate.json."""
        table = self.gates.to_json()
        return table if self.quantization is None else table | {"quantization": self.quantization.to_json()}


def check_precision(bundle: Bundle, device: Device, precision: str, golden: Golden) -> tuple[Bundle, PrecisionReport]:
    """Put the graphs of a precision through both gates.

    Args:
        bundle: with the graphs in its folder.
        device: this machine.
        precision: "fp32", "fp16" or "int8".
        golden: golden data of the bundle.

    Returns:
        The bundle with the report in its manifest, which is not written; and the report.
    """
    report = PrecisionReport(_gate(bundle, device, precision, golden))
    return _with_report(bundle, precision, report), report


def _gate(bundle: Bundle, device: Device, precision: str, golden: Golden) -> RouteReport:
    logger.info(f"checking {precision} against PyTorch: tensors at the edges, then moments of {len(golden.pairs)} queries")
    if len(golden.pairs) < FEWEST:
        logger.warning(f"fewer than {FEWEST} queries to check it with; give more validation captions")
    return gate_route(_with_entry(bundle, precision, {"passed": True}), device, Route(precision, "cpu"), golden)


def _with_report(bundle: Bundle, precision: str, report: PrecisionReport) -> Bundle:
    return _with_entry(bundle, precision, report.to_json())


def _with_entry(bundle: Bundle, precision: str, entry: dict[str, Any]) -> Bundle:
    return Bundle(bundle.folder, replace(bundle.manifest, precisions={**bundle.manifest.precisions, precision: entry}))


def _clear(bundle: Bundle, precision: str) -> Path:
    for name in (precision, f"{precision}{REJECTED}"):
        shutil.rmtree(bundle.folder / name, ignore_errors=True)
    (bundle.folder / precision).mkdir()
    return bundle.folder / precision


def make_fp16(bundle: Bundle, device: Device, golden: Golden) -> tuple[Bundle, PrecisionReport]:
    """Convert the FP32 graphs to FP16 and put them through the gates; returns are those of `check_precision`."""
    logger.info("exporting fp16")
    folder = _clear(bundle, "fp16")
    for name in bundle.graphs:
        halved = to_fp16(read_onnx(bundle.graph("fp32", name)), name=name, scorer=bundle.manifest.scorer)
        onnx.save_model(halved, str(folder / f"{name}.onnx"))
    return check_precision(bundle, device, "fp16", golden)


def make_int8(
    bundle: Bundle, device: Device, golden: Golden, calibration: Calibration, progress: Progress
) -> tuple[Bundle, PrecisionReport]:
    """Quantise the FP32 graphs to INT8 and put them through the gates; returns are those of `check_precision`.

    INT8 graphs that passed earlier stay in the bundle unless the new ones pass, too. `progress` is called with "products" while their
    sensitivity is measured, with how many are done, and with how many there are.
    """
    samples = _calibration_samples(bundle, golden, calibration)
    if "image" in bundle.graphs:
        settings = read_settings(bundle.folder / BACKBONE_JSON)
        samples = replace(samples, images={settings.input: scene_pixels(settings, first=1000)})
    for warning in samples.warnings:
        logger.warning(warning)
    logger.info(f"calibrating int8 on {len(samples.features)} rows of features and {len(samples.token_ids)} sentences of {samples.source}")
    calibrated = calibrate(bundle.folder / "fp32", samples, calibration.method, bundle.manifest.scorer)
    before, kept = bundle, bundle.folder / ".int8"
    if "int8" in bundle.passed():
        os.replace(bundle.folder / "int8", kept)
    folder = _clear(bundle, "int8")
    logger.info("exporting int8")
    gates, quantization = int8_until_it_passes(
        calibrated,
        folder,
        lambda: _gate(bundle, device, "int8", golden),
        replace(_probe(bundle, golden), images=samples.images),
        lambda done, total: progress("products", done, total),
    )
    report = PrecisionReport(gates, quantization)
    if report.passed or not kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        return _with_report(bundle, "int8", report), report
    os.replace(folder, bundle.folder / f"int8{REJECTED}")
    os.replace(kept, folder)
    logger.info("the earlier int8, which passed, is kept")
    return before, report


def _probe(bundle: Bundle, golden: Golden) -> Samples:
    """The calibration part of the golden data: trusted data on which the sensitivity of products is measured."""
    rows = np.concatenate([video.rows(0, len(video)) for video in golden.calibration_videos])
    tokens = _tokenizer_of(bundle)
    ids = sorted((tokens(sentence) for sentence in golden.calibration_sentences), key=len)
    return Samples(rows, ids, "golden data", [])


def _tokenizer_of(bundle: Bundle) -> Callable[[str], list[int]]:
    tokenizer = Tokenizer.from_file(str(bundle.folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def token_ids(sentence: str) -> list[int]:
        ids: list[int] = tokenizer.encode(sentence).ids
        return ids

    return token_ids


def _calibration_samples(bundle: Bundle, golden: Golden, calibration: Calibration) -> Samples:
    token_ids = _tokenizer_of(bundle)
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
    warning = f"no --calib is given: INT8 ranges come from {source}, a few validation captions; the training captions are better"
    return replace(chosen, warnings=[warning, *chosen.warnings])
