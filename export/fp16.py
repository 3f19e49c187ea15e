"""FP32 graphs to FP16: tensors in half precision, inputs and outputs in FP32, what overflows in FP32."""

from __future__ import annotations

import warnings

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from wsra.runtime.formats.bundle import ScorerKind

# Squares, exponentials and norms leave the range or the precision of half floats (largest 65,504).
KEEP_FP32 = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Sigmoid", "Erf", "Tanh")
# The scorer's own few products per key cost nothing and decide on spans: only its matrix product with the sentence is halved.
KEEP_FP32_SCORER = (*KEEP_FP32, "Add", "Relu", "Gemm", "Unsqueeze", "Squeeze")


def half(model: onnx.ModelProto, *, name: str, scorer: ScorerKind = "trained") -> onnx.ModelProto:
    """Convert one graph; what is in INT8 already stays.

    Args:
        model: in FP32; it is used up.
        name: "text", "keys", "scorer", "image" or "detector".
        scorer: of the bundle; the keys and scores of a cosine stay in FP32: it is multiplied by a hundred, and costs nothing.

    Returns:
        The graph in FP16.
    """
    if scorer == "cosine" and name in ("keys", "scorer"):
        return model
    del model.graph.value_info[:]  # stale element types would contradict the converted tensors
    keep = KEEP_FP32_SCORER if name == "scorer" else KEEP_FP32
    whole = decoder_of(model) if name == "detector" else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        halved: onnx.ModelProto = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *keep],
            node_block_list=whole,
            disable_shape_infer=False,
        )
    del halved.graph.value_info[:]
    OnnxModel(halved).topological_sort()
    onnx.checker.check_model(halved, full_check=True)
    return halved


def decoder_of(model: onnx.ModelProto) -> list[str]:
    """Names of what follows the choice of queries in a detector: it places boxes, to less than a half float tells, and computes little."""
    after: set[str] = set()
    found = []
    for node in model.graph.node:  # sorted, each after what it reads
        if node.op_type == "TopK" or after.intersection(node.input):
            after.update(node.output)
            found.append(node.name)
    return found
