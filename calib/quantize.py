"""FP32 graphs to INT8: explicit Q/DQ pairs before products with constant weights, symmetric, per output channel.

What is not quantised stays floating point and is halved afterwards. The recipe is in docs/export.md; docs/measurements/int8.md shows what
each part is worth.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from wsra.calib.ranges import PRODUCTS

NARROWEST = 8  # a product with fewer outputs gains nothing from INT8

_OPTIONS = {
    # TensorRT refuses a zero point other than 0, and shared pairs cost it fusions. Weights are stored in INT8, with a DQ node alone.
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "AddQDQPairToWeight": False,
    "DedicatedQDQPair": True,
    # The sums that a product gives are read in full precision; quantising them too costs MiniLM 0.1 of its cosine.
    "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
}


def products_of(model: onnx.ModelProto) -> list[str]:
    """Names of the flat products that INT8 serves: MatMul and Gemm with a constant weight of 8 or more outputs.

    Products of two activations (attention) are not among them.
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
    """Names of the convolutions that INT8 serves: those with a constant weight of 8 or more outputs."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in weights and weights[node.input[1]].dims[0] >= NARROWEST
    ]


def narrowing(model: onnx.ModelProto, products: Collection[str]) -> list[str]:
    """Those of the products that have at least twice as many inputs as outputs: in a transformer, what follows the activation.

    Activations (GELU) have outliers that smoothing cannot move: with these products in INT8 MiniLM's smallest cosine is 0.95 instead
    of 0.998 (docs/measurements/int8.md).
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
        model: in FP32, shapes inferred or not; it is not changed.
        products: names of the nodes; none gives the model back.
        ranges: of `ranges_of` on this model.

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
    quantizer.model.topological_sort()  # Q/DQ nodes stand at its end, where shape inference does not find them
    result: onnx.ModelProto = quantizer.model.model
    del result.graph.value_info[:]
    return result
