"""A scale per channel that the operator before a product takes into its own constants, so that no Mul stands between them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_CONSTANTS = {"LayerNormalization": (1, 2), "Mul": (0, 1)}  # operator -> its inputs that may be constants per channel


def scaled_before(graph: onnx.GraphProto, tensor: str, readers: Collection[str], scale: NDArray[np.float32], out: str) -> bool:
    """Scale a tensor by the constants of the operator that gives it: a LayerNormalization, or a Mul by a constant.

    Both multiply each channel by a constant at their end, which takes the scale, as does the bias of a LayerNormalization. A Reshape that
    leaves the channels as they are may stand between.

    Args:
        graph: it is changed, unless the result is False.
        tensor: name of the tensor; the channels are its last axis.
        readers: names of the nodes that are to read the scaled tensor. If others read the tensor, too, nothing can be scaled before them:
            in BERT the sum that passes by a block does.
        scale: (channels,).
        out: name of the scaled tensor; the caller makes the readers read it.

    Returns:
        Whether the operator could take the scale.
    """
    constants = {one.name: one for one in graph.initializer}
    maker = _maker(graph, tensor, readers)
    reshape = None
    if maker is not None and maker.op_type == "Reshape" and maker.input[1] in constants:
        if numpy_helper.to_array(constants[maker.input[1]])[-1:].tolist() != [scale.size]:
            return False
        reshape, maker = maker, _maker(graph, maker.input[0], [maker.name])
    if maker is None or maker.op_type not in _CONSTANTS:
        return False
    own = [place for place in _CONSTANTS[maker.op_type] if place < len(maker.input) and maker.input[place] in constants]
    if maker.op_type == "Mul":
        if len(own) != 1 or (reshape is not None and list(constants[maker.input[own[0]]].dims)[-1:] != [scale.size]):
            return False
    elif len(own) != len(maker.input) - 1 or list(constants[maker.input[1]].dims) != [scale.size]:
        return False
    for place in own:
        name = f"{maker.input[place]}_of_{out}_{place}"  # new, since others may share the constant
        scaled = numpy_helper.to_array(constants[maker.input[place]]) * scale
        graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), name))
        maker.input[place] = name
    # New names, because what was observed of the old tensors does not hold for them.
    if reshape is None:
        maker.output[0] = out
    else:
        maker.output[0] = reshape.input[0] = f"{reshape.input[0]}_of_{out}"
        reshape.output[0] = out
    return True


def _maker(graph: onnx.GraphProto, tensor: str, readers: Collection[str]) -> onnx.NodeProto | None:
    """The node whose only output is this tensor, if none but the given nodes read it; otherwise None."""
    if any(one.name == tensor for one in graph.output) or any(tensor in node.input and node.name not in readers for node in graph.node):
        return None
    return next((node for node in graph.node if list(node.output) == [tensor]), None)
