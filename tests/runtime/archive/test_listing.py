"""A listing of folders: the same as reading every file, without opening one that is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from wsra.runtime.archive.cameras import Footage, footage_of, recordings, whole
from wsra.runtime.archive.catalogue import Catalogue, read_summary
from wsra.runtime.archive.listing import Listing, list_archive
from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, FeatureSummary, write_features

pytestmark = pytest.mark.device
Make = Callable[..., Features]
OLD = 1_700_000_000
NAMES = (
    "plain.feat",
    "door_20261123_140000.feat",
    "door_20261123_150000.feat",
    "north/ch01_20261123140000.feat",
    "north/deep/20261123T140000Z.feat",
    "north/deep/ch01_20261123140000_20261123150000.feat",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}/b\udcff\udcfe_2026-11-23 14.00.00.feat",  # not text
    "upper.MP4.feat",
    "a.b.c.feat",
)
_opened: list[str] | None = None


def _note(event: str, details: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(details[0], str | bytes | os.PathLike):
        _opened.append(os.fsdecode(details[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Names of the .feat files that this process opens, by whatever way of Python."""

    class Feats(list[str]):
        def append(self, path: str) -> None:
            if path.endswith(".feat"):
                super().append(Path(path).name)

    global _opened  # an audit hook cannot be removed
    _opened = Feats()
    yield _opened
    _opened = None


@pytest.fixture
def archive(tmp_path: Path, make_features: Make) -> Path:
    """Files of all kinds of names, older than the catalogue."""
    folder = tmp_path / "archive"
    for number, name in enumerate(NAMES):
        extra = {"start_time": f"2026-11-23T14:00:{number:02}+01:00", "start_time_source": "metadata"} if number % 3 == 1 else {}
        video = ("v.mp4", f"{Path(name).stem.encode(errors='replace').decode()}.mp4", "/elsewhere/cam_20261123_140000.mp4")[number % 3]
        put(folder / name, replace(make_features(4 + number, 3), video=video, extra=extra))
    return folder


def put(feat: Path, features: Features) -> None:
    feat.parent.mkdir(parents=True, exist_ok=True)
    write_features(feat, features)
    os.utime(feat, (OLD, OLD))


def of_test(summary: FeatureSummary) -> None:
    if summary.backbone != "test":
        raise FeatureError(f"features of {summary.backbone}; expected test")


def listing_of(*folders: Path, database: Path) -> Listing:
    with Catalogue(database) as catalogue:
        return list_archive(folders, "test", of_test, catalogue)


def read_one_by_one(archive: Path) -> list[Footage]:
    return [footage_of(feat, read_summary(feat), root=archive) for feat in (archive / name for name in NAMES)]


def by_file(footage: object) -> list[Footage]:
    assert isinstance(footage, list | tuple)
    return sorted(footage, key=lambda one: os.fsencode(one.feat))


def test_a_listing_is_what_the_files_say_and_a_second_one_opens_none(archive: Path, tmp_path: Path, opened: list[str]) -> None:
    wanted = by_file(read_one_by_one(archive))
    assert {one.camera for one in wanted} >= {None, "door", "north/ch01", "north/deep"}
    opened.clear()
    first = listing_of(archive, database=tmp_path / "c")
    assert set(opened) == {Path(name).name for name in NAMES}
    opened.clear()
    again = listing_of(archive, database=tmp_path / "c")
    assert opened == []
    assert by_file(first.footage) == by_file(again.footage) == wanted
    assert (first.missing, first.left_out) == (again.missing, again.left_out) == ((), ())


def test_a_rewritten_file_is_read_again(archive: Path, tmp_path: Path, make_features: Make, opened: list[str]) -> None:
    listing_of(archive, database=tmp_path / "c")
    put(archive / "plain.feat", replace(make_features(4, 3), duration_s=99.0))  # of the same size and time, but another inode
    opened.clear()
    seen = listing_of(archive, database=tmp_path / "c")
    assert set(opened) == {"plain.feat"} and by_file(seen.footage) == by_file(read_one_by_one(archive))
    assert [one.duration_s for one in seen.footage if one.feat.name == "plain.feat"] == [99.0]


@pytest.mark.parametrize("damage", [None, b"not a database" * 100, b""])
def test_a_lost_or_damaged_catalogue_changes_no_listing(damage: bytes | None, archive: Path, tmp_path: Path, opened: list[str]) -> None:
    wanted = listing_of(archive, database=tmp_path / "c")
    (tmp_path / "c").unlink()
    if damage is not None:
        (tmp_path / "c").write_bytes(damage)
    assert listing_of(archive, database=tmp_path / "c") == wanted
    opened.clear()
    assert listing_of(archive, database=tmp_path / "c") == wanted and opened == []


