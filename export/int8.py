"""Quantise FP32 graphs to INT8: smooth, measure ranges, quantise; if the gate fails, leave the most sensitive products in FP16.

Beside this recipe of integer products there is one in which only the weights are in INT8.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import TensorsData

from wsra.calib.peaks import Peaks, Wide, observe, wide_nodes
from wsra.calib.quantize import convolutions_of, narrowing, products_of, quantize, quantize_weights
from wsra.calib.ranges import Feeds, Method, channel_maxima, plain_session, ranges_of
from wsra.calib.samples import Samples
from wsra.calib.sensitivity import sensitivity
from wsra.calib.smooth import ALPHA, smooth
from wsra.export.fp16 import decoder_of, to_fp16
from wsra.export.onnx import read_onnx
from wsra.runtime.formats.bundle import ScorerKind

logger = logging.getLogger(__name__)

MOST_LEFT = 0.5  # share of the products; INT8 is not worth having with more of them in FP16
NARROWING = "has twice as many inputs as outputs or more, as what follows an activation has, whose outliers cannot be smoothed"
_SCORER_KEYS = 256  # keys with which the scorer is calibrated
Product = tuple[str, str]  # graph, node
Recipe = Literal["integers", "weights"]


@dataclass(frozen=True)
class CalibratedGraphs:
    """Smoothed FP32 graphs, with what is needed to quantise them.

    Attributes:
        models: graph -> smoothed graph in FP32.
        products: graph -> names of the products that can be in INT8.
        ranges: graph -> ranges of activations.
        left: products that stay in FP16 from the start -> reason.
        wide: graph -> nodes that stay in FP32 -> reason.
        samples: calibration data.
        method: how ranges were measured.
        scorer: kind of the bundle's scorer.
    """

    models: dict[str, onnx.ModelProto]
    products: dict[str, list[str]]
    ranges: dict[str, TensorsData]
    left: dict[Product, str]
    wide: dict[str, dict[str, Wide]]
    samples: Samples
    method: Method
    scorer: ScorerKind


def calibrate(
    fp32: Path,
    samples: Samples,
    method: Method = "minmax",
    scorer: ScorerKind = "trained",
    peaks: Mapping[str, Peaks] | None = None,
) -> CalibratedGraphs:
    """Smooth FP32 graphs and measure the ranges of their activations.

    Args:
        fp32: folder with the graphs of a bundle, or with "image" or "detector" alone.
        samples: calibration data.
        method: how ranges are measured.
        scorer: kind of the bundle's scorer.
        peaks: graph -> what was observed of it, by which nodes stay in FP32; None observes it on the calibration data.

    Raises:
        DataError: a range is not finite.
    """
    models = {path.stem: read_onnx(path) for path in sorted(fp32.glob("*.onnx"))}
    products = {name: _products(name, model, scorer) for name, model in models.items()}
    if "detector" in models:  # its decoder stays in FP32, as in `to_fp16`
        decoder = set(decoder_of(models["detector"]))
        products["detector"] = [product for product in products["detector"] if product not in decoder]
    deep: list[str] = [name for name in ("text", "image", "detector") if name in models]
    left: dict[Product, str] = {(graph, name): NARROWING for graph in deep for name in narrowing(models[graph], products[graph])}
    flat = {name: set(names) for name, names in products.items()}
    if "detector" in models:  # most of its work is in convolutions, which need no smoothing
        products["detector"] += [name for name in convolutions_of(models["detector"]) if name not in decoder]
    batches = _batches(models, samples)
    ranges, wide = {}, {}
    for name, model in models.items():
        observed = observe(model, batches[name]) if peaks is None else peaks[name]
        chosen = [product for product in products[name] if (name, product) not in left]
        smoothed = [product for product in chosen if product in flat[name]]
        if smoothed:
            read = {node.name: node.input[0] for node in model.graph.node if node.name in smoothed}
            models[name] = smooth(model, smoothed, channel_maxima(model, batches[name], list(read.values())))
        if chosen:
            ranges[name] = ranges_of(models[name], batches[name], method)
        wide[name] = wide_nodes(models[name], observed)
    return CalibratedGraphs(models, products, ranges, left, wide, samples, method, scorer)


def _products(name: str, model: onnx.ModelProto, scorer: ScorerKind) -> list[str]:
    return [] if scorer != "trained" and name in ("keys", "scorer") else products_of(model)  # as in `to_fp16`


def _batches(models: dict[str, onnx.ModelProto], samples: Samples) -> dict[str, list[Feeds]]:
    """Feeds for every graph; the scorer's are outputs of the text and keys graphs."""
    images: list[Feeds] = list(samples.image_batches())
    if "scorer" not in models:
        return dict.fromkeys(models, images)
    text_feeds: list[Feeds] = [dict(batch) for batch in samples.text_batches()]
    sessions = {name: plain_session(models[name]) for name in ("text", "keys")}
    text = np.concatenate([sessions["text"].run(["text"], dict(feeds))[0] for feeds in text_feeds])
    keys = sessions["keys"].run(["keys"], {"features": samples.features})[0]
    scorer: list[Feeds] = [{"keys": keys[:_SCORER_KEYS], "text": text}]
    return {"text": text_feeds, "keys": [{"features": samples.features}], "scorer": scorer, "image": images}


