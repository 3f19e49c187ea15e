"""Smoothing, ranges, quantisation and sensitivity on a net whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="a device has no onnx, and does not quantise")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from nets import WIDTH, rows, two_products  # noqa: E402
from wsra.calib.quantize import convolutions_of, narrowing, products_of, quantize, quantize_weights  # noqa: E402
from wsra.calib.ranges import channel_maxima, plain_session, ranges_of  # noqa: E402
from wsra.calib.samples import Samples  # noqa: E402
from wsra.calib.sensitivity import sensitivity  # noqa: E402
from wsra.calib.smooth import smooth  # noqa: E402
from wsra.runtime.errors import DataError  # noqa: E402

PRODUCTS = ["first", "second"]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return np.asarray(plain_session(model).run(["y"], {"x": x})[0])


def inputs_of(model: onnx.ModelProto) -> list[str]:
    return [node.input[0] for node in model.graph.node if node.name in PRODUCTS]


def error(model: onnx.ModelProto, reference: onnx.ModelProto) -> float:
    x = rows(200, seed=7)
    got, expected = run(model, x), run(reference, x)
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), alpha=st.floats(0.1, 0.9), outlier=st.floats(0.01, 1000.0))
def test_smoothing_changes_nothing_in_fp32(seed: int, alpha: float, outlier: float) -> None:
    model = two_products(seed, outlier=outlier)
    maxima = channel_maxima(model, [{"x": rows(50, seed)}], inputs_of(model))
    smoothed = smooth(model, PRODUCTS, maxima, alpha=alpha)
    onnx.checker.check_model(smoothed, full_check=True)
    assert error(smoothed, model) < 2e-5
    assert [node.op_type for node in smoothed.graph.node].count("Mul") == [node.op_type for node in model.graph.node].count("Mul") + 2


def after_a_norm(*, reshaped: bool = False, residual: bool = False) -> onnx.ModelProto:
    """x (N, 3, 24) -> LayerNormalization -> two products that share its output; `residual` adds that output to them, as in BERT."""
    rng = np.random.default_rng(0)
    read = "r" if reshaped else "n"
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gain", "shift"], ["n"], name="norm", axis=-1),
        *([helper.make_node("Reshape", ["n", "rows"], ["r"], name="reshape")] if reshaped else []),
        helper.make_node("MatMul", [read, "w"], ["a"], name="first"),
        helper.make_node("MatMul", [read, "v"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["c"], name="both"),
        helper.make_node("Add", ["c", read if residual else "c"], ["y"], name="add"),
    ]
    weights = {name: rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("w", "v")}
    weights["gain"] = np.where(np.arange(WIDTH) == 3, 200.0, rng.random(WIDTH)).astype(np.float32)  # one channel stands out
    weights["shift"] = rng.normal(size=WIDTH).astype(np.float32)
    constants = [
        *(numpy_helper.from_array(*pair[::-1]) for pair in weights.items()),
        numpy_helper.from_array(np.array([-1, WIDTH]), "rows"),
    ]
    shape = ["rows", WIDTH] if reshaped else ["n", 3, WIDTH]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)] for name, dims in (("x", ["n", 3, WIDTH]), ("y", shape))]
    graph = helper.make_graph(nodes, "g", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("reshaped", [False, True])
def test_a_norm_before_the_products_takes_their_smoothing(reshaped: bool) -> None:
    model, residual = after_a_norm(reshaped=reshaped), after_a_norm(reshaped=reshaped, residual=True)
    feeds = {"x": np.random.default_rng(1).normal(size=(5, 3, WIDTH)).astype(np.float32)}
    maxima = channel_maxima(model, [feeds], inputs_of(model))
    smoothed, with_mul = smooth(model, PRODUCTS, maxima), smooth(residual, PRODUCTS, maxima)
    constants, others = ({one.name: numpy_helper.to_array(one) for one in made.graph.initializer} for made in (smoothed, with_mul))
    for made, plain, more in ((smoothed, model, []), (with_mul, residual, ["Mul"])):  # what passes by a block must stay as it is
        onnx.checker.check_model(made, full_check=True)
        assert sorted(node.op_type for node in made.graph.node) == sorted([*(node.op_type for node in plain.graph.node), *more])
        expected, got = (np.asarray(plain_session(each).run(["y"], feeds)[0]) for each in (plain, made))
        np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())
    norm = next(node for node in smoothed.graph.node if node.op_type == "LayerNormalization")
    smoothing = others[f"{inputs_of(model)[0]}_smoothing"]
    for place, name in ((1, "gain"), (2, "shift")):
        np.testing.assert_allclose(constants[norm.input[place]], others[name] * smoothing, rtol=1e-6)
    for weight in ("w_smoothed", "v_smoothed"):
        np.testing.assert_array_equal(constants[weight], others[weight])


def test_a_constant_factor_before_the_products_takes_their_smoothing() -> None:
    """As in the keys and the scorer, whose inputs are scaled to a spread of 1."""
    model = two_products()
    model.graph.initializer.append(numpy_helper.from_array(np.array([0.5], np.float32), "half"))
    model.graph.node.insert(0, helper.make_node("Mul", ["x", "half"], ["h"], name="scale"))
    model.graph.node[1].input[0] = "h"
    smoothed = smooth(model, ["first"], channel_maxima(model, [{"x": rows(50)}], ["h"]))
    assert [node.op_type for node in smoothed.graph.node] == [node.op_type for node in model.graph.node]
    assert error(smoothed, model) < 2e-5
    factor = next(numpy_helper.to_array(one) for one in smoothed.graph.initializer if one.name.startswith("half"))
    assert factor.shape == (WIDTH,)


def test_smoothing_follows_its_equation() -> None:
    model = two_products(outlier=50.0)
    x = rows(50)
    maxima = channel_maxima(model, [{"x": x[:20]}, {"x": x[20:]}], ["x", "b"])
    np.testing.assert_allclose(maxima["x"], np.abs(x).max(axis=0))
    smoothed = smooth(model, ["second"], maxima, alpha=0.7)
    weight = numpy_helper.to_array(next(w for w in model.graph.initializer if w.name == "second.weight"))  # (out, in)
    scale = maxima["b"] ** 0.7 / np.abs(weight).max(axis=0) ** 0.3
    folded = numpy_helper.to_array(next(w for w in smoothed.graph.initializer if w.name == "second.weight_smoothed"))
    np.testing.assert_allclose(folded, weight * scale, rtol=1e-5)
    assert not any(w.name == "second.weight" for w in smoothed.graph.initializer)


def test_products_that_share_an_input_share_its_smoothing() -> None:
    model = two_products()
    second = next(node for node in model.graph.node if node.name == "second")
    twin = onnx.NodeProto()
    twin.CopyFrom(second)
    twin.name, twin.output[0] = "twin", "twin_out"
    model.graph.node.insert(3, twin)
    smoothed = smooth(model, ["second", "twin"], channel_maxima(model, [{"x": rows(9)}], ["b"]))
    assert sum(node.name.endswith("_smoothing") for node in smoothed.graph.node) == 1
    assert error(smoothed, model) < 2e-5


def test_a_weight_that_two_products_share_is_folded_for_each_of_their_inputs() -> None:
    """As in a decoder whose layers share a head."""
    weight = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Exp", ["a"], ["b"], name="exp"),
        helper.make_node("MatMul", ["b", "w"], ["y"], name="second"),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(weight / WIDTH, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    smoothed = smooth(model, PRODUCTS, channel_maxima(model, [{"x": rows(50)}], inputs_of(model)))
    names = [tensor.name for tensor in smoothed.graph.initializer]
    assert len(names) == len(set(names)) == 4
    assert error(smoothed, model) < 2e-5


def test_convolutions_with_a_constant_weight_are_quantised_where_they_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(16, 3, 3, 3)), "v": rng.normal(size=(4, 16, 1, 1)), "u": rng.normal(size=(16, 16, 3, 3))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="wide", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "u"], ["y"], name="deep"),
        helper.make_node("Conv", ["a", "v"], ["z"], name="narrow"),
    ]
    ends = [
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in (("y", (16, 6, 6)), ("z", (4, 8, 8)))],
    ]
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *ends, initializers), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    assert convolutions_of(model) == ["wide", "deep"] and products_of(model) == []
    feeds = {"x": rng.normal(size=(5, 3, 8, 8)).astype(np.float32)}
    quantized = quantize(model, ["wide", "deep"], ranges_of(model, [feeds]))
    stored = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert sorted(name for name, kind in stored.items() if kind == TensorProto.INT8 and len(name) > 6 and "zero" not in name) == [
        "u_quantized",
        "w_quantized",
    ]
    scales = next(numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer if tensor.name == "u_scale")
    assert scales.shape == (16,)  # one per output channel
    expected, got = (np.asarray(plain_session(each).run(["y"], feeds)[0]) for each in (model, quantized))
    assert 1e-4 < np.linalg.norm(got - expected) / np.linalg.norm(expected) < 0.02


def test_only_products_with_a_constant_weight_are_quantised() -> None:
    model = two_products()
    assert products_of(model) == PRODUCTS
    quantized = quantize(model, PRODUCTS, ranges_of(model, [{"x": rows(200)}]))
    onnx.checker.check_model(quantized, full_check=True)
    types = [node.op_type for node in quantized.graph.node]
    assert types.count("QuantizeLinear") == 2 and types.count("DequantizeLinear") == 4
    weights = {w.name: w for w in quantized.graph.initializer}
    by_output = {node.output[0]: node for node in quantized.graph.node}
    for name in PRODUCTS:
        node = next(n for n in quantized.graph.node if n.name == name)
        data = by_output[node.input[1]]
        weight, scale, zero = (weights[tensor] for tensor in data.input)
        assert weight.data_type == TensorProto.INT8 and scale.dims[0] in weight.dims  # one scale per output channel
        assert not numpy_helper.to_array(zero).any()
    attention = next(n for n in quantized.graph.node if n.name == "attention")
    assert not any(name.endswith("DequantizeLinear_Output") for name in attention.input)
    assert 1e-4 < error(quantized, model) < 0.03


def test_weights_alone_are_half_a_step_from_their_value_at_most() -> None:
    model = two_products(outlier=300.0)
    quantized = quantize_weights(model, PRODUCTS)
    onnx.checker.check_model(quantized, full_check=True)
    assert [node.op_type for node in quantized.graph.node] == ["DequantizeLinear"] * 2 + [node.op_type for node in model.graph.node]
    before = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    after = {one.name: numpy_helper.to_array(one) for one in quantized.graph.initializer}
    assert not {"first.weight", "second.weight"}.intersection(after)
    for node, name, axis in zip(quantized.graph.node[:2], ("first.weight", "second.weight"), (1, 0), strict=True):
        integers, scale = (after[one] for one in node.input)
        assert integers.dtype == np.int8 and scale.dtype == np.float32 and node.attribute[0].i == axis
        steps = scale[None] if axis else scale[:, None]  # one per output channel
        assert (np.abs(integers * steps - before[name]) <= 0.5001 * steps).all()
        assert (np.abs(integers.astype(int)).max(axis=1 - axis) == 127).all()
    assert 1e-4 < error(quantized, model) < 0.02


def test_a_weight_of_two_products_and_one_of_zeros_are_stored_once() -> None:
    weight = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    weight[:, 3] = 0.0
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Gemm", ["a", "w"], ["b"], name="second"),
        helper.make_node("Gemm", ["b", "w"], ["y"], name="turned", transB=1),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH])] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(weight / WIDTH, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    quantized = quantize_weights(model, ["first", "second", "turned"])
    onnx.checker.check_model(quantized, full_check=True)
    assert [node.op_type for node in quantized.graph.node].count("DequantizeLinear") == 2  # by columns and by rows
    assert error(quantized, model) < 0.03


def test_no_product_gives_the_model_back() -> None:
    model = two_products()
    assert quantize_weights(model, []).SerializeToString() == model.SerializeToString()
    assert quantize(model, [], ranges_of(model, [{"x": rows(9)}])).SerializeToString() == model.SerializeToString()


def test_smoothing_pays_where_a_channel_stands_out() -> None:
    model = two_products(outlier=300.0)
    feeds = [{"x": rows(200)}]
    plain = quantize(model, PRODUCTS, ranges_of(model, feeds))
    smoothed = smooth(model, PRODUCTS, channel_maxima(model, feeds, inputs_of(model)))
    better = quantize(smoothed, PRODUCTS, ranges_of(smoothed, feeds))
    assert error(better, model) < error(plain, model)


def test_narrowing_products_are_found() -> None:
    model = two_products()
    assert narrowing(model, PRODUCTS) == ["second"]  # 32 -> 16; the first widens
    assert narrowing(model, ["first"]) == []


def test_minmax_is_the_largest_and_percentile_leaves_out_the_rare() -> None:
    model = two_products()
    x = rows(9000)
    x[0, 0] = 1000.0
    widest = ranges_of(model, [{"x": x[:1000]}, {"x": x[1000:]}])["x"].range_value
    np.testing.assert_allclose(np.ravel(widest), [-1000.0, 1000.0])
    rare = np.ravel(ranges_of(model, [{"x": x}], "percentile")["x"].range_value)
    assert np.percentile(np.abs(x), 99.9) < np.abs(rare).max() < 20.0


def test_batches_may_differ_in_length() -> None:
    model = two_products()
    x = rows(60)
    whole = ranges_of(model, [{"x": x}])
    ragged = ranges_of(model, [{"x": x[:1]}, {"x": x[1:8]}, {"x": x[8:]}])
    np.testing.assert_allclose(np.ravel(whole["b"].range_value), np.ravel(ragged["b"].range_value), rtol=1e-5)


def test_ranges_need_data_that_are_finite() -> None:
    model = two_products()
    with pytest.raises(DataError, match="no calibration data"):
        ranges_of(model, [])
    x = rows(9)
    x[3, 3] = np.inf
    with pytest.raises(DataError, match="not finite"):
        ranges_of(model, [{"x": x}])


def test_sensitivity_names_the_product_that_suffers() -> None:
    """Text and keys are alike, but the ranges of the text's second product are a hundred times too wide."""
    nets = {"text": renamed(two_products(), "input_ids", "text"), "keys": renamed(two_products(1), "features", "keys")}
    nets["scorer"] = scorer_net()
    samples = Samples(rows(64), [list(range(i, i + WIDTH)) for i in range(1, 40)], "made up", [])
    feeds = {
        "text": [{"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, WIDTH), np.int64)} for ids in samples.token_ids],
        "keys": [{"features": samples.features}],
    }
    ranges = {name: ranges_of(nets[name], feeds[name]) for name in feeds}
    wide = [{**batch, "input_ids": 100 * batch["input_ids"]} for batch in feeds["text"]]
    ranges["text"].data["b"] = ranges_of(nets["text"], wide)["b"]
    calls: list[tuple[int, int]] = []
    found = sensitivity(nets, {"text": PRODUCTS, "keys": PRODUCTS}, ranges, samples, lambda done, total: calls.append((done, total)))
    assert len(found) == 4 and calls == [(i, 4) for i in range(1, 5)]
    assert list(found.values()) == sorted(found.values(), reverse=True) and all(change > 0 for change in found.values())
    assert next(iter(found)) == ("text", "second") and found["text", "second"] > 5 * found["text", "first"]


def renamed(model: onnx.ModelProto, name: str, out: str) -> onnx.ModelProto:
    """The net with other names of input and output; token ids are cast to numbers."""
    for node in model.graph.node:
        node.input[:] = ["x_cast" if name == "input_ids" and i == "x" else name if i == "x" else i for i in node.input]
        node.output[:] = [out if o == "y" else o for o in node.output]
    model.graph.input[0].name, model.graph.output[0].name = name, out
    if name == "input_ids":
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
        mask = onnx.helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["n", WIDTH])
        model.graph.input.append(mask)
        model.graph.node.insert(0, onnx.helper.make_node("Cast", ["input_ids"], ["x_cast"], name="cast", to=TensorProto.FLOAT))
    return model


def scorer_net() -> onnx.ModelProto:
    """keys (N, 16), text (Q, 16) -> logits (Q, N) = text keys^T."""
    nodes = [
        onnx.helper.make_node("Transpose", ["keys"], ["k"], name="transpose", perm=[1, 0]),
        onnx.helper.make_node("MatMul", ["text", "k"], ["logits"], name="product"),
    ]
    info = onnx.helper.make_tensor_value_info
    inputs = [info("keys", TensorProto.FLOAT, ["n", 16]), info("text", TensorProto.FLOAT, ["q", 16])]
    graph = onnx.helper.make_graph(nodes, "scorer", inputs, [info("logits", TensorProto.FLOAT, ["q", "n"])])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
