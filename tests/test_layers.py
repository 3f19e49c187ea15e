"""Who may import whom, and what a device never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "runtime": {"runtime"},
    "calib": {"calib", "runtime"},
    "train": {"train", "runtime"},
    "export": {"export", "train", "calib", "runtime"},
}
# Commands and the reading of .pt files reach other packages inside function bodies only.
LAZY = {"runtime/commands": {"train", "export", "calib"}, "runtime/convert.py": {"train"}}
# What a device needs of export beside runtime.
ON_A_DEVICE = {f"export/{name}.py" for name in ("build", "child", "engine", "gates", "golden", "verify", "verify_report")}
HEAVY = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "cv2", "av", "transformers", "h5py", "numba", "llvmlite", "ray")


def imported(tree: ast.Module, *, inside_functions: bool) -> set[str]:
    names: set[str] = set()
    bodies = ast.walk(tree) if inside_functions else _module_level(tree)
    for node in bodies:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _module_level(tree: ast.Module) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in tree.body:
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.If | ast.Try) and not is_typing:
            found += [n for n in ast.walk(node) if isinstance(n, ast.stmt)]
        elif not is_typing:
            found.append(node)
    return found


def modules() -> list[Path]:
    return sorted(p for package in MAY_IMPORT for p in (ROOT / package).rglob("*.py"))


@pytest.mark.device
@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_import_direction(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = MAY_IMPORT[package]
    top = {m.split(".")[1] for m in imported(tree, inside_functions=False) if m.startswith("wsra.")}
    every = {m.split(".")[1] for m in imported(tree, inside_functions=True) if m.startswith("wsra.")}
    assert top <= allowed
    assert every <= allowed | LAZY.get(name, set()) | LAZY.get(name.rsplit("/", 1)[0], set())
    heavy = {m.split(".")[0] for m in imported(tree, inside_functions=True)}
    if package in ("runtime", "calib") or name in ON_A_DEVICE:
        assert not heavy & {"torch", "transformers"}
    if package == "runtime" or name in ON_A_DEVICE:
        assert not heavy & {"onnx"}


def loaded_after(code: str) -> set[str]:
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.splitlines()}


@pytest.mark.device
@pytest.mark.parametrize("arguments", [["--help"], ["ground", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"sys.argv = ['wsra', *{arguments!r}]; from wsra.runtime.cli import main; main()"
    assert not loaded_after(code) & set(HEAVY)


@pytest.mark.device
def test_grounding_loads_no_torch_and_no_onnx(bundle_folder: Path) -> None:
    code = (
        f"import numpy as np, wsra.runtime as w, wsra.runtime.extract, wsra.runtime.archive.search;"
        f" g = w.Grounder.open({str(bundle_folder)!r});"
        " m = g.manifest; t = np.arange(9.0); v = np.zeros((9, m.feature_width), np.float32);"
        " g.ground(w.Features(v, np.stack([t, t + 1], 1), 'v', 9.0, m.backbone), 'a red car')"
    )
    assert not loaded_after(code) & {"torch", "transformers", "onnx", "tensorrt", "cv2", "av"}


@pytest.mark.device
def test_verifying_and_building_load_no_torch_and_no_onnx(bundle_folder: Path) -> None:
    code = (
        "import wsra.export.build, wsra.export.verify; from pathlib import Path; from wsra.export.judge import gate_route;"
        " from wsra.export.golden import read_golden; from wsra.runtime.backends.routes import Route;"
        " from wsra.runtime.bundle import GOLDEN, open_bundle; from wsra.runtime.devices.device import this_device;"
        f" b = open_bundle(Path({str(bundle_folder)!r})); g = read_golden(b.folder / GOLDEN);"
        " e = gate_route(b, this_device(), Route('fp32', 'cpu'), g, threads=1); assert e['passed'], e['reason']"
    )
    assert not loaded_after(code) & {"torch", "transformers", "onnx", "tensorrt", "tensorrt_rtx", "cv2", "av"}


@pytest.mark.device
def test_public_names() -> None:
    import wsra.runtime

    assert wsra.runtime.__all__ == [
        "Features", "Grounder", "Moment", "WsraError", "extract_features", "read_features", "write_features",
    ]  # fmt: skip
    assert all(getattr(wsra.runtime, name) is not None for name in wsra.runtime.__all__)


@pytest.mark.device
@pytest.mark.parametrize("package", ["calib", "train", "export"])
def test_other_packages_hold_a_docstring_and_switch_reports_off(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert [ast.unparse(line) for line in tree.body[1:]] == ["from wsra.runtime import quiet as quiet"]
