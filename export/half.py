"""Half precision on a CPU: the same graph, computed in FP32, with every number rounded to half wherever the graph says half.

ONNX Runtime has no half kernels on the CPU for most operators. It computes them in FP32 and drops the casts that it adds between them, so
numbers that overflow on a GPU pass unseen. Casts that are written in the graph stay, if nothing is optimised. A product sums in FP32 and
rounds once, as tensor cores do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from wsra.calib.ranges import plain_session
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.errors import ExportError

_HALF, _FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


class RoundedBackend:
    """A graph as a GPU computes it in half: each node's result is rounded.

    Args (constructor):
        path: the ONNX file.

    Raises:
        ExportError: the file is not an ONNX graph, or a node holds a graph of its own.
    """

    def __init__(self, path: Path) -> None:
        check_onnx(path, error=ExportError)
        model = rounded(onnx.load(str(path), load_external_data=False))
        self._outputs = [one.name for one in model.graph.output]
        self._session = plain_session(model)

    def infer(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Backend.infer`."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a graph in FP32 that rounds to half what `model` computes in half.

    Args:
        model: with tensors in half; it is not changed.

    Raises:
        ExportError: a node holds a graph of its own (If, Loop), or the type of a tensor cannot be inferred.
    """
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    graph = inferred.graph
    values = [*graph.input, *graph.value_info, *graph.output]
    types = {one.name: one.type.tensor_type.elem_type for one in values}
    for tensor in graph.initializer:
        if tensor.data_type == _HALF:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for one in (*graph.input, *graph.output):
        if one.type.tensor_type.elem_type == _HALF:
            raise ExportError(f"{one.name} is in half; the inputs and outputs of a graph of wsra are in FP32: export it again")
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        own = _in_float(node)
        nodes.append(own)
        for place, name in enumerate(node.output):
            if name and name not in types:
                raise ExportError(f"{node.name} ({node.op_type}): the type of {name} is not known; export the graph again")
            if types.get(name) == _HALF:
                own.output[place] = f"{name}/exact"
                nodes.append(helper.make_node("Cast", [f"{name}/exact"], [f"{name}/half"], to=_HALF))
                nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=_FLOAT))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return inferred


def _in_float(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with FP32 in place of half."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    for attribute in changed.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise ExportError(f"{node.name} ({node.op_type}) holds a graph of its own, which is not rounded; export the model without it")
        if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == _HALF:
            attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32), attribute.t.name))
        if node.op_type in ("Cast", "RandomNormalLike", "EyeLike") and attribute.name in ("to", "dtype") and attribute.i == _HALF:
            attribute.i = _FLOAT
    return changed
