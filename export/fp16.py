"""Convert FP32 graphs to FP16. Inputs, outputs and nodes that would overflow stay in FP32."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from wsra.calib.ranges import PRODUCTS
from wsra.runtime.formats.bundle import ScorerKind

# What is kept for its precision, and not for its range. Keys are computed from features minus their mean. If a feature is close to its
# mean, rounding it first would be a large error.
KEEP_FP32_KEYS = ("Sub", "Mul")
# The scorer's few products per key cost almost nothing and decide on spans, so only its matrix products with the sentences are in FP16.
KEEP_FP32_SCORER = ("Sub", "Mul", "Add", "Relu", "Gemm", "Unsqueeze", "Squeeze", "ReduceL2", "Clip", "Expand", "Div", "Sigmoid")


def to_fp16(model: onnx.ModelProto, *, name: str, wide: Collection[str], scorer: ScorerKind = "trained") -> onnx.ModelProto:
    """Convert one graph; what is in INT8 already stays in INT8, and its products give FP32.

    Args:
        model: graph in FP32; it is changed and must not be used afterwards.
        name: "text", "keys", "scorer", "image" or "detector".
        wide: names of nodes that stay in FP32, from `calib.peaks.wide_nodes`.
        scorer: kind of the bundle's scorer. The keys and scores of a cosine stay in FP32: the cosine is multiplied by about a hundred,
            and computing it costs almost nothing. Those of a custom scorer stay in FP32, too, because nothing is known about it.

    Returns:
        The graph in FP16.
    """
    if scorer != "trained" and name in ("keys", "scorer"):
        return model
    del model.graph.value_info[:]  # stale element types would contradict the converted tensors
    keep = {"scorer": KEEP_FP32_SCORER, "keys": KEEP_FP32_KEYS}.get(name, ())
    decoder = decoder_of(model) if name == "detector" else []
    kept = list(dict.fromkeys([*decoder, *_quantised(model), *wide]))
    kinds = [*DEFAULT_OP_BLOCK_LIST, *keep]
    _unshare(model, kinds, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=kinds,
            node_block_list=kept,
            disable_shape_infer=False,
        )
    del converted.graph.value_info[:]
    _without_roundtrips(converted)
    OnnxModel(converted).topological_sort()
    onnx.checker.check_model(converted, full_check=True)
    return converted


def _unshare(model: onnx.ModelProto, kinds: Collection[str], names: Collection[str]) -> None:
    """Give each node that stays in FP32 its own copy of a weight that others read, too.

    The converter of ONNX Runtime before 1.32 casts such a weight once per node, under one name, which is no valid graph. Exporters share
    equal weights: all biases of zeros, for example.
    """
    graph, names = model.graph, set(names)
    weights = {one.name: one for one in graph.initializer}
    seen: set[str] = set()
    for number, node in enumerate(graph.node):
        if node.op_type not in kinds and node.name not in names:
            continue
        for place, weight in enumerate(node.input):
            if weight in weights and weight in seen:
                copy = graph.initializer.add()
                copy.CopyFrom(weights[weight])
                copy.name = node.input[place] = f"{weight}_of_node_{number}_{place}"
            seen.add(weight)


def _quantised(model: onnx.ModelProto) -> list[str]:
    """Names of the Q/DQ nodes, and of the products of two integers between them.

    A compiler gives the integer sum of a product in the type of the scales, and scales it afterwards. In half such sums overflow
    (docs/measurements/int8.md), so scales and products are in FP32, and the product is rounded to half after it. Where the weight alone is
    in INT8, it is scaled before the product, and no such sum is formed.
    """
    scaled = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") or (node.op_type in PRODUCTS and scaled.issuperset(node.input[:2]))
    ]


def _without_roundtrips(model: onnx.ModelProto) -> None:
    """Connect FP32 operators to FP32 operators and inputs directly. The converter rounds every value between them to FP16 and back."""
    graph = model.graph
    wide = {one.name for one in graph.input if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Cast" and (node.input[0] in wide or node.input[0].endswith("_cast_to_fp16"))
    }
    direct = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in rounded and node.output[0].endswith("_cast_to_fp32")
    }
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = direct.get(name, name)
    ends = {one.name for one in graph.output}
    for last in [node for node in graph.node if node.op_type == "Cast" and node.output[0] in ends and node.input[0] in rounded]:
        exact, end = rounded[last.input[0]], last.output[0]
        if exact in wide or exact in ends:
            continue
        graph.node.remove(last)
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [end if name == exact else name for name in names]
    for _ in range(2):  # first the casts to FP32, then the casts to FP16 that only those read
        used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
        for node in [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in used]:
            graph.node.remove(node)


def decoder_of(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes after the choice of queries in a detector. They place boxes more finely than FP16 resolves, and cost little."""
    after: set[str] = set()
    names = []
    for node in model.graph.node:  # sorted topologically
        if node.op_type == "TopK" or after.intersection(node.input):
            after.update(node.output)
            names.append(node.name)
    return names
