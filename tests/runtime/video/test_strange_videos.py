"""Videos that are damaged, absurd or no videos: one line each, in no time and little memory, and no other file is opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from films import Film, level, patch_box

from wsra.runtime.errors import VideoError
from wsra.runtime.files.limits import MOST_S, PIXELS
from wsra.runtime.files.names import VIDEOS
from wsra.runtime.video import container, frames
from wsra.runtime.video.frames import Video

pytestmark = pytest.mark.device


def count(path: Path) -> int:
    with Video(path, height_px=96, frames_per_s=1000) as video:
        return sum(1 for _ in video.frames())


def dhav(path: Path) -> None:
    """A recording of a Dahua camera, the frames of a bare stream each in a chunk of their own."""
    bare = Film(group=1, shown_ms=range(0, 400, 40), format="h264").write(path.with_suffix(".h264")).read_bytes()
    units = [b"\0\0\0\1\x67" + unit for unit in bare.split(b"\0\0\0\1\x67")[1:]]
    extra = bytes([0x81, 0, 2, 25, 0x82, 0, 0, 0]) + (160).to_bytes(2, "little") + (96).to_bytes(2, "little")
    content = b""
    for number, unit in enumerate(units):
        length = 24 + len(extra) + len(unit) + 8
        head = b"DHAV" + bytes([0xFD, 0, 0, 0]) + b"".join(value.to_bytes(4, "little") for value in (number, length, 0x6A000000))
        head += (number * 40).to_bytes(2, "little") + bytes([len(extra)])
        content += head + bytes([sum(head) % 256]) + extra + unit + b"dhav" + length.to_bytes(4, "little")
    path.write_bytes(content)


MAKERS: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".mkv", ".avi", ".ts", ".mts", ".m2ts", ".flv"), Film().write),
    **dict.fromkeys((".wmv", ".asf"), Film("mpeg4", format="asf").write),
    ".3gp": Film("mpeg4", format="mp4").write,
    ".webm": Film("libvpx-vp9").write,
    **dict.fromkeys((".mpg", ".mpeg"), Film("mpeg2video", format="mpeg").write),
    **dict.fromkeys((".h264", ".264"), Film(format="h264").write),
    **dict.fromkeys((".h265", ".265", ".hevc"), Film("libx265", format="hevc").write),
    **dict.fromkeys((".mjpeg", ".mjpg"), Film("mjpeg", format="mjpeg").write),
    ".dav": dhav,
}


@pytest.mark.parametrize("suffix", sorted(VIDEOS))
def test_every_suffix_of_a_video_still_opens(suffix: str, tmp_path: Path) -> None:
    MAKERS[suffix](tmp_path / f"a{suffix}")
    assert count(tmp_path / f"a{suffix}") >= 10


SCRIPTS = {
    "concat": "ffconcat version 1.0\nfile 'neighbour.mp4'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\nneighbour.mp4\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet><Representation id="1"'
    " bandwidth='1'><BaseURL>neighbour.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "imf": '<?xml version="1.0"?>\n<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"></CompositionPlaylist>\n',
    "asx": '<ASX version="3.0"><Entry><Ref href="neighbour.mp4"/></Entry></ASX>\n',
    "m3u": "neighbour.mp4\n",
    "sub": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="neighbour.mp4"/></svg>\n',
}


@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".m3u8", ".ffconcat", ".mpd", ".sdp", ".idx"])
@pytest.mark.parametrize("kind", SCRIPTS)
def test_scripts_and_playlists_are_refused_whatever_they_are_called(kind: str, suffix: str, tmp_path: Path) -> None:
    Film(shown_ms=range(0, 400, 40)).write(tmp_path / "neighbour.mp4")
    script = tmp_path / f"x{suffix}"
    script.write_text(SCRIPTS[kind])
    with pytest.raises(VideoError, match=r"x\..*: not a video that FFmpeg can open .*not a playlist or script"):
        count(script)


def test_a_pattern_of_pictures_is_no_video(tmp_path: Path) -> None:
    for number in range(3):
        Film("mjpeg", shown_ms=[0], format="image2").write(tmp_path / f"a{number}.jpg")
    (tmp_path / "a%d.jpg").write_bytes((tmp_path / "a0.jpg").read_bytes())
    with pytest.raises(VideoError, match="not a video that FFmpeg can open"):
        count(tmp_path / "a%d.jpg")


def test_tracks_that_lie_in_other_files_are_not_followed(tmp_path: Path) -> None:
    """A QuickTime file that says its samples lie in a neighbour: FFmpeg must look for them in the file itself."""
    shown = range(0, 400, 40)
    Film(shown_ms=shown, format="mov", picture=lambda number: np.full((96, 160, 3), 250, np.uint8)).write(tmp_path / "neighbour.mov")
    path = Film(shown_ms=shown, format="mov").write(tmp_path / "x.mov")
    content = path.read_bytes()
    inside = content.index(b"dref") + 4
    assert content[inside + 8 : inside + 20] == (12).to_bytes(4, "big") + b"url \0\0\0\1"
    name = b"neighbour.mov\0"
    entry = (12 + len(name)).to_bytes(4, "big") + b"url \0\0\0\0" + name
    grown = content[: inside + 8] + entry + content[inside + 20 :]
    for kind in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = grown.rindex(kind, 0, inside) - 4
        size = int.from_bytes(grown[start : start + 4], "big") + len(name)
        grown = grown[:start] + size.to_bytes(4, "big") + grown[start + 4 :]
    path.write_bytes(grown)
    with Video(path, height_px=96, frames_per_s=25) as video:
        assert level(next(video.frames()).image) < 60


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_at_once(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="a pipe, device or socket; expected a video in a regular file"):
        count(tmp_path / "a.mp4")


@pytest.mark.parametrize("tag", [b"AVS2", b"zzzz"])
def test_a_codec_that_ffmpeg_does_not_know(tag: bytes, tmp_path: Path) -> None:
    path = Film("mpeg4").write(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes().replace(b"FMP4", tag))
    with pytest.raises(VideoError, match="FFmpeg cannot decode its codec here"):
        count(path)


def test_beside_a_stream_of_an_unknown_codec_the_other_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film("mpeg4").write(tmp_path / "a.avi")
    with container.open_container(path) as opened:
        known = opened.streams.video[0]

        class Unknown:
            codec_context = None

        class Both:
            class streams:  # noqa: N801
                video = (Unknown(), known)

        assert container.video_stream(Both) is known


@pytest.mark.parametrize("aspect", [(1000, 1), (1, 1000)])
def test_an_absurd_shape_of_pixels_takes_no_memory(aspect: tuple[int, int], tmp_path: Path) -> None:
    path = Film(aspect=Fraction(16, 11), shown_ms=range(0, 400, 40)).write(tmp_path / "a.mp4")
    patch_box(path, b"pasp", 4, b"".join(side.to_bytes(4, "big") for side in aspect))
    with pytest.raises(VideoError, match=r"pictures of 160 x 96 pixels, each .* times as wide as high; expected 40 million at most"):
        count(path)


def test_pixels_that_are_not_square_are_still_shown_as_they_are(tmp_path: Path) -> None:
    path = Film(aspect=Fraction(16, 11), shown_ms=range(0, 400, 40)).write(tmp_path / "a.mkv")
    with Video(path, height_px=96, frames_per_s=25) as video:
        assert next(video.frames()).image.shape == (96, 232, 3)


def test_pictures_of_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PIXELS > 7680 * 4320  # 8K
    path = Film("mpeg4", shown_ms=range(0, 400, 40)).write(tmp_path / "a.avi")
    monkeypatch.setattr(container, "PIXELS", 160 * 96 - 1)
    with pytest.raises(VideoError, match="pictures of 160 x 96 pixels; expected 0.015359 million at most"):
        count(path)


def test_pictures_that_become_too_large_within_the_stream_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Film(format="h264", shown_ms=range(0, 400, 40)), Film(format="h264", shown_ms=range(0, 400, 40), size=(320, 192))
    large.picture = lambda number: np.full((192, 320, 3), 40, np.uint8)
    parts = [film.write(tmp_path / f"{number}.h264").read_bytes() for number, film in enumerate((small, large))]
    (tmp_path / "a.h264").write_bytes(b"".join(parts))
    assert count(tmp_path / "a.h264") == 20
    monkeypatch.setattr(container, "PIXELS", 200 * 100)
    with Video(tmp_path / "a.h264", height_px=96, frames_per_s=1000) as video:
        assert sum(1 for _ in video.frames()) == 10
    assert "were damaged" in str(video.damage())


def test_wild_stamps(tmp_path: Path) -> None:
    """A jump of 1e14 ms, and a fragment that says it begins at 2^59."""
    far = Film(shown_ms=[0, 40, 80, 10**14]).write(tmp_path / "a.mkv")
    with pytest.raises(VideoError, match=r"a frame ends at second 1e\+11; expected at most ten years"):
        count(far)
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = Film(group=10, container=fragments, format="mp4").write(tmp_path / "a.mp4")
    content = path.read_bytes()
    second = content.index(b"tfdt", content.index(b"tfdt") + 4)
    path.write_bytes(content[: second + 8] + (1 << 59).to_bytes(8, "big") + content[second + 16 :])
    with pytest.raises(VideoError, match=r"a frame ends at second .*; expected at most ten years"):
        count(path)
    assert MOST_S > 3e8


@pytest.mark.parametrize("raised", [MemoryError(), OverflowError("date"), AttributeError("no"), ValueError("bad")])
def test_what_the_library_raises_while_it_decodes_is_one_line(raised: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film(shown_ms=range(0, 400, 40)).write(tmp_path / "a.mp4")

    def fails(_: object) -> None:
        raise raised

    monkeypatch.setattr(frames, "display_matrix", fails)
    with pytest.raises(VideoError, match=rf"a\.mp4: cannot be used \({type(raised).__name__}"):
        count(path)


def test_text_in_a_foreign_encoding_is_no_reason_to_refuse(tmp_path: Path) -> None:
    path = Film("mpeg4", metadata={"title": "XYZZY"}).write(tmp_path / "a.avi")
    path.write_bytes(path.read_bytes().replace(b"XYZZY", b"K\xfcche"))
    assert count(path) == 50


def test_a_table_that_says_it_is_huge(tmp_path: Path) -> None:
    path = Film(shown_ms=range(0, 400, 40)).write(tmp_path / "a.mp4")
    patch_box(path, b"stts", 8, b"\xff\xff\xff\xff")
    with pytest.raises(VideoError, match=r"a\.mp4: not a video that FFmpeg can open"):
        count(path)
