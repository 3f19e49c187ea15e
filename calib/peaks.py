"""Which nodes of a graph leave half precision's range: largest magnitudes of all tensors, and of sums inside nodes, seen in FP32.

NVIDIA's AutoCast (nvidia-modelopt) judges nodes in the same way, with the same limit on what a node reads and gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from wsra.calib.ranges import PRODUCTS, Feeds, plain_session

LIMIT = 512.0  # AutoCast's data_max. Inputs that were not observed may be 128 times as large before half precision overflows
LIMIT_OF_SUMS = 16.0  # beyond it half precision counts in steps of 1/64, and a kernel that sums in half loses addends below 1/128
SMALLEST = float(np.finfo(np.float16).tiny)  # 6.1e-5, the smallest number that half precision holds in full
_MASK = 1e30  # attention masks with numbers beyond this; the converter clips them, and Softmax makes 0 of them
_UNSEEN = ("InstanceNormalization", "GroupNormalization", "LpNormalization", "MeanVarianceNormalization", "LogSoftmax", "ReduceLogSumExp")


@dataclass(frozen=True)
class Peaks:
    """What was observed in FP32.

    Attributes:
        tensors: tensor -> largest magnitude. One that holds an attention mask is judged by its largest number.
        sums: node -> largest sum that it forms inside: of squares in a norm, of magnitudes in a mean, of exponentials in a Softmax.
    """

    tensors: Mapping[str, float]
    sums: Mapping[str, float]


def observe(model: onnx.ModelProto, batches: Sequence[Feeds]) -> Peaks:
    """Run a graph and note the largest magnitude of every float tensor.

    Args:
        model: in FP32; it is not changed.
        batches: feeds by input name.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(onnx.shape_inference.infer_shapes(model))
    values = [*probe.graph.input, *probe.graph.value_info, *probe.graph.output]
    ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in values}
    floats = list(dict.fromkeys(one.name for one in values if one.type.tensor_type.elem_type == TensorProto.FLOAT))
    sums = {f"{node.name}/sum": (node, made) for node in probe.graph.node if (made := _sum_inside(node, ranks)) is not None}
    outputs = []
    for name in floats:
        for op in ("ReduceMax", "ReduceMin"):
            probe.graph.node.append(helper.make_node(op, [name], [f"{name}/{op}"], keepdims=0))
            outputs.append(f"{name}/{op}")
    for label, (node, (op, inputs, axes)) in sums.items():
        given = [*inputs, f"{label}/axes"] if isinstance(axes, list) else [*inputs, *([axes] if axes else [])]
        if isinstance(axes, list):
            probe.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), f"{label}/axes"))
        probe.graph.node.append(helper.make_node(op, given, [f"{label}/rows"], keepdims=0))
        last = "ReduceMin" if node.op_type == "Softmax" else "ReduceMax"
        probe.graph.node.append(helper.make_node(last, [f"{label}/rows"], [label], keepdims=0))
        outputs.append(label)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    session = plain_session(probe)
    tensors, found = dict.fromkeys(floats, 0.0), {node.name: 0.0 for node, _ in sums.values()}
    for feeds in batches:
        got = dict(zip(outputs, (float(one) for one in session.run(outputs, dict(feeds))), strict=True))
        for name in floats:
            lowest, highest = got[f"{name}/ReduceMin"], got[f"{name}/ReduceMax"]
            tensors[name] = max(tensors[name], abs(highest), -lowest if lowest > -_MASK else 0.0)
        for label, (node, _) in sums.items():
            # The largest exponential is 1, so the sum of all is 1 divided by the largest share.
            found[node.name] = max(found[node.name], 1 / got[label] if node.op_type == "Softmax" else got[label])
    return Peaks(tensors, found)


def _sum_inside(node: onnx.NodeProto, ranks: Mapping[str, int]) -> tuple[str, list[str], list[int] | str] | None:
    """Operator, input and axes (numbers, or the name of their tensor) that give what a node sums up; None if it sums nothing."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    rank = ranks.get(node.input[0], 0) if node.input else 0
    match node.op_type:
        case "LayerNormalization":
            axis = attributes.get("axis", -1)
            return "ReduceSumSquare", [node.input[0]], list(range(axis, 0) if axis < 0 else range(axis, rank))
        case "ReduceL2" | "ReduceSumSquare":
            return "ReduceSumSquare", [node.input[0]], node.input[1] if len(node.input) > 1 else ""
        case "ReduceSum" | "ReduceMean" | "ReduceL1":
            return "ReduceL1", [node.input[0]], node.input[1] if len(node.input) > 1 else ""
        case "GlobalAveragePool":
            return "ReduceL1", [node.input[0]], list(range(2, rank))
        case "Softmax":
            return "ReduceMax", [node.output[0]], [attributes.get("axis", -1)]
        case _:
            return None


class Wide(NamedTuple):
    """Why a node stays in FP32.

    Attributes:
        why: "numbers", "sums", "unseen sums", "constant" or "pixels".
        peak: the largest number or sum; 0 for the others.
    """

    why: str
    peak: float = 0.0


def wide_nodes(model: onnx.ModelProto, peaks: Peaks) -> dict[str, Wide]:
    """Nodes that stay in FP32, by name.

    These are nodes that read or give a number above `LIMIT` or form a sum above `LIMIT_OF_SUMS`, nodes with a constant that half precision
    cannot hold (an epsilon, or a lower bound), and what prepares the pixels of an image graph that takes bytes.

    Args:
        model: in FP32, the graph that was observed or one made of it; tensors that were not observed are not judged.
        peaks: from `observe`.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    wide = dict.fromkeys(preparation_of(model), Wide("pixels"))
    for node in model.graph.node:
        peak = max((peaks.tensors.get(name, 0.0) for name in (*node.input, *node.output)), default=0.0)
        peak = max([peak, *(_peak(constants[name]) for name in node.input if name in constants)])
        if peak > LIMIT:
            wide[node.name] = Wide("numbers", peak)
        elif peaks.sums.get(node.name, 0.0) > LIMIT_OF_SUMS:
            wide[node.name] = Wide("sums", peaks.sums[node.name])
        elif node.op_type in _UNSEEN:
            wide[node.name] = Wide("unseen sums")
        elif any(0 < abs(number) < SMALLEST for number in _scalars(node, constants)):
            wide[node.name] = Wide("constant")
    return wide


def preparation_of(model: onnx.ModelProto) -> Iterator[str]:
    """Names of the nodes between an input in bytes and the first product. They must be exact: half a float rounds pixel / 255."""
    after = {one.name for one in model.graph.input if one.type.tensor_type.elem_type == TensorProto.UINT8}
    for node in model.graph.node:  # sorted topologically
        if after.intersection(node.input) and node.op_type not in PRODUCTS:
            after.update(node.output)
            yield node.name


def _peak(constant: NDArray[Any]) -> float:
    magnitudes = np.abs(constant[np.abs(constant) < _MASK])
    return float(magnitudes.max(initial=0.0))


def _scalars(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> Iterator[float]:
    for attribute in node.attribute:
        if attribute.name == "epsilon":
            yield attribute.f
    for name in node.input:
        if name in constants and constants[name].size == 1:
            yield float(constants[name].reshape(()))
