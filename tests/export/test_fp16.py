"""FP16 graphs against their FP32 graphs where rounding hurts most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx  # noqa: E402
import onnxruntime  # noqa: E402

from wsra.export.fp16 import to_fp16  # noqa: E402
from wsra.export.graphs import keys_graph  # noqa: E402
from wsra.export.onnx import onnx_from_graph, read_onnx  # noqa: E402
from wsra.train.model import Scorer  # noqa: E402


def test_features_close_to_a_large_mean_keep_their_keys(tmp_path: Path) -> None:
    """Rounded to FP16 before the mean is subtracted, these features would be off by a tenth of what distinguishes them."""
    torch.manual_seed(0)
    scorer = Scorer(64, 8, 32).eval()
    scorer.normalise(torch.full((64,), 50.0), torch.full((64,), 0.1))
    onnx_from_graph(keys_graph(scorer), tmp_path / "keys.onnx")
    features = (50 + 0.1 * np.random.default_rng(0).normal(size=(20, 64))).astype(np.float32)
    expected = onnxruntime.InferenceSession(str(tmp_path / "keys.onnx")).run(None, {"features": features})[0]
    halved = to_fp16(read_onnx(tmp_path / "keys.onnx"), name="keys", wide=())
    got = onnxruntime.InferenceSession(halved.SerializeToString()).run(None, {"features": features})[0]
    errors = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < 1e-3
    assert sum(node.op_type == "Cast" for node in halved.graph.node) == 2  # into the product and out of it


def test_weights_that_nodes_in_fp32_share() -> None:
    """Exporters keep equal weights once. Two normalisations in FP32 with one bias, which a product in FP16 reads, too."""
    weights = [onnx.numpy_helper.from_array(np.linspace(-1, 1, 8, dtype=np.float32), name) for name in ("scale", "bias")]
    nodes = [
        onnx.helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["a"], name="first"),
        onnx.helper.make_node("Mul", ["a", "bias"], ["b"], name="product"),
        onnx.helper.make_node("LayerNormalization", ["b", "scale", "bias"], ["y"], name="second"),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 8]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "shared", ends[:1], ends[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    values = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)

    def run(of: onnx.ModelProto) -> np.ndarray[Any, Any]:
        return np.asarray(
            onnxruntime.InferenceSession(of.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": values})[0]
        )

    expected = run(model)
    got = run(to_fp16(model, name="text", wide=["first", "second"]))
    assert np.linalg.norm(got - expected) < 2e-3 * np.linalg.norm(expected)
