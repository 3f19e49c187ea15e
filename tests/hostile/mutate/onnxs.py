"""Damage of ONNX graphs by their fields: data outside the file, shapes, types, operators, names, versions."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from hostile.mutate.texts import STRINGS

_OPERATORS = ("Identity", "Loop", "If", "Scan", "Custom", "MatMul", "Reshape", "Gather", "Expand", "Tile", "ConstantOfShape", "Pad", "")


def damaged(rng: Random, data: bytes, place: Path) -> tuple[bytes, str, bool]:
    """Damage one field.

    Args:
        rng: source of chance.
        data: a valid graph.
        place: a folder that the graph may reach for.

    Returns:
        The bytes, what was done, and whether the graph now reaches for another file.
    """
    import onnx

    model = onnx.load_from_string(data)
    graph, chosen = model.graph, rng.randrange(10)
    if chosen <= 1 and graph.initializer:
        return _external(rng, model, place)
    if chosen == 2 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        size = rng.choice((0, -1, 1, 2**31, 2**40, 2**62, 10**9))
        if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = size
        what = f"a dimension of {tensor.name} is {size}"
    elif chosen == 3 and graph.initializer:
        tensor = rng.choice(graph.initializer)
        tensor.data_type = rng.choice((0, 2, 6, 7, 8, 9, 10, 11, 14, 15, 16, 99))
        what = f"type of {tensor.name} is {tensor.data_type}"
    elif chosen == 4:
        node = rng.choice(graph.node)
        node.op_type = rng.choice(_OPERATORS)
        what = f"a node is {node.op_type}"
    elif chosen == 5:
        node = rng.choice(graph.node)
        names = rng.choice((node.input, node.output))
        if names:
            names[rng.randrange(len(names))] = rng.choice((*STRINGS[:12], "x", graph.node[0].output[0]))
        what = f"names of {node.op_type} changed"
    elif chosen == 6:
        node = rng.choice([node for node in graph.node if node.attribute] or list(graph.node))
        for attribute in node.attribute:
            attribute.i = rng.choice((-1, 0, 2**31, 2**62, 10**9))
            attribute.f = rng.choice((float("nan"), float("inf"), 1e38))
            if attribute.ints:
                attribute.ints[0] = rng.choice((-1, 0, 2**40))
        what = f"attributes of {node.op_type}"
    elif chosen == 7:
        value = rng.choice([*graph.input, *graph.output])
        shape = value.type.tensor_type.shape
        if shape.dim:
            shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice((0, 1, -1, 7, 2**31, 2**40))
        value.type.tensor_type.elem_type = rng.choice((1, 1, 10, 7, 11, 8))
        what = f"shape or type of {value.name}"
    elif chosen == 8:
        model.ir_version = rng.choice((0, 3, 99, 2**31))
        if model.opset_import:
            model.opset_import[0].version = rng.choice((0, 1, 7, 20, 99))
        what = f"versions {model.ir_version}"
    else:
        _repeated(rng, graph)
        what = "a node repeated or left out"
    return model.SerializeToString(), what, False


def _external(rng: Random, model: Any, place: Path) -> tuple[bytes, str, bool]:
    from onnx import TensorProto

    tensor = rng.choice(model.graph.initializer)
    content = tensor.raw_data or bytes(4096)
    (place / "outside.bin").write_bytes(content)
    location = rng.choice(("../outside.bin", "../../outside.bin", str(place / "outside.bin"), "/etc/passwd", "beside.bin"))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(content)))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model.SerializeToString(), f"{tensor.name} lies in {location}", True


def _repeated(rng: Random, graph: Any) -> None:
    place = rng.randrange(len(graph.node))
    if rng.random() < 0.5:
        graph.node.append(graph.node[place])
    else:
        del graph.node[place]
