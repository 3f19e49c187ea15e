"""doctor on made-up machines: a fake root, made-up versions, libraries that break when they are loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from wsra.runtime.backends.libraries import PROVIDERS, find_libraries
from wsra.runtime.device import Device, Gpu, this_device
from wsra.runtime.doctor import checks as checks_module
from wsra.runtime.doctor import decoders
from wsra.runtime.doctor.accelerators import gpu_checks, runtime_checks, tensorrt_checks
from wsra.runtime.doctor.checks import Check, clash_checks, disk_check, library_checks, memory_check, python_check
from wsra.runtime.doctor.cuda import cuda_check
from wsra.runtime.doctor.doctor import can_ground, doctor_json, doctor_table, examine
from wsra.runtime.doctor.jetson import ONNXRUNTIME_FIX, groups_check, jetpack_of, jetson_checks, power_check
from wsra.runtime.errors import BundleError
from wsra.runtime.terminal.display import stdout_console

pytestmark = pytest.mark.device

ORIN = Gpu("Orin", "8.7", 7620, "", "12.6", 8)
RTX = Gpu("NVIDIA RTX A2000", "8.6", 5937, "550.54.15", "12.4", 26)
PC = Device("a processor", 2, 16000, 8000, None, "", "")


def only(checks: list[Check], name: str) -> Check:
    found = [check for check in checks if check.name == name]
    assert len(found) == 1, [check.name for check in checks]
    return found[0]


def jetson_root(folder: Path, *, release: str, lsmod: bool = True) -> Path:
    """The files that a Jetson has."""
    major, _, revision = release.partition(".")
    files = {
        "etc/nv_tegra_release": f"# R{major} (release), REVISION: {revision}, GCID: 1, BOARD: generic, EABI: aarch64\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "proc/meminfo": "MemTotal:        7802796 kB\nMemFree:          200000 kB\nMemAvailable:    1536000 kB\n",
        "proc/cpuinfo": "model name\t: ARMv8 Processor rev 1 (v8l)\n",
    }
    if lsmod:
        files["usr/sbin/lsmod"] = ""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder: no ./bundle."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that some distributions have these versions; "" is not installed. The others stay as they are."""
    real = metadata.version

    def pretend(**versions: str) -> None:
        pretended = {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name: str) -> str:
            if pretended.get(name) == "":
                raise metadata.PackageNotFoundError(name)
            return pretended.get(name) or real(name)

        monkeypatch.setattr(metadata, "version", version)

    return pretend


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Put a module of this source first on the path."""
    made: list[str] = []

    def make(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / "libraries" / name).mkdir(parents=True)
        (tmp_path / "libraries" / name / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "libraries")
        made.append(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def no_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_a_gpu_ground_can_run(somewhere: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.doctor.doctor.this_device", lambda root, *, gpu: replace(this_device(root), gpu=None))
    checks = examine(bundle_folder)
    assert can_ground(checks)
    assert only(checks, "GPU").state == "note" and only(checks, "GPU").fix == ""
    assert only(checks, "provider cpu") == Check("provider cpu", "ok", "starts")
    assert only(checks, "bundle").state == "ok" and "fp32, fp16, int8 passed" in only(checks, "bundle").found
    assert only(checks, "decoder h264").state == "ok"
    assert all(check.fix for check in checks if check.state in ("trouble", "fatal"))


def test_doctor_loads_no_torch_and_no_onnx(bundle_folder: Path) -> None:
    code = (
        f"import sys; from pathlib import Path; from wsra.runtime.doctor.doctor import examine; examine(Path({str(bundle_folder)!r}));"
        " print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"  # nothing but this is on stdout, too: --json needs that
    assert "Svt" not in run.stderr and "x265" not in run.stderr


def test_no_onnxruntime_and_no_tensorrt_is_fatal(somewhere: Path, no_tensorrt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    checks = examine(None)
    assert not can_ground(checks)
    assert only(checks, "ONNX Runtime").state == "fatal" and "wsra[cpu]" in only(checks, "ONNX Runtime").fix
    assert [check.name for check in checks if check.state == "fatal"] == ["ONNX Runtime"]


def test_tensorrt_without_a_gpu_replaces_no_onnxruntime(
    somewhere: Path, library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsra.runtime.doctor.doctor.this_device", lambda root, *, gpu: PC)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    library("tensorrt", "__version__ = '10.13.2'")
    checks = examine(None)
    assert only(checks, "tensorrt").state == "ok" and not can_ground(checks)


def test_no_onnxruntime_is_not_fatal_where_engines_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check = only(runtime_checks(replace(PC, gpu=RTX), engines_run=True), "ONNX Runtime")
    assert check.state == "trouble" and "only engines can run" in check.found


def test_what_is_left_of_two_onnxruntimes_is_told(library: Callable[[str, str], None]) -> None:
    library("onnxruntime", "")
    check = only(runtime_checks(PC, engines_run=False), "ONNX Runtime")
    assert check.state == "fatal" and "does not load" in check.found
    assert check.fix == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'wsra[cpu]'"


def test_both_onnxruntimes_clash(installed: Callable[..., None]) -> None:
    installed(onnxruntime="1.23.2", onnxruntime_gpu="1.22.0")
    check = only(clash_checks(gpu=True), "clash onnxruntime")
    assert check.state == "trouble" and "onnxruntime 1.23.2 and onnxruntime-gpu 1.22.0" in check.found
    assert check.fix == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    assert only(clash_checks(gpu=False), "clash onnxruntime").fix.endswith("pip install onnxruntime")


def test_one_onnxruntime_does_not_clash(installed: Callable[..., None]) -> None:
    installed(onnxruntime="1.23.2", onnxruntime_gpu="", opencv_python="", opencv_contrib_python="", opencv_contrib_python_headless="")
    assert clash_checks(gpu=True) == []


PROVIDER_CASES = {
    "starts": (RTX, "cuda", None, "1.26.0", "ok", ""),
    "no GPU": (None, "cuda", "no CUDA-capable device", "1.26.0", "note", ""),
    "libraries missing": (RTX, "cuda", "libcudnn.so.9: not found", "1.26.0", "trouble", "onnxruntime-gpu[cuda,cudnn]"),
    "CUDA 13 build, CUDA 12 driver": (RTX, "cuda", "libcublasLt.so.13: not found", "1.27.0", "trouble", "onnxruntime-gpu<1.27"),
    "CUDA 13 build and driver": (replace(RTX, cuda="13.0"), "cuda", "libcudnn.so.9: not found", "1.27.0", "trouble", "[cuda,cudnn]"),
    "TensorRT's is not needed": (RTX, "tensorrt", "libnvinfer.so.10: not found", "1.26.0", "note", "wsra build"),
    "CPU's is": (None, "cpu", "out of memory", "1.26.0", "fatal", "onnxruntime"),
}


@pytest.mark.parametrize("case", PROVIDER_CASES)
def test_a_provider_counts_when_it_starts(case: str, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, kind, failure, version, state, fix = PROVIDER_CASES[case]
    installed(onnxruntime_gpu=version)
    monkeypatch.setattr("onnxruntime.__version__", version)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(PROVIDERS.values()))
    monkeypatch.setattr("wsra.runtime.backends.ort.start_failure", lambda asked, *, gpu: failure if asked == kind else None)
    checks = runtime_checks(replace(PC, gpu=gpu), engines_run=False)
    check = only(checks, f"provider {kind}")
    assert check.state == state and (fix in check.fix if fix else check.fix == "")
    assert failure is None or failure in check.found
    assert {only(checks, f"provider {other}").state for other in PROVIDERS if other != kind} == {"ok"}


@pytest.mark.parametrize(("machine", "fix"), [("x86_64", "wsra[gpu]"), ("aarch64", "wsra build")])
def test_a_gpu_without_the_cuda_provider(machine: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr("wsra.runtime.backends.ort.start_failure", lambda _, *, gpu: None)
    check = only(runtime_checks(replace(PC, gpu=ORIN), engines_run=False), "provider cuda")
    assert check.state == "note" and fix in check.fix


def test_a_tensorrt_that_does_not_load_is_told(library: Callable[[str, str], None]) -> None:
    library("tensorrt", "raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    (found,) = [one for one in find_libraries() if one.name == "tensorrt"]
    assert not found.new_enough
    check = only(tensorrt_checks([found], replace(PC, gpu=RTX)), "tensorrt")
    assert check.state == "trouble" and "libnvinfer.so.10" in check.found and "wsra[trt]" in check.fix


@pytest.mark.parametrize(("version", "state"), [("8.6.2", "trouble"), ("10.2.9", "trouble"), ("10.3.0.30", "ok"), ("11.4.1", "ok")])
def test_tensorrt_is_10_3_or_newer(version: str, state: str, library: Callable[[str, str], None]) -> None:
    library("tensorrt", f"__version__ = {version!r}")
    (found,) = [one for one in find_libraries() if one.name == "tensorrt"]
    assert only(tensorrt_checks([found], replace(PC, gpu=RTX)), "tensorrt").state == state
    assert found.new_enough == (state == "ok")


def test_jetpack_6_on_a_fake_root(somewhere: Path, no_tensorrt: None) -> None:
    checks = examine(None, root=jetson_root(somewhere, release="36.4.3"))
    assert only(checks, "JetPack") == Check("JetPack", "ok", "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3 = JetPack 6.2")
    assert only(checks, "lsmod").state == "ok"
    assert only(checks, "memory").state == "note" and "the GPU shares it" in only(checks, "memory").found
    assert "--system-site-packages" in only(checks, "TensorRT").fix
    assert can_ground(checks)


def test_the_power_mode_and_the_clocks_are_named(tmp_path: Path) -> None:
    device = replace(PC, gpu=ORIN, l4t="36.4.3", power_mode="15W")
    assert power_check(replace(device, power_mode=""), tmp_path).found.startswith("nvpmodel unknown")
    clocks = tmp_path / "sys/class/devfreq/17000000.gpu"
    clocks.mkdir(parents=True)
    for low, state, expected in (("306000000", "note", "jetson_clocks is off"), ("918000000", "ok", "jetson_clocks is on")):
        (clocks / "min_freq").write_text(f"{low}\n")
        (clocks / "max_freq").write_text("918000000\n")
        check = power_check(device, tmp_path)
        assert check.state == state and check.found == f"nvpmodel 15W, 8 multiprocessors; {expected}"
    assert "wsra build" in power_check(replace(device, power_mode=""), tmp_path).fix


def test_the_groups_of_the_device_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\nvideo:x:44:ubuntu\nrender:x:109:\n")
    check = groups_check(tmp_path, {44, 1000}, 1000)
    assert check.state == "trouble" and "not in render" in check.found and "usermod -aG render $USER" in check.fix
    assert groups_check(tmp_path, {44, 109}, 1000).state == groups_check(tmp_path, set(), 0).state == "ok"


CUDAS = {
    "all of 12": ("12.6", {"tensorrt-cu12": "10.3"}, "1.26.0", False, "ok", ""),
    "TensorRT for 13": ("12.6", {"tensorrt-cu13": "11.4"}, "", False, "trouble", "tensorrt-cu12>=10.3"),
    "RTX for 13": ("12.8", {"tensorrt_rtx_cu13": "1.7"}, "", False, "trouble", "pip install tensorrt-rtx-cu12"),
    "ONNX Runtime for 13": ("12.6", {}, "1.27.0", False, "trouble", "onnxruntime-gpu<1.27"),
    "a newer driver": ("13.0", {"tensorrt-cu12": "10.3"}, "1.28.0", False, "ok", ""),
    "JetPack 6 has its own build": ("12.6", {}, "1.27.0", True, "ok", ""),
}


@pytest.mark.parametrize("case", CUDAS)
def test_the_cuda_of_driver_and_libraries(case: str, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    driver, packages, onnxruntime, jetson, state, fix = CUDAS[case]
    monkeypatch.setattr(metadata, "distributions", lambda: [SimpleNamespace(metadata={"Name": name}) for name in packages])
    installed(onnxruntime_gpu=onnxruntime)
    (check,) = cuda_check(replace(PC, gpu=replace(RTX, cuda=driver), l4t="36.4.3" if jetson else ""))
    assert check.state == state and f"the driver serves CUDA {driver}" in check.found and (fix in check.fix if fix else check.fix == "")


def test_no_gpu_no_cuda() -> None:
    assert cuda_check(PC) == []


def test_the_remedy_for_two_onnxruntimes_works_on_jetpack_6(installed: Callable[..., None]) -> None:
    installed(onnxruntime="1.23.2", onnxruntime_gpu="1.23.0")
    fix = only(clash_checks(gpu=True, install=ONNXRUNTIME_FIX), "clash onnxruntime").fix
    assert fix.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'numpy>=1.26,<2' && pip install onnxruntime-gpu")
    assert fix.endswith("--index-url https://pypi.jetson-ai-lab.io/jp6/cu126")


def test_jetpack_5_is_not_supported(somewhere: Path) -> None:
    checks = examine(None, root=jetson_root(somewhere, release="35.4.1", lsmod=False))
    check = only(checks, "JetPack")
    assert check.state == "trouble" and "JetPack 5: not supported" in check.found and "8.5" in check.found and "6.1" in check.fix
    assert only(checks, "lsmod").state == "note" and "kmod" in only(checks, "lsmod").fix
    assert can_ground(checks)


def test_a_pc_has_no_jetson_checks(tmp_path: Path) -> None:
    assert jetson_checks(PC, tmp_path) == []


def test_a_jetson_that_hides_its_release(tmp_path: Path) -> None:
    check = only(jetson_checks(replace(PC, board="NVIDIA Jetson AGX Orin"), tmp_path), "JetPack")
    assert check.state == "note" and "-v /etc/nv_tegra_release" in check.fix


JETPACKS = {
    "35.3.1": "5", "36.2.0": "6.0", "36.3.0": "6.0", "36.4.0": "6.1", "36.4.4": "6.2.1", "36.4.9": "6.1 or newer", "36.5.0": "6.2.2",
    "36.9": "6", "38.2.1": "7.0", "38.4.0": "7.1", "39.2.0": "7.2", "39.2.1": "7.2.1", "99.1": "", "": "",
}  # fmt: skip
JETPACK_STATES = {"32.7.1": "trouble", "36.3.0": "trouble", "36.4.0": "ok", "39.2.1": "ok", "99.1": "note"}


@pytest.mark.parametrize(("l4t", "jetpack"), JETPACKS.items())
def test_jetpack_of_a_release(l4t: str, jetpack: str) -> None:
    assert jetpack_of(l4t) == jetpack


@pytest.mark.parametrize(("l4t", "state"), JETPACK_STATES.items())
def test_jetpack_is_6_1_or_newer(l4t: str, state: str, tmp_path: Path) -> None:
    check = only(jetson_checks(replace(PC, l4t=l4t), tmp_path), "JetPack")
    assert check.state == state and bool(check.fix) == (state != "ok")


def test_a_driver_without_a_working_gpu(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (somewhere / "proc/driver/nvidia").mkdir(parents=True)
    (somewhere / "proc/driver/nvidia/version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\n")
    monkeypatch.setattr("wsra.runtime.device.find_gpu", lambda root, *, index: None)
    check = only(examine(None, root=somewhere), "GPU")
    assert check.state == "trouble" and "--gpus all" in check.fix


def test_every_gpu_is_listed_and_the_chosen_one_is_checked(tmp_path: Path, somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(RTX, name="NVIDIA T400", compute_capability="7.5", memory_mb=1877, index=1)
    asked: list[int] = []
    monkeypatch.setattr("wsra.runtime.backends.ort.start_failure", lambda kind, *, gpu: asked.append(gpu))
    monkeypatch.setattr("wsra.runtime.doctor.doctor.this_device", lambda root, *, gpu: replace(PC, gpu=(RTX, small)[gpu]))
    monkeypatch.setattr("wsra.runtime.doctor.doctor.find_gpus", lambda root: [RTX, small])
    checks = examine(None)
    assert only(checks, "GPU").found == "number 0: NVIDIA RTX A2000, compute capability 8.6, 5937 MiB, driver 550.54.15, CUDA 12.4"
    found = "NVIDIA T400, compute capability 7.5, 1877 MiB"
    assert only(checks, "GPU 1") == Check("GPU 1", "note", found, "to check or use this one: --device 1")
    assert set(asked) == {0}
    asked.clear()
    checks = examine(None, gpu=1)
    assert only(checks, "GPU").found.startswith("number 1: NVIDIA T400") and only(checks, "GPU 0").found.startswith("NVIDIA RTX A2000")
    assert set(asked) == {1}
    (alone,) = gpu_checks(replace(PC, gpu=RTX), [RTX], tmp_path)
    assert alone.found.startswith("NVIDIA RTX A2000")


@pytest.mark.parametrize(("version", "state"), [((3, 9), "trouble"), ((3, 10), "ok"), ((3, 13), "ok"), ((3, 14), "trouble")])
def test_python(version: tuple[int, int], state: str) -> None:
    assert python_check(version).state == state


def test_old_and_missing_libraries_name_what_to_install(installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1.26", "rich>=13", 'torch>=2.8; extra == "train"', 'tomli>=2; python_version < "3.9" and extra == "train"']
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    installed(wsra="0.1.0", numpy="1.24.4", rich="13.0", torch="")
    checks = library_checks()
    assert only(checks, "base libraries") == Check(
        "base libraries", "trouble", "numpy 1.24.4 (older than 1.26), rich 13.0", "pip install 'numpy>=1.26'"
    )
    assert only(checks, "extra train") == Check("extra train", "note", "torch missing", "only for wsra train: pip install 'wsra[train]'")
    installed(wsra="0.1.0", numpy="", rich="13.0", torch="2.9.0")
    assert only(library_checks(), "base libraries").state == "fatal"
    assert only(library_checks(), "extra train").state == "ok"


def test_a_missing_and_a_broken_opencv(library: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(library_checks(), "extra video").state == "ok"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        check = only(library_checks(), "extra video")
        assert check.state == "trouble" and "cv2 missing" in check.found and check.fix.endswith("pip install 'wsra[video]'")
    library("cv2", "raise RuntimeError('module compiled against another NumPy')")
    check = only(library_checks(), "extra video")
    assert check.state == "trouble" and "another NumPy" in check.found and "--force-reinstall" in check.fix


def test_a_missing_av_does_not_stop_ground(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    checks = examine(None)
    assert only(checks, "decoders").state == "trouble" and "wsra[video]" in only(checks, "decoders").fix
    assert can_ground(checks)


def test_a_decoder_is_judged_by_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def h264() -> Check:
        return only(decoders.decoder_checks(), "decoder h264")

    assert h264() == Check("decoder h264", "ok", "h264 decoded a frame of libx264")
    with monkeypatch.context() as patch:
        patch.setitem(decoders.ENCODERS, "h264", ("no-such-encoder",))
        assert h264().state == "note" and "untested" in h264().found
    with monkeypatch.context() as patch:
        patch.setattr(decoders, "_encode", lambda codec, encoder: b"no video")
        assert h264().state == "trouble" and "returns no frame" in h264().found
        assert only(decoders.decoder_checks(), "decoder vp9").state == "note"
    grey_90 = decoders._encode("h264", "libx264", 90)
    monkeypatch.setattr(decoders, "_encode", lambda codec, encoder: grey_90)
    assert h264().state == "trouble" and "wrong frame: grey" in h264().found


@pytest.mark.parametrize(("free_mb", "state"), [(1023, "trouble"), (1024, "ok")])
def test_disk(free_mb: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(tmp_path))(1 << 40, 0, free_mb << 20)
    monkeypatch.setattr(checks_module.shutil, "disk_usage", lambda _: usage)
    assert disk_check(tmp_path).state == state


def test_memory() -> None:
    assert memory_check(replace(PC, free_mb=2048), jetson=True).state == "ok"
    low = memory_check(replace(PC, free_mb=2047), jetson=False)
    assert low.state == "note" and low.fix and "shares" not in low.found


def test_bundles_that_do_not_open(somewhere: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(examine(None), "bundle").state == "note"
    missing = examine(somewhere / "nowhere")
    assert not can_ground(missing) and "no bundle there" in only(missing, "bundle").found
    monkeypatch.setenv("WSRA_BUNDLE", str(somewhere / "nowhere"))
    assert not can_ground(examine(None))
    monkeypatch.delenv("WSRA_BUNDLE")
    shutil.copytree(bundle_folder, somewhere / "bundle")
    assert only(examine(None), "bundle").state == "ok"
    (somewhere / "bundle" / "fp32" / "keys.onnx").write_bytes(b"changed")
    by_itself = examine(None)
    assert only(by_itself, "bundle").state == "trouble" and can_ground(by_itself)
    asked = only(examine(Path("bundle")), "bundle")
    assert asked.state == "fatal" and "keys.onnx changed" in asked.found and asked.fix


def test_a_precision_that_failed_its_gate(somewhere: Path, bundle_folder: Path) -> None:
    from wsra.runtime.formats.bundle import open_bundle, write_manifest

    copy = shutil.copytree(bundle_folder, somewhere / "copy")
    manifest = open_bundle(copy).manifest
    gate = {"passed": False, "reason": "2 of 8 first answers moved"}
    write_manifest(copy, replace(manifest, precisions={**manifest.precisions, "fp16": gate}))
    check = only(examine(copy), "bundle")
    assert (
        check.state == "note"
        and "fp32, int8 passed; fp16 failed its gate (2 of 8 first answers moved)" in check.found
        and "fp16" in check.fix
    )
    write_manifest(copy, replace(manifest, precisions={"fp16": gate}))
    assert not can_ground(examine(copy))


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch, library: Callable[[str, str], None], no_tensorrt: None) -> None:
    """A PC with a GPU and TensorRT 10.13."""
    monkeypatch.setattr("wsra.runtime.doctor.doctor.this_device", lambda root, *, gpu: replace(PC, gpu=RTX))
    library("tensorrt", "__version__ = '10.13.2'")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is wrong with an engine, by the name of its folder; the others fit."""
    reasons: dict[str, str] = {}

    def misfit(engine: str, folder: Path, onnx: dict[str, Path], device: Device, library: str, version: str) -> str | None:
        assert engine == f"read {folder.name}" and device.gpu == RTX and (library, version) == ("tensorrt", "10.13.2")
        assert sorted(onnx) == ["keys", "scorer", "text"] and {path.parent.name for path in onnx.values()} == {folder.name}
        return reasons.get(folder.parent.name)

    def read_sidecar(path: Path) -> str:
        if reasons.get(path.parent.parent.name) == "damaged":
            raise BundleError("engine.json: damaged")
        return f"read {path.parent.name}"

    stand_in = cast("ModuleType", SimpleNamespace(SIDECAR="engine.json", read_sidecar=read_sidecar, misfit=misfit))
    monkeypatch.setitem(sys.modules, "wsra.runtime.backends.engines", stand_in)
    return reasons


