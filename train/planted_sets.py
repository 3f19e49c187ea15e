"""The splits that planted features are made for: Charades-STA and UCA, no video in two of them; wrong captions on request."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsra.runtime.annotations import Annotation
from wsra.runtime.errors import DataError

VAL_SHARE = 10  # one in so many training videos of Charades-STA is kept for validation
LONGEST_S = 180.0  # longer videos of UCA are left out


@dataclass(frozen=True)
class Splits:
    """Annotations of three sets of videos; those of `train` serve the skyline and the prior, never weak training."""

    train: list[Annotation]
    val: list[Annotation]
    test: list[Annotation]

    def seen(self) -> list[bool]:
        """Whether each test sentence, in lower case without its punctuation, is one of the training sentences."""
        known = {_plain(annotation.query) for annotation in self.train}
        return [_plain(annotation.query) in known for annotation in self.test]


def _plain(sentence: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in sentence.lower()).split())


def _annotation(qid: str, query: str, vid: str, duration_s: float, start_s: float, end_s: float) -> Annotation | None:
    """An annotation whose span lies within its video, or none if nothing of it does."""
    start_s, end_s = max(0.0, start_s), min(end_s, duration_s)
    if end_s <= start_s or not query:
        return None
    return Annotation(qid, query, vid, duration_s, ((start_s, end_s),), {})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror}); expected the published annotations") from err


def read_charades(folder: Path) -> Splits:
    """Charades-STA: the official test file, and the training file cut in two by video. Ends are cut at the end of the video.

    Args:
        folder: with charades_sta_train.txt, charades_sta_test.txt and charades.json (durations).

    Raises:
        DataError: a file cannot be read.
    """
    durations = {vid: float(row["duration"]) for vid, row in json.loads(_text(folder / "charades.json")).items()}
    sets: dict[str, list[Annotation]] = {"train": [], "val": [], "test": []}
    for part in ("train", "test"):
        for number, line in enumerate(_text(folder / f"charades_sta_{part}.txt").splitlines()):
            times, _, query = line.partition("##")
            vid, start_s, end_s = times.split()
            name = "val" if part == "train" and zlib.crc32(vid.encode()) % VAL_SHARE == 0 else part
            found = _annotation(f"{part}-{number}", query.strip(), vid, durations[vid], float(start_s), float(end_s))
            if found is not None:
                sets[name].append(found)
    return Splits(**sets)


def read_uca(folder: Path, *, longest_s: float = LONGEST_S) -> Splits:
    """UCA (surveillance video): its own splits, without videos longer than `longest_s` seconds.

    Args:
        folder: with UCFCrime_Train.json, UCFCrime_Val.json and UCFCrime_Test.json.
        longest_s: in seconds.

    Raises:
        DataError: a file cannot be read.
    """
    sets = {}
    for part in ("Train", "Val", "Test"):
        sets[part.lower()] = [
            found
            for vid, row in json.loads(_text(folder / f"UCFCrime_{part}.json")).items()
            if row["duration"] <= longest_s
            for number, (query, (start_s, end_s)) in enumerate(zip(row["sentences"], row["timestamps"], strict=True))
            if (found := _annotation(f"{vid}-{number}", query.strip(), vid, float(row["duration"]), float(start_s), float(end_s)))
        ]
    return Splits(**sets)


def lengthened(annotations: Sequence[Annotation], factor: float, *, seed: int) -> list[Annotation]:
    """The same moments in longer videos: each video lies somewhere within one that is `factor` times as long.

    Args:
        annotations: of one split; those of one video move together.
        factor: at least 1.
        seed: of where.
    """

    def moved(annotation: Annotation) -> Annotation:
        rng = np.random.default_rng([seed, zlib.crc32(annotation.vid.encode())])
        before_s = float(rng.uniform(0, (factor - 1) * annotation.duration_s))
        windows_s = tuple((start_s + before_s, end_s + before_s) for start_s, end_s in annotation.windows_s)
        return replace(annotation, duration_s=factor * annotation.duration_s, windows_s=windows_s)

    return [moved(annotation) for annotation in annotations]


def with_wrong_captions(annotations: Sequence[Annotation], share: float, *, seed: int) -> list[Annotation]:
    """Deal a share of the captions to wrong videos, among themselves; the videos still show what was true of them.

    Those chosen are ordered by video and dealt half a round further, so that none stays unless one video holds half of them.

    Args:
        annotations: of one split; the spans of those that are dealt no longer mean anything and are left out.
        share: in [0, 1].
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(len(annotations), round(share * len(annotations)), replace=False), key=lambda n: annotations[n].vid)
    dealt = list(annotations)
    for number, other in zip(chosen, np.roll(chosen, len(chosen) // 2), strict=True):
        source = annotations[int(other)]
        dealt[int(number)] = replace(annotations[int(number)], vid=source.vid, duration_s=source.duration_s, windows_s=())
    return dealt
