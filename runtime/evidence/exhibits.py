"""The moments of an answer with the videos that show them: what every kind of evidence is made of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Detection, Excerpt
from wsra.runtime.drawing.boxes import Box, ObjectPath, path_of
from wsra.runtime.drawing.sources import find_video
from wsra.runtime.errors import FeatureError
from wsra.runtime.extraction.provenance import is_of
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.formats.wallclock import local

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One video of an answer.

    Attributes:
        video: its name in answers.
        feat: its .feat file.
        file: the video itself, or None where it is not here.
        missing: why it is not here; empty where it is.
    """

    video: str
    feat: Path
    file: Path | None
    missing: str

    @cached_property
    def features(self) -> Features:
        """What the .feat file holds.

        Raises:
            FeatureError: it cannot be read.
        """
        return read_features(self.feat)


@dataclass(frozen=True)
class Part:
    """The part of a moment that lies in one file, the video, and where the object is in it (None for snippets)."""

    excerpt: Excerpt
    source: Source
    path: ObjectPath | None

    @property
    def length_s(self) -> float:
        """Its length."""
        return self.excerpt.end_s - self.excerpt.start_s


@dataclass(frozen=True)
class Exhibit:
    """One moment of an answer.

    Attributes:
        sentence: which sentence it answers, counted from 0.
        query: the sentence.
        rank: 1 for the best moment of the sentence.
        detection: the moment.
        found: whether it is found; False of a best candidate.
        parts: one per file, in order of time.
    """

    sentence: int
    query: str
    rank: int
    detection: Detection
    found: bool
    parts: tuple[Part, ...]

    @property
    def best(self) -> tuple[Part, float]:
        """The part and the second of its video at which it is seen best; for snippets the middle."""
        for part in self.parts:
            if part.excerpt.best_s is not None:
                return part, part.excerpt.best_s
        return self.at(0.5)

    def at(self, share: float) -> tuple[Part, float]:
        """The part and the second of its video after a share of the moment, in [0, 1]."""
        left_s = share * sum(part.length_s for part in self.parts)
        for part in self.parts[:-1]:
            if left_s <= part.length_s:
                return part, part.excerpt.start_s + left_s
            left_s -= part.length_s
        return self.parts[-1], min(self.parts[-1].excerpt.start_s + left_s, self.parts[-1].excerpt.end_s)

    def box(self, part: Part, time_s: float) -> Box | None:
        """Where the object is at a second of a part; of an object whose rows hold no boxes, where it is seen best."""
        return part.path.box(time_s) if part.path is not None else self.detection.moment.box

    @property
    def clock(self) -> str:
        """Local date and time of the start, with the offset where the clock has a zone; empty where the time is not known."""
        return "" if self.detection.start is None else local(self.detection.start).isoformat(" ", "seconds")


def exhibits_of(results: Sequence[Result]) -> list[Exhibit]:
    """The moments of all results, and of a result without any its best candidate; one warning for each video that is not here."""
    sources: dict[Path, Source] = {}
    exhibits = []
    for number, result in enumerate(results):
        found = bool(result.detections)
        shown = result.detections if found or result.best is None else [result.best]
        for rank, detection in enumerate(shown, 1):
            exhibits.append(Exhibit(number, result.query, rank, detection, found, _parts(detection, sources)))
    return exhibits


def _parts(detection: Detection, sources: dict[Path, Source]) -> tuple[Part, ...]:
    """The parts of a moment; a track goes on in the next file as that file says which track it continues."""
    parts: list[Part] = []
    track = detection.moment.track
    for number, excerpt in enumerate(detection.excerpts):
        if excerpt.feat not in sources:
            sources[excerpt.feat] = _source(excerpt)
        source = sources[excerpt.feat]
        features = source.features
        if number and track is not None:
            continued = [] if features.tracks is None else (features.tracks.continues == track).nonzero()[0].tolist()
            track = continued[0] if continued else None
        parts.append(Part(excerpt, source, None if track is None else path_of(features, track)))
    return tuple(parts)


def _source(excerpt: Excerpt) -> Source:
    """The video of an excerpt: the input, or one beside the .feat file from which that was made."""
    if excerpt.file is not None:
        return Source(excerpt.video, excerpt.feat, excerpt.file, "")
    features = read_features(excerpt.feat)
    video = find_video(features)
    if video is None:
        reason = f"{excerpt.video} is not beside {excerpt.feat.name}"
    else:
        with one_file(video, FeatureError):
            if "source_sha256" not in features.extra or is_of(features, video):
                return Source(excerpt.video, excerpt.feat, video, "")
        reason = f"{video.name} is not the video from which {excerpt.feat.name} was made"
    logger.warning(f"{reason}: there are no pictures, no clips and no entries in an .m3u8 of it")
    return Source(excerpt.video, excerpt.feat, None, reason)
