"""FP32 graphs to FP16: tensors in half precision, inputs and outputs in FP32, what overflows in FP32."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

# Squares, exponentials and norms leave the range or the precision of half floats (largest 65,504).
KEEP_FP32 = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Sigmoid", "Erf", "Tanh")
# The scorer's own few products per key cost nothing and decide on spans: only its matrix product with the sentence is halved.
KEEP_FP32_SCORER = (*KEEP_FP32, "Add", "Relu", "Gemm", "Unsqueeze", "Squeeze")


def fp16_from_onnx(source: Path, path: Path, *, name: str) -> None:
    """Convert one graph.

    Args:
        source: the FP32 graph.
        path: the FP16 graph.
        name: "text", "keys" or "scorer".
    """
    model = onnx.load(str(source))
    del model.graph.value_info[:]  # stale element types would contradict the converted tensors
    keep = KEEP_FP32_SCORER if name == "scorer" else KEEP_FP32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        half = convert_float_to_float16(model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *keep], disable_shape_infer=False)
    del half.graph.value_info[:]
    OnnxModel(half).topological_sort()
    onnx.checker.check_model(half, full_check=True)
    onnx.save_model(half, str(path))
