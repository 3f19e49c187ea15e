from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsra.runtime.formats.wallclock import Start, start_of, time_in_name

pytestmark = pytest.mark.device

PATTERNS = (
    "{:%Y-%m-%d_%H-%M-%S}.mp4",
    "{:%Y%m%d_%H%M%S}.mp4",
    "{:%Y%m%dT%H%M%S}.mkv",
    "{:%Y%m%d-%H%M%S}.ts",
    "ch01_{:%Y%m%d%H%M%S}.mp4",
    "192.168.1.64_01_{:%Y%m%d%H%M%S}123_1.mp4",
    "{:%Y-%m-%d %H.%M.%S}.mov",
    "{:%Y-%m-%d - %H.%M.%S} door.mov",
    "{:%Y_%m_%d_%H_%M_%S}.avi",
    "{:%Y-%m-%dT%H:%M:%S}.mp4",
    "VID_{:%Y%m%d_%H%M%S}.3gp",
    "Camera 2_{:%Y.%m.%d_%H-%M-%S}.avi",
    "cam-12_{:%Y%m%d_%H%M%S}_20991231_235959.mp4",
)


@given(st.sampled_from(PATTERNS), st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_a_name_that_holds_a_time_gives_that_time(pattern: str, time: datetime) -> None:
    time = time.replace(microsecond=0)
    assert time_in_name(pattern.format(time)) == time


@given(st.text(max_size=40))
def test_no_name_breaks_it(name: str) -> None:
    time = time_in_name(name)
    assert time is None or 1990 <= time.year < 2100


@pytest.mark.parametrize(
    "name",
    [
        "camera.mp4",
        "12345678901234567890.mp4",
        "20261323_140500.mp4",
        "20261123_250500.mp4",
        "2026-11-23.mp4",
        "19700101_000000.mp4",
        "2026-1123_140500.mp4",
        "1732370700.mp4",
    ],
)
def test_what_is_no_time(name: str) -> None:
    assert time_in_name(name) is None


def test_z_after_the_time_is_utc() -> None:
    assert time_in_name("20261123T140500Z.mkv") == datetime(2026, 11, 23, 14, 5, tzinfo=timezone.utc)


NAMED = "20261123_140500.mp4"


@pytest.mark.parametrize(
    ("name", "metadata", "expected"),
    [
        (NAMED, {"creation_time": "2025-01-02T03:04:05.000000Z"}, Start("2025-01-02T03:04:05+00:00", "metadata")),
        (
            NAMED,
            {"creation_time": "2025-01-02T02:04:05Z", "com.apple.quicktime.creationdate": "2025-01-02T03:04:05+0100"},
            Start("2025-01-02T03:04:05+01:00", "metadata"),
        ),
        (NAMED, {"creation_time": "1904-01-01T00:00:00.000000Z"}, Start("2026-11-23T14:05:00", "name")),
        (NAMED, {"creation_time": "1970-01-01T00:00:00.000000Z"}, Start("2026-11-23T14:05:00", "name")),
        (NAMED, {"creation_time": "yesterday"}, Start("2026-11-23T14:05:00", "name")),
        (NAMED, {}, Start("2026-11-23T14:05:00", "name")),
        ("door.mp4", {}, Start("2026-11-23T13:59:00+00:00", "modified")),
    ],
)
def test_metadata_go_before_the_name_and_the_name_before_the_file_time(
    name: str, metadata: dict[str, str], expected: Start, tmp_path: Path
) -> None:
    (tmp_path / name).touch()
    written = datetime(2026, 11, 23, 14, 0, tzinfo=timezone.utc).timestamp()
    os.utime(tmp_path / name, (written, written))
    assert start_of(tmp_path / name, metadata, 60.0) == expected


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_with_a_creation_time_tells_it_to_its_features(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from films import Film

    from wsra.runtime.extraction.batch import extract_features

    Film().write(tmp_path / f"door{suffix}")
    assert extract_features(tmp_path / f"door{suffix}").extra["start_time_source"] == "modified"
    Film(metadata={"creation_time": "2025-01-02T03:04:05Z"}).write(tmp_path / f"dated{suffix}")
    extra = extract_features(tmp_path / f"dated{suffix}").extra
    assert (extra["start_time"], extra["start_time_source"]) == ("2025-01-02T03:04:05+00:00", "metadata")
