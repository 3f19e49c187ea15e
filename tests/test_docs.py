"""What the front pages of the documentation say is so: examples run, commands and options exist, rooms and messages are real."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsra.runtime.formats.bundle import read_manifest, write_manifest

ROOT = Path(__file__).parent.parent
FRONT = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in ("quickstart", "own-footage", "troubleshooting")))
PACKAGES = ("runtime", "calib", "train", "export")


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run_page(page: str, folder: Path, bundle: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the Python examples of a page one after the other, as a reader would type them, and return the names that they define.

    The small bundle never saw this video; with a large intercept of its confidence it finds every candidate, so that the examples have
    something to print.
    """
    shutil.copy(video, folder / "my.mp4")
    shutil.copytree(bundle, folder / "bundle")
    manifest = read_manifest(folder / "bundle")
    write_manifest(folder / "bundle", replace(manifest, presence=replace(manifest.presence, intercept=1e6)))
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    examples = blocks(page, "python")
    assert examples
    for number, example in enumerate(examples, 1):
        exec(compile(example, f"{page}, example {number}", "exec"), names)
    return names


def test_python_examples(
    tmp_path: Path, rows_bundle_folder: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = run_page("docs/python.md", tmp_path, rows_bundle_folder, clip_file, monkeypatch)
    features, answers, moments = left["features"], left["answers"], left["moments"]
    assert len(features) > 0 and features.tracks is not None and features.path == Path("my.feat")
    assert [answer.query for answer in answers] == left["sentences"]
    assert all(answer.curve.shape == (len(features),) for answer in answers)
    assert moments and all(0 <= moment.start_s < moment.end_s <= left["two_hours"].duration_s for moment in moments)
    assert (tmp_path / "my.keys").is_file()
    assert np.array_equal(left["read_features"]("yard.feat").values, left["values"])
    printed = capsys.readouterr().out
    assert f"{moments[0].score:.2f}" != "nan" and f"{left['sentences'][1]}: " in printed
    assert f"{len(features)} rows, {features.width} numbers each" in printed and "fp16 cpu" in printed
    assert "missing.feat: no such file" in printed


def test_notebook(tmp_path: Path, rows_bundle_folder: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells run one after the other, and what the last line of each shows can be shown."""
    shutil.copy(clip_file, tmp_path / "my.mp4")
    shutil.copytree(rows_bundle_folder, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and not any(cell.get("outputs") for cell in notebook["cells"])
    names: dict[str, Any] = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            *lines, last = ast.parse("".join(cell["source"])).body
            exec(compile(ast.Module(lines, []), "notebook.ipynb", "exec"), names)
            if isinstance(last, ast.Expr):
                shown.append(eval(compile(ast.Expression(last.value), "notebook.ipynb", "eval"), names)._repr_html_())
            else:
                exec(compile(ast.Module([last], []), "notebook.ipynb", "exec"), names)
    names["grounder"].__exit__(None, None, None)
    assert len(shown) == 2 and "<svg" in shown[0] and "<img" in shown[0] and "likelihood" in shown[1]


def test_readme_example(
    tmp_path: Path, rows_bundle_folder: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = run_page("README.md", tmp_path, rows_bundle_folder, clip_file, monkeypatch)
    assert (tmp_path / "my.feat").is_file()
    (only,) = blocks("README.md", "python")
    assert len(only.splitlines()) <= 10
    assert f"{left['moment'].start_s:.1f} to {left['moment'].end_s:.1f} s" in capsys.readouterr().out


def commands(page: str) -> list[list[str]]:
    """The `wsra` command lines of a page's shell examples, as lists of words."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("#")[0].split("&&")]
    return [shlex.split(part) for part in parts if re.match(r"(\S*/)?wsra ", part)]


@pytest.mark.device
@pytest.mark.parametrize("page", FRONT)
def test_commands_and_options_exist(page: str) -> None:
    from typer.main import get_command

    from wsra.runtime.cli import COMMANDS, app_of

    for _, name, *words in commands(page):
        assert name in COMMANDS, f"{page}: there is no wsra {name}"
        (command,) = get_command(app_of([name])).commands.values()
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, f"{page}: wsra {name} has no {given - known}"


@pytest.mark.device
def test_the_two_commands_of_the_readme() -> None:
    first, second, *_ = blocks("README.md", "bash")
    assert "wsra demo" in first and "wsra ground" in first and len(first.splitlines()) == 1
    assert ".venv-test/bin/pytest -n 2 --dist loadfile -m" in second.splitlines()[0]
    assert "<!-- test -->\n```bash\n" + second in (ROOT / "README.md").read_text(encoding="utf-8")  # as .ci/run reads it


@pytest.mark.device
def test_the_page_of_the_rooms_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([a-z_/]+)/` \|", page, re.MULTILINE))
    rooms = {path.parent.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    assert named == rooms
    files = set(re.findall(r"`((?:runtime|calib|train|export)/[a-z_/]+\.py)`", page))
    assert files and all((ROOT / file).is_file() for file in files), [file for file in files if not (ROOT / file).is_file()]


@cache
def texts() -> list[str]:
    """Every text in the code, with `{}` where a value is filled in."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    whole = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return whole + ["".join(map(_text, node.values)) for node in nodes if isinstance(node, ast.JoinedStr)]


def _text(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "{}"


@pytest.mark.device
def test_messages_of_the_troubleshooting_page_are_in_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        assert any(message in text for text in texts()), f"no message says {message!r}"
