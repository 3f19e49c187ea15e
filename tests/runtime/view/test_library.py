"""What the page says of the opened folders, and which files its ids open."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("av")
from pages import HOURS, MARKUP, events, page_over, until, write_archive

from wsra.runtime.formats.bundle import Bundle, open_bundle, read_manifest, sealed_files, write_manifest
from wsra.runtime.formats.vocabulary import VOCABULARY, Vocabulary, write_vocabulary
from wsra.runtime.formats.wallclock import from_iso, instant
from wsra.runtime.view.library.about import examples
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.library.listing import Listing, id_of
from wsra.runtime.view.web.refusals import NotServed

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_archive(tmp_path_factory.mktemp("library"))


@pytest.fixture
def archive(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "archive"))


@pytest.fixture(scope="module")
def bundle(made: tuple[Path, Path]) -> Bundle:
    return open_bundle(made[1], trust_unchanged=True)


def listing_of(*roots: Path, bundle: Bundle) -> Listing:
    with Library(roots, bundle) as library:
        return library.listing()


def test_the_archive_is_described(made: tuple[Path, Path]) -> None:
    with page_over([made[0]], made[1]) as (_, client):
        answer = client.get("/api/archive")
        archive = answer.json()
    assert archive["bundle"] == "bundle" and archive["calibration"] == "captions" and archive["false_alarms"] is None
    assert archive["examples"] == archive["kinds"] == []  # a bundle of an earlier wsra has no vocabulary
    cameras = {camera["name"]: camera for camera in archive["cameras"]}
    assert set(cameras) == {*HOURS, "yard.mp4"}
    for name, (day, hours) in HOURS.items():
        begin, end = (instant(from_iso(f"{day}T{hour:02d}:30:00")).timestamp() for hour in (hours[0], hours[-1]))  # type: ignore[arg-type]
        expected = {"clock": True, "from_s": begin, "to_s": end + 17.0, "hours": len(hours) * 17 / 3600, "files": len(hours)}
        assert cameras[name] == {"id": id_of("c", name), "name": name} | expected | {"hours": pytest.approx(expected["hours"])}
    assert cameras["yard.mp4"] | {"id": "", "hours": 0} == {
        "id": "", "name": "yard.mp4", "clock": False, "from_s": 0.0, "to_s": 11.915, "hours": 0, "files": 1,
    }  # fmt: skip
    assert (archive["from_s"], archive["to_s"]) == (cameras["north/ch01"]["from_s"], cameras["south/ch02"]["to_s"])
    assert archive["hours"] == pytest.approx((7 * 17 + 11.915) / 3600)
    assert [(folder["name"], folder["ready"], folder["missing"]) for folder in archive["folders"]] == [
        ("archive", 8, 1), ("archive/north", 3, 0), ("archive/south", 4, 1),
    ]  # fmt: skip
    (left_out,) = archive["left_out"]
    assert left_out["file"] == str(made[0] / "broken.feat") and "cannot be read" in left_out["reason"]
    assert not left_out["reason"].startswith(str(made[0]))


def test_names_with_markup_are_text_in_json(archive: Path, bundle: Bundle) -> None:
    names = {"broken.feat", f"{MARKUP}.feat", "<script>.feat", '"onload=".feat', os.fsdecode(b"\xff\xfe.feat")}
    for name in names:
        (archive / name).write_bytes(b"no features")
    with page_over([archive], bundle.folder) as (_, client):
        answer = client.get("/api/archive")
        assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
        assert {Path(one["file"]).name for one in json.loads(answer.content)["left_out"]} == names
        found = events(client, "/api/ask", q=f"{MARKUP} </script>\n\nevent: failed", top_k=100)
        assert found[-1][0] == "answers" and found[-1][1]["answers"][0]["query"] == f"{MARKUP} </script>\n\nevent: failed"
        assert {moment["camera"] for moment in found[-1][1]["answers"][0]["moments"]} >= {f"south/{MARKUP}"}
        missing = client.get(f"/api/{MARKUP}")
        assert missing.status_code == 404 and missing.headers["content-type"] == "application/json"


def test_ids_are_the_same_at_each_start_and_mean_nothing_else(archive: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listing_of(archive, bundle=bundle)
    monkeypatch.chdir(archive.parent)
    again = listing_of(Path("archive"), bundle=bundle)
    assert list(first.by_id) == list(again.by_id) and [one.id for one in first.folders] == [one.id for one in again.folders]
    assert [one.id for one in first.cameras] == [one.id for one in again.cameras]
    every = [*first.by_id, *(one.id for one in first.folders), *(one.id for one in first.cameras)]
    assert len(set(every)) == len(every) and all(len(one) == 13 and one[0] in "vdc" for one in every)
    with Library([archive], bundle) as library:
        for unknown in ("v000000000000", "", "..", str(archive / "yard.feat"), first.folders[0].id):
            for method in (library.video_of, library.feat_of):
                with pytest.raises(NotServed, match="no video of this page has the id"):
                    method(unknown)
        assert library.video_of(id_of("v", archive / "yard.feat")) == archive / "yard.mp4"
        assert library.feat_of(id_of("v", archive / "yard.feat")) == archive / "yard.feat"
        with pytest.raises(NotServed, match="is not beside"):
            library.video_of(id_of("v", archive / "north" / "ch01_2026-11-23_09-30-00.feat"))


LINKS: list[Callable[[Path, Path], object]] = [
    lambda archive, outside: (archive / "linked.feat").symlink_to(outside / "clip.feat"),
    lambda archive, outside: (archive / "linked.mp4").symlink_to(outside / "yard.mp4"),
    lambda archive, outside: [
        shutil.copy(outside / "yard.mp4", archive / "linked.mp4"),
        (archive / "linked.feat").symlink_to(outside / "clip.feat"),
    ],
    lambda archive, outside: (archive / "linked").symlink_to(outside, target_is_directory=True),
    lambda archive, outside: (archive / "linked.mp4").symlink_to(archive / "linked.mp4"),
]


@pytest.mark.parametrize("link", LINKS, ids=["feat", "video", "feat of a video", "folder", "circle"])
def test_links_that_lead_out_are_refused(archive: Path, bundle: Bundle, tmp_path: Path, link: Callable[[Path, Path], object]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(archive / "yard.mp4", outside)
    shutil.copy(archive / "yard.feat", outside)
    shutil.copy(archive / "north" / "ch01_2026-11-23_09-30-00.feat", outside / "clip.feat")
    before = listing_of(archive, bundle=bundle)
    link(archive, outside)
    after = listing_of(archive, bundle=bundle)
    assert after.footage == before.footage and after.missing == before.missing
    new = [one for one in after.left_out if one not in before.left_out]
    assert all("linked" in one.file for one in new) and len(new) == (0 if (archive / "linked").is_dir() else 1)


def test_a_video_that_becomes_a_link_is_refused_at_once(archive: Path, bundle: Bundle, tmp_path: Path) -> None:
    with Library([archive], bundle) as library:
        one = id_of("v", archive / "yard.feat")
        assert library.video_of(one) == archive / "yard.mp4" and library.video_id(archive / "yard.feat", archive / "yard.mp4") == one
        shutil.move(archive / "yard.mp4", tmp_path / "yard.mp4")
        (archive / "yard.mp4").symlink_to(tmp_path / "yard.mp4")
        with pytest.raises(NotServed, match="a link that leads out of the opened folders"):
            library.video_of(one)
        assert library.video_id(archive / "yard.feat", archive / "yard.mp4") is None
    with Library([archive, tmp_path], bundle) as library:  # the link leads into a folder that is open, too
        assert library.video_of(one) == tmp_path / "yard.mp4"


def test_links_within_the_folders_are_followed(archive: Path, bundle: Bundle) -> None:
    (archive / "again_2026-11-23_09-30-00.feat").symlink_to(archive / "north" / "ch01_2026-11-23_09-30-00.feat")
    listing = listing_of(archive, bundle=bundle)
    assert len(listing.footage) == 9 and "ch01" in {camera.name for camera in listing.cameras}  # by the video that it is of
    assert not [one for one in listing.left_out if "again" in one.file]


def test_changes_are_seen(archive: Path, bundle: Bundle) -> None:
    feat = archive / "north" / "ch01_2026-11-23_09-30-00.feat"
    with Library([archive], bundle) as library:
        assert len(library.listing().footage) == 8
        shutil.copy(feat, archive / "north" / "ch01_2026-11-23_10-30-00.feat")
        library.refresh()
        until(lambda: len(library.listing().footage) == 9)
        shutil.rmtree(archive)
        library.refresh()
        until(lambda: not library.listing().footage)
        assert [(one.file, "no such file or folder" in one.reason) for one in library.listing().left_out] == [(str(archive), True)]


def test_an_empty_folder_opens_and_says_that_there_is_nothing_to_ask(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "empty").mkdir()
    with page_over([tmp_path / "empty"], bundle.folder) as (_, client):
        archive = client.get("/api/archive").json()
        assert archive["cameras"] == archive["left_out"] == [] and archive["from_s"] is None and archive["hours"] == 0
        assert [(folder["name"], folder["ready"], folder["missing"]) for folder in archive["folders"]] == [("empty", 0, 0)]
        answer = client.get("/api/ask", params={"q": "bus"})
        assert answer.status_code == 400 and "press Prepare under Footage" in answer.json()["message"]


def test_several_folders_each_once(archive: Path, bundle: Bundle) -> None:
    north, south = archive / "north", archive / "south"
    both = listing_of(north, south, north / ".." / "north", bundle=bundle)
    assert [folder.name for folder in both.folders] == ["north", "south"] and len(both.footage) == 7
    nested = listing_of(archive, north, bundle=bundle)
    assert {file.feat for file in nested.footage} == {file.feat for file in listing_of(archive, bundle=bundle).footage}


def test_a_file_that_breaks_meanwhile_is_left_out_and_the_rest_answered(archive: Path, bundle: Bundle) -> None:
    with page_over([archive], bundle.folder) as (_, client):
        before = events(client, "/api/ask", q="the yellow bus", top_k=100)[-1][1]
        broken = archive / "south" / "ch02_2026-11-24_13-30-00.feat"
        broken.write_bytes(broken.read_bytes()[:-40])
        after = events(client, "/api/ask", q="the yellow bus", top_k=100)[-1][1]
    new: Any = [one for one in after["left_out"] if one not in before["left_out"]]
    assert [one["file"] for one in new] == [str(broken)] and new[0]["reason"] and str(broken) not in new[0]["reason"]
    kept = [
        moment["score"] for moment in before["answers"][0]["moments"] if "13-30-00" not in moment["video"] or "ch02" not in moment["video"]
    ]
    assert [moment["score"] for moment in after["answers"][0]["moments"]] == kept


def test_examples_are_made_of_the_words_of_the_bundle(made: tuple[Path, Path], tmp_path: Path) -> None:
    kinds = {"man": 90, "car": 80, "woman": 70, "animal": 1}
    vocabulary = Vocabulary("training", 100, kinds, {"dark": 50, "red": 40, "orange": 30}, {"jacket": 5, "apron": 4}, {"walk": 3}, {"a": 9})
    assert examples(vocabulary) == ["a man in red", "an orange car", "a woman in red", "an orange animal"]
    assert examples(replace(vocabulary, kinds={"car": 2, "woman": 1})) == ["a red car", "a woman with an orange apron"]
    assert examples(replace(vocabulary, colours={})) == ["a man", "a car", "a woman", "an animal"]
    assert len(examples(replace(vocabulary, kinds={f"kind{n}": 1 for n in range(20)}))) == 8
    bundle = tmp_path / "bundle"
    shutil.copytree(made[1], bundle)
    write_vocabulary(bundle / VOCABULARY, vocabulary)
    write_manifest(bundle, replace(read_manifest(bundle), files=sealed_files(bundle)))
    with page_over([made[0]], bundle) as (_, client):
        archive = client.get("/api/archive").json()
    assert archive["kinds"] == list(kinds) and archive["examples"][0] == "a man in red"
