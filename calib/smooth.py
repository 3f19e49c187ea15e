"""SmoothQuant: divides outlier channels of activations and multiplies the weights accordingly, which changes nothing in FP32 but rounding.

Source: Xiao et al., SmoothQuant (2022), Eq. 4: s_j = max|X_j|^alpha / max|W_j|^(1 - alpha); Y = (X / s) (s W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from wsra.calib.folding import scaled_before

ALPHA = 0.7  # compared with 0.4 to 0.8 on MiniLM: docs/measurements/int8.md
_SMALLEST = 1e-5


def smooth(
    model: onnx.ModelProto, products: Sequence[str], maxima: Mapping[str, NDArray[np.float64]], *, alpha: float = ALPHA
) -> onnx.ModelProto:
    """Divide what products read by s, and fold s into their weights.

    Products that read the same tensor share one s, so that they still share their input. The operator before them takes 1 / s into its
    constants where it can (`scaled_before`); elsewhere a Mul is inserted.

    Args:
        model: in FP32; it is not changed.
        products: names of MatMul or Gemm nodes with a constant second input, (in, out), or (out, in) with transB.
        maxima: largest magnitude per channel of the first input of each product.
        alpha: share of the difficulty that moves to the weights, in (0, 1).

    Returns:
        A model that computes the same.
    """
    smoothed = onnx.ModelProto()
    smoothed.CopyFrom(model)
    nodes = {node.name: node for node in smoothed.graph.node}
    weights = {tensor.name: tensor for tensor in smoothed.graph.initializer}
    names = set(weights)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for name in products:
        readers.setdefault(nodes[name].input[0], []).append(nodes[name])
    for tensor, group in readers.items():
        peaks = np.max([np.abs(_by_input(node, weights)).max(axis=1) for node in group], axis=0)
        scale = np.maximum(maxima[tensor], _SMALLEST) ** alpha / np.maximum(peaks, _SMALLEST) ** (1 - alpha)
        scale = np.maximum(scale, _SMALLEST).astype(np.float32)
        inverse, out = (1.0 / scale).astype(np.float32), f"{tensor}_smoothed"
        if not scaled_before(smoothed.graph, tensor, [node.name for node in group], inverse, out):
            constant = f"{tensor}_smoothing"
            smoothed.graph.initializer.append(numpy_helper.from_array(inverse, constant))
            place = min(i for i, node in enumerate(smoothed.graph.node) if node.name in {n.name for n in group})
            smoothed.graph.node.insert(place, helper.make_node("Mul", [tensor, constant], [out], name=f"node_{tensor}_smoothing"))
        for node in group:
            folded = _fold(_by_input(node, weights), scale, node)
            name = f"{node.input[1]}_smoothed"
            if name in names:  # a weight shared by several products is folded once per input
                name = f"{node.input[1]}_{tensor}_smoothed"
            names.add(name)
            smoothed.graph.initializer.append(numpy_helper.from_array(folded, name))
            node.input[0], node.input[1] = out, name
    read = {name for node in smoothed.graph.node for name in node.input}
    kept = [tensor for tensor in smoothed.graph.initializer if tensor.name in read]
    del smoothed.graph.initializer[:]
    smoothed.graph.initializer.extend(kept)
    return smoothed


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _by_input(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> NDArray[np.float32]:
    """Weight as (in, out)."""
    weight = numpy_helper.to_array(weights[node.input[1]])
    return weight.T if _transposed(node) else weight


def _fold(weight: NDArray[np.float32], scale: NDArray[np.float32], node: onnx.NodeProto) -> NDArray[np.float32]:
    folded = weight * scale[:, None]
    return np.ascontiguousarray(folded.T if _transposed(node) else folded, dtype=np.float32)
