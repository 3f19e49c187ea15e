"""Graphs in the form that compilers fuse and half precision holds; they compute the same."""

from __future__ import annotations

import onnx
from onnx import helper


def scale_before_products(model: onnx.ModelProto) -> int:
    """Scale the queries of attention, and not their products with the keys, which are larger by the root of the width.

    TensorRT documents this form for attention that it fuses.

    Args:
        model: the graph; it is changed.

    Returns:
        The number of products.
    """
    scalars = {tensor.name for tensor in model.graph.initializer if not tensor.dims}
    constants = {tensor.name for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    reads = [name for node in model.graph.node for name in node.input] + [one.name for one in model.graph.output]
    changed = 0
    for node in [node for node in model.graph.node if node.op_type == "Mul"]:
        product, scale = (node.input[0], node.input[1]) if node.input[1] in scalars else (node.input[1], node.input[0])
        made = producers.get(product)
        if (
            scale not in scalars
            or made is None
            or made.op_type != "MatMul"
            or constants.intersection(made.input)
            or reads.count(product) > 1
        ):
            continue
        scaled = f"{made.input[0]}_{node.output[0]}"
        place = list(model.graph.node).index(made)
        model.graph.node.insert(place, helper.make_node("Mul", [made.input[0], scale], [scaled], name=node.name))
        made.input[0], made.output[0] = scaled, node.output[0]
        model.graph.node.remove(node)
        changed += 1
    return changed
