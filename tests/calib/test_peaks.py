"""Which nodes stay in FP32: by numbers and sums that were seen, by constants, and what prepares pixels."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="a device has no onnx, and converts nothing")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from nets import rows, two_products  # noqa: E402
from wsra.calib.peaks import LIMIT, Wide, observe, wide_nodes  # noqa: E402


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], *, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """x (n, 4) -> y."""
    ends = [helper.make_tensor_value_info("x", kind, ["n", 4])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(array, name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_peaks_are_the_largest_magnitudes_of_all_batches() -> None:
    model, x = two_products(), rows(20)
    peaks = observe(model, [{"x": x[:10]}, {"x": -3 * x[10:]}])
    assert peaks.tensors["x"] == pytest.approx(max(np.abs(x[:10]).max(), 3 * np.abs(x[10:]).max()))
    weight = numpy_helper.to_array(next(one for one in model.graph.initializer if one.name == "first.weight"))
    assert peaks.tensors["a"] == pytest.approx(max(np.abs(x[:10] @ weight).max(), np.abs(3 * x[10:] @ weight).max()), rel=1e-5)
    assert peaks.sums.keys() == {"mean"} and peaks.sums["mean"] > peaks.tensors["f"]


def test_large_numbers_stay_in_fp32_and_others_do_not() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "hundred"], ["a"], name="large"),
        helper.make_node("Mul", ["a", "a"], ["b"], name="square"),
        helper.make_node("Div", ["b", "million"], ["c"], name="back"),
        helper.make_node("Add", ["c", "c"], ["y"], name="small"),
    ]
    model = model_of(nodes, {"hundred": np.float32(100), "million": np.float32(1e6)})
    x = np.ones((2, 4), np.float32)
    assert wide_nodes(model, observe(model, [{"x": x}])) == {"square": Wide("numbers", 1e4), "back": Wide("numbers", 1e6)}
    assert set(wide_nodes(model, observe(model, [{"x": 10 * x}]))) == {"large", "square", "back"}
    assert np.finfo(np.float16).max > 100 * LIMIT


def test_sums_inside_a_node_are_seen() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], name="shares", axis=-1),
        helper.make_node("LayerNormalization", ["s", "w"], ["n"], name="norm", axis=-1, epsilon=0.1),
        helper.make_node("ReduceL2", ["n", "last"], ["l"], name="length", keepdims=1),
        helper.make_node("Mul", ["n", "l"], ["y"], name="end"),
    ]
    model = model_of(nodes, {"w": np.full(4, 100, np.float32), "last": np.array([-1])})
    peaks = observe(model, [{"x": np.zeros((1, 4), np.float32)}, {"x": np.array([[9, 0, 0, 0]], np.float32)}])
    assert peaks.sums["shares"] == pytest.approx(4, rel=1e-5)  # four exponentials of 1
    assert peaks.sums["norm"] == pytest.approx(1, rel=1e-2)
    assert peaks.sums["length"] == pytest.approx(peaks.tensors["l"] ** 2, rel=1e-5)
    wide = wide_nodes(model, peaks)
    assert wide["length"].why in ("sums", "numbers") and "norm" not in wide and "shares" not in wide


def test_a_mask_of_attention_is_no_large_number() -> None:
    nodes = [helper.make_node("Where", ["on", "x", "never"], ["m"], name="mask"), helper.make_node("Softmax", ["m"], ["y"], name="shares")]
    model = model_of(nodes, {"on": np.array([True, True, True, False]), "never": np.float32(np.finfo(np.float32).min)})
    peaks = observe(model, [{"x": np.ones((2, 4), np.float32)}])
    assert peaks.tensors["m"] == 1 and wide_nodes(model, peaks) == {}


@pytest.mark.parametrize(("low", "stays"), [(1e-9, True), (1e-3, False), (0.0, False)])
def test_a_constant_that_half_cannot_hold_stays_in_fp32(low: float, stays: bool) -> None:
    model = model_of([helper.make_node("Clip", ["x", "low"], ["y"], name="clip")], {"low": np.float32(low)})
    assert wide_nodes(model, observe(model, [{"x": np.ones((1, 4), np.float32)}])) == ({"clip": Wide("constant")} if stays else {})


def test_what_prepares_bytes_stays_in_fp32_up_to_the_first_product() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "mean"], ["c"], name="centre"),
        helper.make_node("Mul", ["c", "scale"], ["p"], name="scale"),
        helper.make_node("MatMul", ["p", "w"], ["q"], name="product"),
        helper.make_node("Relu", ["q"], ["y"], name="relu"),
    ]
    constants = {"mean": np.float32(127), "scale": np.float32(0.01), "w": np.eye(4, dtype=np.float32)}
    model = model_of(nodes, constants, kind=TensorProto.UINT8)
    wide = wide_nodes(model, observe(model, [{"x": np.array([[0, 1, 254, 255]], np.uint8)}]))
    assert wide == dict.fromkeys(("cast", "centre", "scale"), Wide("pixels"))
