"""An ONNX graph that keeps weights in other files is refused before any runtime has it, wherever the tensor stands."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wsra.runtime.backends import onnx_file
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.errors import BackendError

onnx = pytest.importorskip("onnx")
helper: Any = onnx.helper
FLOAT = 1


def outside(place: str = "../secret") -> Any:
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=place)
    return tensor


def inside() -> Any:
    return helper.make_tensor("w", FLOAT, [2], [1.0, 2.0])


def graph_of(nodes: list[Any], tensors: list[Any]) -> Any:
    value = helper.make_tensor_value_info
    return helper.make_graph(nodes, "g", [value("x", FLOAT, [2])], [value("y", FLOAT, [2])], initializer=tensors)


def model_of(graph: Any, **more: Any) -> Any:
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)], **more)


def as_initializer(tensor: Any) -> Any:
    return model_of(graph_of([helper.make_node("Add", ["x", "w"], ["y"])], [tensor]))


def as_constant(tensor: Any) -> Any:
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
    return model_of(graph_of(nodes, []))


def in_a_list(tensor: Any) -> Any:
    node = helper.make_node("Odd", ["x"], ["y"], domain="d", tensors=[inside(), tensor])
    return model_of(graph_of([node], []))


def sparse(tensor: Any) -> Any:
    graph = graph_of([helper.make_node("Add", ["x", "w"], ["y"])], [])
    graph.sparse_initializer.add(values=tensor, indices=helper.make_tensor("i", 7, [2], [0, 1]), dims=[4])
    return model_of(graph)


def in_a_branch(tensor: Any) -> Any:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "b", [], [helper.make_tensor_value_info("y", FLOAT, [2])], [tensor]
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", 9, [], [True])),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return model_of(graph_of(nodes, []))


def in_a_function(tensor: Any) -> Any:
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["a", "w"], ["b"])]
    function = helper.make_function("d", "F", ["a"], ["b"], nodes, [helper.make_opsetid("", 20)])
    graph = graph_of([helper.make_node("F", ["x"], ["y"], domain="d")], [])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("d", 1)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets, functions=[function])


def as_default(tensor: Any) -> Any:
    function = helper.make_function("d", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 20)])
    function.attribute_proto.append(helper.make_attribute("value", tensor))
    return model_of(graph_of([helper.make_node("Identity", ["x"], ["y"])], []), functions=[function])


def in_training(tensor: Any) -> Any:
    model = model_of(graph_of([helper.make_node("Identity", ["x"], ["y"])], []))
    model.training_info.add().algorithm.CopyFrom(graph_of([], [tensor]))
    return model


PLACES = [as_initializer, as_constant, in_a_list, sparse, in_a_branch, in_a_function, as_default, in_training]


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_another_file_are_refused_wherever_they_are_named(place: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(place(inside()).SerializeToString())
    check_onnx(path, error=BackendError)
    path.write_bytes(place(outside()).SerializeToString())
    with pytest.raises(BackendError, match=r"a\.onnx: keeps weights in another file, which wsra does not read; save the graph in one file"):
        check_onnx(path, error=BackendError)


def test_no_backend_reads_a_neighbour(tmp_path: Path) -> None:
    """ONNX Runtime itself takes weights from the graph's own folder."""
    (tmp_path / "secret").write_bytes(b"\0\0\x80\x3f" * 2)
    path = tmp_path / "a.onnx"
    path.write_bytes(as_initializer(outside("secret")).SerializeToString())
    with pytest.raises(BackendError, match="keeps weights in another file"):
        OrtBackend(path)


def test_every_message_that_may_hold_a_tensor_is_walked() -> None:
    """Against the descriptors of the onnx package: field by field, whatever leads to a TensorProto."""
    names = {
        "ModelProto": "model", "TrainingInfoProto": "training", "GraphProto": "graph", "FunctionProto": "function",
        "NodeProto": "node", "AttributeProto": "attribute", "SparseTensorProto": "sparse", "TensorProto": "tensor",
    }  # fmt: skip
    messages: dict[str, Any] = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name not in messages:
            messages[message.name] = message
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    leading = {"TensorProto"}
    for _ in messages:
        leading |= {
            name for name, m in messages.items() if any(f.message_type is not None and f.message_type.name in leading for f in m.fields)
        }
    expected = {
        names[name]: {
            f.number: names[f.message_type.name]
            for f in messages[name].fields
            if f.message_type is not None and f.message_type.name in leading
        }
        for name in leading
    }
    assert expected == onnx_file._BELOW
    tensor = messages["TensorProto"].fields_by_name
    assert (tensor["external_data"].number, tensor["data_location"].number) == (onnx_file._EXTERNAL_DATA, onnx_file._DATA_LOCATION)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "not an ONNX graph"),
        (b"\x3a\xff\xff\xff\xff\x07", "a field of 2147483647 bytes where 0 are left"),
        (b"\x3a", "a number without an end"),
        (b"\x08" + b"\xff" * 20, "a number without an end"),
        (b"\x3b\x3c", "a field of wire type 3"),
        (b"\x08\x01" * 2_000, "more than 1000 fields"),
    ],
)
def test_what_is_no_protobuf_is_one_line(content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 1000)
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=message):
        check_onnx(path, error=BackendError)


def test_messages_without_end_of_depth(tmp_path: Path) -> None:
    """A graph in an attribute in a node in a graph, and so on."""
    content = b""
    for number in range(400):
        key = (1, 6, 5)[number % 3] << 3 | 2
        length, size = b"", len(content)
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        content = bytes([key]) + length + bytes([size]) + content
    path = tmp_path / "a.onnx"
    size = len(content)
    path.write_bytes(b"\x3a" + bytes([size & 0x7F | 0x80, size >> 7]) + content)
    with pytest.raises(BackendError, match="messages more than 100 deep"):
        check_onnx(path, error=BackendError)


def test_what_is_no_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path, message in (
        (tmp_path / "pipe.onnx", "not a regular file"),
        (tmp_path / "none.onnx", "No such file"),
        (tmp_path, "not a regular"),
    ):
        with pytest.raises(BackendError, match=message):
            check_onnx(path, error=BackendError)
    (tmp_path / "a.onnx").write_bytes(as_initializer(inside()).SerializeToString())
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 10)
    with pytest.raises(BackendError, match="an ONNX graph has at most 2 GiB"):
        check_onnx(tmp_path / "a.onnx", error=BackendError)


def test_more_threads_than_any_machine_has(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(as_initializer(inside()).SerializeToString())
    for threads in (99_999_999_999_999, 1025, -1):
        with pytest.raises(BackendError, match=f"^{threads} threads for a.onnx; expected 0 to 1024"):
            OrtBackend(path, threads=threads)
