"""Files that wsra 0.1.0 wrote are read, and give the answers that it gave: see tests/fixtures/v0.1.0/make.py.

Its bundles know nothing of presence and are refused; where an answer needs one, `upgrade` brings the bundle up to date first.
"""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
from presences import upgrade
from typer.testing import CliRunner

from wsra.runtime.cli import app_of
from wsra.runtime.errors import BundleError, ConfigError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "v0.1.0"
RECORDED: dict[str, list[str]] = runpy.run_path(str(FIXTURES / "make.py"))["RECORDED"]
READ = [name for name in RECORDED if name != "info-bundle"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, which commands may change."""
    shutil.copytree(FIXTURES, tmp_path / "old")
    upgrade(tmp_path / "old" / "bundle")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def wsra(*arguments: str) -> tuple[str, str]:
    """Stdout and stderr of a command."""
    run = CliRunner().invoke(app_of([arguments[0]]), arguments, catch_exceptions=False)
    assert run.exit_code == 0, run.stderr
    return run.stdout, run.stderr


def agrees(found: Any, recorded: Any) -> bool:
    """Everything recorded is there still; numbers differ by what another processor or ONNX Runtime changes at most."""
    if isinstance(recorded, dict):
        return recorded.keys() <= found.keys() and all(agrees(found[key], value) for key, value in recorded.items())
    if isinstance(recorded, list):
        return len(found) == len(recorded) and all(map(agrees, found, recorded))
    if isinstance(recorded, float):
        return bool(found == pytest.approx(recorded, abs=5e-3))
    return bool(found == recorded)


def without_weak_moments(answer: Any) -> Any:
    """Moments so weak that another processor may not find them are left out."""
    for part in answer if isinstance(answer, list) else [answer]:
        if "moments" in part:
            part["moments"] = [moment for moment in part["moments"] if moment["score"] > 0.1]
    return answer


@pytest.mark.device
def test_a_bundle_of_another_version_is_refused_in_one_line() -> None:
    command = ["ground", str(FIXTURES / "features" / "val3.feat"), "a bus", "-b", str(FIXTURES / "bundle")]
    for arguments in (command, ["info", str(FIXTURES / "bundle")]):
        run = CliRunner().invoke(app_of(arguments[:1]), arguments)
        assert isinstance(run.exception, BundleError)
        assert "wsra.bundle version 2; this wsra reads wsra.bundle version 3: copy or export the bundle again" in str(run.exception)


@pytest.mark.device
@pytest.mark.parametrize("name", READ)
def test_the_answer_is_the_recorded_one(place: Path, name: str) -> None:
    recorded = json.loads((place / "answers" / f"{name}.json").read_text())
    stdout, _ = wsra(*RECORDED[name])
    assert agrees(without_weak_moments(json.loads(stdout)), without_weak_moments(recorded))


@pytest.mark.device
def test_features_of_a_video_are_kept(place: Path) -> None:
    pytest.importorskip("av")
    assert "yard.mp4: kept" in wsra("extract", "yard.mp4", "-o", "features", "--backbone", "encoder")[1]


@pytest.mark.device
def test_features_of_motion_are_replaced_only_where_that_is_wanted(place: Path) -> None:
    """Those of 0.1.0 are of snippets, those of today of objects; the state of the camera is of another height."""
    pytest.importorskip("av")
    from wsra.runtime.formats.features import read_features

    shutil.copy("yard.mp4", "later.mp4")
    old = (place / "camera" / "yard.feat").read_bytes()
    refused = CliRunner().invoke(app_of(["extract"]), ["extract", "yard.mp4", "-o", "camera", "--continue"])
    assert refused.exit_code == 1 and "holds features of motion-2@1s; expected motion-3@1s" in refused.stderr
    assert (place / "camera" / "yard.feat").read_bytes() == old and read_features("camera/yard.feat").tracks is None
    _, messages = wsra("extract", "yard.mp4", "later.mp4", "-o", "camera", "--continue", "--overwrite")
    assert "yard.mp4: extracted" in messages and "later.mp4: extracted" in messages
    first, later = read_features("camera/yard.feat"), read_features("camera/later.feat")
    assert first.tracks is not None and later.extra["continues"] == first.extra["camera_sha256"]


@pytest.mark.device
def test_keys_are_used_or_made_again(place: Path) -> None:
    """Keys are a cache: those of another version may be made again, and are never taken for something foreign."""
    command = RECORDED["ground-folder"]
    first, messages = wsra(*command)
    again, quiet = wsra(*command)
    assert first == again and "keys" not in quiet
    assert "stay in memory" not in messages and messages.count("is made again") in (0, 5)


def test_a_checkpoint_is_loaded_and_its_run_is_not_resumed(place: Path) -> None:
    torch = pytest.importorskip("torch")
    from wsra.train.checkpoint import load_checkpoint, load_last
    from wsra.train.model import Scorer

    checkpoint = load_checkpoint(Path("checkpoint"))
    assert (checkpoint.backbone, len(checkpoint.metrics), checkpoint.run.training.epochs) == ("tiny-a2b1741196cf@1s", 24, 24)
    scorer = Scorer(3, 32, 4)
    assert checkpoint.scorer.state_dict().keys() == scorer.state_dict().keys() and not checkpoint.scorer.gain  # it had no cosine
    with pytest.raises(ConfigError, match="written by another version of wsra .* expected 8 parameters.*start a new run"):
        load_last(Path("checkpoint"), scorer, torch.optim.Adam(scorer.parameters()), torch.Generator())
