"""The gates of encoders and detectors outside of a bundle: extreme pictures, and sums of INT8 products."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from graphs import save
from wsra.export import detector, encoder
from wsra.export.half_gate import extreme_cases, range_failures
from wsra.export.tensorrt.layers import Layer
from wsra.runtime.verification.detection_gate import DetectionReport
from wsra.runtime.verification.golden import Case

WIDTH = 4
DARK, BRIGHT = np.zeros((1, WIDTH), np.float32), np.full((1, WIDTH), 300.0, np.float32)


def squares(path: Path, kind: int) -> Path:
    """vectors (n, 4) of pixels (n, 4): the squares of 1 + pixels, over their length; in half 300 * 300 is infinite."""
    one = np.ones(WIDTH, np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["x"], to=kind, name="in"),
        node("Add", ["x", "one"], ["more"], name="add"),
        node("Mul", ["more", "more"], ["square"], name="square_of_x"),
        node("Cast", ["square"], ["wide"], to=TensorProto.FLOAT, name="out"),
        node("LpNormalization", ["wide"], ["vectors"], axis=1, p=2, name="norm"),
    ]
    return save(path, nodes, {"pixels": ["n", WIDTH]}, {"vectors": ["n", WIDTH]}, {"one": one})


def int8_product(path: Path, columns: int) -> Path:
    """y = x w in INT8 with scales in half, over so many terms of 127 * 127."""
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16, name="in"),
        node("QuantizeLinear", ["h", "scale", "zero"], ["q"], name="quantise"),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="restore"),
        node("DequantizeLinear", ["w", "scale", "zero"], ["e"], name="weights"),
        node("MatMul", ["d", "e"], ["z"], name="mm"),
        node("Cast", ["z"], ["y"], to=TensorProto.FLOAT, name="out"),
    ]
    weights: dict[str, Any] = {"scale": np.float16(0.0078125), "zero": np.int8(0), "w": np.full((columns, 1), 127, np.int8)}
    return save(path, nodes, {"x": ["n", columns]}, {"y": ["n", 1]}, {name: np.array(value) for name, value in weights.items()})


class Fixed:
    """Gives what it was made with."""

    def __init__(self, **outputs: NDArray[np.float32]) -> None:
        self.outputs = outputs

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(self.outputs)


def test_an_encoder_that_overflows_on_extreme_pictures_only_fails(tmp_path: Path) -> None:
    exact, half = squares(tmp_path / "image.onnx", TensorProto.FLOAT), squares(tmp_path / "fp16/image.onnx", TensorProto.FLOAT16)
    cases, extremes = extreme_cases(exact, [{"pixels": DARK}]), extreme_cases(exact, [{"pixels": BRIGHT}])
    assert encoder._gate(cases, cases, "fp16", half).passed
    failed = encoder._gate(cases, extremes, "fp16", half)
    assert failed.reason is not None and "rounded at every node: extreme: vectors" in failed.reason


@pytest.mark.parametrize(
    ("peak", "reason"), [(2.5, None), (3.5, "scores lies in 0 to 3.5, in FP32 in 0 to 1"), (np.inf, "scores is not finite")]
)
def test_outputs_of_a_detector_stay_in_range_on_extreme_pictures(peak: float, reason: str | None) -> None:
    case = Case({"pixels": BRIGHT}, {"scores": np.array([[0.0, 1.5]], np.float32)})
    found = range_failures(Fixed(scores=np.array([[0.0, peak]], np.float32)), [case])
    assert found == ([] if reason is None else [reason.replace("0 to 1", "0 to 1.5")])


def test_the_gate_of_a_detector_judges_extreme_pictures_and_integer_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "detection_gate", lambda *_: DetectionReport(None, None))  # the boxes agree
    settings: Any = None
    for columns, terms in ((2, "fits"), (3, "overflows")):
        graph = int8_product(tmp_path / terms / "detector.onnx", columns)
        feeds = {"x": np.ones((1, columns), np.float32)}
        extremes = extreme_cases(graph, [feeds])
        report = detector._gate([], extremes, settings, "int8", graph)
        assert report.passed == (terms == "fits")
        assert report.reason is None or "detector: 1 of 1 INT8 products overflow: mm sums up to" in report.reason
    far = [Case(feeds, {"y": np.array([[-9.0, -8.0]], np.float32)})]
    report = detector._gate([], far, settings, "fp16", graph)
    assert report.reason is not None and report.reason.startswith("extreme pictures: y lies in ")


@pytest.mark.parametrize(("kind", "overflows"), [("gemm", True), ("correlation", True), ("kgen", False)])
def test_a_convolution_overflows_as_a_product_does(kind: str, overflows: bool) -> None:
    assert Layer("a", kind, ("Int8", "Int8"), ("Half",)).overflows == overflows
    assert not Layer("a", kind, ("Int8", "Int8"), ("Float",)).overflows
