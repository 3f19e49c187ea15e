"""The sidecar of engines: which graphs, library and GPU they were built with, and whether they can run here. Loads no TensorRT."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from wsra.runtime.device import Device, Gpu
from wsra.runtime.errors import BundleError
from wsra.runtime.files.typed import from_table, read_versioned
from wsra.runtime.files.writing import replacing, sha256_of

FORMAT, VERSION = "wsra.engine", 1
SIDECAR = "engine.json"
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # smallest, usual, largest
Profile = dict[str, Shapes]  # input -> shapes
_SHORT = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}
_DIGITS = 12  # of a digest in messages
PORTABLE_SINCE = (8, 0)  # compute capability; NVIDIA, "CPU-Only AOT and TensorRT-RTX Engines"


@dataclass(frozen=True)
class BuiltGraph:
    """One plan.

    Attributes:
        onnx_sha256: digest of the graph from which it was built.
        plan_sha256: digest of the plan.
        bytes: size of the plan.
        profiles: ranges of shapes that it accepts.
    """

    onnx_sha256: str
    plan_sha256: str
    bytes: int
    profiles: list[Profile]


@dataclass(frozen=True)
class Engine:
    """The plans of one precision and where they run.

    Attributes:
        library: "tensorrt" or "tensorrt_rtx".
        version: version of the library.
        gpu: name of the GPU; "" if they were built without one.
        compute_capability: such as "8.7", or "".
        multiprocessors: number of multiprocessors of the GPU; 0 without one.
        driver: version of the kernel driver, or "" if unknown.
        cuda: newest CUDA version that the driver supported, such as "12.6", or "".
        l4t: release of Jetson Linux, or "".
        precision: precision of the graphs; "" for a graph outside a bundle.
        graphs: name -> plan; `<name>.plan` is in the folder of the sidecar.
        power_mode: power mode of a Jetson, such as "15W", or "".
    """

    library: str
    version: str
    gpu: str
    compute_capability: str
    multiprocessors: int
    driver: str
    cuda: str
    l4t: str
    precision: str
    graphs: dict[str, BuiltGraph]
    power_mode: str = ""

    @property
    def portable(self) -> bool:
        """Whether it was built for every generation of GPUs from Ampere on: by TensorRT-RTX, without a GPU."""
        return self.library == "tensorrt_rtx" and not self.gpu


def engine_of(device: Device, library: str, version: str, precision: str, graphs: dict[str, BuiltGraph]) -> Engine:
    """The sidecar for plans built on this device."""
    gpu = device.gpu
    where = (gpu.name, gpu.compute_capability, gpu.multiprocessors, gpu.driver, gpu.cuda) if gpu else ("", "", 0, "", "")
    return Engine(library, version, *where, device.l4t, precision, graphs, device.power_mode)


def engines_folder(bundle_folder: Path, device: Device, library_name: str, version: str) -> Path:
    """The folder in a bundle for engines of this GPU and library; it has one subfolder for each precision."""
    return bundle_folder / "engines" / f"{device.name if device.gpu else 'nogpu'}-{_SHORT[library_name]}{version}"


def portable_folder(bundle_folder: Path, library_name: str, version: str) -> Path:
    """The folder in a bundle for engines that were built without a GPU."""
    return bundle_folder / "engines" / f"nogpu-{_SHORT[library_name]}{version}"


def usable_folder(bundle_folder: Path, device: Device, library_name: str, version: str, part: str) -> Path:
    """The folder of the engines of a precision, or of the carried detector, for this GPU and library.

    If none is built for this GPU, plans of TensorRT-RTX that were built without one count, because they fit many GPUs.
    """
    own = engines_folder(bundle_folder, device, library_name, version) / part
    portable = portable_folder(bundle_folder, library_name, version) / part
    use_portable = library_name == "tensorrt_rtx" and not (own / SIDECAR).is_file() and (portable / SIDECAR).is_file()
    return portable if use_portable else own


def in_other_modes(bundle_folder: Path, device: Device, library_name: str, version: str) -> list[str]:
    """Engines for this GPU and library with another number of multiprocessors, one line for each folder.

    nvpmodel switches multiprocessors of a Jetson on and off, and TensorRT chooses kernels for the number that it finds.
    """
    gpu = device.gpu
    if gpu is None or not device.l4t:
        return []
    lines = []
    for path in sorted(bundle_folder.glob(f"engines/*/*/{SIDECAR}")):
        try:
            engine = read_sidecar(path)
        except BundleError:
            continue
        built_for = engine.library, engine.version, engine.gpu, engine.compute_capability
        same = built_for == (library_name, version, gpu.name, gpu.compute_capability)
        if same and engine.multiprocessors != gpu.multiprocessors:
            lines.append(f"{path.parent.relative_to(bundle_folder)}: {_mode_change(engine, device)}")
    return lines


def _mode_change(engine: Engine, device: Device) -> str:
    assert device.gpu is not None
    was = f"with {engine.multiprocessors} multiprocessors" + (f" in the power mode {engine.power_mode}" if engine.power_mode else "")
    now = f"{device.gpu.multiprocessors}" + (f" in the power mode {device.power_mode}" if device.power_mode else "")
    return f"built {was}, here are {now}: return to that mode with nvpmodel -m, or run wsra build in this one"


def read_sidecar(path: Path) -> Engine:
    """Read a sidecar.

    Raises:
        BundleError: the file is missing, damaged, of another format or of another version.
    """
    again = "build the engine again with wsra build"
    if not path.is_file():
        raise BundleError(f"{path}: missing, so it is unknown where its plans can run; {again}")
    _, table = read_versioned(path, FORMAT, VERSION, hint=again)
    try:
        return from_table(Engine, table.get("engine"), "engine")
    except ValueError as err:
        raise BundleError(f"{path}: damaged: wsra build does not write this ({err}); {again}") from err


def write_sidecar(path: Path, engine: Engine) -> None:
    """Write a sidecar.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as part:
        part.write_text(json.dumps({"format": FORMAT, "version": VERSION, "engine": asdict(engine)}, indent=1) + "\n", encoding="utf-8")


