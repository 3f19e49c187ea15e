"""Every name of TensorRT that wsra uses, found in its code, against the libraries from 10.3 to 11 and TensorRT-RTX.

$WSRA_TRT_WHEELS is a folder with wheels of tensorrt_cu12_bindings (their binding names the attributes): 10.3, 10.13 and 11.4.
"""

from __future__ import annotations

import ast
import importlib
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
FILES = ("runtime/backends/trt.py", "runtime/backends/trt_log.py", "export/tensorrt/engine.py")
# Variables of these files -> the class of TensorRT that they hold; "" is the module.
HELD = {
    "trt": "",
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "error": "ParserError",
    "tensor": "ITensor",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
NAMES = {
    "": {
        "Builder", "BuilderFlag", "BuilderFlag.TF32", "ILogger", "ILogger.Severity", "ILogger.Severity.ERROR", "ILogger.Severity.WARNING",
        "IProgressMonitor", "MemoryPoolType", "MemoryPoolType.WORKSPACE", "NetworkDefinitionCreationFlag",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED", "OnnxParser", "ProfilingVerbosity", "ProfilingVerbosity.DETAILED", "Runtime",
        "TensorIOMode", "TensorIOMode.INPUT", "TensorLocation", "TensorLocation.DEVICE", "nptype",
    },
    "ILogger": {"log"},
    "IProgressMonitor": {"phase_finish", "phase_start", "step_complete"},
    "Builder": {"build_serialized_network", "create_builder_config", "create_network", "create_optimization_profile"},
    "INetworkDefinition": {"get_input", "num_inputs"},
    "IBuilderConfig": {
        "add_optimization_profile", "clear_flag", "create_timing_cache", "get_timing_cache", "profiling_verbosity", "progress_monitor",
        "set_memory_pool_limit", "set_timing_cache",
    },
    "OnnxParser": {"get_error", "num_errors", "parse_from_file"},
    "ParserError": {"desc", "node", "node_name", "node_operator"},
    "ITensor": {"name", "shape"},
    "IOptimizationProfile": {"set_shape"},
    "ITimingCache": {"serialize"},
    "Runtime": {"deserialize_cuda_engine"},
    "ICudaEngine": {
        "create_execution_context", "get_tensor_dtype", "get_tensor_location", "get_tensor_mode", "get_tensor_name",
        "get_tensor_profile_shape", "get_tensor_shape", "num_io_tensors", "num_optimization_profiles",
    },
    "IExecutionContext": {
        "execute_async_v3", "get_tensor_shape", "set_input_shape", "set_optimization_profile_async", "set_tensor_address",
    },
}  # fmt: skip

# What only TensorRT-RTX has, and the files that guard it with hasattr.
RTX_FILES = ("runtime/backends/rtx.py", "export/tensorrt/targets.py")
RTX_HELD = {"trt": "", "engine": "ICudaEngine", "runtime_config": "IRuntimeConfig", "cache": "IRuntimeCache", "config": "IBuilderConfig"}
RTX_NAMES = {
    "": {"ComputeCapability", "CudaGraphStrategy", "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE"},
    "ICudaEngine": {"create_runtime_config"},
    "IRuntimeConfig": {"create_runtime_cache", "cuda_graph_strategy", "set_runtime_cache"},
    "IRuntimeCache": {"deserialize", "serialize"},
    "IBuilderConfig": {"num_compute_capabilities", "set_compute_capability"},
}


def chain(node: ast.expr) -> list[str]:
    """a.b.c as names; empty for anything else. `self._engine` counts as `engine`."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        before = chain(node.value)
        if before == ["self"] and node.attr.startswith("_"):
            return [node.attr.removeprefix("_")]
        return [*before, node.attr] if before else []
    return []


def names_in(path: Path, held: dict[str, str]) -> dict[str, set[str]]:
    """Class -> attributes that a file reads, sets or overrides."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner, *rest = chain(node) or [""]
            if owner in held and rest and not rest[0].startswith("__") and rest[-1] != "__init__":
                found.setdefault(held[owner], set()).add(".".join(rest))
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                if chain(base)[:1] == ["trt"]:
                    methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef) and not part.name.startswith("__")}
                    found.setdefault(chain(base)[1], set()).update(methods)
    return found


@pytest.mark.device
@pytest.mark.parametrize(("files", "held", "names"), [(FILES, HELD, NAMES), (RTX_FILES, RTX_HELD, RTX_NAMES)], ids=["both", "rtx"])
def test_the_list_is_what_the_code_uses(files: tuple[str, ...], held: dict[str, str], names: dict[str, set[str]]) -> None:
    found: dict[str, set[str]] = {}
    for file in files:
        for owner, used in names_in(ROOT / file, held).items():
            found.setdefault(owner, set()).update(used)
    assert found == names


@pytest.mark.device
def test_no_other_file_uses_tensorrt() -> None:
    for path in sorted(path for package in ("runtime", "calib", "train", "export") for path in (ROOT / package).rglob("*.py")):
        if path.relative_to(ROOT).as_posix() not in FILES + RTX_FILES:
            assert "" not in names_in(path, HELD), path


@pytest.mark.trt
def test_tensorrt_rtx_has_them() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    check_module(importlib.import_module("tensorrt_rtx"), NAMES)
    check_module(importlib.import_module("tensorrt_rtx"), RTX_NAMES)


@pytest.mark.trt
def test_full_tensorrt_has_them() -> None:
    check_module(pytest.importorskip("tensorrt", reason="tensorrt is not installed"), NAMES)


def check_module(library: Any, wanted: dict[str, set[str]]) -> None:
    for owner, names in wanted.items():
        for name in names:
            holder = getattr(library, owner) if owner else library
            for part in name.split("."):
                assert hasattr(holder, part), f"{library.__name__} {library.__version__}: {owner} has no {name}"
                holder = getattr(holder, part)


@pytest.mark.trt
@pytest.mark.parametrize("version", ["10.3", "10.13", "11.4"])
def test_the_bindings_name_them(version: str) -> None:
    folder = os.environ.get("WSRA_TRT_WHEELS")
    if not folder:
        pytest.skip("WSRA_TRT_WHEELS is not set: no wheels of tensorrt_cu12_bindings are at hand")
    (wheel,) = Path(folder).glob(f"tensorrt_cu12_bindings-{version}.*.whl")
    with zipfile.ZipFile(wheel) as archive:
        binding = archive.read("tensorrt_bindings/tensorrt.so")
        python = archive.read("tensorrt_bindings/__init__.py")
    for owner, names in NAMES.items():
        for part in {owner, *(part for name in names for part in name.split("."))} - {""}:
            # A linker stores a string that ends another one inside it, so nothing can be asked of the byte before.
            named = part.encode() + b"\0" in binding or f"def {part}(".encode() in python
            assert named, f"{wheel.name} does not name {part} ({owner or 'module'})"
