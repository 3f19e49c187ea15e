"""Integer sums of INT8 products: how large they are, and what holds them.

A compiler may give the sum of an INT8 product in the type of what follows it, and scale it afterwards. TensorRT-RTX does so. The scales of
the DequantizeLinear nodes therefore decide: where they are in half, the unscaled sum must fit in half; where they are in FP32, in FP32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper

from wsra.calib.ranges import PRODUCTS, Feeds, plain_session

# Half precision ends at 65,504; a half of that is left for inputs that were not tried. FP32 counts integers exactly up to 2 ** 24; beyond
# it rounds in the eighth digit, and no sum of INT8 products with fewer than 133,000 terms leaves an int32.
LIMITS = {"float16": 65504 / 2, "float32": float(2**31 - 1)}


@dataclass(frozen=True)
class SumsReport:
    """The sums of one graph.

    Attributes:
        graph: name of the graph.
        products: number of its INT8 products.
        largest: largest magnitude of an unscaled integer sum.
        product: name of the product that forms it.
        over: number of products whose sums exceed the limit of what holds them.
        held_in: "float16" if any product has scales in half, otherwise "float32".
    """

    graph: str
    products: int
    largest: float
    product: str
    over: int
    held_in: str

    @property
    def reason(self) -> str | None:
        """Why it fails, in one line; None when it passes."""
        if not self.over:
            return None
        return (
            f"{self.graph}: {self.over} of {self.products} INT8 products overflow: {self.product} sums up to {self.largest:.0f},"
            f" the limit of {self.held_in} is {LIMITS[self.held_in]:.0f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {"graph": self.graph, "products": self.products, "largest": self.largest, "product": self.product, "held_in": self.held_in}


def integer_sums(model: onnx.ModelProto, batches: Sequence[Feeds], *, graph: str) -> SumsReport | None:
    """Run an INT8 graph and measure the unscaled sums of its products; None if it has none.

    Args:
        model: with Q/DQ nodes; it is not changed.
        batches: feeds by input name.
        graph: its name, for the report.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    holders = {}
    for node, holder, added in _sums(model):
        probe.graph.node.extend(added)
        holders[node] = holder
    if not holders:
        return None
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(f"{name}/sum", TensorProto.FLOAT, None) for name in holders)
    session, largest = plain_session(probe), dict.fromkeys(holders, 0.0)
    for feeds in batches:
        for name, peak in zip(holders, session.run(None, dict(feeds)), strict=True):
            largest[name] = max(largest[name], float(peak))
    over = [name for name in holders if not largest[name] <= LIMITS[holders[name]]]
    worst = max(over or list(holders), key=largest.__getitem__)
    held_in = "float16" if "float16" in holders.values() else "float32"
    return SumsReport(graph, len(holders), largest[worst], worst, len(over), held_in)


def _sums(model: onnx.ModelProto) -> Iterator[tuple[str, str, list[onnx.NodeProto]]]:
    """Name of each INT8 product, the type of its scales, and nodes that compute the largest magnitude of its unscaled sums.

    The integers are multiplied as FP32, which is exact up to 2 ** 24 and close enough beyond.
    """
    scaled = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS or not all(name in scaled for name in node.input[:2]):
            continue
        integers = [f"{node.name}/integers/{place}" for place in range(2)]
        casts = [
            helper.make_node("Cast", [scaled[name].input[0]], [cast], to=TensorProto.FLOAT)
            for name, cast in zip(node.input[:2], integers, strict=True)
        ]
        product = helper.make_node(node.op_type, integers, [f"{node.name}/sums"])
        product.attribute.extend(node.attribute)
        magnitudes = helper.make_node("Abs", [f"{node.name}/sums"], [f"{node.name}/magnitudes"])
        peak = helper.make_node("ReduceMax", [f"{node.name}/magnitudes"], [f"{node.name}/sum"], keepdims=0)
        holder = "float16" if any(scaled[name].input[1] in halves for name in node.input[:2]) else "float32"
        yield node.name, holder, [*casts, product, magnitudes, peak]
