"""Sidecars of made-up engines: what fits, and why the others do not, with both values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from wsra.runtime.backends.engines import (
    SIDECAR,
    BuiltGraph,
    Engine,
    engine_of,
    engines_folder,
    in_other_modes,
    misfit,
    outdated,
    read_sidecar,
    remarks,
    write_sidecar,
)
from wsra.runtime.device import Device, Gpu
from wsra.runtime.errors import BundleError
from wsra.runtime.files.writing import sha256_of

pytestmark = pytest.mark.device

ORIN = Gpu("Orin", "8.7", 7620, "", "12.6", 8)
JETSON = Device("a processor", 6, 7620, 4000, ORIN, "36.4.3", "NVIDIA Jetson Orin Nano")
PC = Device("a processor", 8, 32000, 16000, Gpu("NVIDIA RTX A2000", "8.6", 5937, "550.54.15", "12.4", 26), "", "")
NO_GPU = replace(PC, gpu=None)
LIBRARY = ("tensorrt", "10.3.0")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Engine, Path, dict[str, Path]]:
    """An engine of two graphs that fits the Jetson."""
    folder, graphs, built = tmp_path / "engines", {}, {}
    folder.mkdir()
    for name in ("keys", "text"):
        graphs[name] = tmp_path / f"{name}.onnx"
        graphs[name].write_bytes(name.encode())
        plan = folder / f"{name}.plan"
        plan.write_bytes(b"plan of " + name.encode())
        profiles = [{"x": ((1, 4), (2, 4), (8, 4))}, {"x": ((8, 4), (9, 4), (64, 4))}]
        built[name] = BuiltGraph(sha256_of(graphs[name]), sha256_of(plan), plan.stat().st_size, profiles)
    engine = engine_of(JETSON, *LIBRARY, "fp16", built)
    write_sidecar(folder / SIDECAR, engine)
    return engine, folder, graphs


def test_what_is_written_is_read(made: tuple[Engine, Path, dict[str, Path]]) -> None:
    engine, folder, graphs = made
    assert read_sidecar(folder / SIDECAR) == engine
    assert (engine.gpu, engine.compute_capability, engine.l4t, engine.cuda, engine.driver) == ("Orin", "8.7", "36.4.3", "12.6", "")
    assert misfit(engine, folder, graphs, JETSON, *LIBRARY) is None
    write_sidecar(folder / "one.engine.json", engine)
    assert read_sidecar(folder / "one.engine.json") == engine


def test_a_portable_plan_fits_every_gpu_from_ampere_on(made: tuple[Engine, Path, dict[str, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, folder, graphs = made
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    portable = replace(engine_of(NO_GPU, "tensorrt_rtx", "1.7.1", "fp16", engine.graphs))
    for capability, fits in (("8.0", True), ("8.6", True), ("9.0", True), ("12.0", True), ("7.5", False)):
        here = replace(PC, gpu=replace(PC.gpu, compute_capability=capability))
        reason = misfit(portable, folder, graphs, here, "tensorrt_rtx", "1.7.1")
        assert (reason is None) == fits, (capability, reason)
    assert reason is not None and "compute capability 8.0 and later" in reason and "7.5" in reason
    assert misfit(portable, folder, graphs, PC, "tensorrt_rtx", "1.8.0") is not None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert "built on x86-64" in (misfit(portable, folder, graphs, JETSON, "tensorrt_rtx", "1.7.1") or "")


def test_engines_of_another_power_mode_are_named(made: tuple[Engine, Path, dict[str, Path]], tmp_path: Path) -> None:
    engine, _, _ = made
    maxn = replace(JETSON, power_mode="MAXN")
    written = engines_folder(tmp_path, maxn, *LIBRARY) / "fp16"
    written.mkdir(parents=True)
    write_sidecar(written / SIDECAR, engine_of(maxn, *LIBRARY, "fp16", engine.graphs))
    assert in_other_modes(tmp_path, maxn, *LIBRARY) == []
    (line,) = in_other_modes(tmp_path, replace(maxn, gpu=replace(ORIN, multiprocessors=4), power_mode="15W"), *LIBRARY)
    assert line == (
        "engines/orin-8-sm87-trt10.3.0/fp16: built with 8 multiprocessors in the power mode MAXN, here are 4 in the power mode 15W:"
        " return to that mode with nvpmodel -m, or run wsra build in this one"
    )
    assert in_other_modes(tmp_path, replace(maxn, gpu=replace(ORIN, name="Thor", multiprocessors=4)), *LIBRARY) == []


def test_names_of_folders(tmp_path: Path) -> None:
    assert engines_folder(tmp_path, JETSON, "tensorrt", "10.3.0") == tmp_path / "engines" / "orin-8-sm87-trt10.3.0"
    assert engines_folder(tmp_path, PC, "tensorrt_rtx", "1.7.1").name == "nvidia-rtx-a2000-26-sm86-rtx1.7.1"
    assert engines_folder(tmp_path, NO_GPU, "tensorrt_rtx", "1.7.1").name == "nogpu-rtx1.7.1"


OTHER = {"gpu": "Xavier", "compute_capability": "7.2"}
CASES: list[tuple[dict[str, Any], Device, tuple[str, str], list[str]]] = [
    ({}, JETSON, ("tensorrt", "10.7.0"), ["built with tensorrt 10.3.0", "here is tensorrt 10.7.0"]),
    ({}, JETSON, ("tensorrt_rtx", "10.3.0"), ["built with tensorrt 10.3.0", "here is tensorrt_rtx 10.3.0"]),
    ({"version": "10.3.0.26"}, JETSON, LIBRARY, ["tensorrt 10.3.0.26", "here is tensorrt 10.3.0"]),
    (OTHER, JETSON, LIBRARY, ["built for Xavier sm72", "this GPU is Orin sm87"]),
    ({"gpu": "Orin Nano"}, JETSON, LIBRARY, ["built for Orin Nano sm87", "this GPU is Orin sm87"]),
    ({"compute_capability": "8.9"}, JETSON, LIBRARY, ["built for Orin sm89", "this GPU is Orin sm87"]),
    ({"gpu": "", "compute_capability": "", "cuda": ""}, JETSON, LIBRARY, ["built on a machine without a GPU", "here is Orin"]),
    ({}, NO_GPU, LIBRARY, ["built for Orin", "here is no GPU"]),
    ({"l4t": "36.4.0"}, JETSON, LIBRARY, ["built on L4T 36.4.0", "here is L4T 36.4.3"]),
    ({"multiprocessors": 16}, JETSON, LIBRARY, ["built with 16 multiprocessors, here are 8", "nvpmodel -m", "wsra build"]),
]


@pytest.mark.parametrize(("changes", "device", "library", "parts"), CASES, ids=lambda value: str(value)[:40])
def test_other_machines_and_libraries(
    made: tuple[Engine, Path, dict[str, Path]], changes: dict[str, Any], device: Device, library: tuple[str, str], parts: list[str]
) -> None:
    engine, folder, graphs = made
    reason = misfit(replace(engine, **changes), folder, graphs, device, *library)
    assert reason and "\n" not in reason and all(part in reason for part in parts), reason


def test_what_is_no_misfit(made: tuple[Engine, Path, dict[str, Path]]) -> None:
    engine, folder, graphs = made
    hidden = replace(JETSON, l4t="")  # in a container
    assert misfit(engine, folder, graphs, hidden, *LIBRARY) is None and remarks(engine, JETSON) == []
    assert JETSON.gpu is not None
    newer = replace(JETSON, gpu=replace(JETSON.gpu, cuda="12.8", driver="560.1"))
    built = replace(engine, driver="540.3")
    assert misfit(built, folder, graphs, newer, *LIBRARY) is None
    assert remarks(built, newer) == [
        "built with driver 540.3, here is driver 560.1",
        "built with a driver for CUDA 12.6, here is a driver for CUDA 12.8",
    ]
    assert remarks(built, NO_GPU) == []
    assert outdated(engine, folder, graphs, *LIBRARY) is None


def cut(folder: Path, graphs: dict[str, Path]) -> list[str]:
    (folder / "text.plan").write_bytes(b"plan")
    return ["text.plan is truncated or changed", "4 bytes", "12 are expected"]


def changed(folder: Path, graphs: dict[str, Path]) -> list[str]:
    was = sha256_of(folder / "text.plan")
    (folder / "text.plan").write_bytes(b"plan of TEXT")
    return ["text.plan changed", was[:12], sha256_of(folder / "text.plan")[:12]]


def missing(folder: Path, graphs: dict[str, Path]) -> list[str]:
    (folder / "keys.plan").unlink()
    return ["keys.plan is missing", "12 bytes are expected"]


def another_graph(folder: Path, graphs: dict[str, Path]) -> list[str]:
    was = sha256_of(graphs["keys"])
    graphs["keys"].write_bytes(b"another")
    return ["keys was built from", was[:12], "keys.onnx", sha256_of(graphs["keys"])[:12]]


def one_more(folder: Path, graphs: dict[str, Path]) -> list[str]:
    graphs["scorer"] = graphs["keys"]
    return ["lists keys, text", "scorer is needed"]


@pytest.mark.parametrize("harm", [cut, changed, missing, another_graph, one_more])
def test_other_files(made: tuple[Engine, Path, dict[str, Path]], harm: Callable[[Path, dict[str, Path]], list[str]]) -> None:
    engine, folder, graphs = made
    parts = harm(folder, graphs)
    reason = misfit(engine, folder, graphs, JETSON, *LIBRARY)
    assert reason and "\n" not in reason and all(part in reason for part in parts), reason


def test_cheap_reasons_come_first(made: tuple[Engine, Path, dict[str, Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, folder, graphs = made
    cut(folder, graphs)

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("wsra.runtime.backends.engines.sha256_of", read)
    assert "built for" in (misfit(engine, folder, graphs, PC, *LIBRARY) or "")
    assert "truncated" in (misfit(engine, folder, graphs, JETSON, *LIBRARY) or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: "{", "damaged"),
        (lambda table: "[]", "damaged"),
        (lambda table: json.dumps({**table, "version": 2}), "wsra.engine version 2; this wsra reads wsra.engine version 1"),
        (lambda table: json.dumps({**table, "format": "wsra.bundle"}), "wsra.bundle version 1"),
        (lambda table: json.dumps({**table, "engine": {**table["engine"], "gpu": 7}}), "damaged"),
        (lambda table: json.dumps({**table, "engine": {**table["engine"], "more": "x"}}), "damaged"),
        (lambda table: json.dumps({**table, "engine": {"graphs": {"a": {}}}}), "damaged"),
    ],
)
def test_sidecars_that_cannot_be_read(
    made: tuple[Engine, Path, dict[str, Path]], change: Callable[[dict[str, Any]], str], message: str
) -> None:
    engine, folder, _ = made
    (folder / SIDECAR).write_text(change({"format": "wsra.engine", "version": 1, "engine": asdict(engine)}))
    with pytest.raises(BundleError, match=message) as error:
        read_sidecar(folder / SIDECAR)
    assert "wsra build" in str(error.value)


def test_no_sidecar(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"engine.json: missing.*wsra build"):
        read_sidecar(tmp_path / SIDECAR)