def with_engines(bundle: Path, *names: str) -> Path:
    for name in names:
        (bundle / "engines" / name).mkdir(parents=True)
        (bundle / "engines" / name / "engine.json").write_text("{}")
    return bundle


def test_engines_that_do_not_fit(somewhere: Path, bundle_folder: Path, on_a_gpu: None, judged: dict[str, str]) -> None:
    bundle = with_engines(shutil.copytree(bundle_folder, somewhere / "bundle"), "here/fp32", "other/fp32", "other/fp16")
    judged["other"] = "built for compute capability 8.7; this GPU has 8.6"
    checks = examine(bundle)
    assert only(checks, "engine here/fp32").state == "ok"
    beside = only(checks, "engine other/fp32")  # another one fits, so nothing is to be done
    assert (beside.state, beside.found, beside.fix) == ("note", judged["other"], "")
    alone = only(checks, "engine other/fp16")
    assert (alone.state, alone.found, alone.fix) == ("trouble", judged["other"], f"wsra build {bundle} --precision fp16")
    judged["other"] = "damaged"
    assert only(examine(bundle), "engine other/fp16").found == "engine.json: damaged"


def test_without_onnxruntime_an_engine_must_fit(
    somewhere: Path, bundle_folder: Path, on_a_gpu: None, judged: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    bundle = shutil.copytree(bundle_folder, somewhere / "bundle")
    none_built = examine(bundle)
    assert not can_ground(none_built) and only(none_built, "engines").fix == f"wsra build {bundle}"
    with_engines(bundle, "here/fp32")
    assert can_ground(examine(bundle))
    judged["here"] = "built from another graph"
    assert not can_ground(examine(bundle))


def test_engines_without_a_gpu_are_no_trouble(somewhere: Path, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsra.runtime.doctor.doctor.this_device", lambda root, *, gpu: PC)
    bundle = with_engines(shutil.copytree(bundle_folder, somewhere / "bundle"), "other/fp32")
    checks = examine(bundle)
    assert only(checks, "engine other/fp32") == Check("engine other/fp32", "note", "there is no GPU to run it")
    assert can_ground(checks)


def test_json_and_table_tell_every_check() -> None:
    checks = [Check("GPU", "ok", "an [odd] name"), Check("ONNX Runtime", "fatal", "not installed", "pip install 'wsra[cpu]'")]
    report = json.loads(json.dumps(doctor_json(checks)))
    assert report == {
        "can_ground": False,
        "checks": [
            {"name": "GPU", "state": "ok", "found": "an [odd] name", "fix": ""},
            {"name": "ONNX Runtime", "state": "fatal", "found": "not installed", "fix": "pip install 'wsra[cpu]'"},
        ],
    }
    console = stdout_console()
    with console.capture() as capture:
        console.print(doctor_table(checks))
    text = capture.get()
    assert "an [odd] name" in text and "→ pip install 'wsra[cpu]'" in text and "cannot run here" in text