def misfit(engine: Engine, folder: Path, onnx: Mapping[str, Path], device: Device, library: str, version: str) -> str | None:
    """Why engines cannot run here. Cheap checks come first.

    Args:
        engine: the sidecar.
        folder: folder of its plans.
        onnx: name -> path of every graph that is needed.
        device: this machine.
        library: "tensorrt" or "tensorrt_rtx".
        version: version of the library that is installed here.

    Returns:
        One line with what was built and what is here, or None if the engines fit.
    """
    return _other_gpu(engine, device) or outdated(engine, folder, onnx, library, version)


def outdated(engine: Engine, folder: Path, onnx: Mapping[str, Path], library: str, version: str) -> str | None:
    """Like `misfit`, but checks only the library, the graphs and the plans, not the GPU."""
    if (engine.library, engine.version) != (library, version):
        return f"built with {engine.library} {engine.version}, here is {library} {version}"
    return _other_sizes(engine, folder, onnx) or _other_digests(engine, folder, onnx)


def remarks(engine: Engine, device: Device) -> list[str]:
    """Changes since the build that do not prevent the engines from running, one line each."""
    gpu = device.gpu
    if gpu is None:
        return []
    pairs = (("driver", engine.driver, gpu.driver), ("a driver for CUDA", engine.cuda, gpu.cuda))
    return [f"built with {name} {was}, here is {name} {now}" for name, was, now in pairs if was and now and was != now]


def _other_gpu(engine: Engine, device: Device) -> str | None:
    gpu = device.gpu
    if gpu is None:
        return f"built for {engine.gpu or 'no GPU'}, there is no GPU here"
    if engine.portable:
        return _not_portable_to(gpu)
    if not engine.gpu:
        return f"built on a machine without a GPU, here is {gpu.name}"
    same_chip = (engine.gpu, engine.compute_capability) == (gpu.name, gpu.compute_capability)
    if same_chip and engine.multiprocessors != gpu.multiprocessors and device.l4t:
        return _mode_change(engine, device)
    built = _gpu_description(engine.gpu, engine.compute_capability, engine.multiprocessors)
    here = _gpu_description(gpu.name, gpu.compute_capability, gpu.multiprocessors)
    if built != here:
        return f"built for {built}, this GPU is {here}"
    # A container may hide the release; it cannot be compared then.
    if engine.l4t and device.l4t and engine.l4t != device.l4t:
        return f"built on L4T {engine.l4t}, here is L4T {device.l4t}"
    return None


def _not_portable_to(gpu: Gpu) -> str | None:
    """Why plans for every GPU from Ampere on do not run on this one."""
    if tuple(map(int, gpu.compute_capability.split("."))) < PORTABLE_SINCE:
        return f"built for GPUs of compute capability 8.0 and later, this GPU is {gpu.name} with {gpu.compute_capability}"
    if platform.machine() != "x86_64":
        return f"built on x86-64, this machine is {platform.machine()}"
    return None


def _gpu_description(name: str, compute_capability: str, multiprocessors: int) -> str:
    return f"{name} sm{compute_capability.replace('.', '')} with {multiprocessors} multiprocessors"


def _other_sizes(engine: Engine, folder: Path, onnx: Mapping[str, Path]) -> str | None:
    for name in onnx:
        plan = folder / f"{name}.plan"
        if name not in engine.graphs:
            return f"{SIDECAR} lists {', '.join(engine.graphs) or 'no graph'}, {name} is needed"
        if not plan.is_file():
            return f"{plan.name} is missing, {engine.graphs[name].bytes} bytes are expected"
        if plan.stat().st_size != engine.graphs[name].bytes:
            return f"{plan.name} is truncated or changed: {plan.stat().st_size} bytes, {engine.graphs[name].bytes} are expected"
    return None


def _other_digests(engine: Engine, folder: Path, onnx: Mapping[str, Path]) -> str | None:
    for name, path in onnx.items():
        built, here = engine.graphs[name].onnx_sha256, sha256_of(path)
        if built != here:
            return f"{name} was built from a graph with sha256 {built[:_DIGITS]}, {path.name} here has {here[:_DIGITS]}"
    for name in onnx:
        built, here = engine.graphs[name].plan_sha256, sha256_of(folder / f"{name}.plan")
        if built != here:
            return f"{name}.plan changed: sha256 {here[:_DIGITS]}, {built[:_DIGITS]} is expected"
    return None
