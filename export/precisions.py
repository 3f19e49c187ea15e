"""The precisions of a bundle: make the FP16 and INT8 graphs from the FP32 ones, and put each precision through both gates."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tokenizers import Tokenizer

from wsra.calib.peaks import Peaks, Wide, wide_nodes
from wsra.calib.ranges import Feeds, Method
from wsra.calib.samples import Samples, choose_samples, samples_from_captions
from wsra.export.fp16 import to_fp16
from wsra.export.half_gate import HalfReport, extreme_inputs, gate_rounded, observe_bundle
from wsra.export.int8 import CalibratedGraphs, Quantization, calibrate, int8_until_it_passes, write_int8, write_weights_alone
from wsra.export.onnx import read_onnx
from wsra.export.pictures import scene_pixels
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
        half: what was found with every node rounded to half; None for FP32.
        quantization: how INT8 was made; None for FP32 and FP16.
    """

    gates: RouteReport
    half: HalfReport | None = None
    quantization: Quantization | None = None

    @property
    def passed(self) -> bool:
        """Whether the precision passed its gates."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why it failed, in one line; None when it passed."""
        return self.gates.reason or (self.half.reason if self.half else None)

    def to_json(self) -> dict[str, Any]:
        """The entry of docs/schema/gate.json."""
        table = self.gates.to_json() | {"passed": self.passed, "reason": self.reason} | (self.half.to_json() if self.half else {})
        return table if self.quantization is None else table | {"quantization": self.quantization.to_json()}


@dataclass(frozen=True)
class Observed:
    """What the FP32 graphs of a bundle do at the edges, by which half precision is judged.

    Attributes:
        extremes: graph -> inputs at which half precision overflows first.
        peaks: graph -> how large its numbers and sums get.
    """

    extremes: Mapping[str, Sequence[Feeds]]
    peaks: Mapping[str, Peaks]


def observed_graphs(bundle: Bundle, golden: Golden) -> Observed:
    """Run the FP32 graphs on the golden cases, on every word of the vocabulary, and on extreme features and images."""
    logger.info("observing how large numbers get, with every word of the vocabulary")
    extremes = extreme_inputs(bundle, golden)
    return Observed(extremes, observe_bundle(bundle, golden, extremes))


def check_fp32(bundle: Bundle, device: Device, golden: Golden) -> tuple[Bundle, PrecisionReport]:
    """Put the FP32 graphs through both gates.

    Args:
        bundle: with the graphs in its folder.
        device: this machine.
        golden: golden data of the bundle.

    Returns:
        The bundle with the report in its manifest, which is not written; and the report.
    """
    report = PrecisionReport(_gate(bundle, device, "fp32", golden))
    return _with_report(bundle, "fp32", report), report


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


def make_fp16(bundle: Bundle, device: Device, golden: Golden, observed: Observed) -> tuple[Bundle, PrecisionReport]:
    """Convert the FP32 graphs to FP16 and put them through the gates; returns are those of `check_fp32`."""
    logger.info("exporting fp16")
    folder = _clear(bundle, "fp16")
    wide = {}
    for name in bundle.graphs:
        model = read_onnx(bundle.graph("fp32", name))
        wide[name] = wide_nodes(model, observed.peaks[name])
        halved = to_fp16(model, name=name, wide=wide[name], scorer=bundle.manifest.scorer)
        onnx.save_model(halved, str(folder / f"{name}.onnx"))
    report = PrecisionReport(_gate(bundle, device, "fp16", golden), _gate_half(bundle, "fp16", golden, observed, wide))
    return _with_report(bundle, "fp16", report), report


def _gate_half(bundle: Bundle, precision: str, golden: Golden, observed: Observed, wide: Mapping[str, Mapping[str, Wide]]) -> HalfReport:
    logger.info(f"checking {precision} with every node rounded to half, as a GPU rounds it")
    return gate_rounded(bundle, precision, golden, observed.extremes, wide)


def make_int8(
    bundle: Bundle, device: Device, golden: Golden, observed: Observed, calibration: Calibration, progress: Progress
) -> tuple[Bundle, PrecisionReport]:
    """Quantise the FP32 graphs to INT8 and put them through the gates; returns are those of `check_fp32`.

    INT8 graphs that passed earlier stay in the bundle unless the new ones pass, too. `progress` is called with "products" while their
    sensitivity is measured, with how many are done, and with how many there are.
    """
    samples = _calibration_samples(bundle, golden, calibration)
    if "image" in bundle.graphs:
        settings = read_settings(bundle.folder / BACKBONE_JSON)
        dtype = str(bundle.manifest.tensors["image"]["inputs"][settings.input][0])
        samples = replace(samples, images={settings.input: scene_pixels(settings, dtype, first=1000)})
    for warning in samples.warnings:
        logger.warning(warning)
    logger.info(f"calibrating int8 on {len(samples.features)} rows of features and {len(samples.token_ids)} sentences of {samples.source}")
    calibrated = calibrate(bundle.folder / "fp32", samples, calibration.method, bundle.manifest.scorer, observed.peaks)
    before, kept = bundle, bundle.folder / ".int8"
    if "int8" in bundle.passed():
        os.replace(bundle.folder / "int8", kept)
    folder = _clear(bundle, "int8")
    logger.info("exporting int8")
    alone = None if "image" in bundle.graphs else _weights_alone(bundle, device, golden, observed, calibrated)
    if isinstance(alone, PrecisionReport):
        report = alone
    else:
        gates, quantization = int8_until_it_passes(
            calibrated,
            folder,
            lambda: _gate(bundle, device, "int8", golden),
            replace(_probe(bundle, golden), images=samples.images),
            lambda done, total: progress("products", done, total),
        )
        quantization = quantization if alone is None else replace(quantization, why=alone)
        report = PrecisionReport(gates, _gate_half(bundle, "int8", golden, observed, calibrated.wide), quantization)
    if report.passed or not kept.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        return _with_report(bundle, "int8", report), report
    os.replace(folder, bundle.folder / f"int8{REJECTED}")
    os.replace(kept, folder)
    logger.info("the earlier int8, which passed, is kept")
    return before, report


def _weights_alone(
    bundle: Bundle, device: Device, golden: Golden, observed: Observed, calibrated: CalibratedGraphs
) -> PrecisionReport | str:
    """Write the recipe "weights" and put it through the gates.

    It is taken if it passes with fewer bytes than integer products need at their first try, before a gate leaves more of them in FP16.

    Returns:
        Its report, or the reason against it in one line.
    """
    folder = bundle.folder / "int8"
    write_int8(calibrated, calibrated.left, folder)
    integers = _bytes(folder)
    wide, products = write_weights_alone(bundle.folder / "fp32", folder, observed.peaks, calibrated.scorer)
    alone = _bytes(folder)
    if alone >= integers:
        return f"with weights alone in INT8 the graphs have {alone} bytes, with integer products {integers}"
    gates, half = _gate(bundle, device, "int8", golden), _gate_half(bundle, "int8", golden, observed, wide)
    why = f"it passes the gates with {alone} bytes of graphs; with integer products they have {integers} or more"
    report = PrecisionReport(gates, half, Quantization(calibrated.samples, calibrated.method, products, {}, "weights", why))
    return report if report.passed else f"weights alone in INT8 fail: {report.reason}"


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


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
