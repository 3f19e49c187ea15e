"""The unscaled sums of INT8 products are those of integers, and only scales in half let them overflow."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="a device has no onnx, and quantises nothing")

from onnx import numpy_helper  # noqa: E402

from nets import rows, two_products  # noqa: E402
from wsra.calib.quantize import quantize  # noqa: E402
from wsra.calib.ranges import ranges_of  # noqa: E402
from wsra.calib.sums import integer_sums  # noqa: E402


def in_int8(products: list[str]) -> onnx.ModelProto:
    model = two_products()
    return quantize(model, products, ranges_of(model, [{"x": rows(64)}]))


def test_the_largest_sum_is_that_of_the_integers() -> None:
    model, x = in_int8(["first"]), rows(64)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weight = next(array for array in constants.values() if array.dtype == np.int8 and array.ndim == 2).astype(np.int64)
    scale = next(constants[node.input[1]] for node in model.graph.node if node.op_type == "QuantizeLinear")
    integers = np.clip(np.round(x / scale), -128, 127).astype(np.int64)
    report = integer_sums(model, [{"x": x[:32]}, {"x": x[32:]}], graph="net")
    assert report is not None and report.reason is None
    assert (report.products, report.product, report.held_in, report.over) == (1, "first", "float32", 0)
    assert report.largest == pytest.approx(np.abs(integers @ weight).max(), rel=1e-3)


def test_a_gemm_counts_without_its_bias() -> None:
    report = integer_sums(in_int8(["second"]), [{"x": rows(64)}], graph="net")  # transB and a bias
    assert report is not None and (report.products, report.product) == (1, "second") and 1000 < report.largest < 127 * 127 * 32
    assert report.to_json() == {"graph": "net", "products": 1, "largest": report.largest, "product": "second", "held_in": "float32"}


def test_a_graph_without_int8_has_no_sums() -> None:
    assert integer_sums(two_products(), [{"x": rows(4)}], graph="net") is None
