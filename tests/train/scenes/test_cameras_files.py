"""The files of `wsra scenes`, how it continues an unfinished set, and what its command refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas import check
from wsra.runtime.cli import app
from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import locked
from wsra.runtime.formats.annotations import read_annotations, read_captions
from wsra.runtime.video.frames import Video
from wsra.train.scenes.cameras.camera import FPS, HEIGHT_PX, WIDTH_PX
from wsra.train.scenes.cameras.command import MARK, run_scenes
from wsra.train.scenes.cameras.render import Sizes, plan, render_cameras
from wsra.train.scenes.cameras.sentences import caption_clip

SMALL = Sizes(2, 1, 2, 2)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    run_scenes(out, SMALL, seed=1, jobs=2)
    return out


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_videos_are_real_h264_of_the_length_in_the_captions(rendered: Path) -> None:
    clips = plan(SMALL, 1)
    assert sorted(path.stem for path in (rendered / "videos").iterdir()) == sorted(clip.name for clip in clips)
    for clip in clips:
        with Video(rendered / "videos" / f"{clip.name}.mp4", height_px=999, frames_per_s=99) as video:
            count, shapes = 0, set()
            for frame in video.frames():
                count += 1
                shapes.add(frame.image.shape)
            assert video._stream.codec_context.name == "h264"
        assert count == int(clip.duration_s * FPS) and shapes == {(HEIGHT_PX, WIDTH_PX, 3)}


def test_captions_tell_no_times_and_spans_stand_apart(rendered: Path) -> None:
    for split in ("train", "val", "dev", "test"):
        captions = rows(rendered / f"captions-{split}.jsonl")
        assert captions and all(set(row) == {"qid", "query", "vid", "duration"} for row in captions)
        spans = rows(rendered / f"spans-{split}.jsonl")
        for row in spans:
            check("annotation", row)
        assert [row["query"] for row in captions] == [row["query"] for row in spans]
        assert [c.query for c in read_captions(rendered / f"captions-{split}.jsonl")] == [row["query"] for row in spans]
        assert len(read_annotations(rendered / f"spans-{split}.jsonl")) == len(spans)
        captioned = [row for clip in plan(SMALL, 1) if clip.split == split for row in caption_clip(clip).rows]
        assert spans == json.loads(json.dumps(captioned))
    for split in ("dev", "test"):
        absent = read_annotations(rendered / f"absent-{split}.jsonl")
        assert absent and all(annotation.windows_s == () and "hard" in annotation.row for annotation in absent)
    assert not (rendered / "absent-train.jsonl").exists()


def test_what_is_there_is_kept_what_lacks_is_rendered_and_a_larger_set_goes_on(rendered: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (rendered / "videos").iterdir()}
    lost = rendered / "videos" / "dev-00001.mp4"
    content = lost.read_bytes()
    lost.unlink()
    dead = rendered / "videos" / ".val-00000.mp4.0123456789ab.part"  # what a killed writer leaves
    dead.write_bytes(b"half")
    (rendered / "videos" / "val-00000.mp4").unlink()
    run_scenes(rendered, Sizes(3, 1, 2, 2), seed=1, jobs=1)
    after = {path: path.stat().st_mtime_ns for path in (rendered / "videos").iterdir()}
    again = {lost, rendered / "videos" / "val-00000.mp4"}
    assert set(after) == set(before) | {rendered / "videos" / "train-00002.mp4"} and not dead.exists()
    assert all(after[path] == time for path, time in before.items() if path not in again)
    assert lost.read_bytes() == content  # rendered again, byte for byte
    assert {row["vid"] for row in rows(rendered / "captions-train.jsonl")} == {f"train-0000{k}" for k in range(3)}


def test_the_command_refuses_what_it_would_spoil(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty; expected an empty or new folder"):
        run_scenes(tmp_path, SMALL, seed=1, jobs=1)
    with pytest.raises(OutputError, match="a file; expected an empty or new folder"):
        run_scenes(tmp_path / "notes.txt", SMALL, seed=1, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(OutputError, match="no clips requested"):
        run_scenes(tmp_path / "new", Sizes(0, 0, 0, 0), seed=1, jobs=1)
    assert not (tmp_path / "new").exists()
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    with pytest.raises(OutputError, match="holds scenes of seed 1, not of 2; choose another place, or give --seed 1"):
        run_scenes(rendered, Sizes(9, 9, 9, 9), seed=2, jobs=1)
    with pytest.raises(OutputError, match="holds 2 dev clips, but 1 were requested; give --dev 2 or more"):
        run_scenes(rendered, Sizes(9, 9, 1, 9), seed=1, jobs=1)
    with locked(rendered), pytest.raises(OutputError):
        run_scenes(rendered, Sizes(9, 9, 9, 9), seed=1, jobs=1)
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1, "seed": 1}', "cannot be read"),
        ('{"version": 0, "seed": 1, "train": 1, "val": 1, "dev": 1, "test": 1}', "holds scenes of version 0"),
    ],
)
def test_a_mark_that_is_not_of_this_version_is_refused(tmp_path: Path, mark: str, message: str) -> None:
    (tmp_path / MARK).write_text(mark, encoding="utf-8")
    with pytest.raises(OutputError, match=message):
        run_scenes(tmp_path, SMALL, seed=1, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == [MARK] and (tmp_path / MARK).read_text(encoding="utf-8") == mark


def test_the_command_says_what_it_made_and_one_line_of_what_is_wrong(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["scenes", str(tmp_path / "a"), "--train", "1", "--val", "0", "--dev", "0", "--test", "0", "--jobs", "1"])
    assert ran.exit_code == 0 and "1 train, 0 val, 0 dev, 0 test clips" in ran.stderr, ran.output
    assert len(list((tmp_path / "a" / "videos").iterdir())) == 1
    for wrong in (["scenes"], ["scenes", str(tmp_path / "b"), "--train", "-1"], ["scenes", str(tmp_path / "b"), "--jobs", "0"]):
        assert CliRunner().invoke(app, wrong).exit_code == 2
    assert not (tmp_path / "b").exists()


def test_clips_are_the_same_whatever_the_number_of_processes(rendered: Path, tmp_path: Path) -> None:
    list(render_cameras(tmp_path, Sizes(0, 0, 1, 0), seed=1, jobs=1))
    assert (tmp_path / "videos" / "dev-00000.mp4").read_bytes() == (rendered / "videos" / "dev-00000.mp4").read_bytes()
