"""Convert FP32 graphs to FP16. Inputs, outputs and operators that would overflow stay in FP32."""

from __future__ import annotations

import warnings

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from wsra.runtime.formats.bundle import ScorerKind

# Squares, exponentials and norms exceed the range (up to 65,504) or the precision of FP16.
KEEP_FP32 = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Sigmoid", "Erf", "Tanh")
# The scorer's few products per key cost almost nothing and decide on spans, so only its matrix product with the sentences is in FP16.
KEEP_FP32_SCORER = (*KEEP_FP32, "Add", "Relu", "Gemm", "Unsqueeze", "Squeeze")


def to_fp16(model: onnx.ModelProto, *, name: str, scorer: ScorerKind = "trained") -> onnx.ModelProto:
    """Convert one graph; what is in INT8 already stays in INT8.

    Args:
        model: graph in FP32; it is changed and must not be used afterwards.
        name: "text", "keys", "scorer", "image" or "detector".
        scorer: kind of the bundle's scorer. The keys and scores of a cosine stay in FP32: the cosine is multiplied by about a hundred,
            and computing it costs almost nothing.

    Returns:
        The graph in FP16.
    """
    if scorer == "cosine" and name in ("keys", "scorer"):
        return model
    del model.graph.value_info[:]  # stale element types would contradict the converted tensors
    keep = KEEP_FP32_SCORER if name == "scorer" else KEEP_FP32
    decoder = decoder_of(model) if name == "detector" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *keep],
            node_block_list=decoder,
            disable_shape_infer=False,
        )
    del converted.graph.value_info[:]
    OnnxModel(converted).topological_sort()
    onnx.checker.check_model(converted, full_check=True)
    return converted


def decoder_of(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes after the choice of queries in a detector. They place boxes more finely than FP16 resolves, and cost little."""
    after: set[str] = set()
    names = []
    for node in model.graph.node:  # sorted topologically
        if node.op_type == "TopK" or after.intersection(node.input):
            after.update(node.output)
            names.append(node.name)
    return names
