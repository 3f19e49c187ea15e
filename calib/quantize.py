"""FP32 graphs to INT8: explicit Q/DQ pairs before products with constant weights, symmetric, per output channel; or weights alone.

Products that are not quantised stay in floating point and are converted to FP16 afterwards. docs/export.md
explains the recipe and docs/measurements/int8.md what each part contributes.

nvidia-modelopt's ONNX quantisation is not used, because its defaults give MiniLM a mean cosine of 0.889, where this recipe gives 0.999.
onnxruntime's `quantize_static` is not used, because it calibrates again on each call, in a temporary folder that concurrent calls share
and fail on; `QDQQuantizer`, which it wraps, takes ranges that were computed once.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from wsra.calib.ranges import PRODUCTS

NARROWEST = 8  # INT8 does not speed up a product with fewer outputs

_OPTIONS = {
    # TensorRT rejects zero points other than 0, and shared pairs prevent fusions. Weights are stored in INT8, with a DQ node only.
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "AddQDQPairToWeight": False,
    "DedicatedQDQPair": True,
    # Outputs of products stay in full precision; quantising them too costs MiniLM 0.1 of its cosine.
    "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
}


def products_of(model: onnx.ModelProto) -> list[str]:
    """Names of the products that can be quantised: MatMul and Gemm with a constant weight and 8 or more outputs.

    Products of two activations (attention) are excluded.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type in PRODUCTS and node.input[1] in weights and node.input[0] not in weights:
            dims = weights[node.input[1]].dims
            if len(dims) == 2 and dims[0 if _transposed(node) else 1] >= NARROWEST:
                found.append(node.name)
    return found


def convolutions_of(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions that can be quantised: those with a constant weight and 8 or more outputs."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in weights and weights[node.input[1]].dims[0] >= NARROWEST
    ]


def narrowing(model: onnx.ModelProto, products: Collection[str]) -> list[str]:
    """The given products with at least twice as many inputs as outputs; in a transformer, those that follow the activation.

    GELU activations have outliers that smoothing cannot shift to the weights: with these products in INT8, MiniLM's smallest cosine is
    0.95 instead of 0.998 (docs/measurements/int8.md).
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.name in products:
            dims = list(weights[node.input[1]].dims)
            inputs, outputs = reversed(dims) if _transposed(node) else dims
            if inputs >= 2 * outputs:
                found.append(node.name)
    return found


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def quantize(model: onnx.ModelProto, products: Collection[str], ranges: TensorsData) -> onnx.ModelProto:
    """Insert Q/DQ pairs before the chosen products.

    Args:
        model: in FP32, with or without inferred shapes; it is not changed.
        products: names of the nodes; if empty, a copy of the model is returned.
        ranges: from `ranges_of` on this model.

    Returns:
        The model with INT8 Q/DQ.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    if not products:
        return quantized
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(quantized),
        True,  # per channel
        False,  # full 8 bits
        QuantType.QInt8,
        QuantType.QInt8,
        ranges,
        list(products),
        [],
        list(PRODUCTS),
        _OPTIONS,
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantizer appends Q/DQ nodes at the end, where shape inference does not find them
    result: onnx.ModelProto = quantizer.model.model
    del result.graph.value_info[:]
    return result


def quantize_weights(model: onnx.ModelProto, products: Collection[str]) -> onnx.ModelProto:
    """Store the weights of the chosen products in INT8, with a DequantizeLinear before the product; activations stay as they are.

    Args:
        model: in FP32; it is not changed.
        products: names of MatMul or Gemm nodes with a constant second input.

    Returns:
        The model; a weight has one scale per output channel, its largest magnitude / 127.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made: dict[tuple[str, int], onnx.NodeProto] = {}  # products may share a weight
    for node in graph.node:
        if node.name not in products:
            continue
        name, axis = node.input[1], 0 if _transposed(node) else 1
        if (name, axis) not in made:
            label = f"{name}_by_{axis}"
            integers, scale = _in_integers(numpy_helper.to_array(weights[name]), axis)
            graph.initializer.append(numpy_helper.from_array(integers, f"{label}_quantized"))
            graph.initializer.append(numpy_helper.from_array(scale, f"{label}_scale"))
            made[name, axis] = helper.make_node(
                "DequantizeLinear",
                [f"{label}_quantized", f"{label}_scale"],
                [f"{label}_dequantized"],
                name=f"{label}_DequantizeLinear",
                axis=axis,
            )
        node.input[1] = made[name, axis].output[0]
    nodes = [*made.values(), *graph.node]
    read = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    return quantized


def _in_integers(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    peaks = np.abs(weight).max(axis=1 - axis, keepdims=True)
    scale = np.where(peaks > 0, peaks, 127.0).astype(np.float32) / np.float32(127.0)
    integers = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return integers, scale.ravel()
