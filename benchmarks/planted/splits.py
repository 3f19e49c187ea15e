"""The splits for planted features: Charades-STA and UCA, with disjoint videos, and optionally with wrong captions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsra.runtime.formats.annotation_formats import Row, read_durations, read_rows
from wsra.runtime.formats.annotations import Annotation

VAL_SHARE = 10  # one in this many training videos of Charades-STA is kept for validation
LONGEST_S = 180.0  # longer videos of UCA are excluded


@dataclass(frozen=True)
class Splits:
    """Annotations of three sets of videos; those of `train` serve the skyline and the prior, never weakly supervised training."""

    train: list[Annotation]
    val: list[Annotation]
    test: list[Annotation]

    def seen(self) -> list[bool]:
        """Whether each test sentence, in lower case without its punctuation, is one of the training sentences."""
        known = {_plain(annotation.query) for annotation in self.train}
        return [_plain(annotation.query) in known for annotation in self.test]


def _plain(sentence: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in sentence.lower()).split())


def _annotation(row: Row, qid: str, duration_s: float) -> Annotation | None:
    """Clip the span of an annotation to its video; None if nothing remains."""
    ((start_s, end_s),) = row.values["relevant_windows"]
    start_s, end_s = max(0.0, start_s), min(end_s, duration_s)
    query = row.values["query"].strip()
    if end_s <= start_s or not query:
        return None
    return Annotation(qid, query, row.values["vid"], duration_s, ((start_s, end_s),), {})


def read_charades(folder: Path) -> Splits:
    """Charades-STA: the official test file, and the training file divided in two by video. Spans are clipped at the end of the video.

    Args:
        folder: contains charades_sta_train.txt, charades_sta_test.txt and charades.json (durations).

    Raises:
        DataError: a file cannot be read.
    """
    durations_s = read_durations(folder / "charades.json")
    sets: dict[str, list[Annotation]] = {"train": [], "val": [], "test": []}
    for part in ("train", "test"):
        for number, row in enumerate(read_rows(folder / f"charades_sta_{part}.txt")[1]):
            vid = row.values["vid"]
            name = "val" if part == "train" and zlib.crc32(vid.encode()) % VAL_SHARE == 0 else part
            found = _annotation(row, f"{part}-{number}", durations_s[vid])
            if found is not None:
                sets[name].append(found)
    return Splits(**sets)


def read_uca(folder: Path, *, longest_s: float = LONGEST_S) -> Splits:
    """UCA (surveillance video) with its official splits, without videos longer than `longest_s` seconds.

    Args:
        folder: contains UCFCrime_Train.json, UCFCrime_Val.json and UCFCrime_Test.json.
        longest_s: in seconds.

    Raises:
        DataError: a file cannot be read.
    """
    sets = {}
    for part in ("Train", "Val", "Test"):
        rows = [row for row in read_rows(folder / f"UCFCrime_{part}.json")[1] if row.values["duration"] <= longest_s]
        made = (_annotation(row, row.values["qid"].replace("#", "-"), float(row.values["duration"])) for row in rows)
        sets[part.lower()] = [annotation for annotation in made if annotation is not None]
    return Splits(**sets)


def lengthened(annotations: Sequence[Annotation], factor: float, *, seed: int) -> list[Annotation]:
    """Embed each video at a random position in one that is `factor` times as long.

    Args:
        annotations: of one split; those of one video move together.
        factor: at least 1.
        seed: random seed of the positions.
    """

    def moved(annotation: Annotation) -> Annotation:
        rng = np.random.default_rng([seed, zlib.crc32(annotation.vid.encode())])
        before_s = float(rng.uniform(0, (factor - 1) * annotation.duration_s))
        windows_s = tuple((start_s + before_s, end_s + before_s) for start_s, end_s in annotation.windows_s)
        return replace(annotation, duration_s=factor * annotation.duration_s, windows_s=windows_s)

    return [moved(annotation) for annotation in annotations]


def with_wrong_captions(annotations: Sequence[Annotation], share: float, *, seed: int) -> list[Annotation]:
    """Exchange a share of the captions among wrong videos; the videos themselves do not change.

    The chosen captions are sorted by video and shifted by half their number, so that none keeps its video unless a video has half of them.

    Args:
        annotations: of one split; the spans of exchanged captions are meaningless and are removed.
        share: in [0, 1].
        seed: random seed of the choice.
    """
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(len(annotations), round(share * len(annotations)), replace=False), key=lambda n: annotations[n].vid)
    dealt = list(annotations)
    for number, other in zip(chosen, np.roll(chosen, len(chosen) // 2), strict=True):
        source = annotations[int(other)]
        dealt[int(number)] = replace(annotations[int(number)], vid=source.vid, duration_s=source.duration_s, windows_s=())
    return dealt
