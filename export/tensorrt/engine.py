"""Compile an ONNX graph to a TensorRT plan, with tensorrt from 10.3 or with tensorrt_rtx. Runs without torch and onnx.

Networks are strongly typed: the graph determines the precision. TensorRT-RTX can build without a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsra.export.tensorrt.layers import keep_log
from wsra.export.tensorrt.targets import set_targets
from wsra.runtime.backends.engines import BuiltGraph, Profile
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.backends.onnx_file import check_onnx
from wsra.runtime.backends.trt_log import cleaned, error_log, library_errors
from wsra.runtime.device import find_gpu
from wsra.runtime.errors import ExportError
from wsra.runtime.files.writing import replacing, sha256_of
from wsra.runtime.progress import Progress


def compile_graph(
    source: Path,
    plan: Path,
    profiles: Sequence[Profile],
    *,
    workspace_mb: int,
    timing_cache: Path | None,
    progress: Progress | None = None,
) -> BuiltGraph:
    """Compile one graph.

    Args:
        source: the ONNX graph; the engine gets its precision. Weights in other files are refused.
        plan: the plan to write, exactly as the library serialises it. Beside it NAME.log gets the compiler's warnings and its list of
            layers, and NAME.layers.json the layers of TensorRT-RTX.
        profiles: ranges of shapes that the engine must accept; each names every input.
        workspace_mb: limit of the memory that the library may use while it tries kernels, in MiB.
        timing_cache: timings of earlier builds, read if the file exists and fits, and written. None keeps no timings.
        progress: called after each step, possibly from other threads.

    Raises:
        MissingExtraError: no TensorRT is installed.
        BackendError: the installed one cannot be used.
        ExportError: a profile does not fit the graph, or the graph cannot be parsed or built; the message names the input or the node.
        OutputError: `plan` cannot be written.
    """
    check_onnx(source, error=ExportError)
    on_gpu = find_gpu() is not None
    trt = find_library(gpu=on_gpu)
    log = error_log(trt)
    log.clear()
    name = f"{source}: {_name_and_version(trt)}"
    with library_errors(log, ExportError, f"{name} does not start", "see wsra doctor"):
        builder = trt.Builder(log.logger)
        # TensorRT 10 needs this flag; 11 and RTX ignore it. The parser does not own the network, so a variable keeps it alive.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        config = builder.create_builder_config()
    with library_errors(log, ExportError, f"{name} cannot read it", "update the library"):
        parser = _parse(trt, network, source)
        _check_profiles(network, profiles, source)
    times = timing_cache if trt.__name__ == "tensorrt" else None  # in RTX timing caches are deprecated and have no effect
    with library_errors(log, ExportError, f"{name} refuses the settings of the build", "update the library"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
        set_targets(trt, config, on_gpu=on_gpu)
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default; it rounds the factors of FP32 products to 10 bits
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that it lists the layers, with their types
        _add_profiles(builder, config, profiles)
        if times is not None:
            _read_times(config, times)
            log.clear()  # the library logs an error for a cache that does not fit
        monitor = _monitor(trt, progress) if progress else None  # must live as long as the build
        if monitor is not None:
            config.progress_monitor = monitor
    with library_errors(log, ExportError, f"{name} cannot build it", "update the library"):
        built = builder.build_serialized_network(network, config)
    del parser  # it owns the weights of the network
    if built is None:
        raise ExportError(f"{name} cannot build it: {log.reason()}; {_remedy(log.reason(), workspace_mb)}")
    if times is not None:
        with library_errors(log, ExportError, f"{name} does not give the timings of the build", "delete them and build again"):
            _write_times(config, times)
    with replacing(plan) as part:
        part.write_bytes(bytes(built))
    keep_log(plan, log)
    return BuiltGraph(sha256_of(source), sha256_of(plan), plan.stat().st_size, [dict(shapes) for shapes in profiles])


def _parse(trt: Any, network: Any, source: Path) -> Any:
    """Fill the network; the parser must live until it is built."""
    log = error_log(trt)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse_from_file(str(source)):
        errors = [parser.get_error(number) for number in range(parser.num_errors)]
        nodes = "; ".join(
            f"node {error.node_name()} ({error.node_operator()}): {cleaned(error.desc())}" for error in errors if error.node() >= 0
        )
        remedy = "export the graph again without that operator" if nodes else "it may be truncated: copy or export it again"
        raise ExportError(f"{source}: {_name_and_version(trt)} cannot parse it: {nodes or log.reason()}; {remedy}")
    return parser


def _add_profiles(builder: Any, config: Any, profiles: Sequence[Profile]) -> None:
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (smallest, usual, largest) in shapes.items():
            profile.set_shape(name, smallest, usual, largest)
        config.add_optimization_profile(profile)


def _check_profiles(network: Any, profiles: Sequence[Profile], source: Path) -> None:
    """Refuse profiles that the library would accept silently, or refuse with a less clear message."""
    inputs = {tensor.name: tuple(tensor.shape) for tensor in (network.get_input(number) for number in range(network.num_inputs))}
    if not profiles and any(min(shape, default=1) < 0 for shape in inputs.values()):
        raise ExportError(f"{source}: no profile; expected shapes for {', '.join(inputs)}")
    for number, shapes in enumerate(profiles):
        for name in inputs:
            if name not in shapes:
                raise ExportError(f"{source}: profile {number} has no shapes for the input {name}; it has {', '.join(shapes) or 'none'}")
        for name, triple in shapes.items():
            if name not in inputs:
                raise ExportError(f"{source}: profile {number} names {name}, which is no input; the inputs are {', '.join(inputs)}")
            if not _fits(triple, inputs[name]):
                given = ", ".join("x".join(map(str, shape)) for shape in triple)
                expected = "x".join("n" if size < 0 else str(size) for size in inputs[name])
                raise ExportError(
                    f"{source}: profile {number} gives {name} {given}; expected smallest, usual and largest, in order, of {expected}"
                )


def _fits(triple: tuple[tuple[int, ...], ...], axes: tuple[int, ...]) -> bool:
    if any(len(shape) != len(axes) for shape in triple):
        return False
    smallest, usual, largest = triple
    ordered = all(1 <= low <= middle <= high for low, middle, high in zip(smallest, usual, largest, strict=True))
    return ordered and all(size < 0 or low == high == size for size, low, high in zip(axes, smallest, largest, strict=True))


def _read_times(config: Any, path: Path) -> None:
    content = path.read_bytes() if path.is_file() else b""
    # set_timing_cache returns False for a cache of another GPU or version; the build then starts with an empty one.
    for data in (content, b""):
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _write_times(config: Any, path: Path) -> None:
    cache = config.get_timing_cache()
    if cache is not None:
        with replacing(path) as part:
            part.write_bytes(bytes(cache.serialize()))


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.totals: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self.totals[phase] = steps
            progress(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, self.totals.get(phase, step + 1))
            return True

        def phase_finish(self, phase: str) -> None:
            self.totals.pop(phase, None)

    return Monitor()


def _name_and_version(trt: Any) -> str:
    return f"{trt.__name__} {trt.__version__}"


def _remedy(reason: str, workspace_mb: int) -> str:
    if "memory" in reason.lower() or "workspace" in reason.lower():
        return f"try another --workspace-mb (it was {workspace_mb}) and close other programs"
    return "export the graph again without that, or update the library"
