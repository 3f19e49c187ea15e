"""Small ONNX graphs, and a bundle of three of them that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from presences import PRESENCE

from wsra.runtime.formats.bundle import GOLDEN, SCORER, TOKENIZER, Manifest, sealed_files, write_manifest
from wsra.runtime.formats.presence import REFERENCE

DV, H, DT, TOKENS = 6, 4, 5, 32


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
) -> Path:
    """Write a graph of float32 tensors; an input given as (dtype, shape) has that dtype."""
    values = [
        helper.make_tensor_value_info(name, *(spec if isinstance(spec, tuple) else (TensorProto.FLOAT, spec)))
        for name, spec in (inputs | outputs).items()
    ]
    made = helper.make_graph(
        list(nodes),
        "g",
        values[: len(inputs)],
        values[len(inputs) :],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path


def one_node(path: Path, operator: str) -> Path:
    """x (n, 4) -> y (n, 4) through the_node."""
    return save(path, [helper.make_node(operator, ["x"], ["y"], name="the_node")], {"x": ["n", 4]}, {"y": ["n", 4]})


def product(path: Path, *, seed: int = 0) -> Path:
    """x (n, 4) -> y (n, 3), a product with a matrix and a softmax."""
    matrix = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"], name="mm"), helper.make_node("Softmax", ["z"], ["y"], name="soft")]
    return save(path, nodes, {"x": ["n", 4]}, {"y": ["n", 3]}, {"w": matrix})


def small_bundle(folder: Path) -> Path:
    """A sealed bundle with graphs of the right names, inputs and outputs; it passes "fp32" and "fp16", and "int8" failed.

    Tokenizer, golden data and weights are names without content: nothing can be grounded with it.
    """
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray[Any, Any]:
        return rng.normal(size=shape).astype(np.float32)

    node = helper.make_node
    for precision in ("fp32", "fp16"):
        ids = (TensorProto.INT64, ["q", "l"])
        text = [
            node("Gather", ["table", "input_ids"], ["rows"], name="embed"),
            node("Cast", ["attention_mask"], ["weights"], to=TensorProto.FLOAT, name="mask"),
            node("Unsqueeze", ["weights", "last"], ["column"], name="column"),
            node("Mul", ["rows", "column"], ["kept"], name="keep"),
            node("ReduceMean", ["kept", "middle"], ["text"], keepdims=0, name="pool"),
        ]
        constants = {"table": matrix(50, DT), "last": np.array([2]), "middle": np.array([1])}
        save(folder / precision / "text.onnx", text, {"input_ids": ids, "attention_mask": ids}, {"text": ["q", DT]}, constants)
        keys = [node("MatMul", ["features", "w"], ["keys"], name="mm")]
        save(folder / precision / "keys.onnx", keys, {"features": ["t", DV]}, {"keys": ["t", H]}, {"w": matrix(DV, H)})
        scorer = [
            node("MatMul", ["text", "w"], ["query"], name="mm"),
            node("Transpose", ["keys"], ["turned"], name="turn"),
            node("MatMul", ["query", "turned"], ["logits"], name="compare"),
            node("Sigmoid", ["logits"], ["scores"], name="gate"),
        ]
        inputs, outputs = {"keys": ["n", H], "text": ["q", DT]}, {"scores": ["q", "n"], "logits": ["q", "n"]}
        save(folder / precision / "scorer.onnx", scorer, inputs, outputs, {"w": matrix(DT, H)})
    for name in (TOKENIZER, GOLDEN, SCORER, REFERENCE):
        (folder / name).touch()
    f32, i64 = "float32", "int64"
    tensors = {
        "text": {"inputs": {name: [i64, ["q", "l"]] for name in ("input_ids", "attention_mask")}, "outputs": {"text": [f32, ["q", DT]]}},
        "keys": {"inputs": {"features": [f32, ["t", DV]]}, "outputs": {"keys": [f32, ["t", H]]}},
        "scorer": {
            "inputs": {"keys": [f32, ["n", H]], "text": [f32, ["q", DT]]},
            "outputs": {name: [f32, ["q", "n"]] for name in ("scores", "logits")},
        },
    }
    sentence = [[1, 1], [1, 8], [4, TOKENS]]
    counts = ([1, 8, 16], [16, 64, 64])
    queries = [[n, DT] for n in (1, 1, 4)]
    manifest = Manifest(
        wsra="0",
        checkpoint_sha256="0" * 64,
        scorer="trained",
        feature_width=DV,
        text_width=DT,
        key_width=H,
        backbone="test",
        snippet_s=1.0,
        plan="maximal",
        span_score="additive",
        theta=0.0,
        presence=PRESENCE,
        text={"encoder": "test", "pooling": "mean", "max_tokens": TOKENS, "sha256": ""},
        tensors=tensors,
        profiles={
            "text": [{"input_ids": sentence, "attention_mask": sentence}],
            "keys": [{"features": [[n, DV] for n in three]} for three in counts],
            "scorer": [{"keys": [[n, H] for n in three], "text": queries} for three in counts],
        },
        precisions={"fp32": {"passed": True}, "fp16": {"passed": True}, "int8": {"passed": False, "reason": "made up"}},
        versions={},
        files=sealed_files(folder),
    )
    write_manifest(folder, manifest)
    return folder
