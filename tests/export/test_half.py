"""Half precision on a CPU is half precision: it overflows and rounds as onnx's reference does, where ONNX Runtime alone does not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nets import rows, two_products
from wsra.calib.peaks import observe, wide_nodes
from wsra.calib.quantize import quantize, quantize_weights
from wsra.calib.ranges import ranges_of
from wsra.calib.sums import integer_sums
from wsra.export.fp16 import to_fp16
from wsra.export.half import RoundedBackend
from wsra.export.half_gate import extreme_images, far_features, words_packed
from wsra.export.simplify import scale_before_products
from wsra.runtime.errors import ExportError


def saved(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save_model(model, str(path))
    return path


def chain() -> onnx.ModelProto:
    """x times 300 divided by 256, in FP32."""
    nodes = [helper.make_node("Mul", ["x", "c"], ["a"], name="up"), helper.make_node("Div", ["a", "d"], ["y"], name="down")]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])] for name in ("x", "y")]
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in (("c", 300), ("d", 256))]
    graph = helper.make_graph(nodes, "g", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_an_overflow_that_onnx_runtime_hides_is_seen(tmp_path: Path) -> None:
    x = {"x": np.array([1000, 1.001], np.float32)}
    halved = saved(to_fp16(chain(), name="text", wide=()), tmp_path / "half.onnx")
    hidden = onnxruntime.InferenceSession(str(halved)).run(None, x)[0]
    assert hidden[0] == pytest.approx(1171.875)
    got = RoundedBackend(halved).infer(x)["y"]
    assert np.isinf(got[0]) and got[1] == np.float16(np.float16(np.float16(1.001) * np.float16(300)) / np.float16(256))
    model = chain()
    wide = wide_nodes(model, observe(model, [x]))
    kept = saved(to_fp16(model, name="text", wide=wide), tmp_path / "kept.onnx")
    assert set(wide) == {"up", "down"} and RoundedBackend(kept).infer(x)["y"][0] == pytest.approx(1171.875)


def test_it_rounds_as_the_reference_does(tmp_path: Path) -> None:
    model, x = two_products(), {"x": 0.1 * rows(6)}
    exact = RoundedBackend(saved(model, tmp_path / "exact.onnx")).infer(x)["y"]
    halved = to_fp16(model, name="text", wide=())
    got = RoundedBackend(saved(halved, tmp_path / "half.onnx")).infer(x)["y"]
    expected = ReferenceEvaluator(halved).run(None, x)[0]
    assert (got == expected).mean() > 0.7 and (got == exact).mean() < 0.1  # they add in another order, so a few numbers round otherwise


def test_a_graph_in_a_node_is_refused(tmp_path: Path) -> None:
    then = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["t"])], "t", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, ["n"])]
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["o"])], "o", [], [helper.make_tensor_value_info("o", TensorProto.FLOAT, ["n"])]
    )
    node = helper.make_node("If", ["on"], ["y"], name="choice", then_branch=then, else_branch=other)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]), helper.make_tensor_value_info("on", TensorProto.BOOL, [])]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])])
    path = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "a.onnx")
    with pytest.raises(ExportError, match=r"choice \(If\) holds a graph of its own"):
        RoundedBackend(path)


def test_int8_products_give_fp32_and_the_old_way_fails_its_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the scales were converted to half with everything else, and sums overflowed where a compiler gives them unscaled."""
    model = two_products()
    weight = numpy_helper.to_array(next(one for one in model.graph.initializer if one.name == "first.weight"))
    feeds = [{"x": rows(64)}, {"x": 3 * np.sign(weight.T)}]  # the second agree with the weights in every sign
    quantized = quantize(model, ["first", "second"], ranges_of(model, feeds[:1]))
    new, old = (onnx.ModelProto() for _ in range(2))
    new.CopyFrom(quantized)
    old.CopyFrom(quantized)
    new = to_fp16(new, name="text", wide=())
    monkeypatch.setattr("wsra.export.fp16._quantised", lambda _: [])
    old = to_fp16(old, name="text", wide=())
    before, after = integer_sums(old, feeds, graph="net"), integer_sums(new, feeds, graph="net")
    assert before is not None and before.held_in == "float16" and before.reason is not None
    assert "of 2 INT8 products overflow" in before.reason and "the limit of float16 is 32752" in before.reason
    assert after is not None and after.held_in == "float32" and after.reason is None
    assert after.largest == pytest.approx(before.largest, rel=0.02) and after.largest > 32752
    types = Counter(node.op_type for node in new.graph.node)
    assert types["QuantizeLinear"] == 2 and types["DequantizeLinear"] == 4


def test_weights_alone_are_scaled_in_fp32_and_multiplied_in_half(tmp_path: Path) -> None:
    model = two_products()
    halved = to_fp16(quantize_weights(model, ["first", "second"]), name="text", wide=())
    types = {one.name: one.data_type for one in halved.graph.initializer}
    makers = {name: node for node in halved.graph.node for name in node.output}
    scaled = [node for node in halved.graph.node if node.op_type == "DequantizeLinear"]
    assert len(scaled) == 2 and all([types[name] for name in node.input] == [TensorProto.INT8, TensorProto.FLOAT] for node in scaled)
    for name in ("first", "second"):
        product = next(node for node in halved.graph.node if node.name == name)
        cast = makers[product.input[1]]
        assert (
            cast.op_type == "Cast" and cast.attribute[0].i == TensorProto.FLOAT16 and cast.input[0] in {node.output[0] for node in scaled}
        )
    x = {"x": 0.1 * rows(6)}
    assert integer_sums(halved, [x], graph="net") is None
    exact = RoundedBackend(saved(model, tmp_path / "exact.onnx")).infer(x)["y"]
    got = RoundedBackend(saved(halved, tmp_path / "weights.onnx")).infer(x)["y"]
    assert 1e-4 < np.linalg.norm(got - exact) / np.linalg.norm(exact) < 0.03


def test_attention_is_scaled_before_its_product() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["p"], name="product"),
        helper.make_node("Mul", ["p", "s"], ["y"], name="scale"),
    ]
    ends = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "n"])],
    )
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(np.float32(0.125), "s")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = rows(3)[:, :4]
    assert scale_before_products(model) == 1 and [node.op_type for node in model.graph.node] == ["Transpose", "Mul", "MatMul"]
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"x": x})[0], 0.125 * x @ x.T, rtol=1e-5)
    assert scale_before_products(model) == 0


def test_extreme_inputs_hold_what_they_say() -> None:
    calls = words_packed(1000, most=20)
    assert {int(token) for call in calls for token in call["input_ids"].ravel()} == set(range(1000))
    assert all(call["input_ids"].shape[1] == 20 and call["attention_mask"].all() for call in calls)
    features = rows(50)
    far = far_features(features)
    assert far.shape == (5, features.shape[1]) and (far[0] > features.max(axis=0)).all() and (far[1] < features.min(axis=0)).all()
    images = extreme_images({"pixels": np.random.default_rng(0).integers(3, 200, (2, 3, 8, 8)).astype(np.uint8)})["pixels"]
    assert images.dtype == np.uint8 and images.shape == (4, 3, 8, 8) and images[0].max() == images.min() and images[1].min() == images.max()
    assert 0 < (images[3] == images.max()).mean() < 1
