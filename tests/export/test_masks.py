"""Mask nodes that are never needed are gone, every vector stays as it was, and a condition that says something stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tiny import make_encoder
from towers import make_towers
from wsra.calib.ranges import plain_session
from wsra.export.graphs import text_graph
from wsra.export.masks import without_needless_nodes
from wsra.export.onnx import onnx_from_graph
from wsra.train.text import load_encoder

SIZES = ((1, 1), (1, 7), (3, 5), (5, 3), (4, 16))


def masks(queries: int, tokens: int) -> list[NDArray[np.int64]]:
    """Sentences of unequal length, one that is empty, and holes in the middle."""
    rng = np.random.default_rng(queries * tokens)
    padded = (np.arange(tokens) < rng.integers(1, tokens + 1, (queries, 1))).astype(np.int64)
    empty = padded.copy()
    empty[0] = 0
    return [padded, empty, rng.integers(0, 2, (queries, tokens))]


@pytest.mark.parametrize(("kind", "gone"), [("bert", 19), ("gpt2", 16), ("clip", 10)])
def test_a_text_encoder_gives_the_same_without_them(kind: str, gone: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_towers(tmp_path / kind, kind) if kind == "clip" else make_encoder(tmp_path / kind, kind)
    encoder = load_encoder(str(folder), "all_blocks" if kind == "gpt2" else "mean")
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr("wsra.export.onnx.without_needless_nodes", lambda _: 0)
        onnx_from_graph(text_graph(encoder), tmp_path / "whole.onnx")
    onnx_from_graph(text_graph(encoder), tmp_path / "less.onnx")
    whole, less = (onnx.load(str(tmp_path / f"{name}.onnx")) for name in ("whole", "less"))
    assert looked_up(whole) == 1 and looked_up(less) == 0 and len(less.graph.node) <= len(whole.graph.node) - gone
    before, after = plain_session(whole), plain_session(less)
    for queries, tokens in SIZES:
        ids = np.random.default_rng(tokens).integers(0, 60, (queries, tokens))
        for mask in masks(queries, tokens):
            feeds = {"input_ids": ids, "attention_mask": mask}
            np.testing.assert_array_equal(after.run(None, feeds)[0], before.run(None, feeds)[0])


def scores(
    *, least: int = 0, start: int = 0, order: Sequence[int] = (0, 1), added: Sequence[str | int] = ("q", 2, "l", "l")
) -> onnx.ModelProto:
    """mask (q, l), x (...) -> y = x + 0 where the mask at (i, j) holds and j >= least, else -9, as transformers writes it."""
    node = helper.make_node
    nodes = [
        node("Cast", ["mask"], ["holds"], to=TensorProto.BOOL),
        *(node("Shape", ["mask"], [f"size{axis}"], start=axis, end=axis + 1) for axis in (0, 1)),
        *(node("Squeeze", [f"size{axis}"], [f"length{axis}"]) for axis in (0, 1)),
        *(node("Range", ["start", f"length{axis}", "one"], [f"range{axis}"]) for axis in (0, 1)),
        node("Unsqueeze", ["range0", "three"], ["row"]),  # (q, 1, 1, 1)
        node("Unsqueeze", ["range1", "first"], ["column"]),  # (1, 1, 1, l)
        node("Unsqueeze", ["range1", "third"], ["place"]),  # (1, 1, l, 1)
        node("GreaterOrEqual", ["place", "least"], ["far"]),
        node("And", ["true", "far"], ["known"]),
        node("Max", ["row", "column"], ["both"]),
        node("Shape", ["both"], ["shape"]),
        *(node("Expand", [name, "shape"], [f"{name}s"]) for name in ("row", "column")),
        *(node("Unsqueeze", [f"{name}s", "last"], [f"{name}_part"]) for name in ("row", "column")),
        node("Concat", [("row_part", "column_part")[place] for place in order], ["places"], axis=-1),
        node("GatherND", ["holds", "places"], ["picked"]),
        node("And", ["known", "picked"], ["seen"]),
        node("Where", ["seen", "zero", "low"], ["bias"]),
        node("Add", ["x", "bias"], ["y"]),
    ]
    numbers: dict[str, Any] = {"start": 0, "one": 1, "least": least, "last": [-1]}
    numbers |= {"three": [1, 2, 3], "first": [0, 1, 2], "third": [0, 1, 3]}
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
    constants += [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0.0), ("low", -9.0))]
    constants.append(numpy_helper.from_array(np.array(True), "true"))
    inputs = [
        helper.make_tensor_value_info("mask", TensorProto.INT64, ["q", "l"]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, list(added)),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", 2, "b", "c"])], constants)
    for number, one in enumerate(graph.node):
        one.name = f"node{number}"
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def looked_up(model: onnx.ModelProto) -> int:
    """How many masks are looked up by numbers of rows and columns."""
    masks = {node.output[0] for node in model.graph.node if node.op_type == "Cast"}
    return sum(node.op_type == "GatherND" and node.input[0] in masks for node in model.graph.node)


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def same_sums(model: onnx.ModelProto, changed: onnx.ModelProto, *, rows: bool, square: bool) -> None:
    """Both give the same for every mask; `rows` says whether x has l rows, or one."""
    before, after = plain_session(model), plain_session(changed)
    for queries, tokens in ((4, 4),) if square else SIZES:
        x = np.random.default_rng(0).normal(size=(queries, 2, tokens if rows else 1, tokens)).astype(np.float32)
        for mask in masks(queries, tokens):
            np.testing.assert_array_equal(after.run(None, {"mask": mask, "x": x})[0], before.run(None, {"mask": mask, "x": x})[0])


def test_what_says_nothing_is_gone() -> None:
    model, changed = scores(), scores()
    assert without_needless_nodes(changed) == len(model.graph.node) - 4
    assert [node.op_type for node in changed.graph.node] == ["Cast", "Unsqueeze", "Where", "Add"]
    onnx.checker.check_model(changed, full_check=True)
    same_sums(model, changed, rows=True, square=False)
    assert without_needless_nodes(changed) == 0


def test_a_condition_that_can_be_false_stays() -> None:
    model, changed = scores(least=1), scores(least=1)
    without_needless_nodes(changed)
    assert "GreaterOrEqual" in operators(changed) and "GatherND" not in operators(changed)
    same_sums(model, changed, rows=True, square=False)


def test_a_condition_that_makes_the_result_larger_stays() -> None:
    """Without it the result would have one row instead of l."""
    model, changed = scores(added=("q", 2, 1, "l")), scores(added=("q", 2, 1, "l"))
    without_needless_nodes(changed)
    assert "GreaterOrEqual" in operators(changed)
    same_sums(model, changed, rows=False, square=False)


def test_a_look_up_at_another_place_stays() -> None:
    """Rows and columns exchanged."""
    model, changed = scores(order=(1, 0)), scores(order=(1, 0))
    without_needless_nodes(changed)
    assert "GatherND" in operators(changed)
    same_sums(model, changed, rows=True, square=True)
