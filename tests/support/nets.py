"""Small ONNX graphs with known products."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH, HIDDEN, OUT = 24, 32, 16


def two_products(seed: int = 0, *, outlier: float = 1.0) -> onnx.ModelProto:
    """x (N, 24) -> MatMul (24, 32) -> Relu -> Gemm with transB (16, 32) -> y (N, 16), and a product of two activations beside them.

    Args:
        seed: of the weights.
        outlier: the first weight column is that many times as large, so that its activations stand out.
    """
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(WIDTH, HIDDEN)).astype(np.float32)
    first[:, 0] *= outlier
    weights = {
        "first.weight": first,
        "second.weight": rng.normal(size=(OUT, HIDDEN)).astype(np.float32),
        "second.bias": rng.normal(size=OUT).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "first.weight"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Gemm", ["b", "second.weight", "second.bias"], ["c"], name="second", transB=1),
        helper.make_node("Transpose", ["c"], ["d"], name="transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["c", "d"], ["e"], name="attention"),
        helper.make_node("ReduceMean", ["e"], ["f"], name="mean"),
        helper.make_node("Mul", ["c", "f"], ["y"], name="last"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in (("x", WIDTH), ("y", OUT)))
    graph = helper.make_graph(nodes, "net", [x], [y], [numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Inputs of `two_products`."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
