"""Engines of whole bundles, built for real by TensorRT-RTX in child processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from graphs import one_node, product, small_bundle
from wsra.export.tensorrt import build, compile_process
from wsra.export.tensorrt.build import build_bundle, build_onnx, profile_from_text, profiles_of, workspace_of
from wsra.runtime.backends.engines import SIDECAR, misfit, outdated, read_sidecar
from wsra.runtime.device import Device, Gpu, this_device
from wsra.runtime.errors import BackendError, BundleError, ConfigError, ExportError, OutputError
from wsra.runtime.formats.bundle import GRAPHS, Manifest, open_bundle, read_manifest, write_manifest
from wsra.runtime.progress import Progress

pytestmark = pytest.mark.trt
trt: Any = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")

A2000 = Gpu("NVIDIA RTX A2000", "8.6", 5937, "550.54.15", "12.4", 26)
PROFILE = profile_from_text("x=1x4:2x4:8x4")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and its children take this machine for one without a GPU."""
    monkeypatch.setattr(build, "this_device", lambda *, gpu: replace(this_device(), gpu=None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest, and seal it again."""
    table = dict(vars(read_manifest(folder)))
    edit(table)
    write_manifest(folder, Manifest(**table))


def test_a_bundle_is_built_once_and_kept(bundle: Path, logged: pytest.LogCaptureFixture) -> None:
    folders = build_bundle(bundle, None)
    place = bundle / "engines" / f"nogpu-rtx{trt.__version__}"
    assert folders == [place / "fp32", place / "fp16"]
    assert [line.split(":")[0] for line in logged.messages] == ["fp32", "fp16"] and all(
        "building with tensorrt_rtx" in line for line in logged.messages
    )
    manifest = read_manifest(bundle)
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            ["engine.json", *(f"{graph}{end}" for graph in ("keys", "scorer", "text") for end in (".layers.json", ".log", ".plan"))]
        )
        engine, graphs = read_sidecar(folder / SIDECAR), {name: bundle / folder.name / f"{name}.onnx" for name in GRAPHS}
        assert (engine.library, engine.version, engine.gpu, engine.precision) == ("tensorrt_rtx", trt.__version__, "", folder.name)
        assert outdated(engine, folder, graphs, "tensorrt_rtx", trt.__version__) is None
        there = replace(this_device(), gpu=A2000)
        assert misfit(engine, folder, graphs, there, "tensorrt_rtx", trt.__version__) is None  # it is portable from Ampere on
        turing = replace(there, gpu=replace(A2000, compute_capability="7.5"))
        assert "compute capability 8.0 and later" in (misfit(engine, folder, graphs, turing, "tensorrt_rtx", trt.__version__) or "")
        assert len(engine.graphs["keys"].profiles) == len(manifest.profiles["keys"]) == 2
        assert engine.graphs["text"].profiles[0]["input_ids"] == ((1, 1), (1, 8), (4, 32))
    open_bundle(bundle)
    assert not hidden(bundle)
    times = [path.stat().st_mtime_ns for path in place.rglob("*.plan")]
    logged.clear()
    assert build_bundle(bundle, ["fp16"], rebuild="never") == [place / "fp16"]
    assert "kept" in logged.messages[0] and times == [path.stat().st_mtime_ns for path in place.rglob("*.plan")]


def test_what_does_not_fit_is_built_again_or_refused(bundle: Path, logged: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BundleError, match="none is built here yet; run wsra build"):
        build_bundle(bundle, ["fp32"], rebuild="never")
    (folder,) = build_bundle(bundle, ["fp32"])
    (folder / "keys.plan").write_bytes(b"cut")
    with pytest.raises(BundleError, match=r"keys.plan is truncated or changed: 3 bytes, \d+ are expected"):
        build_bundle(bundle, ["fp32"], rebuild="never")
    logged.clear()
    build_bundle(bundle, ["fp32"])
    assert "keys.plan is truncated or changed" in logged.messages[0] and (folder / "keys.plan").stat().st_size > 1000
    change(bundle, lambda table: table["profiles"]["keys"].pop())
    with pytest.raises(BundleError, match="keys was built for .* the bundle asks for"):
        build_bundle(bundle, ["fp32"], rebuild="never")
    (folder / "engine.json").write_text("{")
    with pytest.raises(BundleError, match="damaged"):
        build_bundle(bundle, ["fp32"], rebuild="never")
    folder.parent.rename(folder.parent.with_name("orin-sm87-trt10.3.0"))
    with pytest.raises(BundleError, match=r"none is built here yet; orin-sm87-trt10.3.0: .*damaged"):
        build_bundle(bundle, ["fp32"], rebuild="never")


def test_precisions_that_are_missing_or_failed(bundle: Path) -> None:
    with pytest.raises(BundleError, match="int8 failed its gate"):
        build_bundle(bundle, ["fp32", "int8"])
    with pytest.raises(BundleError, match="no precision fp4"):
        build_bundle(bundle, ["fp4"])
    assert not (bundle / "engines").exists()
    change(bundle, lambda table: table.update(precisions={"int8": {"passed": False, "reason": "made up"}}))
    with pytest.raises(BundleError, match="no precision passed its gate"):
        build_bundle(bundle, None)


def longer(table: dict[str, Any]) -> None:
    table["profiles"]["text"][0]["attention_mask"][2][1] = 33


def wider(table: dict[str, Any]) -> None:
    for shape in table["profiles"]["scorer"][1]["keys"]:
        shape[1] = 7


def fewer_shapes(table: dict[str, Any]) -> None:
    table["profiles"]["keys"][0]["features"].pop()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda table: table["profiles"].pop("keys"), "no profiles for keys"),
        (longer, "a profile of text does not fit (attention_mask is [[1, 1], [1, 8], [4, 33]]; the encoder accepts 32 tokens)"),
        (wider, "a profile of scorer does not fit (keys is [[16, 7], [64, 7], [64, 7]]; expected smallest, usual and largest, in order"),
        (fewer_shapes, "a profile of keys does not fit"),
    ],
)
def test_profiles_that_the_model_does_not_take(bundle: Path, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    change(bundle, edit)
    with pytest.raises(BundleError) as error:
        [profiles_of(open_bundle(bundle), graph) for graph in GRAPHS]
    assert message in str(error.value) and "export the bundle again" in str(error.value)


def test_full_tensorrt_needs_a_gpu(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = ModuleType("tensorrt")
    full.__spec__, full.__version__ = ModuleSpec("tensorrt", None), "10.13.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", full)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendError, match="tensorrt needs a GPU, and none starts here"):
        build_bundle(bundle, None)


def test_workspace() -> None:
    pc = Device("a processor", 8, 32000, 16000, None, "", "")
    assert workspace_of(pc, None) == 8000
    assert workspace_of(replace(pc, gpu=A2000), None) == 2968
    assert workspace_of(replace(pc, free_mb=100), None) == 64
    assert workspace_of(pc, 5) == 5
    with pytest.raises(ConfigError, match="--workspace-mb 0"):
        workspace_of(pc, 0)


def test_any_graph(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    source, out = product(tmp_path / "in" / "backbone.onnx"), tmp_path / "out" / "b.plan"
    sidecar = build_onnx(source, out, [PROFILE], workspace_mb=64)
    assert sidecar == tmp_path / "out" / "b.engine.json" and "64 MiB" in logged.messages[0]
    engine = read_sidecar(sidecar)
    assert engine.graphs["b"].profiles == [PROFILE] and engine.precision == ""
    assert outdated(engine, out.parent, {"b": source}, "tensorrt_rtx", trt.__version__) is None
    assert sorted(path.name for path in out.parent.iterdir()) == ["b.engine.json", "b.layers.json", "b.log", "b.plan"]
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        build_onnx(source, out, [PROFILE])
    build_onnx(product(tmp_path / "in" / "backbone.onnx", seed=1), out, [PROFILE], overwrite=True)
    assert read_sidecar(sidecar).graphs["b"].plan_sha256 != engine.graphs["b"].plan_sha256


def test_graphs_and_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends in \.plan"):
        build_onnx(product(tmp_path / "a.onnx"), tmp_path / "a.engine", [PROFILE])
    with pytest.raises(ExportError, match="no such file"):
        build_onnx(tmp_path / "nowhere.onnx", tmp_path / "a.plan", [PROFILE])
    with pytest.raises(ExportError, match="node the_node"):
        build_onnx(one_node(tmp_path / "det.onnx", "Det"), tmp_path / "a.plan", [PROFILE])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "det.onnx"]


def test_profiles_from_text() -> None:
    assert profile_from_text("images=1x3x224x224:8x3x224x224:16x3x224x224") == {
        "images": ((1, 3, 224, 224), (8, 3, 224, 224), (16, 3, 224, 224))
    }
    assert profile_from_text("a:0=1:2:3, b=1x1:1x1:1x1") == {"a:0": ((1,), (2,), (3,)), "b": ((1, 1),) * 3}


@pytest.mark.parametrize("text", ["", "images", "images=1x3", "images=1x3:2x3", "images=1x3:2x3:", "=1:2:3", "a=1:2:3,", "a=1:b:3"])
def test_profiles_that_are_written_otherwise(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected INPUT=SMALLEST:USUAL:LARGEST"):
        profile_from_text(text)


def striking(blow: Callable[[], None]) -> Progress:
    """Progress that strikes once, as soon as the child runs."""
    blows = [blow]

    def progress(what: str, done: float, total: float | None) -> None:
        if blows:
            blows.pop()()

    return progress


def strike_children(number: int) -> None:
    (there,) = multiprocessing.active_children()
    assert there.pid is not None
    os.kill(there.pid, number)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "killed, most likely because memory ran out; give a smaller --workspace-mb (it was 99)"),
        (signal.SIGSEGV, "SIGSEGV"),
    ],
)
def test_a_child_that_dies_is_explained(bundle: Path, number: int, message: str) -> None:
    with pytest.raises(ExportError) as error:
        build_bundle(bundle, ["fp32"], workspace_mb=99, progress=striking(lambda: strike_children(number)))
    assert message in str(error.value)
    assert not hidden(bundle) and not list(bundle.rglob("*.plan")) and not multiprocessing.active_children()


def test_a_failed_build_keeps_the_engines_that_were_there(bundle: Path) -> None:
    (folder,) = build_bundle(bundle, ["fp32"])
    (folder / "text.plan").write_bytes(b"cut")
    with pytest.raises(ExportError):
        build_bundle(bundle, ["fp32"], progress=striking(lambda: strike_children(signal.SIGKILL)))
    assert (folder / "keys.plan").stat().st_size > 1000 and (folder / "text.plan").read_bytes() == b"cut"


def test_an_exit_code_is_told(tmp_path: Path) -> None:
    job = compile_process.Job(tmp_path / "a.onnx", tmp_path / "a.plan", [], 64, None)
    assert "exit code 3" in str(compile_process._exit_error(3, job))


def test_ctrl_c_ends_the_child_and_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_bundle(bundle, ["fp32"], progress=striking(interrupt))
    with pytest.raises(KeyboardInterrupt):
        build_onnx(product(tmp_path / "a.onnx"), tmp_path / "a.plan", [PROFILE], progress=striking(interrupt))
    assert not hidden(tmp_path) and not list(tmp_path.rglob("*.plan")) and not multiprocessing.active_children()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_a_terminal(bundle: Path) -> None:
    """The signal reaches the whole group, as from a keyboard; only the command may answer it."""
    code = (
        "import logging, signal, sys; from pathlib import Path; from wsra.export.tensorrt.build import build_bundle\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(name)s')\n"
        f"    build_bundle(Path({str(bundle)!r}), None)\n"
    )
    script = bundle.parent / "script.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stdout is not None and run.stdout.readline() == "wsra.export.tensorrt.build\n"
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    until = time.monotonic() + 600
    while not children.read_text().split():  # the first child has just begun
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, messages = run.communicate(timeout=600)
    assert run.returncode == -signal.SIGINT and messages.count("Traceback") == 1 and messages.rstrip().endswith("KeyboardInterrupt")
    assert not hidden(bundle) and not list(bundle.rglob("*.plan"))


def test_a_build_in_a_thread(tmp_path: Path) -> None:
    """Signals can be set in the main thread only."""
    thread = threading.Thread(target=build_onnx, args=(product(tmp_path / "a.onnx"), tmp_path / "a.plan", [PROFILE]))
    thread.start()
    thread.join(600)
    assert (tmp_path / "a.engine.json").is_file()


def test_stdout_stays_clean_and_nothing_heavy_is_loaded(bundle: Path) -> None:
    script = bundle.parent / "script.py"
    script.write_text(
        "import logging, sys; from pathlib import Path; from wsra.export.tensorrt.build import build_bundle\n"
        "if __name__ == '__main__':\n"
        "    logging.basicConfig(level=logging.INFO)\n"
        f"    build_bundle(Path({str(bundle)!r}), ['fp32'])\n"
        "    print(sorted({'torch', 'transformers', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n" and "fp32: building with tensorrt_rtx" in run.stderr
