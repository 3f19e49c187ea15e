"""Sensitivity of each product to INT8: the change of the logits when this product alone is quantised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import TensorsData

from wsra.calib.quantize import quantize
from wsra.calib.ranges import plain_session
from wsra.calib.samples import Samples

SNIPPETS, SENTENCES = 256, 16  # taken from the calibration data
_OF_PICTURES = ("image", "detector")


def sensitivity(
    models: Mapping[str, onnx.ModelProto],
    products: Mapping[str, Sequence[str]],
    ranges: Mapping[str, TensorsData],
    samples: Samples,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[tuple[str, str], float]:
    """Change of the logits when one product alone is in INT8.

    Args:
        models: "text", "keys" and "scorer" in FP32, "image" with them or alone, or "detector" alone.
        products: graph -> names of the products that may be quantised.
        ranges: graph -> ranges from `ranges_of`.
        samples: calibration data.
        progress: called with the number of products done and the total.

    Returns:
        (graph, product) -> RMS change divided by RMS, the worst first: of the logits, for the image encoder of its vectors, and for a
        detector of the best logits of its queries, sorted, since their order is arbitrary.
    """
    sessions = {name: plain_session(model) for name, model in models.items()}
    expected = {"logits": _logits(sessions, samples)} if "scorer" in models else {}
    expected |= {"vectors": _vectors(sessions, samples)} if samples.images else {}
    pairs = [(graph, product) for graph in products for product in products[graph]]
    found = {}
    for done, (graph, product) in enumerate(pairs, 1):
        changed = {**sessions, graph: plain_session(quantize(models[graph], [product], ranges[graph]))}
        name, got = ("logits", _logits(changed, samples)) if graph not in _OF_PICTURES else ("vectors", _vectors(changed, samples))
        found[graph, product] = float(_rms(got - expected[name]) / max(_rms(expected[name]), 1e-12))
        progress(done, len(pairs))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _logits(sessions: Mapping[str, onnxruntime.InferenceSession], samples: Samples) -> NDArray[np.float64]:
    chosen = [samples.token_ids[i] for i in np.linspace(0, len(samples.token_ids) - 1, SENTENCES).astype(int)]
    text: list[NDArray[Any]] = []
    for ids in chosen:
        feeds = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)}
        text.append(sessions["text"].run(["text"], feeds)[0])
    rows = np.linspace(0, len(samples.features) - 1, min(SNIPPETS, len(samples.features))).astype(int)
    keys = sessions["keys"].run(["keys"], {"features": samples.features[rows]})[0]
    return np.asarray(sessions["scorer"].run(["logits"], {"keys": keys, "text": np.concatenate(text)})[0], np.float64)


def _vectors(sessions: Mapping[str, onnxruntime.InferenceSession], samples: Samples) -> NDArray[np.float64]:
    """Outputs of the image encoder or the detector, whichever there is."""
    graph = next(name for name in _OF_PICTURES if name in sessions)
    found = np.concatenate([np.asarray(sessions[graph].run(None, feeds)[0], np.float64) for feeds in samples.image_batches()])
    return np.sort(found.max(axis=2), axis=1) if graph == "detector" else found


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
