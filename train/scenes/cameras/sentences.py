"""The rows of a data set: sentences of a clip with their spans, and sentences that are true of nobody in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.agreement import agrees
from wsra.train.scenes.cameras.backdrop import fixtures_of
from wsra.train.scenes.cameras.furniture import parked
from wsra.train.scenes.cameras.look import ANIMALS, DRESSED, GARMENTS, ON_FOOT, VEHICLES, Kind, Traits, colours_of, is_unseen
from wsra.train.scenes.cameras.truth import visible_span
from wsra.train.scenes.cameras.wording import Sentence, describe, is_rare, templates
from wsra.train.scenes.cameras.world import Clip

Row = dict[str, Any]
Span = tuple[float, float]
MOST_ACTORS = 5  # sentences describe at most this many actors of a clip
LEAST_PX = 10.0  # a man must be this tall in the picture for an actor to be described
_RARE_WEIGHT = 2.0  # weight of sentences about hair, bags, caps and umbrellas, which fit few actors


@dataclass(frozen=True)
class CaptionedClip:
    """A clip with its captions.

    Attributes:
        clip: the clip.
        captions: sentences that are true of somebody in it.
        rows: the same sentences as rows of a file, with spans.
        sources: for each caption, the actor from which it was made.
    """

    clip: Clip
    captions: tuple[Sentence, ...]
    rows: tuple[Row, ...]
    sources: tuple[Traits, ...]


def caption_clip(clip: Clip) -> CaptionedClip:
    """Write up to three sentences about each actor of a training clip, or up to two in a development or test clip.

    Returns:
        Rows with `qid`, `query`, `vid`, `duration`, `relevant_windows`, `mentions` and `unseen`. A row of a development or test clip is
        true of exactly one actor; no other one could be meant.
    """
    rng = np.random.default_rng([clip.seed, 3])
    strict = clip.split in ("dev", "test")
    spans = [visible_span(clip, actor) for actor in clip.actors]
    order = [int(i) for i in rng.permutation(len(clip.actors))]
    captions: list[Sentence] = []
    rows: list[Row] = []
    sources: list[Traits] = []
    for i in [i for i in order if spans[i] is not None and clip.actors[i].traits.clear_px >= LEAST_PX][:MOST_ACTORS]:
        traits = clip.actors[i].traits
        offered = templates(traits, clip.split)
        kept = 0
        weights = np.array([_RARE_WEIGHT if is_rare(template) else 1.0 for template in offered])
        for k in rng.choice(len(offered), min(len(offered), 6 if strict else 3), replace=False, p=weights / weights.sum()):
            caption = describe(traits, clip.split, offered[int(k)], int(rng.integers(1 << 30)))
            answers = [agrees(caption.mentions, actor.traits) for actor in clip.actors]
            assert answers[i] == "yes", (caption, traits)
            windows = [span for span, answer in zip(spans, answers, strict=True) if span and answer == "yes"]
            if caption.text in [row["query"] for row in rows] or (strict and (kept == 2 or _unclear(answers))):
                continue
            kept += 1
            captions.append(caption)
            sources.append(traits)
            rows.append(_row(clip, f"{clip.name}-{len(rows)}", caption, windows) | {"unseen": _says_unseen(caption, traits)})
    return CaptionedClip(clip, tuple(captions), tuple(rows), tuple(sources))


def _unclear(answers: Sequence[str]) -> bool:
    return answers.count("no") != len(answers) - 1


def _says_unseen(caption: Sentence, traits: Traits) -> bool:
    return "colour" in caption.mentions and is_unseen(traits.kind, traits.colour)


def _row(clip: Clip, qid: str, caption: Sentence, windows: Sequence[Span]) -> Row:
    return {
        "qid": qid,
        "query": caption.text,
        "vid": clip.name,
        "duration": clip.duration_s,
        "relevant_windows": [list(window) for window in windows],
        "mentions": caption.mentions,
    }


def absent(clips: Sequence[CaptionedClip]) -> list[Row]:
    """Sentences that fit nobody in their clip, not even loosely; as many as the clip has true sentences, if that many are found.

    Every second one is a true sentence with its kind or colour changed (`hard`); the others come from other clips.

    Args:
        clips: the captioned clips of one split.

    Returns:
        Rows like those of `caption_clip`, with no windows and with `hard`.
    """
    rows: list[Row] = []
    for number, one in enumerate(clips):
        rng = np.random.default_rng([one.clip.seed, 4])
        here = [actor.traits for actor in one.clip.actors] + parked(fixtures_of(one.clip))
        used = {row["query"] for row in one.rows}
        for k in range(len(one.rows)):
            hard = k % 2 == number % 2
            for _ in range(60):
                caption = _swapped(rng, one, k) if hard else _foreign(rng, clips, number)
                if caption and caption.text not in used and all(agrees(caption.mentions, traits) == "no" for traits in here):
                    used.add(caption.text)
                    rows.append(_row(one.clip, f"{one.clip.name}-absent-{k}", caption, []) | {"hard": hard})
                    break
    return rows


def _foreign(rng: Generator, clips: Sequence[CaptionedClip], number: int) -> Sentence | None:
    other = int(rng.integers(len(clips)))
    captions = clips[other].captions
    return captions[int(rng.integers(len(captions)))] if captions and other != number else None


def _swapped(rng: Generator, clips: CaptionedClip, number: int) -> Sentence | None:
    """A true sentence with its kind or colour changed; None if this draw gives none."""
    caption, traits = clips.captions[number], clips.sources[number]
    general = caption.mentions["kind"] in ("person", "vehicle", "animal")
    by_colour = "colour" in caption.mentions and (general or rng.random() < 0.5)
    if by_colour:
        colours = [colour for colour in colours_of(traits.kind) if colour != traits.colour]
        swapped = replace(traits, colour=str(rng.choice(colours)))
    elif not general:
        other = _other_kind(rng, traits, caption.template[0])
        if other is None:
            return None
        swapped = replace(traits, kind=other, gait="drives" if other in VEHICLES else traits.gait)
    else:
        return None
    if "tone" in caption.mentions or "{n}" not in caption.template[0]:
        return None
    return describe(swapped, clips.clip.split, caption.template, caption.seed)


def _other_kind(rng: Generator, traits: Traits, text: str) -> Kind | None:
    """Another kind that the same sentence could describe; None if this draw gives none."""
    if traits.kind in ANIMALS or (traits.kind == "cyclist" and ("{w}" in text or "{ing}" in text)):
        return None
    group: tuple[Kind, ...] = ON_FOOT if traits.kind in DRESSED else VEHICLES
    other = group[int(rng.integers(len(group)))]
    worn = traits.garment == "" or traits.garment in GARMENTS[other]
    return None if not worn or (traits.lower == "skirt" and other != "woman") else other