def write_int8(calibrated: CalibratedGraphs, left: dict[Product, str], folder: Path) -> None:
    """Write the graphs with all products in INT8 except those in `left`."""
    folder.mkdir(exist_ok=True)
    for name, model in calibrated.models.items():
        chosen = [product for product in calibrated.products[name] if (name, product) not in left]
        quantized = quantize(model, chosen, calibrated.ranges[name]) if chosen else _copied(model)
        halved = to_fp16(quantized, name=name, wide=calibrated.wide[name], scorer=calibrated.scorer)
        onnx.save_model(halved, str(folder / f"{name}.onnx"))


def write_weights_alone(fp32: Path, folder: Path, peaks: Mapping[str, Peaks], scorer: ScorerKind) -> tuple[dict[str, dict[str, Wide]], int]:
    """Write the graphs with the weights of all products in INT8 and every activation in floating point.

    Nothing is smoothed and no range is measured, since no activation is quantised; for the same reason outliers of activations do no harm.

    Args:
        fp32: folder with the graphs of a bundle without pictures.
        folder: folder for the graphs.
        peaks: graph -> what was observed of it, by which nodes stay in FP32.
        scorer: kind of the bundle's scorer.

    Returns:
        graph -> nodes that stay in FP32 -> reason; and the number of products.
    """
    folder.mkdir(exist_ok=True)
    wide, count = {}, 0
    for path in sorted(fp32.glob("*.onnx")):
        model, name = read_onnx(path), path.stem
        wide[name] = wide_nodes(model, peaks[name])
        products = _products(name, model, scorer)
        count += len(products)
        halved = to_fp16(quantize_weights(model, products), name=name, wide=wide[name], scorer=scorer)
        onnx.save_model(halved, str(folder / path.name))
    return wide, count


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


class GateReport(Protocol):
    """What a gate found."""

    @property
    def passed(self) -> bool:
        """Whether the graphs passed."""

    @property
    def reason(self) -> str | None:
        """Why they failed, in one line; None when they passed."""


Report = TypeVar("Report", bound=GateReport)


@dataclass(frozen=True)
class Quantization:
    """How INT8 graphs were made.

    Attributes:
        samples: calibration data of the recipe "integers", which is always made.
        method: how its ranges were measured.
        products: number of products that can be in INT8.
        left: products that stay in FP16 -> reason.
        recipe: "integers", products of INT8 with INT8, or "weights", weights in INT8 alone.
        why: why this recipe was taken, in one line.
    """

    samples: Samples
    method: Method
    products: int
    left: dict[Product, str]
    recipe: Recipe = "integers"
    why: str = "products of pictures have many rows, which integers speed up; no other recipe is tried"

    def to_json(self) -> dict[str, Any]:
        """The part `quantization` of an entry of docs/schema/gate.json."""
        return {
            "recipe": self.recipe,
            "why": self.why,
            "calibration": self.samples.to_json(),
            "ranges": self.method,
            "smoothing_alpha": ALPHA,
            "products": self.products,
            "left_in_fp16": [{"graph": graph, "product": product, "why": why} for (graph, product), why in self.left.items()],
        }


def int8_until_it_passes(
    calibrated: CalibratedGraphs,
    folder: Path,
    gate: Callable[[], Report],
    probe: Samples,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Report, Quantization]:
    """Write INT8 graphs; as long as the gate fails, leave the 1, 2, 4, 8 ... most sensitive products in FP16.

    Args:
        calibrated: smoothed graphs and ranges from `calibrate`.
        folder: folder for the graphs.
        gate: puts the graphs in `folder` through their gates.
        probe: trusted data, on which the sensitivity is measured.
        progress: called while the sensitivity is measured, with the products done and their total.

    Returns:
        The report of the last gate, and how the graphs that it saw were made.
    """
    left, count = dict(calibrated.left), 0
    every = [(graph, product) for graph, products in calibrated.products.items() for product in products]
    ranking: dict[Product, float] = {}
    while True:
        write_int8(calibrated, left, folder)
        report = gate()
        count = max(1, 2 * count)
        if report.passed or len(calibrated.left) + count > MOST_LEFT * len(every):
            return report, Quantization(calibrated.samples, calibrated.method, len(every), left)
        logger.info(f"INT8 fails its gate: {report.reason}")
        if not ranking:
            logger.info(f"measuring what each of {len(every)} products does to the logits")
            open_ones = {name: [p for p in names if (name, p) not in left] for name, names in calibrated.products.items()}
            ranking = sensitivity(calibrated.models, open_ones, calibrated.ranges, probe, progress)
        left = {**calibrated.left}
        for product, change in list(ranking.items())[:count]:
            left[product] = f"alone in INT8 it changes the logits by {100 * change:.2f} %, and the gate failed: {report.reason}"
        logger.info(f"leaving the {count} most sensitive in FP16")
