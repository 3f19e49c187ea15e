"""`wsra verify --layers`: the first layer at which a precision, or an engine, leaves FP32. It needs onnx and Polygraphy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from polygraphy.backend.onnxrt import OnnxrtRunner
from polygraphy.comparator import Comparator
from polygraphy.logger import G_LOGGER

from wsra.calib.ranges import plain_session
from wsra.export.half import rounded
from wsra.export.tensorrt.build import profiles_of
from wsra.runtime.backends.cuda import Cuda
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.backends.protocol import Arrays
from wsra.runtime.errors import BackendError, BundleError, first_line
from wsra.runtime.formats.bundle import GOLDEN, Bundle
from wsra.runtime.verification.golden import read_golden

# Largest error of a layer, of its largest number. Half precision has 11 bits, and errors add up over layers; INT8 has 8.
LIMITS = {"fp16": 2e-2, "int8": 0.3}


@dataclass(frozen=True)
class LayerError:
    """How far one tensor of a graph is from FP32.

    Attributes:
        tensor: name of the tensor.
        operator: operator that gives it.
        error: largest absolute error over the largest magnitude in FP32; infinite where it is not finite.
    """

    tensor: str
    operator: str
    error: float


@dataclass(frozen=True)
class LayersReport:
    """The layers of a graph in one precision, in the order in which they run.

    Attributes:
        graph: name of the graph.
        precision: "fp16" or "int8".
        runner: what ran it: "rounded on the CPU" or the TensorRT.
        limit: largest error allowed.
        layers: those that both graphs have.
    """

    graph: str
    precision: str
    runner: str
    limit: float
    layers: Sequence[LayerError]

    @property
    def first(self) -> LayerError | None:
        """The first layer that leaves the limit; None if none does."""
        return next((layer for layer in self.layers if not layer.error <= self.limit), None)

    @property
    def worst(self) -> LayerError:
        """The layer with the largest error."""
        return max(self.layers, key=lambda layer: layer.error)

    def line(self) -> str:
        """What was found, in one line."""
        head = f"{self.precision} {self.graph} ({self.runner})"
        if self.first is not None:
            return f"{head}: {_named(self.first)} is the first of {len(self.layers)} layers beyond {self.limit:g}"
        return f"{head}: all {len(self.layers)} layers are within {self.limit:g}; the worst is {_named(self.worst)}"

    def to_json(self) -> dict[str, Any]:
        """The entry of docs/schema/verify.json."""
        first = None if self.first is None else _table(self.first)
        table = {"graph": self.graph, "precision": self.precision, "runner": self.runner, "limit": self.limit}
        return table | {"layers": len(self.layers), "first_beyond": first, "worst": _table(self.worst)}


def _named(layer: LayerError) -> str:
    return f"{layer.operator} {layer.tensor} (error {layer.error:.1e})"


def _table(layer: LayerError) -> dict[str, Any]:
    error = layer.error if np.isfinite(layer.error) else None
    return {"tensor": layer.tensor, "operator": layer.operator, "error": error}


def compare_layers(bundle: Bundle, precision: str, graph: str, *, engine: bool = False, gpu: int = 0) -> LayersReport:
    """Run a graph in FP32 and in another precision on a golden case, and compare all tensors that both have.

    Args:
        bundle: an open bundle.
        precision: "fp16" or "int8".
        graph: name of the graph.
        engine: compile the graph with the installed TensorRT, every tensor an output, and run that on the GPU; little is fused then.
            Otherwise the graph runs on the CPU, with every node rounded to half.
        gpu: number of the GPU, from 0.

    Raises:
        MissingExtraError: with `engine`, no TensorRT is installed.
        BundleError: a graph or the golden data cannot be read.
        BackendError: that GPU does not start, or TensorRT cannot compile or run the graph.
    """
    with closing(Cuda(gpu)) if engine else nullcontext():  # Polygraphy compiles for the GPU that is current, and runs on it
        exact, other = _read(bundle.graph("fp32", graph)), _read(bundle.graph(precision, graph))
        operators = {name: node.op_type for node in exact.graph.node for name in node.output}
        shared = [name for name in _floats(exact) if name in set(_floats(other)) and name in operators]
        feeds = dict(max(read_golden(bundle.folder / GOLDEN).edges[graph], key=lambda case: _size(case.feeds)).feeds)
        runner, opened = _engine_runner(bundle, precision, graph, shared) if engine else _rounded_runner(other, precision, shared)
        results = _run([OnnxrtRunner(plain_session(_with_outputs(exact, shared)), name="fp32"), opened], feeds, f"{precision} {graph}")
    (_, (expected,)), (_, (got,)) = results.items()
    layers = [
        LayerError(name, operators[name], _error(np.asarray(got[name]), np.asarray(expected[name]))) for name in shared if name in got
    ]
    return LayersReport(graph, precision, runner, LIMITS[precision], layers)


def _run(runners: Sequence[Any], feeds: Arrays, subject: str) -> Any:
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        try:
            return Comparator.run(runners, data_loader=[feeds])
        except Exception as err:  # Polygraphy and TensorRT raise types of their own
            reason = first_line(str(err), otherwise=type(err).__name__)
            raise BackendError(f"{subject}: its layers cannot be run ({reason}); see wsra doctor") from err


def _read(path: Path) -> onnx.ModelProto:
    check_onnx(path, error=BundleError)
    return onnx.load(str(path), load_external_data=False)


def _floats(model: onnx.ModelProto) -> list[str]:
    """Tensors with floats that nodes give, in the order in which they run."""
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16)
    values = [*inferred.graph.value_info, *inferred.graph.output]
    floats = {one.name for one in values if one.type.tensor_type.elem_type in kinds}
    return [name for node in inferred.graph.node for name in node.output if name in floats]


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return model


def _size(feeds: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Cases of several rows first, then the largest."""
    return min(2, *(len(array) for array in feeds.values()), 2), sum(array.size for array in feeds.values())


