"""The layers of a compiled plan, as the compiler lists them: what was fused, and in which types products run."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wsra.runtime.backends.trt_log import ErrorLog
from wsra.runtime.files.writing import replacing

_PRODUCTS = ("gemm", "correlation")
LAYERS, LOG = ".layers.json", ".log"  # beside the plan


@dataclass(frozen=True)
class Layer:
    """One layer of a plan.

    Attributes:
        name: the compiler's name for it.
        kind: "gemm", "correlation" (a convolution), "kgen" and so on.
        inputs: types of what it reads, without constants: "Half", "Float", "Int8" ...
        outputs: types of what it gives.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def overflows(self) -> bool:
        """Whether it multiplies INT8 and gives the unscaled sums in half."""
        return "Int8" in self.inputs and "Half" in self.outputs and self.kind in _PRODUCTS

    @property
    def attention(self) -> bool:
        """Whether it is a fused attention."""
        return "_mha" in self.name


def read_layers(listing: str) -> list[Layer]:
    """Layers of a listing of TensorRT-RTX with detailed verbosity; those of further profiles come after those of the first.

    TensorRT writes another format, of which nothing is read here.
    """
    found = []
    for line in listing.splitlines():
        head = re.match(r"Name: (.*?), LayerType: (\w+), Inputs: \[(.*?)\], Constants: ", line)
        outputs = re.search(r"\], Outputs: \[(.*?)\], TacticName: ", line)
        if head and outputs:
            types = (tuple(re.findall(r"Datatype: (\w+)", part)) for part in (head[3], outputs[1]))
            found.append(Layer(head[1], head[2], *types))
    return found


def of_first_profile(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of a plan's first profile; the compiler repeats them for each."""
    return [layer for layer in layers if "_myl0_" in layer.name]


def summary(layers: Sequence[Layer]) -> str:
    """Number of layers by kind, of fused attentions, and of products by types, in one line."""
    kinds = Counter(layer.kind for layer in layers)
    products = Counter(f"{'+'.join(layer.inputs)} -> {'+'.join(layer.outputs)}" for layer in layers if layer.kind in _PRODUCTS)
    parts = [f"{len(layers)} layers", *(f"{count} {kind}" for kind, count in kinds.most_common())]
    parts.append(f"{sum(layer.attention for layer in layers)} fused attentions")
    return ", ".join(parts) + "; products: " + (", ".join(f"{count} {types}" for types, count in products.most_common()) or "all fused")


def keep_log(plan: Path, log: ErrorLog) -> None:
    """Write what the compiler said beside a plan: warnings and its list of layers to NAME.log, and the layers to NAME.layers.json.

    Raises:
        OutputError: a file cannot be written.
    """
    with replacing(plan.with_suffix(LOG)) as part:
        part.write_text("\n".join([*log.warnings, log.listing, ""]), encoding="utf-8")
    with replacing(plan.with_suffix(LAYERS)) as part:
        part.write_text(json.dumps([asdict(layer) for layer in read_layers(log.listing)], indent=1) + "\n", encoding="utf-8")
