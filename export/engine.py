"""ONNX to a TensorRT plan: one builder for tensorrt 10.3 and newer and for tensorrt_rtx, strongly typed. Loads no torch and no onnx.

Precision lives in the graph; the builder only compiles. TensorRT-RTX builds without a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsra.runtime.errors import ExportError, MissingExtraError
from wsra.runtime.files import replacing, sha256_of

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # smallest, usual, largest
LIBRARIES = ("tensorrt", "tensorrt_rtx")
_NOISE = (
    "cudaError 35",
    "CUDA initialization failure",
    "Unable to determine GPU",
    "CUDA driver version is insufficient",
)


@dataclass(frozen=True)
class Built:
    """The sidecar of a plan: what it was built with. The plan file itself is exactly what the library gave.

    Attributes:
        library: "tensorrt" or "tensorrt_rtx".
        version: of the library.
        onnx_sha256: of the graph.
        profiles: input -> smallest, usual and largest shape.
        bytes: size of the plan.
    """

    library: str
    version: str
    onnx_sha256: str
    profiles: dict[str, Shapes]
    bytes: int


def find_library() -> Any:
    """The installed TensorRT: the full one where it is there, else TensorRT-RTX.

    Raises:
        MissingExtraError: neither is installed.
    """
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise MissingExtraError("TensorRT (tensorrt or tensorrt_rtx)", "rtx", "building an engine")


def _logger(trt: Any, messages: list[str]) -> Any:
    """A logger that keeps errors: TensorRT gives the reason of a failed build nowhere else."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and not any(noise in message for noise in _NOISE):
                messages.append(" ".join(message.split()))

    return Logger()


def engine_from_onnx(source: Path, path: Path, profiles: Mapping[str, Shapes]) -> Built:
    """Compile one graph.

    Args:
        source: the ONNX graph; its precision is the engine's.
        path: the plan; `engine.json` of the same stem is written beside it.
        profiles: for each input its smallest, usual and largest shape.

    Returns:
        The sidecar.

    Raises:
        MissingExtraError: no TensorRT is installed.
        ExportError: the graph cannot be parsed or built; the message names the node.
    """
    trt = find_library()
    messages: list[str] = []
    logger = _logger(trt, messages)
    builder = trt.Builder(logger)
    # TensorRT 10 needs to be told; 11 and RTX ignore it. The network is kept in a variable: the parser does not own it.
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source.read_bytes()):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        told = "; ".join(f"node {e.node_name()} ({e.node_operator()}): {e.desc()}" for e in errors) or "; ".join(messages)
        raise ExportError(f"{source}: {trt.__name__} {trt.__version__} cannot parse it: {told[:400]}; export the graph again")
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        name = network.get_input(number).name
        if name not in profiles:
            raise ExportError(f"{source}: no profile for the input {name}; expected {sorted(profiles)}")
        profile.set_shape(name, *profiles[name])
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{source}: {trt.__name__} {trt.__version__} cannot build it: {'; '.join(messages)[:400] or 'no reason given'}")
    content = bytes(plan)
    built = Built(trt.__name__, str(trt.__version__), sha256_of(source), dict(profiles), len(content))
    with replacing(path) as part:
        part.write_bytes(content)
    with replacing(path.with_suffix(".engine.json")) as part:
        part.write_text(json.dumps(asdict(built), indent=1) + "\n", encoding="utf-8")
    return built
