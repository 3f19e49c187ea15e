"""The catalogue says what the files say, opens none of them twice, and is made anew when it is lost."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wsra.runtime.archive.catalogue
from wsra.runtime.archive.catalogue import Catalogue, read_summary
from wsra.runtime.archive.inputs import inputs_of
from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, write_features

pytestmark = pytest.mark.device
Make = Callable[..., Features]
OLD = 1_700_000_000


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened."""
    names: list[str] = []

    def read(feat: Path) -> object:
        names.append(feat.name)
        return read_summary(feat)

    monkeypatch.setattr(wsra.runtime.archive.catalogue, "read_summary", read)
    return names


@pytest.fixture
def archive(tmp_path: Path, make_features: Make) -> Path:
    """A folder of three files that are older than the catalogue."""
    folder = tmp_path / "archive"
    for number in range(3):
        write_old(folder / f"cam_{number}.feat", make_features(4 + number, 3))
    return folder


def write_old(feat: Path, features: Features) -> None:
    feat.parent.mkdir(exist_ok=True)
    write_features(feat, features)
    os.utime(feat, (OLD, OLD))


def listed(folder: Path, database: Path) -> list[object]:
    with Catalogue(database) as catalogue:
        return [catalogue.summary(given.path) for given in inputs_of(folder, "any", catalogue)]


def test_a_second_listing_opens_no_file(archive: Path, tmp_path: Path, opened: list[str]) -> None:
    wanted = [read_summary(feat) for feat in sorted(archive.iterdir())]
    assert listed(archive, tmp_path / "c") == wanted and sorted(opened) == ["cam_0.feat", "cam_1.feat", "cam_2.feat"]
    opened.clear()
    assert listed(archive, tmp_path / "c") == wanted and opened == []


def test_a_file_that_changed_or_was_replaced_is_opened_again(archive: Path, tmp_path: Path, make_features: Make, opened: list[str]) -> None:
    listed(archive, tmp_path / "c")
    opened.clear()
    write_old(archive / "cam_1.feat", make_features(5, 3, backbone="another@1s"))  # of the same time, but another inode
    assert listed(archive, tmp_path / "c")[1] == read_summary(archive / "cam_1.feat")
    assert opened == ["cam_1.feat"]


def test_a_file_that_has_just_been_written_is_opened_again(archive: Path, tmp_path: Path, opened: list[str]) -> None:
    """It may change again without another time."""
    later = time.time() + 3600  # else the machine may be so busy that the file is no longer new when it is listed
    os.utime(archive / "cam_2.feat", (later, later))
    listed(archive, tmp_path / "c")
    opened.clear()
    listed(archive, tmp_path / "c")
    assert set(opened) == {"cam_2.feat"}


def test_files_that_are_gone_are_forgotten(archive: Path, tmp_path: Path) -> None:
    listed(archive, tmp_path / "c")
    (archive / "cam_0.feat").unlink()
    listed(archive, tmp_path / "c")
    with sqlite3.connect(tmp_path / "c") as database:
        assert sorted(database.execute("SELECT name FROM files")) == [(b"cam_1.feat",), (b"cam_2.feat",)]


def test_a_broken_file_is_refused_every_time(archive: Path, tmp_path: Path) -> None:
    (archive / "cam_0.feat").write_bytes(b"nothing")
    os.utime(archive / "cam_0.feat", (OLD, OLD))
    for _ in range(2):
        with Catalogue(tmp_path / "c") as catalogue, pytest.raises(FeatureError, match="cam_0.feat"):
            catalogue.summary(archive / "cam_0.feat")


@pytest.mark.parametrize("content", [b"not a database" * 100, b""])
def test_a_lost_or_damaged_catalogue_is_made_anew(
    content: bytes, archive: Path, tmp_path: Path, opened: list[str], logged: pytest.LogCaptureFixture
) -> None:
    wanted = listed(archive, tmp_path / "c")
    (tmp_path / "c").write_bytes(content)
    assert listed(archive, tmp_path / "c") == wanted
    assert (f"{tmp_path / 'c'}: is damaged" in logged.text) == bool(content)
    opened.clear()
    assert listed(archive, tmp_path / "c") == wanted and opened == []


def test_a_damaged_row_is_a_message(archive: Path, tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    wanted = listed(archive, tmp_path / "c")
    with sqlite3.connect(tmp_path / "c") as database:
        database.execute("UPDATE files SET extra = '{' WHERE name = ?", (b"cam_1.feat",))
    assert listed(archive, tmp_path / "c") == wanted and "cannot be read" in logged.text


def test_an_unusable_place_is_a_message(archive: Path, tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c").mkdir()
    assert len(listed(archive, tmp_path / "c")) == 3
    assert f"{tmp_path / 'c'}: cannot be used" in logged.text


def test_names_need_not_be_text(tmp_path: Path, make_features: Make, opened: list[str]) -> None:
    feat = tmp_path / "archive" / os.fsdecode(b"cam\xff.feat")
    write_old(feat, make_features(4, 3))
    assert listed(feat.parent, tmp_path / "c") == listed(feat.parent, tmp_path / "c") == [read_summary(feat)]
    assert len(opened) == 1


def test_several_may_write_at_once(tmp_path: Path, make_features: Make, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsra.runtime.archive.catalogue, "_BUSY_S", 300.0)  # a slow disk may keep the last of eight waiting for long
    folders = [tmp_path / f"archive{number}" for number in range(8)]
    for number, folder in enumerate(folders):
        write_old(folder / "cam.feat", make_features(4 + number, 3))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda folder: listed(folder, tmp_path / "c"), folders))
    opened.clear()
    for folder in folders:
        listed(folder, tmp_path / "c")
    assert opened == []
