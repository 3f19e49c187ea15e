"""Clips are decoded again and compared with the video, frame by frame; their digests are those that sha256sum computes."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2")
from films import grey, level  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import wsra.runtime.evidence.clips as clips_module  # noqa: E402
from handed import SIZE, box_at, detection, features_of, result, write_film, write_pair  # noqa: E402
from wsra.runtime.archive.catalogue import Catalogue  # noqa: E402
from wsra.runtime.archive.detections import Excerpt  # noqa: E402
from wsra.runtime.archive.inputs import inputs_of_all  # noqa: E402
from wsra.runtime.archive.search import SearchResults  # noqa: E402
from wsra.runtime.backends.settings import RunInfo  # noqa: E402
from wsra.runtime.errors import DataError, OutputError, VideoError  # noqa: E402
from wsra.runtime.evidence.clips import SUMS, Clip, write_clips  # noqa: E402
from wsra.runtime.evidence.cutting import copy_part, encode_part  # noqa: E402
from wsra.runtime.evidence.exhibits import Exhibit, exhibits_of  # noqa: E402
from wsra.runtime.evidence.names import clip_name, plain, unique  # noqa: E402
from wsra.runtime.evidence.provenance import Provenance, provenance_of  # noqa: E402
from wsra.runtime.files.writing import sha256_of  # noqa: E402
from wsra.runtime.formats.features import write_features  # noqa: E402
from wsra.runtime.video.frames import Frame, Video  # noqa: E402

pytestmark = pytest.mark.device


def decoded(path: Path) -> list[Frame]:
    with Video(path, height_px=1000, frames_per_s=1000) as video:
        return list(video.frames())


def sworn(exhibits: list[Exhibit], bundle: Path) -> Provenance:
    bundle.mkdir(exist_ok=True)
    (bundle / "manifest.json").write_text("{}")
    found = SearchResults(RunInfo(bundle, "fp32", "cpu", "cpu", "numpy"), [], [], 0.1, "captions")
    return provenance_of(found, [part.source for exhibit in exhibits for part in exhibit.parts], ["wsra", "ground", "a b"])


def write(exhibits: list[Exhibit], folder: Path, *, bundle: Path, **options: Any) -> list[Clip]:
    clips = write_clips(exhibits, sworn(exhibits, bundle), folder, **{"exact": False, "boxes": False, "overwrite": False} | options)
    return [clip for clip in clips if clip is not None]


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("start_s", [0.0, 3.0, 7.77])
def test_a_copy_begins_at_the_key_frame_before(tmp_path: Path, ending: str, bframes: int, start_s: float) -> None:
    film = write_film(tmp_path / f"film.{ending}", bframes=bframes, options={"sc_threshold": "0"})
    cut = copy_part(film, tmp_path / "clip.mp4", start_s, 11.5)
    whole, clip = decoded(film), decoded(tmp_path / "clip.mp4")
    assert 0 <= start_s - cut.start_s <= 3.0  # a group has 30 frames at ten a second
    first = next(number for number, frame in enumerate(whole) if frame.time_s == pytest.approx(cut.start_s, abs=1e-3))
    last = max(number for number, frame in enumerate(whole) if frame.time_s < 11.5)
    assert last - first < len(clip) <= last - first + 1 + bframes
    for copied, original in zip(clip, whole[first:], strict=False):
        assert (copied.image == original.image).all()  # not a bit was encoded anew
        assert copied.time_s == pytest.approx(original.time_s - cut.start_s, abs=2e-3)


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 2.0), (7.77, 11.53), (25.0, 30.0)])
def test_an_exact_clip_holds_the_frames_of_its_time(tmp_path: Path, start_s: float, end_s: float) -> None:
    film = write_film(tmp_path / "film.mkv", bframes=3)
    cut = encode_part(film, tmp_path / "clip.mp4", start_s, end_s)
    wanted = [frame for frame in decoded(film) if start_s - 1e-6 <= frame.time_s < end_s - 1e-6]
    clip = decoded(tmp_path / "clip.mp4")
    assert len(clip) == len(wanted) and cut.start_s == pytest.approx(wanted[0].time_s) and cut.start_s - start_s < 0.1
    for encoded, original in zip(clip, wanted, strict=True):
        assert level(encoded.image) == pytest.approx(level(original.image), abs=4)
        assert encoded.time_s == pytest.approx(original.time_s - cut.start_s, abs=1e-3)
    content = (tmp_path / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it plays before it is loaded


def coloured(number: int) -> Any:
    """Red, green, blue and yellow quarters."""
    image = grey(number % 10, SIZE)
    height, width = SIZE[1] // 2, SIZE[0] // 2
    image[:height, :width], image[:height, width:], image[height:, :width] = (40, 40, 200), (40, 200, 40), (200, 40, 40)
    image[height:, width:] = (40, 200, 200)
    return image


BT601, BT2020 = 5, 9  # as FFmpeg numbers matrices
TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"colorspace": "bt709", "color_range": "tv", "color_primaries": "bt709", "color_trc": "bt709"},
        {"colorspace": "smpte170m", "color_range": "pc", "color_primaries": "smpte170m", "color_trc": "smpte170m"},
        {"colorspace": "bt709", "color_range": "pc"},
        {"colorspace": "bt2020nc", "color_primaries": "bt2020", "color_trc": "smpte2084"},
    ],
    ids=["unknown", "HD", "SD, full range", "full range", "HDR"],
)
def test_an_exact_clip_has_the_colours_of_the_video(tmp_path: Path, tags: dict[str, str]) -> None:
    film = write_film(tmp_path / "film.mp4", picture=coloured, shown_ms=range(0, 2000, 100), options=tags)
    encode_part(film, tmp_path / "clip.mp4", 0.5, 1.5)
    with av.open(str(film)) as source, av.open(str(tmp_path / "clip.mp4")) as clip:
        ours, theirs = clip.streams.video[0].codec_context, source.streams.video[0].codec_context
        expected = {name: int(getattr(theirs, name)) for name in TAGS}
        if expected["colorspace"] == BT2020 and BT2020 not in {int(one) for one in av.video.reformatter.Colorspace}:
            expected["colorspace"] = BT601  # PyAV before 18 cannot write it
        assert {name: int(getattr(ours, name)) for name in TAGS} == expected
        assert not tags or int(theirs.colorspace) != 2
    difference = abs(decoded(tmp_path / "clip.mp4")[3].image.astype(int) - decoded(film)[8].image)
    assert max(difference[24, 40].max(), difference[24, 120].max(), difference[72, 40].max(), difference[72, 120].max()) <= 4


def test_the_last_frame_of_an_exact_clip_lasts(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", picture=grey, shown_ms=[0, 400, 800, 2000, 2400])
    for end_s, length_s in ((1.5, 1.1), (2.0, 1.6)):
        encode_part(film, tmp_path / "clip.mp4", 0.4, end_s)
        with av.open(str(tmp_path / "clip.mp4")) as clip:
            stream = clip.streams.video[0]
            assert float(stream.duration * stream.time_base) == pytest.approx(length_s, abs=1e-3) and stream.frames == 2


def test_a_copy_of_a_turned_video_stays_turned(tmp_path: Path) -> None:
    from films import turn

    film = turn(write_film(tmp_path / "film.mp4"), 0, 1, -1, 0)
    copy_part(film, tmp_path / "clip.mp4", 4.0, 6.0)
    assert decoded(tmp_path / "clip.mp4")[0].image.shape == decoded(film)[0].image.shape == (SIZE[0], SIZE[1], 3)


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9", "libsvtav1", "mpeg4", "mjpeg"])
def test_streams_of_other_codecs_are_copied(tmp_path: Path, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    film = write_film(tmp_path / "film.mkv", codec=codec, shown_ms=range(0, 8000, 40), picture=lambda number: grey(number % 50))
    cut = copy_part(film, tmp_path / "clip.mp4", 3.3, 5.0)
    clip = decoded(tmp_path / "clip.mp4")
    whole = {round(frame.time_s, 2): frame for frame in decoded(film)}
    assert 0 <= 3.3 - cut.start_s <= 1.3 and len(clip) >= 40
    for copied in clip[:40]:
        assert (copied.image == whole[round(copied.time_s + cut.start_s, 2)].image).all()


def test_a_codec_that_an_mp4_cannot_hold(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", codec="libvpx")
    with pytest.raises(VideoError, match=r"its vp8 stream cannot be copied into an MP4 .*--exact"):
        copy_part(film, tmp_path / "clip.mp4", 3.3, 5.0)


def test_a_full_disk_is_the_fault_of_no_video(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4")
    for cut in (copy_part, encode_part):
        with pytest.raises(OutputError, match=r"the clip cannot be written \(No space left on device\)"):
            cut(film, Path("/dev/full"), 3.3, 25.0)


def test_a_container_without_an_index_is_refused_with_what_to_do(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.ts")
    with pytest.raises(VideoError, match=r"mpegts has no index of key frames.*--exact"):
        copy_part(film, tmp_path / "clip.mp4", 4.0, 6.0)
    encode_part(film, tmp_path / "clip.mp4", 4.0, 6.0)
    assert len(decoded(tmp_path / "clip.mp4")) == 20


def test_files_names_sidecars_and_sums(tmp_path: Path) -> None:
    video, feat = write_pair(tmp_path)
    same = detection(feat)
    later = detection(feat, start_s=15.0, end_s=20.0, camera=None, start=None, file=video)
    exhibits = exhibits_of([result(same, later), result(same, query="  Ein Mann in Gelb? "), result(best=same, query="not there")])
    clips = write(exhibits, tmp_path / "out", bundle=tmp_path / "b")
    assert [clip.file.name for clip in clips] == [
        "gate-2_2026-11-23T14-05-10_man-in-yellow.mp4",
        "gate-2_0-00-15_man-in-yellow.mp4",
        "gate-2_2026-11-23T14-05-10_Ein-Mann-in-Gelb.mp4",
    ]
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == 6
    table = json.loads(clips[0].file.with_suffix(".json").read_text())
    assert table["query"] == "man in yellow" and table["moment"]["likelihood"] == "likely" and table["moment"]["confidence"] == 0.9
    assert table["clip"]["sha256"] == sha256_of(clips[0].file) and table["source"]["video_sha256"] == sha256_of(video)
    assert table["source"]["feat_sha256"] == sha256_of(feat) and table["made_by"]["bundle_sha256"] == sha256_of(
        tmp_path / "b/manifest.json"
    )
    assert table["made_by"]["command"] == "wsra ground 'a b'" and table["made_by"]["precision"] == "fp32"
    assert table["clip"]["early_s"] == pytest.approx(5.0 - clips[0].cut.start_s) and 0 <= table["clip"]["early_s"] <= 3.0


def test_a_search_of_the_folder_leaves_clips_out(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    video, feat = write_pair(tmp_path)
    clips = write(exhibits_of([result(detection(feat), detection(feat, start=None))]), tmp_path / "out", bundle=tmp_path / "b")
    write_features(clips[0].file.with_suffix(".feat"), features_of(clips[0].file))  # from a search that named it
    own = write_film(tmp_path / "own.mp4", shown_ms=range(0, 1000, 100))
    own.with_suffix(".json").write_text('{"format": "of my camera"}')

    def found(folder: Path) -> list[Path]:
        with Catalogue(tmp_path / ".catalogue") as catalogue:
            return [given.path for given in inputs_of_all([folder], "objects", catalogue)]

    assert found(tmp_path) == [video, own]
    assert logged.text.count(f"{tmp_path}: left out 2 clips that wsra wrote; to search one, name it") == 1
    assert found(clips[0].file) == [clips[0].file]
    with pytest.raises(DataError, match="no video in this folder"):
        found(tmp_path / "out")
    clips[1].file.with_suffix(".json").unlink()
    assert found(tmp_path / "out") == [clips[1].file]


def test_the_offset_stands_where_the_clock_has_a_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, feat = write_pair(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        hours = (datetime(2026, 10, 25, hour, 30, tzinfo=timezone.utc) for hour in (0, 1))  # both are half past two
        seen = [detection(feat, start=start) for start in (*hours, datetime(2026, 10, 25, 2, 30))]
        exhibits = exhibits_of([result(*seen)])
        assert [exhibit.clock for exhibit in exhibits] == [
            *("2026-10-25 02:30:00+02:00", "2026-10-25 02:30:00+01:00", "2026-10-25 02:30:00"),
        ]
        assert [clip_name(exhibit, exhibit.parts[0]).split("_")[1] for exhibit in exhibits] == [
            *("2026-10-25T02-30-00+0200", "2026-10-25T02-30-00+0100", "2026-10-25T02-30-00"),
        ]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_is_replaced_unasked_and_nothing_half_written_is_left(tmp_path: Path) -> None:
    _, feat = write_pair(tmp_path)
    exhibits = exhibits_of([result(detection(feat))])
    (clip,) = write(exhibits, tmp_path / "out", bundle=tmp_path / "b")
    before = clip.file.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write(exhibits, tmp_path / "out", bundle=tmp_path / "b")
    assert clip.file.read_bytes() == before
    write(exhibits, tmp_path / "out", bundle=tmp_path / "b", overwrite=True, exact=True)
    assert clip.file.read_bytes() != before
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == ["", ".json", ".mp4"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OutputError("the disk is full")])
def test_what_was_written_before_a_stop_has_its_sums(tmp_path: Path, stop: Any, logged: pytest.LogCaptureFixture) -> None:
    _, feat = write_pair(tmp_path)
    exhibits = exhibits_of([result(*(detection(feat, start_s=start_s, start=None) for start_s in (2.0, 6.0, 10.0)))])

    def stopping(_: str, done: float, __: float) -> None:
        if done == 2:
            raise stop

    with pytest.raises(type(stop) if isinstance(stop, Exception) else stop):
        write(exhibits, tmp_path / "out", bundle=tmp_path / "b", progress=stopping)
    assert f"stopped: 2 of 3 clips were written to {tmp_path / 'out'}; go on by the same command with --overwrite" in logged.text
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == 4 and sum(1 for _ in (tmp_path / "out").iterdir()) == 5
    assert len(write(exhibits, tmp_path / "out", bundle=tmp_path / "b", overwrite=True)) == 3
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == 6


def test_no_line_of_the_sums_is_wrong_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, feat = write_pair(tmp_path)
    exhibits = exhibits_of([result(detection(feat), detection(feat, start=None))])
    write(exhibits, tmp_path / "out", bundle=tmp_path / "b")
    update = clips_module._sum

    def full(folder: Path, digests: dict[str, str | None]) -> None:
        if any(digests.values()):
            raise OutputError("the disk is full")
        update(folder, digests)

    monkeypatch.setattr(clips_module, "_sum", full)
    with pytest.raises(OutputError):
        write(exhibits, tmp_path / "out", bundle=tmp_path / "b", overwrite=True, exact=True)
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path / "out", capture_output=True, text=True, check=True)
    assert checked.stdout.count(": OK") == 2  # of the second clip, which was not replaced


def test_boxes_where_no_object_is_known(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    _, feat = write_pair(tmp_path)
    seen = [detection(feat, track=None, start_s=start_s) for start_s in (2.0, 6.0)]
    clips = write(exhibits_of([result(*seen, detection(feat))]), tmp_path / "out", bundle=tmp_path / "b", exact=True, boxes=True)
    assert logged.text.count("--boxes: 2 of 3 clips show no box") == 1
    assert [json.loads(clip.file.with_suffix(".json").read_text())["clip"]["boxes"] for clip in clips] == [False, False, True]


def test_a_damaged_video_costs_its_clip_only(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    _, feat = write_pair(tmp_path)
    broken, other = write_pair(tmp_path, "gate-3.mp4")
    exhibits = exhibits_of([result(detection(other, video="gate-3.mp4", camera="gate-3"), detection(feat))])
    broken.write_bytes(broken.read_bytes()[:200] + bytes(broken.stat().st_size - 200))
    clips = write(exhibits, tmp_path / "out", bundle=tmp_path / "b")
    assert [clip.file.name for clip in clips] == ["gate-2_2026-11-23T14-05-10_man-in-yellow.mp4"]
    assert "no clip gate-3_2026-11-23T14-05-10_man-in-yellow.mp4: " in logged.text and "gate-3.mp4" in logged.text
    assert sum(1 for _ in (tmp_path / "out").iterdir()) == 3


def test_a_moment_over_two_files_is_a_clip_of_each(tmp_path: Path) -> None:
    _, first = write_pair(tmp_path)
    _, second = write_pair(tmp_path, "gate-2b.mp4")
    seen = detection(first, start_s=25.0, end_s=34.0)
    later = Excerpt("gate-2b.mp4", second, None, 0.0, 4.0, datetime(2026, 11, 23, 14, 5, 30), None)
    start = replace(seen.excerpts[0], end_s=30.0, best_s=None)
    clips = write(exhibits_of([result(replace(seen, excerpts=(start, later)))]), tmp_path / "out", bundle=tmp_path / "b", exact=True)
    assert [len(decoded(clip.file)) for clip in clips] == [50, 40]
    assert [clip.file.name[:27] for clip in clips] == ["gate-2_2026-11-23T14-05-10_", "gate-2_2026-11-23T14-05-30_"]


def test_boxes_are_burnt_in_where_the_object_is(tmp_path: Path) -> None:
    _, feat = write_pair(tmp_path)
    exhibits = exhibits_of([result(detection(feat, start_s=4.0, end_s=9.0))])
    (plain_clip,) = write(exhibits, tmp_path / "plain", bundle=tmp_path / "b", exact=True)
    (boxed_clip,) = write(exhibits, tmp_path / "boxed", bundle=tmp_path / "b", exact=True, boxes=True)
    for bare, boxed in list(zip(decoded(plain_clip.file), decoded(boxed_clip.file), strict=True))[::7]:
        changed = (abs(bare.image.astype(int) - boxed.image).max(axis=2) > 60).nonzero()
        left, top, right, bottom = box_at(4.0 + bare.time_s)
        assert changed[1].min() / SIZE[0] == pytest.approx(left, abs=0.05) and changed[1].max() / SIZE[0] == pytest.approx(right, abs=0.05)
        assert changed[0].min() / SIZE[1] == pytest.approx(top, abs=0.06) and changed[0].max() / SIZE[1] == pytest.approx(bottom, abs=0.06)


@given(st.text(max_size=300))
def test_any_text_is_part_of_a_name(text: str) -> None:
    name = plain(text)
    assert len(name.encode()) <= 60 and all(letter.isalnum() or letter == "-" for letter in name)
    assert not name.startswith("-") and not name.endswith("-")


@given(st.lists(st.sampled_from(["a", "b", "a_2"]), max_size=20))
def test_names_are_unique(names: list[str]) -> None:
    taken: set[str] = set()
    made = [unique(name, taken) for name in names]
    assert len(set(made)) == len(names)