def test_names_read_by_older_rules_are_read_anew(archive: Path, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = listing_of(archive, database=tmp_path / "c")
    monkeypatch.setattr("wsra.runtime.archive.catalogue.VERSION", 2999)
    opened.clear()
    assert listing_of(archive, database=tmp_path / "c") == wanted and len(set(opened)) == len(NAMES)


def test_each_file_is_listed_once_and_hidden_ones_not_at_all(archive: Path, tmp_path: Path, make_features: Make) -> None:
    wanted = listing_of(archive, database=tmp_path / "c").footage
    put(archive / ".hidden" / "door_20261123_140000.feat", make_features(4, 3))
    put(archive / ".door_20261123_140000.feat", make_features(4, 3))
    (archive / "round").symlink_to(archive)
    (archive / "mp4").write_bytes(b"")  # a name that is no ending
    (tmp_path / "link").symlink_to(archive)
    seen = listing_of(archive, tmp_path / "link", archive / "north", database=tmp_path / "c").footage
    assert seen == wanted


def test_what_cannot_be_used_is_left_out_with_its_reason(archive: Path, tmp_path: Path, make_features: Make) -> None:
    pytest.importorskip("av")
    put(archive / "other.feat", make_features(4, 3, backbone="other@1s"))
    (archive / "broken.feat").write_bytes(b"nothing")
    (archive / "away.feat").symlink_to("not_mounted.feat")
    (archive / "broken.mp4").write_bytes(b"nothing")
    (archive / "twin.mp4").write_bytes(b"")
    (archive / "twin.avi").write_bytes(b"")
    for _ in range(2):
        seen = listing_of(archive, tmp_path / "gone", database=tmp_path / "c")
        assert by_file(seen.footage) == by_file(read_one_by_one(archive))
        reasons = {one.file.name: one.reason for one in seen.left_out}
        assert reasons.keys() == {"other.feat", "away.feat", "broken.mp4", "twin.mp4", "twin.avi", "gone"}
        assert all(reason.startswith(str(one.file)) and "\n" not in reason for one in seen.left_out for reason in [one.reason])
        assert "expected test" in reasons["other.feat"] and "no such file or folder" in reasons["gone"]
        assert "share twin.feat" in reasons["twin.mp4"] and "no such file" in reasons["away.feat"]


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert listing_of(tmp_path / "empty", database=tmp_path / "c") == Listing((), (), ())


def test_videos_are_found_with_their_features_or_missing(clip_file: Path, tmp_path: Path, make_features: Make, opened: list[str]) -> None:
    archive = tmp_path / "archive"
    for name in ("ready", "tagged", "missing"):
        (archive / name).mkdir(parents=True)
        (archive / name / "cam_20261123_140000.mp4").symlink_to(clip_file)
    put(archive / "ready" / "cam_20261123_140000.feat", make_features(4, 3))
    put(archive / "tagged" / "cam_20261123_140000.feat", make_features(4, 3, backbone="other@1s"))
    for _ in range(2):
        opened.clear()
        seen = listing_of(archive, database=tmp_path / "c")
    assert opened == []
    assert [(one.feat, one.file) for one in seen.footage] == [
        (archive / "ready" / "cam_20261123_140000.feat", archive / "ready" / "cam_20261123_140000.mp4")
    ]
    assert [(one.given.path.parent.name, one.feat.name.count(".")) for one in seen.missing] == [("missing", 1), ("tagged", 2)]
    assert not seen.left_out and not list(archive.glob("missing/*.feat"))
    assert seen.footage[0].start == datetime(2026, 11, 23, 14)


def test_files_of_one_folder_are_joined_however_it_is_spelled(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive)
    (tmp_path / "link").symlink_to(archive)
    files = {one.feat.name: replace(one, camera="door", clock="name") for one in read_one_by_one(archive)}
    one = replace(files["door_20261123_140000.feat"], duration_s=3600.0, start=datetime(2026, 11, 23, 14))
    other = replace(files["door_20261123_150000.feat"], start=datetime(2026, 11, 23, 15))
    for feat in (other.feat, tmp_path / "link" / other.feat.name, Path(other.feat.name)):
        assert [len(joined) for joined in recordings([whole(one), whole(replace(other, feat=feat))])] == [2]
    assert [len(joined) for joined in recordings([whole(one), whole(replace(other, feat=archive / "north" / other.feat.name))])] == [1, 1]
