"""Who may import whom, and what a device never loads."""

from __future__ import annotations

import ast
import shutil
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
# Rooms that reach other packages, inside function bodies only: commands, and the reading of .pt files.
LAZY = {"runtime/commands": {"train", "export", "calib"}, "runtime/conversion": {"train"}}
WITHOUT_TORCH = ("runtime", "calib", "export/tensorrt")  # with all that lies below
WITHOUT_ONNX = ("runtime", "export/tensorrt")
LOOSE = {"__init__", "cli", "device", "driver", "errors", "prefetch", "progress", "quiet"}  # of runtime, what belongs to all of its rooms
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "cv2",
    "av",
    "transformers",
    "h5py",
    "numba",
    "llvmlite",
    "ray",
    "starlette",
    "uvicorn",
)


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
    assert every <= allowed | LAZY.get(name.rsplit("/", 1)[0], set())
    heavy = {m.split(".")[0] for m in imported(tree, inside_functions=True)}
    if lies_in(name, WITHOUT_TORCH):
        assert not heavy & {"torch", "transformers"}
    if lies_in(name, WITHOUT_ONNX):
        assert not heavy & {"onnx"}


def lies_in(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{room}/") for room in rooms)


def room_of(module: str) -> str:
    """The folder of a module; one that lies loose in runtime is a room of its own."""
    parts = module.split(".")
    if len(parts) == 2 and parts[0] == "runtime":
        return module
    return ".".join(parts[:-1])


def named(path: Path) -> str:
    """A file as its module is named below wsra; a package as its folder's __init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def arrows() -> dict[str, set[str]]:
    """Room -> rooms that it imports, inside functions too."""
    every = {named(path) for path in modules()}
    found: dict[str, set[str]] = {}
    for path in modules():
        room = room_of(named(path))
        for target in imported_modules(ast.parse(path.read_text(encoding="utf-8")), every):
            found.setdefault(room, set()).add(room_of(target))
    return {room: targets - {room} for room, targets in found.items()}


def imported_modules(tree: ast.Module, every: set[str]) -> set[str]:
    """Modules of wsra that a module imports."""
    targets: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsra."):
            base = (node.module or "").removeprefix("wsra.")
            targets |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in every else base for alias in node.names}
    return {target if target in every else f"{target}.__init__" for target in targets}


@pytest.mark.device
def test_no_circle_of_rooms() -> None:
    left = arrows()
    while True:
        bare = [room for room, targets in left.items() if not targets & left.keys()]
        if not bare:
            break
        for room in bare:
            del left[room]
    assert not left, f"rooms that import each other: {sorted(left)}"


@pytest.mark.device
def test_runtime_holds_rooms_and_little_else() -> None:
    assert {path.stem for path in (ROOT / "runtime").glob("*.py")} == LOOSE


@pytest.mark.device
@pytest.mark.parametrize("folder", sorted({path.parent for path in modules()}), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_room_is_explained_and_installed(folder: Path) -> None:
    doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert doc and len(doc) > 20
    assert f'"wsra.{".".join(folder.relative_to(ROOT).parts)}",' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def loaded_after(code: str) -> set[str]:
    return {name.split(".")[0] for name in modules_after(code)}


def modules_after(code: str) -> set[str]:
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines())


@pytest.mark.device
@pytest.mark.parametrize("arguments", [["--help"], ["ground", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"sys.argv = ['wsra', *{arguments!r}]; from wsra.runtime.cli import main; main()"
    assert not loaded_after(code) & set(HEAVY)


@pytest.mark.device
def test_grounding_loads_no_torch_and_no_onnx(bundle_folder: Path) -> None:
    code = (
        f"import numpy as np, wsra.runtime as w, wsra.runtime.extraction.batch, wsra.runtime.archive.search;"
        f" g = w.Grounder.open({str(bundle_folder)!r});"
        " m = g.manifest; t = np.arange(9.0); v = np.zeros((9, m.feature_width), np.float32);"
        " g.ground(w.Features(v, np.stack([t, t + 1], 1), 'v', 9.0, m.backbone), 'a red car')"
    )
    assert not loaded_after(code) & {"torch", "transformers", "onnx", "tensorrt", "cv2", "av"}


@pytest.mark.device
def test_grounding_features_loads_no_video_and_no_backbone(tmp_path: Path) -> None:
    """The short way: from `wsra ground x.feat` to the answer, in files of snippets and without decoders, backbones or extraction."""
    place = tmp_path / "old"
    shutil.copytree(ROOT / "tests/fixtures/v0.1.0", place)
    command = ["wsra", "ground", str(place / "features/val3.feat"), "the yellow bus", "-b", str(place / "bundle"), "--provider", "cpu"]
    code = f"sys.argv = {command!r}; from wsra.runtime.cli import main; main()"
    loaded = modules_after(code)
    assert "wsra.runtime.archive.search" in loaded
    far = ("wsra.runtime.video", "wsra.runtime.backbones", "wsra.runtime.extraction", "wsra.export", "wsra.train", "wsra.calib")
    handed_over = ("wsra.runtime.evidence", "wsra.runtime.drawing", "wsra.runtime.grounding.answer_views", "jinja2", "PIL", "pandas")
    assert not {name for name in loaded if name.startswith((*far, *handed_over))}


@pytest.mark.device
def test_verifying_and_building_load_no_torch_and_no_onnx(bundle_folder: Path) -> None:
    code = (
        "import wsra.export.tensorrt.build, wsra.runtime.verification.verify; from pathlib import Path;"
        " from wsra.runtime.verification.route_check import gate_route;"
        " from wsra.runtime.verification.golden import read_golden; from wsra.runtime.backends.routes import Route;"
        " from wsra.runtime.formats.bundle import GOLDEN, open_bundle; from wsra.runtime.device import this_device;"
        f" b = open_bundle(Path({str(bundle_folder)!r})); g = read_golden(b.folder / GOLDEN);"
        " e = gate_route(b, this_device(), Route('fp32', 'cpu'), g, threads=1); assert e.passed, e.reason"
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
