"""Attention masks without the nodes that are never needed: what is left gives the same for every input, padding included.

transformers states a mask as conditions on positions, which an exporter turns into about twenty nodes. Two of them say nothing: that a
position is at least 0, and that row i, column j of the tokenizer's mask are looked up by i and j. They are recognised from the graph, in
which positions are 0, 1, 2 ... as far as a named axis of the inputs reaches, so nothing is tried out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

_SMALL = 8  # numbers of a constant that is read
_Axes = tuple[str, ...]


class _Count(NamedTuple):
    """0, 1, 2 ... along one axis, as far as a named axis of the inputs reaches; the other axes have length 1."""

    length: str
    axis: int
    rank: int


def without_needless_nodes(model: onnx.ModelProto) -> int:
    """Remove nodes of attention masks that are never needed.

    Args:
        model: the graph; it is changed. Axes of its inputs that have one name have one length.

    Returns:
        The number of nodes that are gone.
    """
    graph, before = model.graph, len(model.graph.node)
    known, ends = _Known(model), {one.name for one in graph.output}
    same: dict[str, str] = {}  # tensor -> the one that is read instead
    changed = False
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if node.output[0] in ends:
            continue
        if node.op_type == "Reshape" and known.axes(node.output[0]) is not None:
            same[node.output[0]] = node.input[0]
        elif node.op_type == "And" and (kept := known.kept_of(node)) is not None:
            same[node.output[0]] = kept
        elif node.op_type == "GatherND" and (added := known.added_axes(node)) is not None:
            axes = numpy_helper.from_array(np.array(added, np.int64), f"{node.output[0]}_axes")
            graph.initializer.append(axes)
            node.CopyFrom(helper.make_node("Unsqueeze", [node.input[0], axes.name], [node.output[0]], name=node.name))
            changed = True
    if same or changed:
        _drop_unread(graph)
    return before - len(graph.node)


class _Known:
    """What is known of the tensors of a graph, whatever its inputs are."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        self._axes = {one.name: _names(one) for one in (*inferred.graph.value_info, *inferred.graph.input)}
        self._inputs = {one.name for one in model.graph.input}
        self._ends = {one.name for one in model.graph.output}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
        self._tensors = {one.name: one for one in model.graph.initializer}

    def axes(self, name: str) -> _Axes | None:
        """Named axes of an input, or of what is an input in another type or reshaped to the shape that it has; None for other tensors."""
        if name in self._inputs:
            return self._axes[name] if all(self._axes[name]) else None
        made = self._makers.get(name)
        if made is None or made.op_type not in ("Cast", "Reshape"):
            return None
        axes = self.axes(made.input[0])
        if axes is None or made.op_type == "Cast":
            return axes
        shape = self._makers.get(made.input[1])
        if shape is None or shape.op_type != "Concat" or len(shape.input) != len(axes):
            return None
        # One length may be left open (-1): it follows from the others.
        is_open = [self._numbers(part) == [-1] for part in shape.input]
        alike = all(left or self._length(part) == axis for left, part, axis in zip(is_open, shape.input, axes, strict=True))
        return axes if alike and sum(is_open) <= 1 else None

    def added_axes(self, gather: onnx.NodeProto) -> list[int] | None:
        """Axes that Unsqueeze must add for the same result, if a GatherND looks up place (i, j ...) at (i, j ...); otherwise None."""
        data, places = self.axes(gather.input[0]), self._makers.get(gather.input[1])
        if data is None or places is None or places.op_type != "Concat" or _attribute(places, "axis", 0) != -1:
            return None
        parts = [self._spread(part) for part in places.input]
        counts = [part[0] for part in parts if part is not None]
        over = [set(part[1]) for part in parts if part is not None]
        order = [count.axis for count in counts]
        if len(counts) < len(parts) or tuple(count.length for count in counts) != data or _attribute(gather, "batch_dims", 0):
            return None
        if order != sorted(set(order)) or any(one != set(counts) for one in over):
            return None
        return [axis for axis in range(counts[0].rank) if axis not in order]

    def kept_of(self, both: onnx.NodeProto) -> str | None:
        """The input of an And that decides, if the other is always true and what reads the result is as large without it; or None."""
        for true, other in (both.input, both.input[::-1]):
            spread = self._always_true(true)
            if spread is not None and all(self._reaches(both.output[0], count) for count in spread):
                return str(other)
        return None

    def _always_true(self, name: str) -> list[_Count] | None:
        """Counts over which a tensor of True extends; None if it may hold False."""
        if name in self._tensors:
            return [] if self._numbers(name) == [True] and not self._tensors[name].dims else None
        made = self._makers.get(name)
        if made is None or made.op_type != "GreaterOrEqual":
            return None
        count, least = self._count(made.input[0]), self._numbers(made.input[1])
        return [count] if count is not None and len(least) == 1 and least[0] <= 0 else None

    def _reaches(self, name: str, count: _Count) -> bool:
        """Whether all that comes of a tensor is added to something that is as long as the count, along its axis."""
        readers = self._readers.get(name, [])
        for node in readers:
            others = [one for one in node.input if one != name]
            if node.op_type == "Where" and node.input[0] == name and all(len(self._numbers(one)) == 1 for one in others):
                if not self._reaches(node.output[0], count):
                    return False
            elif node.op_type != "Add" or not others or self._axes.get(others[0], ())[count.axis - count.rank :][:1] != (count.length,):
                return False
        return bool(readers) and name not in self._ends

    def _count(self, name: str) -> _Count | None:
        made = self._makers.get(name)
        if made is not None and made.op_type == "Range":
            start, limit, step = made.input
            length = self._length(limit)
            return _Count(length, 0, 1) if length and self._numbers(start) == [0] and self._numbers(step) == [1] else None
        inner = self._count(made.input[0]) if made is not None and made.op_type == "Unsqueeze" else None
        if made is None or inner is None:
            return None
        added = self._numbers(made.input[1])
        rank = inner.rank + len(added)
        left = [axis for axis in range(rank) if axis not in {one % rank for one in added}]
        return _Count(inner.length, left[inner.axis], rank)

    def _spread(self, part: str) -> tuple[_Count, list[_Count]] | None:
        """A count that is repeated over others, with a last axis of length 1: the count, and all over which it is repeated."""
        made = self._chain(part, "Unsqueeze", "Expand")
        shape = None if made is None else self._chain(made[1].input[1], "Shape", "Max")
        if (
            made is None
            or shape is None
            or self._numbers(made[0].input[1]) != [-1]
            or _attribute(shape[0], "start", 0)
            or len(shape[0].attribute) > 1
        ):
            return None
        count, over = self._count(made[1].input[0]), [self._count(one) for one in shape[1].input]
        found = [one for one in over if one is not None]
        return None if count is None or len(found) < len(over) or any(one.rank != count.rank for one in found) else (count, found)

    def _chain(self, name: str, last: str, first: str) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
        """The two nodes of these operators that give a tensor."""
        made = self._makers.get(name)
        before = self._makers.get(made.input[0]) if made is not None and made.op_type == last else None
        return (made, before) if made is not None and before is not None and before.op_type == first else None

    def _length(self, name: str) -> str:
        """The named axis whose length a tensor of one number holds; empty if it is not known."""
        made = self._makers.get(name)
        if made is not None and made.op_type == "Squeeze":
            made = self._makers.get(made.input[0])
        axes = self.axes(made.input[0]) if made is not None and made.op_type == "Shape" else None
        if made is None or axes is None:
            return ""
        chosen = axes[_attribute(made, "start", 0) : _attribute(made, "end", len(axes))]
        return chosen[0] if len(chosen) == 1 else ""

    def _numbers(self, name: str) -> list[Any]:
        """A small constant as a list; empty for other tensors."""
        tensor = self._tensors.get(name)
        return [] if tensor is None or np.prod(tensor.dims, dtype=int) > _SMALL else numpy_helper.to_array(tensor).ravel().tolist()


def _names(value: onnx.ValueInfoProto) -> _Axes:
    return tuple(dim.dim_param for dim in value.type.tensor_type.shape.dim)


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no output depends on."""
    needed, kept = {one.name for one in graph.output}, []
    for node in reversed(graph.node):  # sorted topologically
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [one for one in graph.initializer if one.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)
