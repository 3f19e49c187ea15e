"""FP32 graphs to INT8 and FP16: smooth, read ranges, quantise; where the gate fails, leave the most sensitive products in FP16."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import TensorsData

from wsra.calib.quantize import convolutions_of, narrowing, products_of, quantize
from wsra.calib.ranges import Feeds, Method, channel_maxima, plain_session, ranges_of
from wsra.calib.samples import Samples
from wsra.calib.sensitivity import sensitivity
from wsra.calib.smooth import ALPHA, smooth
from wsra.export.fp16 import decoder_of, half
from wsra.export.onnx import read_onnx
from wsra.runtime.formats.bundle import ScorerKind

logger = logging.getLogger(__name__)

MOST_LEFT = 0.5  # share of the products; with more of them in FP16, INT8 is not worth having
NARROWING = "has twice as many inputs as outputs or more, as what follows an activation has, whose outliers cannot be smoothed"
_SCORER_KEYS = 256
Product = tuple[str, str]  # graph, node


@dataclass(frozen=True)
class Prepared:
    """Smoothed FP32 graphs with what quantising them needs.

    Attributes:
        models: graph -> smoothed, in FP32.
        products: graph -> products that INT8 can serve.
        ranges: graph -> ranges of activations.
        left: products that stay in FP16 from the start -> why.
        samples: calibration data.
        method: how ranges were read.
        scorer: of the bundle.
    """

    models: dict[str, onnx.ModelProto]
    products: dict[str, list[str]]
    ranges: dict[str, TensorsData]
    left: dict[Product, str]
    samples: Samples
    method: Method
    scorer: ScorerKind


def prepare(fp32: Path, samples: Samples, method: Method = "minmax", scorer: ScorerKind = "trained") -> Prepared:
    """Smooth FP32 graphs and read the ranges of their activations.

    Args:
        fp32: their folder: those of a bundle, or "image" or "detector" alone.
        samples: calibration data.
        method: how ranges are read.
        scorer: of the bundle.

    Raises:
        DataError: ranges are not finite.
    """
    models = {path.stem: read_onnx(path) for path in sorted(fp32.glob("*.onnx"))}
    exact = ("keys", "scorer") if scorer == "cosine" else ()  # as in `half`
    products = {name: [] if name in exact else products_of(model) for name, model in models.items()}
    if "detector" in models:  # its decoder stays as it is in FP16
        whole = set(decoder_of(models["detector"]))
        products["detector"] = [product for product in products["detector"] if product not in whole]
    deep: list[str] = [name for name in ("text", "image", "detector") if name in models]
    left: dict[Product, str] = {(graph, name): NARROWING for graph in deep for name in narrowing(models[graph], products[graph])}
    flat = {name: set(names) for name, names in products.items()}
    if "detector" in models:  # most of what it computes are convolutions, which need no smoothing
        products["detector"] += [name for name in convolutions_of(models["detector"]) if name not in whole]
    batches = _batches(models, samples)
    ranges = {}
    for name, model in models.items():
        chosen = [product for product in products[name] if (name, product) not in left]
        smoothed = [product for product in chosen if product in flat[name]]
        if smoothed:
            read = {node.name: node.input[0] for node in model.graph.node if node.name in smoothed}
            models[name] = smooth(model, smoothed, channel_maxima(model, batches[name], list(read.values())))
        if chosen:
            ranges[name] = ranges_of(models[name], batches[name], method)
    return Prepared(models, products, ranges, left, samples, method, scorer)


def _batches(models: dict[str, onnx.ModelProto], samples: Samples) -> dict[str, list[Feeds]]:
    """Feeds of every graph; the scorer's are what text and keys give."""
    images: list[Feeds] = list(samples.image_batches())
    if "scorer" not in models:
        return dict.fromkeys(models, images)
    text_feeds: list[Feeds] = [dict(batch) for batch in samples.text_batches()]
    sessions = {name: plain_session(models[name]) for name in ("text", "keys")}
    text = np.concatenate([sessions["text"].run(["text"], dict(feeds))[0] for feeds in text_feeds])
    keys = sessions["keys"].run(["keys"], {"features": samples.features})[0]
    scorer: list[Feeds] = [{"keys": keys[:_SCORER_KEYS], "text": text}]
    return {"text": text_feeds, "keys": [{"features": samples.features}], "scorer": scorer, "image": images}


def write_int8(prepared: Prepared, left: dict[Product, str], folder: Path) -> None:
    """Write the graphs with all products in INT8 but those that are left."""
    folder.mkdir(exist_ok=True)
    for name, model in prepared.models.items():
        chosen = [product for product in prepared.products[name] if (name, product) not in left]
        quantized = quantize(model, chosen, prepared.ranges[name]) if chosen else _copied(model)
        onnx.save_model(half(quantized, name=name, scorer=prepared.scorer), str(folder / f"{name}.onnx"))


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def int8_until_it_passes(
    prepared: Prepared,
    folder: Path,
    gate: Callable[[], dict[str, Any]],
    probe: Samples,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write INT8 graphs; as long as the gate fails, leave the 1, 2, 4, 8 ... most sensitive products in FP16.

    Args:
        prepared: of `prepare`.
        folder: of the graphs.
        gate: puts what lies in `folder` through both gates; what `wsra verify` says of it.
        probe: trusted data by which the sensitivity is measured.
        progress: of the sensitivity, called with products done and all.

    Returns:
        What the last gate said, with `quantization`: calibration data, recipe, and what was left in FP16 and why.
    """
    left, count = dict(prepared.left), 0
    every = [(graph, product) for graph, products in prepared.products.items() for product in products]
    ranking: dict[Product, float] = {}
    while True:
        write_int8(prepared, left, folder)
        entry = gate()
        entry["quantization"] = {
            "calibration": prepared.samples.told(),
            "ranges": prepared.method,
            "smoothing_alpha": ALPHA,
            "products": len(every),
            "left_in_fp16": [{"graph": graph, "product": product, "why": why} for (graph, product), why in left.items()],
        }
        count = max(1, 2 * count)
        if entry["passed"] or len(prepared.left) + count > MOST_LEFT * len(every):
            return entry
        logger.info(f"INT8 fails its gate: {entry['reason']}")
        if not ranking:
            logger.info(f"measuring what each of {len(every)} products does to the logits")
            open_ones = {name: [p for p in names if (name, p) not in left] for name, names in prepared.products.items()}
            ranking = sensitivity(prepared.models, open_ones, prepared.ranges, probe, progress)
        left = {**prepared.left}
        for product, change in list(ranking.items())[:count]:
            left[product] = f"alone in INT8 it changes the logits by {100 * change:.2f} %, and the gate failed: {entry['reason']}"
        logger.info(f"leaving the {count} most sensitive in FP16")
