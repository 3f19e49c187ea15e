"""Lists of moments are read back by other readers: the csv module, rules of CMX 3600, and by VLC's options in M3U8."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

pytest.importorskip("av")
from handed import detection, result, write_pair
from wsra.runtime.archive.detections import Ending
from wsra.runtime.evidence.exhibits import exhibits_of
from wsra.runtime.evidence.playlist import COLUMNS, timecode, write_playlist
from wsra.runtime.terminal.console import visible

pytestmark = pytest.mark.device
EVIL = "=cmd|' /C calc'!A0\n#EXTVLCOPT:sub-file=/etc/passwd\r\n* FROM CLIP NAME: other\x00\u202e"


def test_m3u8(tmp_path: Path) -> None:
    (tmp_path / "sp ace #1").mkdir()
    video, feat = write_pair(tmp_path / "sp ace #1", "gäte 2.mp4")
    write_playlist(exhibits_of([result(detection(feat, video="gäte 2.mp4"), query=EVIL)]), tmp_path / "list.m3u8")
    lines = (tmp_path / "list.m3u8").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U" and len(lines) == 5  # nothing of the sentence became a line of its own
    assert re.match(r"#EXTINF:7,=cmd.* \| likely, 90 % \| gate-2 \| 2026-11-23 14:05:10$", lines[1]) and "\u202e" not in lines[1]
    assert lines[2:4] == ["#EXTVLCOPT:start-time=5.000", "#EXTVLCOPT:stop-time=12.300"]
    assert Path(unquote(urlparse(lines[4]).path)) == video and urlparse(lines[4]).scheme == "file"


def test_edl(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    _, feat = write_pair(tmp_path)
    seen = [detection(feat), detection(feat, start_s=20.0, end_s=25.5)]
    write_playlist(exhibits_of([result(*seen, query=EVIL)]), tmp_path / "list.EDL")
    text = (tmp_path / "list.EDL").read_bytes().decode()
    assert text.startswith("TITLE: WSRA MOMENTS\r\nFCM: NON-DROP FRAME\r\n") and text.count("\n") == text.count("\r\n")
    events = re.findall(r"^(\d{3})  AX       V     C        (\S+) (\S+) (\S+) (\S+)\r$", text, re.MULTILINE)
    assert events == [
        ("001", "00:00:05:00", "00:00:12:03", "01:00:00:00", "01:00:07:03"),  # ten frames a second
        ("002", "00:00:20:00", "00:00:25:05", "01:00:07:03", "01:00:12:08"),
    ]
    assert text.count("* FROM CLIP NAME: gate-2.mp4\r\n") == 2 == text.count("\r\n* FROM CLIP NAME")
    assert timecode(109_845, 30) == "01:01:01:15" and timecode(25, 25) == "00:00:01:00"
    assert not logged.text


def test_csv(tmp_path: Path) -> None:
    video, feat = write_pair(tmp_path)
    over = replace(detection(feat, camera="-2+3", start_s=28.0, end_s=33.0), until=Ending("@next.mp4", 3.0))
    write_playlist(exhibits_of([result(detection(feat), over, query=EVIL), result(best=detection(feat), query="x")]), tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and list(rows[0]) == list(COLUMNS)  # what is not found is no row
    assert rows[0]["query"] == f"'{visible(EVIL)}" and rows[1]["camera"] == "'-2+3" and rows[1]["until_video"] == "'@next.mp4"
    assert (rows[0]["likelihood"], rows[0]["confidence"], rows[0]["start_time"]) == ("likely", "0.9", "2026-11-23T14:05:10")
    assert (rows[0]["start_s"], rows[0]["end_s"], rows[0]["file"]) == ("5.000", "12.300", str(video))


def test_a_video_that_is_not_here(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    video, feat = write_pair(tmp_path)
    video.unlink()
    exhibits = exhibits_of([result(detection(feat), detection(feat)), result(detection(feat), query="x")])
    assert logged.text.count("gate-2.mp4 is not beside gate-2.feat: there are no pictures, no clips") == 1
    for ending, lines in (("m3u8", 1), ("csv", 4), ("edl", 15)):
        write_playlist(exhibits, tmp_path / f"list.{ending}")
        assert len((tmp_path / f"list.{ending}").read_text().splitlines()) == lines
