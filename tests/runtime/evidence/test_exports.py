"""`wsra ground` with what it hands over: every option at once, and what is refused before anything is searched."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("jinja2")

import wsra.runtime.archive.search
from schemas import check
from wsra.runtime.cli import app_of
from wsra.runtime.errors import BackendError, MissingExtraError, WsraError
from wsra.runtime.files.writing import sha256_of


@pytest.fixture
def place(tmp_path: Path, clip_file: Path, rows_bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(clip_file, tmp_path / "yard_20261123_140500.mp4")
    shutil.copytree(rows_bundle_folder, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ground(*arguments: str) -> str:
    run = CliRunner().invoke(app_of(["ground"]), ["ground", *arguments], catch_exceptions=False)
    assert run.exit_code == 0, run.stderr
    return run.stdout


def refused(code: int, *arguments: str) -> str:
    """The message of a command line that ends with this exit code."""
    run = CliRunner().invoke(app_of(["ground"]), ["ground", *arguments])
    if code == 2:  # of a wrong option; the usage stands before the message, which is broken into lines
        assert run.exit_code == 2
        return run.stderr
    assert isinstance(run.exception, WsraError)
    return str(run.exception)


ASKED = ("yard_20261123_140500.mp4", "a man in a yellow shirt", "--false-alarms", "inf", "--top-k", "2", "--provider", "cpu")


def test_everything_at_once(place: Path) -> None:
    wanted = ("--report", "r.html", "--clips", "clips", "--boxes", "--playlist", "p.m3u8", "--picture", "p.png")
    answer = json.loads(ground(*ASKED, *wanted, "--json"))
    check("ground", answer)
    assert len(answer["moments"]) == 2 and {moment["likelihood"] for moment in answer["moments"]} <= {"likely", "possible", "unlikely"}
    clips = sorted((place / "clips").glob("*.mp4"))
    assert len(clips) == 2 and all(clip.name.startswith("yard_2026-11-23T14-0") for clip in clips)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=place / "clips", check=True)
    for clip in clips:
        sidecar = json.loads(clip.with_suffix(".json").read_text())
        check("clip", sidecar)
        assert sidecar["moment"] in answer["moments"] and sidecar["clip"]["boxes"]
        assert sidecar["source"]["video_sha256"] == sidecar["source"]["recorded_sha256"] == sha256_of(place / "yard_20261123_140500.mp4")
    assert (place / "r.html").read_text().count("<article") == 2
    assert (place / "p.m3u8").read_text().count("#EXTVLCOPT:start-time") == 2 and (place / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(place.rglob("*.part"))


def test_a_feat_file_finds_the_video_beside_it(place: Path) -> None:
    ground(*ASKED)
    ground("yard_20261123_140500.feat", *ASKED[1:], "--report", "r.html", "--clips", "clips")
    assert (place / "r.html").read_text().count("data:image/jpeg") > 2 and len(list((place / "clips").glob("*.mp4"))) == 2


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "a report that exists": (["--report", "there.html"], 1, "there.html: exists already; choose another place"),
    "a folder that is a file": (["--clips", "there.html"], 1, "there.html: a file stands there"),
    "a place below a file": (["--report", "there.html/r.html"], 1, "there.html: cannot be written to"),
    "a folder in use": (["--clips", "used"], 1, "used: holds files already"),
    "a report of another kind": (["--report", "r.pdf"], 2, "--report r.pdf: ends with .pdf; expected .html or .htm"),
    "a list of another kind": (["--playlist", "list"], 2, "--playlist list: has no ending; expected .m3u8, .edl or .csv"),
    "a picture of another kind": (["--picture", "p.jpg"], 2, "--picture p.jpg: ends with .jpg; expected .png"),
    "exact without clips": (["--exact"], 2, "--exact is for clips; give their folder with --clips DIR"),
    "boxes without clips": (["--boxes"], 2, "--boxes is for clips"),
    "overwrite alone": (["--overwrite"], 2, "--overwrite replaces files of --report, --clips, --playlist or --picture; give one of these"),
    "pictures and JSON": (["--show", "--json"], 2, "--show draws pictures, and --json prints JSON"),
    "pictures on no terminal": (["--show"], 2, "--show: stdout is no terminal"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_the_search(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, code, message = REFUSED[name]
    (place / "there.html").write_text("mine")
    (place / "used").mkdir()
    (place / "used" / "mine").touch()
    before = sorted(place.rglob("*"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was searched")

    monkeypatch.setattr(wsra.runtime.archive.search, "search", never)
    assert message in refused(code, *ASKED, *options)
    assert sorted(place.rglob("*")) == before and (place / "there.html").read_text() == "mine"


def test_libraries_that_are_missing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import wsra.runtime.evidence.cutting

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "jinja2", None)
        with pytest.raises(MissingExtraError, match=r"a report needs jinja2.*wsra\[report\]"):
            ground(*ASKED, "--report", "r.html")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        with pytest.raises(MissingExtraError, match=r"an EDL.* needs av.*wsra\[video\]"):
            ground(*ASKED, "--playlist", "p.edl")
    with monkeypatch.context() as patch:
        patch.setattr(wsra.runtime.evidence.cutting, "can_encode", lambda: False)
        with pytest.raises(BackendError, match="this PyAV has no libx264"):
            ground(*ASKED, "--clips", "clips", "--exact")


def test_overwrite_replaces(place: Path) -> None:
    for _ in range(2):
        ground(*ASKED, "--report", "r.html", "--clips", "clips", "--picture", "p.png", "--overwrite")
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=place / "clips", check=True)


def test_nothing_found_writes_no_clips_and_no_list(place: Path) -> None:
    wanted = ("--clips", "clips", "--playlist", "p.csv", "--report", "r.html")
    run = CliRunner().invoke(app_of(["ground"]), ["ground", *ASKED[:2], "--false-alarms", "1e-9", "--provider", "cpu", *wanted])
    assert run.exit_code == 0 and "no clips: nothing was found" in run.stderr and "no playlist: nothing was found" in run.stderr
    assert not (place / "clips").exists() and not (place / "p.csv").exists() and "Not found in" in (place / "r.html").read_text()


def test_clips_of_a_video_that_is_not_here_end_with_1(place: Path) -> None:
    ground(*ASKED)
    (place / "yard_20261123_140500.mp4").unlink()
    asked = ["ground", "yard_20261123_140500.feat", *ASKED[1:], "--clips", "clips", "--playlist", "p.m3u8", "--picture", "p.png"]
    run = CliRunner().invoke(app_of(["ground"]), asked, catch_exceptions=False)
    assert run.exit_code == 1
    assert "2 of 2 clips could not be written" in run.stderr and "no playlist: no video of the moments is here" in run.stderr
    assert run.stderr.count("is not beside yard_20261123_140500.feat") == 1
    assert not (place / "clips").exists() and not (place / "p.m3u8").exists() and (place / "p.png").exists()


def test_sums_keep_what_another_search_wrote(place: Path) -> None:
    ground(*ASKED, "--clips", "clips")
    (place / "clips" / "plan.pdf").write_text("mine")
    with (place / "clips" / "SHA256SUMS").open("a") as file:
        file.write(f"{sha256_of(place / 'clips' / 'plan.pdf')}  plan.pdf\n")
    gone = min((place / "clips").glob("*.mp4"))
    gone.unlink()
    gone.with_suffix(".json").unlink()
    ground(ASKED[0], "a white van", *ASKED[2:], "--clips", "clips", "--overwrite")
    listed = [line[66:] for line in (place / "clips" / "SHA256SUMS").read_text().splitlines()]
    assert sorted(listed) == sorted(path.name for path in (place / "clips").iterdir() if path.name != "SHA256SUMS") and len(listed) == 7
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=place / "clips", check=True)
