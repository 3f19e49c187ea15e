"""A film in which a white square walks over a grey wall, its features, and answers about it made by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from films import Film
from objects import object_features
from presences import PRESENCE, upgrade

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Curve, Detection, Excerpt
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.backends.settings import RunInfo
from wsra.runtime.evidence.exhibits import exhibits_of
from wsra.runtime.formats.bundle import read_manifest, write_manifest
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.spans.moments import Moment

OLD_BUNDLE = Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "bundle"
SIZE = (160, 96)
SECONDS, STEP_MS = 30, 100
SIDE = 0.2  # of the square, as a share of the picture's height


def left_of(time_s: float) -> float:
    """Where the square begins, as a share of the width: it crosses the picture in `SECONDS`."""
    return 0.05 + 0.75 * time_s / SECONDS


def box_at(time_s: float) -> tuple[float, float, float, float]:
    left = left_of(time_s)
    return left, 0.4, left + SIDE * SIZE[1] / SIZE[0], 0.4 + SIDE


def picture(number: int) -> np.ndarray:
    """Frame `number`: its number in the grey of the wall, and the white square."""
    width, height = SIZE
    image = np.full((height, width, 3), 40 + 2 * (number % 60), np.uint8)
    left, top, right, bottom = box_at(number * STEP_MS / 1000)
    image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = 255
    return image


def write_film(path: Path, **changes: object) -> Path:
    settings = {"shown_ms": range(0, SECONDS * 1000, STEP_MS), "picture": picture, "group": 30, "bframes": 2} | changes
    return Path(Film(**settings).write(path))  # type: ignore[arg-type]


def features_of(video: Path, *, start: str = "2026-11-23T14:05:00") -> Features:
    """Rows of one track, which lives from 2 to 28 s, with the true boxes."""
    made = object_features([(2.0, 28.0)], duration_s=float(SECONDS), video=video.name)
    middles = made.times_s.mean(axis=1)
    boxes = np.array([box_at(time_s) for time_s in middles], np.float32)
    views_s = np.array([15.0])
    tracks = Tracks(
        made.tracks.of_row, boxes, made.tracks.lives_s, made.tracks.continues,  # type: ignore[union-attr]
        np.zeros(1, np.int32), views_s, np.array([box_at(15.0)], np.float32),
    )  # fmt: skip
    extra = {"start_time": start, "start_time_source": "metadata", "source_size": str(video.stat().st_size)}
    return Features(made.values, made.times_s, video.name, float(SECONDS), "objects", extra, tracks)


def write_pair(folder: Path, name: str = "gate-2.mp4", **changes: object) -> tuple[Path, Path]:
    """A video and its .feat file."""
    video = write_film(folder / name, **changes)
    feat = video.with_suffix(".feat")
    write_features(feat, features_of(video))
    return video, feat


def detection(
    feat: Path,
    *,
    video: str = "gate-2.mp4",
    start_s: float = 5.0,
    end_s: float = 12.3,
    confidence: float = 0.9,
    camera: str | None = "gate-2",
    start: datetime | None = datetime(2026, 11, 23, 14, 5, 10),
    track: int | None = 0,
    file: Path | None = None,
) -> Detection:
    """A moment of the film."""
    best_s = (start_s + end_s) / 2 if track is not None else None
    box = box_at(best_s) if best_s is not None else None
    moment = Moment(video, start_s, end_s, 4.5, 3.0, confidence, 0.25, track, box, best_s)
    return Detection(moment, camera, start, None, (Excerpt(video, feat, file, start_s, end_s, start, best_s),))


def curve() -> Curve:
    starts = np.arange(float(SECONDS))
    values = np.sin(starts / 4)
    return Curve("gate-2.mp4", values, np.stack([starts, starts + 1], axis=1), float(SECONDS), ((5.0, 12.3),))


def calibrated_bundle(folder: Path) -> Path:
    """A bundle of which a report reads the calibration, `PRESENCE`."""
    shutil.copytree(OLD_BUNDLE, folder)
    upgrade(folder)
    write_manifest(folder, replace(read_manifest(folder), presence=PRESENCE))
    return folder


def hand_over(results: list[Result], bundle: Path, path: Path, *, false_alarms: float | None = None) -> None:
    """Write the report of results."""
    from wsra.runtime.evidence.provenance import provenance_of
    from wsra.runtime.evidence.report_html import write_report

    found = SearchResults(RunInfo(bundle, "fp16", "cpu", "cpu", "numpy"), results, [], 0.5, "captions")
    exhibits = exhibits_of(results)
    sources = {part.source.feat: part.source for exhibit in exhibits for part in exhibit.parts}
    provenance = provenance_of(found, sources.values(), ["wsra", "ground", "x y.mp4"])
    write_report(exhibits, found, provenance, path, false_alarms=false_alarms)


def result(*detections: Detection, query: str = "man in yellow", best: Detection | None = None) -> Result:
    return Result(query, list(detections), [curve()], best if best is not None else (detections or (None,))[0])