def _rounded_runner(model: onnx.ModelProto, precision: str, names: Sequence[str]) -> tuple[str, Any]:
    """What it is called, and a runner of the graph on the CPU with every node rounded and `names` as outputs."""
    return "rounded on the CPU", OnnxrtRunner(plain_session(_with_outputs(rounded(model), names)), name=precision)


def _engine_runner(bundle: Bundle, precision: str, graph: str, names: Sequence[str]) -> tuple[str, Any]:
    """Name of the library, and a runner of the graph compiled with `names` as outputs."""
    library = find_library()
    import polygraphy.config

    polygraphy.config.USE_TENSORRT_RTX = library.__name__ == "tensorrt_rtx"  # before its back end is imported
    from polygraphy.backend.trt import EngineFromNetwork, ModifyNetworkOutputs, NetworkFromOnnxPath, Profile, TrtRunner

    if polygraphy.config.USE_TENSORRT_RTX:
        from polygraphy.backend.tensorrt_rtx import CreateConfigRTX as CreateConfig
    else:
        from polygraphy.backend.trt import CreateConfig
    profiles = []
    for shapes in profiles_of(bundle, graph):
        profile = Profile()
        for name, (smallest, usual, largest) in shapes.items():
            profile.add(name, smallest, usual, largest)
        profiles.append(profile)
    network = NetworkFromOnnxPath(str(bundle.graph(precision, graph)), strongly_typed=True)
    built = EngineFromNetwork(ModifyNetworkOutputs(network, outputs=list(names)), CreateConfig(profiles=profiles))
    return f"{library.__name__} {library.__version__}", TrtRunner(built, name=library.__name__)


def _error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest error over the largest magnitude; masks beyond half precision's range count as its end."""
    ends = float(np.finfo(np.float16).min), float(np.finfo(np.float16).max)
    if not np.isfinite(got).all():
        return np.inf
    one, other = (np.clip(array.astype(np.float64), *ends) for array in (got, expected))
    return float(np.abs(one - other).max(initial=0.0) / max(float(np.abs(other).max(initial=0.0)), 1e-12))


def compare_bundle(bundle: Bundle, precision: str, *, engine: bool, gpu: int = 0) -> list[LayersReport]:
    """Compare the layers of every graph in the chosen precision, or in all but FP32 that passed ("auto")."""
    chosen = [name for name in bundle.passed() if name in LIMITS] if precision == "auto" else [precision]
    return [compare_layers(bundle, one, graph, engine=engine, gpu=gpu) for one in chosen for graph in bundle.graphs]
