"""Build engines for this device from the precisions of a bundle, or from any ONNX graph. Runs on the device, without torch and onnx."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from wsra.export.tensorrt.compile_process import Job, compile_in_process
from wsra.export.tensorrt.layers import LAYERS, LOG
from wsra.export.tensorrt.profiles import picture_profile
from wsra.runtime.backbones.common.settings_json import find_graph
from wsra.runtime.backbones.detectors.load import CARRIED, DETECTOR_JSON
from wsra.runtime.backbones.detectors.settings import read_detector
from wsra.runtime.backends.engines import (
    SIDECAR,
    Profile,
    Shapes,
    engine_of,
    engines_folder,
    misfit,
    outdated,
    read_sidecar,
    remarks,
    write_sidecar,
)
from wsra.runtime.backends.libraries import find_library
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BundleError, ConfigError, ExportError, OutputError
from wsra.runtime.files.locks import locked, sweep_lock
from wsra.runtime.files.writing import refuse_existing, replacing, replacing_folder
from wsra.runtime.formats.bundle import REJECTED, Bundle, open_bundle
from wsra.runtime.progress import Progress, unseen

logger = logging.getLogger(__name__)

PLAN, TIMES = ".plan", "timing.cache"
LEAST_WORKSPACE_MB = 64


def build_bundle(
    folder: Path,
    precisions: Sequence[str] | None,
    *,
    rebuild: Literal["auto", "never"] = "auto",
    workspace_mb: int | None = None,
    progress: Progress = unseen,
    gpu: int = 0,
) -> list[Path]:
    """Compile the graphs of a bundle for this device; engines that fit are kept.

    Args:
        folder: folder of the bundle.
        precisions: precisions to build; None builds all that passed their gate.
        rebuild: "never" raises an error where an engine does not fit, instead of building it.
        workspace_mb: limit of the memory that TensorRT may use while it tries kernels, in MiB; None takes half of the free memory.
        progress: called with the graph and the phase of its build, the steps that are done, and how many there are.
        gpu: number of the GPU, from 0.

    Returns:
        The folder of each precision's engines, and that of the detector if the bundle carries one.

    Raises:
        BundleError: the bundle cannot be used, a precision is missing or failed its gate, or `rebuild` is "never" and an engine does not
            fit.
        ConfigError: `workspace_mb` is below 1.
        MissingExtraError: no TensorRT is installed.
        BackendError: the installed one cannot be used here.
        ExportError: a graph cannot be compiled, or the build died.
    """
    bundle, device = open_bundle(folder), this_device(gpu=gpu)
    chosen = bundle.passed() if precisions is None else list(precisions)
    for precision in chosen:
        bundle.check(precision)
    if not chosen:
        raise BundleError(f"{folder}: no precision passed its gate; export the bundle again")
    workspace_mb = workspace_of(device, workspace_mb)
    library = find_library(gpu=device.gpu is not None)
    name, version = str(library.__name__), str(library.__version__)
    profiles = {graph: profiles_of(bundle, graph) for graph in bundle.graphs}
    sources = {precision: {graph: bundle.graph(precision, graph) for graph in bundle.graphs} for precision in chosen}
    if (path := folder / CARRIED / DETECTOR_JSON).is_file():
        settings = read_detector(path)
        graph = find_graph(path, path.parent, graph=settings.graph, sha256=settings.sha256)
        sources[CARRIED], profiles[graph.stem] = {graph.stem: graph}, [picture_profile(settings)]
    place = engines_folder(folder, device, name, version)
    for precision, graphs in sources.items():
        out = place / precision
        reason = _unfit(out, graphs, profiles, device, name, version)
        if reason is None:
            sweep_lock(out)
            logger.info(f"{precision}: the engines in {out} fit and are kept")
            for remark in remarks(read_sidecar(out / SIDECAR), device):
                logger.info(f"{precision}: {remark}")
        elif rebuild == "never":
            raise BundleError(f"{out}: {reason}; run wsra build {folder} without --rebuild never")
        else:
            logger.info(f"{precision}: building with {name} {version} and {workspace_mb} MiB of workspace: {reason}")
            _build(out, graphs, profiles, device, (name, version), workspace_mb, progress)
    return [place / precision for precision in sources]


def _unfit(
    out: Path, graphs: Mapping[str, Path], profiles: Mapping[str, list[Profile]], device: Device, library: str, version: str
) -> str | None:
    """Why the engines of a precision cannot be kept; None when they can."""
    if not (out / SIDECAR).is_file():
        rejected = out.with_name(f"{out.name}{REJECTED}") / "reason.txt"
        if rejected.is_file():
            return f"earlier engines failed wsra verify ({rejected.read_text(encoding='utf-8').strip()})"
        others = [path.parent for path in sorted(out.parent.parent.glob(f"*/{out.name}/{SIDECAR}"))]
        elsewhere = [f"; {other.parent.name}: {reason}" for other in others if (reason := _reason(other, graphs, device, library, version))]
        return "none is built here yet" + "".join(elsewhere)
    if (reason := _reason(out, graphs, device, library, version)) is not None:
        return reason
    engine = read_sidecar(out / SIDECAR)
    wrong = next((graph for graph in graphs if engine.graphs[graph].profiles != profiles[graph]), None)
    return wrong and f"{wrong} was built for {engine.graphs[wrong].profiles}, the bundle asks for {profiles[wrong]}"


def _reason(folder: Path, graphs: Mapping[str, Path], device: Device, library: str, version: str) -> str | None:
    try:
        engine = read_sidecar(folder / SIDECAR)
    except BundleError as err:
        return str(err)
    if device.gpu is None:  # engines can be built without a GPU, to see whether the graphs compile
        return outdated(engine, folder, graphs, library, version)
    return misfit(engine, folder, graphs, device, library, version)


def _build(
    out: Path,
    graphs: Mapping[str, Path],
    profiles: Mapping[str, list[Profile]],
    device: Device,
    library: tuple[str, str],
    workspace_mb: int,
    progress: Progress,
) -> None:
    kept = out.parent / TIMES
    with locked(out), replacing_folder(out) as part:
        times = part / TIMES
        if kept.is_file():
            shutil.copyfile(kept, times)
        built = {}
        for graph, source in graphs.items():
            gpu = device.gpu.index if device.gpu else 0
            job = Job(source, part / f"{graph}{PLAN}", profiles[graph], workspace_mb, times, gpu)
            built[graph] = compile_in_process(job, f"{out.name} {graph}", progress)
        if times.is_file():
            os.replace(times, kept)
        write_sidecar(part / SIDECAR, engine_of(device, *library, out.name, built))


def build_onnx(
    source: Path,
    out: Path,
    profiles: Sequence[Profile],
    *,
    workspace_mb: int | None = None,
    overwrite: bool = False,
    progress: Progress = unseen,
    gpu: int = 0,
) -> Path:
    """Compile any ONNX graph for this device.

    Args:
        source: the graph.
        out: the plan, with a name that ends in .plan. In the same folder `<name>.engine.json` says where it runs, `<name>.log` holds the
            compiler's warnings, and `<name>.layers.json` the layers.
        profiles: ranges of shapes; each names every input.
        workspace_mb: most memory that TensorRT may use while it tries kernels; None is half of what is free.
        overwrite: replace what exists at `out`.
        progress: called with the phase of the build, the steps that are done, and how many there are.
        gpu: number of the GPU, from 0.

    Returns:
        The sidecar.

    Raises:
        OutputError: `out` has another suffix, exists, or cannot be written.
        ExportError: there is no such graph, it cannot be compiled, or the build died.
        ConfigError: the workspace is no size.
        MissingExtraError: no TensorRT is installed.
        BackendError: the installed one cannot be used here.
    """
    if out.suffix != PLAN:
        raise OutputError(f"{out}: expected a name that ends in {PLAN}; choose such a place with -o")
    sidecar = out.with_suffix(".engine.json")
    for path in (out, sidecar, *(out.with_suffix(suffix) for suffix in (LOG, LAYERS))):
        refuse_existing(path, overwrite=overwrite)
    if not source.is_file():
        raise ExportError(f"{source}: no such file; expected an ONNX graph")
    device = this_device(gpu=gpu)
    library = find_library(gpu=device.gpu is not None)
    name, version = str(library.__name__), str(library.__version__)
    workspace_mb = workspace_of(device, workspace_mb)
    logger.info(f"{source}: building with {name} {version} and {workspace_mb} MiB of workspace")
    with locked(out), replacing(out, durable=True) as part, tempfile.TemporaryDirectory(prefix="wsra-build-") as scratch:
        plan = Path(scratch) / out.name
        built = compile_in_process(Job(source, plan, list(profiles), workspace_mb, None, gpu), out.stem, progress)
        shutil.copyfile(plan, part)
        for suffix in (LOG, LAYERS):
            shutil.copyfile(plan.with_suffix(suffix), out.with_suffix(suffix))
    write_sidecar(sidecar, engine_of(device, name, version, "", {out.stem: built}))
    return sidecar


def workspace_of(device: Device, asked_mb: int | None) -> int:
    """Workspace in MiB: the given one, else half of the free memory, or half of the GPU's memory if that is less.

    Raises:
        ConfigError: the given workspace is below 1.
    """
    if asked_mb is not None:
        if asked_mb < 1:
            raise ConfigError(f"--workspace-mb {asked_mb}: expected 1 or more")
        return asked_mb
    memory_mb = min(device.free_mb, device.gpu.memory_mb) if device.gpu else device.free_mb
    return max(memory_mb // 2, LEAST_WORKSPACE_MB)


def profiles_of(bundle: Bundle, graph: str) -> list[Profile]:
    """The profiles of a bundle's graph. They were checked against its inputs when the manifest was read.

    Raises:
        BundleError: there are none.
    """
    profiles = bundle.manifest.profiles.get(graph)
    if not profiles:
        raise BundleError(f"{bundle.folder}: the manifest has no profiles for {graph}; export the bundle again")
    return [{name: _shapes(shapes) for name, shapes in profile.items()} for profile in profiles]


def _shapes(shapes: Sequence[Sequence[int]]) -> Shapes:
    smallest, usual, largest = (tuple(shape) for shape in shapes)
    return smallest, usual, largest


def profile_from_text(text: str) -> Profile:
    """Read a profile such as "images=1x3x224x224:8x3x224x224:16x3x224x224"; commas separate several inputs.

    Raises:
        ConfigError: the text is not a profile.
    """
    profile: Profile = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\S+)=(\d+(?:x\d+)*):(\d+(?:x\d+)*):(\d+(?:x\d+)*)\s*", part)
        if found is None:
            raise ConfigError(
                f"--profile {text}: {part.strip() or 'nothing'} is not a range of shapes; expected INPUT=SMALLEST:USUAL:LARGEST,"
                " as in images=1x3x224x224:8x3x224x224:16x3x224x224"
            )
        smallest, usual, largest = (tuple(map(int, found[number].split("x"))) for number in (2, 3, 4))
        profile[found[1]] = (smallest, usual, largest)
    return profile
