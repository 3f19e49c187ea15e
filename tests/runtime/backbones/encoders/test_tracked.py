"""Tracks by their best views (`--regions tracks`): which are encoded, how many, whose, and that `motion`'s rows stay as they are."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "onnx", "onnxruntime", "scipy"):
    pytest.importorskip(library)

from encoders import encoder, mean_colour, settings_of  # noqa: E402
from encoders import film as filmed  # noqa: E402
from stage import BLUE, COLUMNS, GREEN, RED, ROWS, START_S, YELLOW, Actor, film, walk, whose  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from wsra.runtime.backbones.encoders.encoder import Encoder  # noqa: E402
from wsra.runtime.backbones.encoders.tracked import TrackedBackbone  # noqa: E402
from wsra.runtime.backbones.encoders.view_encoder import ViewEncoder, worth_encoding  # noqa: E402
from wsra.runtime.backbones.registry import MotionBackbone, load_backbone  # noqa: E402
from wsra.runtime.backbones.tracking.blobs import Blob  # noqa: E402
from wsra.runtime.backbones.tracking.camera import Camera  # noqa: E402
from wsra.runtime.backbones.tracking.motion import WIDTH, object_rows  # noqa: E402
from wsra.runtime.backbones.tracking.tracker import Objects  # noqa: E402
from wsra.runtime.backbones.tracking.views import MOST, View  # noqa: E402
from wsra.runtime.backends.settings import GraphSettings  # noqa: E402
from wsra.runtime.cli import app  # noqa: E402
from wsra.runtime.errors import BackboneError  # noqa: E402
from wsra.runtime.extraction.batch import extract_features  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402
from wsra.runtime.video.frames import Frame, Reading, Video  # noqa: E402
from wsra.train.scenes.demo.render import frames  # noqa: E402
from wsra.train.scenes.demo.world import sample_clip  # noqa: E402


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """An encoder whose embedding is the mean colour of what it is shown."""
    return encoder(mean_colour(tmp_path / "colours.onnx"))


def tracked(path: Path) -> TrackedBackbone:
    backbone = load_backbone(path, GraphSettings(threads=1), regions="tracks")
    assert isinstance(backbone, TrackedBackbone)
    return backbone


def embeddings_of(found: Objects) -> np.ndarray:
    """(N, D): one for each track, which all of its rows share."""
    first = [int(np.flatnonzero(found.tracks.of_row == track)[0]) for track in range(len(found.tracks))]
    embeddings = found.values[first, WIDTH:].astype(np.float32)
    np.testing.assert_array_equal(found.values[:, WIDTH:], embeddings[found.tracks.of_row].astype(np.float16))
    return embeddings


def test_rows_are_those_of_motion_with_the_embedding_of_their_track_behind(clip_file: Path, colours: Path) -> None:
    plain, found = extract_features(clip_file), extract_features(clip_file, backbone=tracked(colours))
    assert plain.tracks is not None and found.tracks is not None and len(plain.tracks) > 1
    np.testing.assert_array_equal(found.values[:, :WIDTH], plain.values)
    np.testing.assert_array_equal(found.times_s, plain.times_s)
    for name in ("of_row", "boxes", "lives_s", "continues"):
        np.testing.assert_array_equal(getattr(found.tracks, name), getattr(plain.tracks, name))
    assert found.width == tracked(colours).width == WIDTH + 3 and found.values.dtype == np.float16
    digest = settings_of(colours.with_suffix(".onnx")).digest()
    assert found.backbone == f"{plain.backbone.removesuffix('@1s')}+tiny-{digest}@1s+tracks"


def walker(image: np.ndarray, t: float) -> None:
    """Somebody in red with stripes of 4 rows passes; 480 rows."""
    if t >= 21:
        x = round((t - 21) * 100)
        image[200:360, x : x + 60] = RED
        image[200:360:8, x : x + 60] = image[201:360:8, x : x + 60] = (230, 230, 230)


def test_views_are_cut_from_finer_frames_and_rows_stay_those_of_motion(tmp_path: Path) -> None:
    video = filmed(tmp_path / "v.mp4", seconds=28, paint=walker)
    graph = mean_colour(tmp_path / "e.onnx", shape=("n", 3, 224, 224))
    backbone = tracked(encoder(graph, size=(224, 224)))
    assert backbone.reads_at(1.0) == Reading(240, 4.0, 448)
    plain, found = extract_features(video), extract_features(video, backbone=backbone)
    assert len(plain) > 4
    np.testing.assert_array_equal(found.values[:, :WIDTH], plain.values)
    with Video(video, height_px=240, frames_per_s=4, detail_px=448) as opened:
        frame = next(opened.frames())
    assert frame.image.shape == (240, 320, 3) and frame.finest.shape == (448, 598, 3)
    with Video(video, height_px=480, frames_per_s=4, detail_px=1080) as opened:
        assert next(opened.frames()).detail is None  # the video has no more rows


def test_who_cross_keep_the_embeddings_of_their_own_views(colours: Path) -> None:
    actors = [
        Actor(walk(START_S, 40), upper=RED, lower=RED),
        Actor(walk(START_S, -40, left=COLUMNS), upper=BLUE, lower=BLUE),
        Actor(walk(START_S + 15, 45, foot=190), upper=GREEN, lower=GREEN),
        Actor(walk(START_S + 15, -45, left=COLUMNS, foot=190), upper=YELLOW, lower=YELLOW),
    ]
    found = tracked(colours).objects(film(actors, 48), 1.0)
    assert len(found.tracks) == len(actors)
    embeddings = embeddings_of(found)
    ground = np.full(3, 121.0)
    for track, seen in enumerate(whose(found.tracks, found.times_s, actors)):
        own = max(seen, key=lambda actor: seen[actor])
        away = embeddings[track] - ground
        likeness = [float(away @ (np.array(actor.upper) - ground)) / np.linalg.norm(np.array(actor.upper) - ground) for actor in actors]
        assert int(np.argmax(likeness)) == own and likeness[own] > 0.9 * np.linalg.norm(away)


def test_the_best_view_is_encoded_with_a_margin_around_it(colours: Path) -> None:
    """Who comes nearer, and so larger, until the picture's edge cuts it."""
    nearing = [
        Actor(lambda t, s=s: (150.0, 90.0 + s) if START_S + s / 20 <= t < START_S + (s + 5) / 20 else None, 10 + s // 6, 30 + s // 2)
        for s in range(0, 120, 5)
    ]
    found = tracked(colours).objects(film(nearing, 35), 1.0)
    assert len(found.tracks) == 1
    best_s, (left, top, right, bottom) = float(found.tracks.views_s[0]), found.tracks.view_boxes[0].tolist()
    frame = next(frame for frame in film(nearing, 35) if frame.time_s == best_s)
    assert bottom - top > 0.8 * max(found.tracks.boxes[:, 3] - found.tracks.boxes[:, 1])
    side = 1.3 * (bottom - top) * ROWS
    rows = [round((top + bottom) / 2 * ROWS - side / 2), round((top + bottom) / 2 * ROWS + side / 2)]
    columns = [round((left + right) / 2 * COLUMNS - side / 2), round((left + right) / 2 * COLUMNS + side / 2)]
    expected = frame.image[rows[0] : rows[1], columns[0] : columns[1]].mean(axis=(0, 1))
    np.testing.assert_allclose(embeddings_of(found)[0], expected, atol=2.0)


def test_a_view_without_others_is_better(colours: Path) -> None:
    """Two who walk apart at last: the best views of both are those of the end, where neither is in the other's picture."""
    apart_s = START_S + 5
    together = walk(START_S, 25)

    def other(time_s: float) -> tuple[float, float] | None:
        place = together(time_s)
        return place and (place[0] + 30 + max(0.0, time_s - apart_s) * 30, 200.0)

    actors = [Actor(together, upper=RED, lower=RED), Actor(other, upper=GREEN, lower=GREEN)]
    found = tracked(colours).objects(film(actors, 34), 1.0)
    assert len(found.tracks) == 2
    best_s = found.tracks.views_s[found.tracks.best_views]
    assert (best_s > apart_s + 0.5).all(), best_s


def test_more_views_of_a_longer_life_and_none_far_worse_than_the_best() -> None:
    views = [View(worth, float(number), (0, 0, 1, 1)) for number, worth in enumerate((1.0, 0.9, 0.5, 0.4))]
    assert [len(worth_encoding(views, life_s)) for life_s in (0.3, 9.9, 10.0, 20.0, 30.0, 1e6)] == [1, 1, 2, 3, 3, 3]
    assert worth_encoding([], 5.0) == []
    assert len(worth_encoding([View(0.0, float(n), (0, 0, 1, 1)) for n in range(MOST)], 1e6)) == MOST


class Watched(ViewEncoder):
    """Remembers how many pictures are held, and which were taken."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.held, self.most_held, self.most_waiting, self.cut, self.taken = 0, 0, 0, 0, list[tuple[int, int, float]]()

    def crop(self, frame: Frame, blob: Blob) -> Any:
        image = super().crop(frame, blob).copy()
        assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
        self.held, self.cut = self.held + 1, self.cut + 1
        weakref.finalize(image, self._gone)
        self.most_held = max(self.most_held, self.held)
        return image

    def _gone(self) -> None:
        self.held -= 1

    def take(self, number: int, views: Sequence[View], life_s: float) -> None:
        super().take(number, views, life_s)
        self.taken.append((number, len(views), life_s))
        self.most_waiting = max(self.most_waiting, len(self._waiting))


def test_pictures_do_not_pile_up_and_are_a_tenth_of_one_a_second(colours: Path) -> None:
    """Thirty who pass one after the other, and two who stand for five minutes."""
    passers = [Actor(walk(START_S + 12 * number, 30, foot=210), upper=(RED, BLUE, GREEN)[number % 3]) for number in range(30)]
    standing = [
        Actor(walk(START_S, 60, left=-20, foot=90, stop=(START_S + 1.5, START_S + 350)), height=40, upper=YELLOW),
        Actor(walk(START_S, -60, left=COLUMNS, foot=90, stop=(START_S + 1.5, START_S + 350)), height=40, upper=BLUE),
    ]
    watched = Watched(Encoder(settings_of(colours.with_suffix(".onnx")), colours.with_suffix(".onnx"), GraphSettings(threads=1)))
    found = object_rows(film([*passers, *standing], 420), 1.0, onlooker=watched)
    assert len(found.tracks) == len(passers) + 2 == len(watched.taken) == len({number for number, _, _ in watched.taken})
    embeddings = watched.embeddings(found.numbers.tolist())
    assert embeddings.shape == (len(found.tracks), 3) and embeddings.dtype == np.float16
    at_once = 2 + 2  # tracks that are followed at a time: of those who pass one may come as another goes
    assert watched.most_waiting < 16 and watched.most_held <= at_once * (MOST + 1) + 16 + MOST
    assert watched.cut <= len(found.values) + 2 * len(found.tracks)  # one a second, also of what is no row yet
    seconds = sum(life_s for _, _, life_s in watched.taken)
    assert watched.encoded <= len(found.tracks) + seconds / 10
    assert watched.encoded <= 0.11 * len(found.values) and watched.calls == -(-watched.encoded // 16)


def pictures(shown: Iterator[Frame], colours: Path) -> tuple[int, int, int]:
    """Tracks, rows, and pictures that are encoded."""
    views = ViewEncoder(Encoder(settings_of(colours.with_suffix(".onnx")), colours.with_suffix(".onnx"), GraphSettings(threads=1)))
    found = object_rows(shown, 1.0, onlooker=views)
    views.embeddings(found.numbers.tolist())
    return len(found.tracks), len(found.values), views.encoded


def test_few_pictures_of_rendered_scenes(colours: Path) -> None:
    counts = np.zeros(3, int)
    for number in range(4):
        images = frames(sample_clip(f"c{number}", "test", number))
        counts += pictures((Frame(place / 8, image) for place, image in enumerate(images) if place % 2 == 0), colours)
    tracks, rows, encoded = counts.tolist()
    assert tracks > 8 and tracks <= encoded <= 0.2 * rows


def test_few_pictures_of_footage(data_folder: Path, colours: Path) -> None:
    with Video(data_folder / "footage" / "one-by-one-person-detection.mp4", height_px=240, frames_per_s=4) as video:
        tracks, rows, encoded = pictures(video.frames(), colours)
        hours = video.end_s / 3600
    assert tracks >= 10 and tracks <= encoded <= 0.17 * rows and encoded / hours < 0.17 * 3600


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_how_many_share_a_call_changes_nothing(tmp_path: Path, colours: Path, clip_file: Path, rows: int) -> None:
    graph = mean_colour(tmp_path / "e.onnx", shape=(rows, 3, 8, 8))
    free = extract_features(clip_file, backbone=tracked(colours))
    fixed = extract_features(clip_file, backbone=tracked(encoder(graph, batch=rows)))
    np.testing.assert_array_equal(fixed.values, free.values)


def test_a_recording_in_two_files_has_the_rows_of_one_and_views_of_each(colours: Path) -> None:
    """Somebody in red turns green where the file ends: in each file the embedding is of what is seen there."""
    path, cut_s = walk(START_S, 14), 31.0
    actors = [
        Actor(lambda t: path(t) if t < cut_s else None, upper=RED),
        Actor(lambda t: path(t) if t >= cut_s else None, upper=GREEN),
    ]
    whole = tracked(colours).objects(film(actors, 40), 1.0)
    camera = Camera()
    first = tracked(colours).continuing(camera).objects(film(actors, cut_s), 1.0)
    camera.next_file(cut_s)
    second = tracked(colours).continuing(camera).objects(film(actors, 40 - cut_s, start_s=cut_s), 1.0)
    assert len(whole.tracks) == len(first.tracks) == len(second.tracks) == 1 and second.tracks.continues.tolist() == [0]
    np.testing.assert_array_equal(np.concatenate([first.values, second.values])[:, :WIDTH], whole.values[:, :WIDTH])
    (blue, green, red), (later_blue, later_green, later_red) = embeddings_of(first)[0], embeddings_of(second)[0]
    assert red > green and later_green > later_red and blue < green + 5 and later_blue < later_green


def test_the_command_continues_with_views(tmp_path: Path, colours: Path) -> None:
    videos = [
        str(filmed(tmp_path / f"{name}.mp4", seconds=seconds, paint=lambda image, t, s=start_s: walker(image, t + s)))
        for name, seconds, start_s in (("one", 24, 0), ("two", 4, 24))
    ]
    options = ["--backbone", str(colours), "--regions", "tracks", "--continue"]
    for place, chosen in (("plain", ["--continue"]), ("tracks", options)):
        run = CliRunner().invoke(app, ["extract", *videos, "-o", str(tmp_path / place), *chosen])
        assert run.exit_code == 0, run.output
    for name in ("one", "two"):
        plain, found = (read_features(tmp_path / place / f"{name}.feat") for place in ("plain", "tracks"))
        assert len(plain) > 1
        np.testing.assert_array_equal(found.values[:, :WIDTH], plain.values)
        assert (tmp_path / "tracks" / f"{name}.camera").read_bytes() == (tmp_path / "plain" / f"{name}.camera").read_bytes()
    assert found.tracks is not None and (found.tracks.continues >= 0).any()
    run = CliRunner().invoke(app, ["extract", *videos, "-o", str(tmp_path / "tracks"), *options])
    assert run.exit_code == 0 and run.output.count("kept, already extracted") == 2
    refused = CliRunner().invoke(app, ["extract", *videos, "-o", str(tmp_path / "x"), "--backbone", str(colours), "--continue"])
    assert refused.exit_code != 0 and "track nothing from one file into the next" in str(refused.exception)


def test_nothing_moves(colours: Path) -> None:
    found = tracked(colours).objects(film([], 25), 1.0)
    assert found.values.shape == (0, WIDTH + 3) and len(found.tracks) == 0


def test_what_does_not_fit(tmp_path: Path) -> None:
    clips = encoder(mean_colour(tmp_path / "e.onnx", shape=("n", 3, 4, 8, 8), axes=(2, 3, 4)), frames=4, layout="NCTHW", sampling="uniform")
    with pytest.raises(BackboneError, match=r"e\.onnx: takes clips of 4 frames; --regions tracks encodes single views"):
        load_backbone(clips, regions="tracks")
    with pytest.raises(BackboneError, match="--regions tracks with the motion backbone"):
        load_backbone("motion", regions="tracks")
    large = encoder(mean_colour(tmp_path / "large.onnx"), scale=1000.0)
    with pytest.raises(BackboneError, match=r"large\.onnx: y holds 1\d{5}.*, and rows of tracks 65504 at most"):
        tracked(large).objects(film([Actor(walk(START_S, 40))], 32), 1.0)


def test_motion_goes_on_as_before() -> None:
    camera = Camera()
    backbone = MotionBackbone().continuing(camera)
    backbone.objects(film([Actor(walk(START_S, 40))], 26), 1.0)
    assert camera.background is not None and backbone.reads_at(0.1) == Reading(240, 10.0)
