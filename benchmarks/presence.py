"""Does a bundle tell what is there from what is not, and do its confidences and false alarms per hour hold? On the clips of `wsra demo`.

    python benchmarks/presence.py demo demo/bundle [--split test]
    python benchmarks/presence.py demo demo/bundle --split val --choose
    python benchmarks/presence.py demo demo/bundle --split val --cuts

Sentences that mention a colour are asked of every clip. One is present if everything that it mentions is true of somebody in the clip. The
others are sorted by who is there: neither the kind nor the colour; the kind in another colour; the colour on another kind; both, but on
different actors; both on one actor, of whom the rest is not true. Sentences of words that the demo never shows come on top. `--choose`
compares shares of the level and quantiles, `--cuts` from which likeness on a sentence of another video may be true of this one. The shipped
values were chosen on "val".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absence import auroc
from numpy.typing import NDArray

from wsra.calib.presence import fit_presence
from wsra.export.presence_from_captions import directions_of
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.formats.presence import Presence
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.presence import confidence, false_alarms_per_hour, least_score
from wsra.runtime.grounding.recording import joined, recording_of
from wsra.train.scenes.demo.render import Sizes, plan, visible_span
from wsra.train.scenes.demo.wording import DemoSentence
from wsra.train.scenes.demo.world import Actor

Array = NDArray[np.float64]
PRESENT, REST, STRANGE = "present", "kind and colour here, the rest not", "out of vocabulary"
ABSENT = ("neither", "kind here", "colour here", "both, on different actors")
ASKED = 80  # sentences of the split that are asked of every clip
SHARES, QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.5, 0.75, 0.9, 0.95)
CUTS, HALVINGS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6), 6
RATES, JOINED_H = (0.1, 1.0, 3.0, 10.0), 10.0
OUT_OF_VOCABULARY = tuple(
    f"{article} {thing}"
    for article, things in (
        (
            "a",
            "broken window,fire,ladder,suitcase,horse,tram,kite,puddle,flag,tractor,boat,bear,fight,wheelchair,forklift,balloon,skateboard",
        ),
        ("the", "delivery of a parcel,opening of a gate,falling tree,flickering lamp,rising smoke,closing door,leaking pipe,empty shelf"),
    )
    for thing in things.split(",")
)
Mentions = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A sentence asked of a clip: what of it is there, and the presence scores of its candidates."""

    vid: str
    query: str
    kind: str
    moments: tuple[float, ...]

    @property
    def best(self) -> float:
        """The highest score; -inf where there is no candidate."""
        return max(self.moments, default=-np.inf)


@dataclass(frozen=True)
class Clips:
    """The clips of a split: their features, who is in them, and when each of these is visible."""

    features: dict[str, Features]
    actors: dict[str, list[Actor]]
    spans_s: dict[str, list[tuple[float, float]]]
    annotations: list[Annotation]

    @property
    def hours(self) -> dict[str, float]:
        """Length of each clip."""
        return {vid: features.duration_s / 3600 for vid, features in self.features.items()}


def read_clips(demo: Path, split: str) -> Clips:
    """The clips of a split of a demo's folder."""
    annotations = read_annotations(demo / f"spans-{split}.jsonl")
    features = {vid: read_features(demo / "features" / f"{vid}.feat") for vid in dict.fromkeys(a.vid for a in annotations)}
    settings = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    clips = plan(Sizes(settings["clips"], max(8, settings["clips"] // 8), max(8, settings["clips"] // 4)), settings["seed"])
    spans = {clip.name: [visible_span(clip, actor) for actor in clip.actors] for clip in clips if clip.name in features}
    return Clips(features, {clip.name: list(clip.actors) for clip in clips}, spans, annotations)


def kind_of(mentions: Mentions | None, actors: Sequence[Actor]) -> str:
    """What of a sentence is in a clip; None is out of vocabulary."""
    if mentions is None:
        return STRANGE
    if any(DemoSentence("", mentions).is_true_of(actor) for actor in actors):
        return PRESENT
    of_kind = [actor.kind == mentions["kind"] for actor in actors]
    of_colour = [actor.colour == mentions.get("colour", actor.colour) for actor in actors]
    if any(one and other for one, other in zip(of_kind, of_colour, strict=True)):
        return REST
    return ABSENT[any(of_kind) + 2 * any(of_colour)]


def asked_of(annotations: Sequence[Annotation]) -> dict[str, Mentions | None]:
    """The sentences that are asked, each with what it mentions; None for those out of vocabulary."""
    mentions = {a.query: a.row["mentions"] for a in annotations if "colour" in a.row["mentions"]}
    drawn = np.random.default_rng(0).permutation(sorted(mentions))[:ASKED].tolist()
    return {query: mentions[query] for query in drawn} | dict.fromkeys(OUT_OF_VOCABULARY)


def pairs_of(grounder: Grounder, clips: Clips, asked: Mapping[str, Mentions | None]) -> list[Pair]:
    """All sentences asked of all clips."""
    queries, pairs = list(asked), []
    text = grounder.encoder.encode(queries)
    for vid, video in clips.features.items():
        for answer in grounder.answers_to_vectors(video, queries, text, top_k=sys.maxsize, false_alarms=np.inf):
            kind = kind_of(asked[answer.query], clips.actors[vid])
            pairs.append(Pair(vid, answer.query, kind, tuple(moment.presence for moment in answer.moments)))
    return pairs


def of(pairs: Sequence[Pair], *kinds: str) -> list[Pair]:
    """The pairs of some kinds."""
    return [pair for pair in pairs if pair.kind in kinds]


def bests(pairs: Sequence[Pair]) -> Array:
    """Their best scores."""
    return np.array([pair.best for pair in pairs])


def absence_table(presence: Presence, pairs: Sequence[Pair], hours: Mapping[str, float]) -> None:
    """Print what share of each kind of sentence is found, and how well scores separate it from present ones."""
    present = of(pairs, PRESENT)
    print("| sentences | pairs | found % | AUROC |\n|---|---|---|---|")
    groups = [(PRESENT, present), ("all absent", of(pairs, *ABSENT)), *((kind, of(pairs, kind)) for kind in (*ABSENT, REST, STRANGE))]
    for name, chosen in groups:
        found = [pair.best > least_score(presence, hours[pair.vid], None) for pair in chosen]
        if found:
            separated = "" if name == PRESENT else f"{auroc(bests(present), bests(chosen)):.1f}"
            print(f"| {name} | {len(found)} | {100 * np.mean(found):.1f} | {separated} |")


def reliability(claims: Sequence[tuple[float, bool]]) -> tuple[str, float]:
    """A table of claimed confidences in tenths, and the expected calibration error.

    The true and the false ones weigh as much, as under the prior that an event happens with probability 1/2.
    """
    confidences, true = np.array([one for one, _ in claims]), np.array([was for _, was in claims])
    weights = np.where(true, 0.5 / true.sum(), 0.5 / (~true).sum())
    tenths = np.minimum((confidences * 10).astype(int), 9)
    table, error = "| confidence | claims | mean | true |\n|---|---|---|---|\n", 0.0
    for tenth in np.unique(tenths).tolist():
        inside = tenths == tenth
        mean, share = (float(np.average(values[inside], weights=weights[inside])) for values in (confidences, true.astype(float)))
        error += float(weights[inside].sum()) * abs(mean - share)
        table += f"| {tenth * 10} to {tenth * 10 + 10} % | {inside.sum()} | {100 * mean:.1f} | {100 * share:.1f} |\n"
    return f"{table}\nECE {error:.3f}\n", error


def claims_alone(presence: Presence, pairs: Sequence[Pair], hours: Mapping[str, float]) -> list[tuple[float, bool]]:
    """The confidence of the best candidate of each clip, asked alone."""
    chosen = of(pairs, PRESENT, *ABSENT)
    return [(confidence(presence, pair.best, hours[pair.vid]), pair.kind == PRESENT) for pair in chosen if pair.moments]


def claims_together(presence: Presence, pairs: Sequence[Pair], hours: Mapping[str, float]) -> list[tuple[float, bool]]:
    """The confidence of the best candidate of all clips in which a sentence is absent, and of these with one in which it is present."""
    claims = []
    for query in dict.fromkeys(pair.query for pair in of(pairs, *ABSENT)):
        absent, present = ([pair for pair in of(pairs, *kinds) if pair.query == query] for kinds in (ABSENT, (PRESENT,)))
        searched, best = sum(hours[pair.vid] for pair in absent), max(pair.best for pair in absent)
        claims.append((confidence(presence, best, searched), False))
        for pair in present:
            highest = max(best, pair.best)
            claims.append((confidence(presence, highest, searched + hours[pair.vid]), pair.best == highest))
    return claims


def joined_table(grounder: Grounder, clips: Clips, asked: Mapping[str, Mentions | None]) -> None:
    """Print asked and measured false alarms on the clips joined to one recording, in random orders until it is long enough.

    A clip that is joined several times gives the same moments each time, so rates rest on the hours of the clips themselves.
    """
    rng, names = np.random.default_rng(0), list(clips.features)
    order: list[str] = []
    while sum(clips.hours[vid] for vid in order) < JOINED_H:
        order += rng.permutation(names).tolist()
    recording = joined([replace(clips.features[vid]) for vid in order], video="joined")  # copies: each time another file
    queries = [query for query, mentions in asked.items() if mentions is not None]
    false, searched, recalled = np.zeros(len(RATES)), 0.0, np.zeros((0, len(RATES)), bool)
    for answer in grounder.answers(recording, queries, top_k=sys.maxsize, false_alarms=2 * max(RATES)):
        kinds = [kind_of(asked[answer.query], clips.actors[vid]) for vid in order]
        middles = np.array([(moment.start_s + moment.end_s) / 2 for moment in answer.moments])
        places = np.searchsorted(recording.starts_s, middles, "right") - 1
        below = np.array([[moment.false_alarms_per_hour < rate for rate in RATES] for moment in answer.moments]).reshape(-1, len(RATES))
        false += below[[kinds[place] in ABSENT for place in places]].sum(axis=0)
        searched += sum(clips.hours[vid] for vid, kind in zip(order, kinds, strict=True) if kind in ABSENT)
        there = [place for place, kind in enumerate(kinds) if kind == PRESENT]
        recalled = np.vstack([recalled, [below[places == place].any(axis=0) for place in there]]) if there else recalled
    print(f"the clips joined to {recording.duration_s / 3600:.1f} hours, {len(queries)} sentences, {searched:.0f} hours without them\n")
    print("| asked per hour | measured | present found % |\n|---|---|---|")
    for rate, count, share in zip(RATES, false, recalled.mean(axis=0), strict=True):
        print(f"| {rate:g} | {count / searched:.2f} | {100 * share:.1f} |")


def choose(grounder: Grounder, clips: Clips, asked: Mapping[str, Mentions | None]) -> None:
    """Print the AUROC of every share and quantile."""
    queries = list(asked)
    text = grounder.encoder.encode(queries)
    over = np.quantile(grounder.scorer.kernel.logits(grounder.scorer.reference, text).astype(np.float64), QUANTILES, axis=1)
    best, kinds = [], []
    for vid, video in clips.features.items():
        lives = recording_of(video).lives
        assert lives is not None
        for query, row in zip(queries, grounder.scorer.logits(recording_of(video), text), strict=True):
            best.append(float(lives.scores(row).max(initial=-99.0)))
            kinds.append(kind_of(asked[query], clips.actors[vid]))
    scores, names = np.array(best).reshape(-1, len(queries)), np.array(kinds)
    print(f"| share | quantile | {' | '.join((*ABSENT, STRANGE))} | mean |\n|{'---|' * (len(ABSENT) + 4)}")
    for share in SHARES:
        for quantile, levels in list(zip(QUANTILES, over, strict=True))[: None if share else 1]:
            values = (scores - share * levels).reshape(-1)
            figures = [auroc(values[names == PRESENT], values[names == kind]) for kind in (*ABSENT, STRANGE)]
            print(f"| {share:g} | {quantile:g} | {' | '.join(f'{figure:.1f}' for figure in figures)} | {np.mean(figures):.2f} |")


def cuts(grounder: Grounder, clips: Clips) -> None:
    """Print, per cut, how measured false alarms differ from those asked, on halves of the clips that the fit has not seen."""
    mentions = {a.query: a.row["mentions"] for a in clips.annotations}
    queries, hours = list(mentions), clips.hours
    pairs = {(pair.vid, pair.query): pair for pair in pairs_of(grounder, clips, mentions)}
    directions = directions_of(grounder.encoder.encode(queries))
    own = {vid: sorted({queries.index(a.query) for a in clips.annotations if a.vid == vid}) for vid in hours}
    likeness = {vid: (directions @ directions[numbers].T).max(axis=1) for vid, numbers in own.items()}
    rng, halves = np.random.default_rng(0), list[tuple[list[str], list[str]]]()
    for _ in range(HALVINGS):
        names = rng.permutation(list(hours)).tolist()
        one, other = names[: len(names) // 2], names[len(names) // 2 :]
        halves += [(one, other), (other, one)]
    print("| cut | true, in % | kind or colour here, in % | log2(measured / asked) at .1 | 1 | 3 | 10 | mean of its size |\n|" + "---|" * 8)
    related = (*ABSENT[1:], REST)
    for cut in CUTS:
        kept = {vid: [pairs[vid, query] for query, like in zip(queries, likeness[vid], strict=True) if like < cut] for vid in hours}
        errors = []
        for seen, unseen in halves:
            true = [pairs[vid, queries[number]].best for vid in seen for number in own[vid]]
            false = [score for vid in seen for pair in kept[vid] for score in pair.moments]
            presence = fit_presence(true, false, sum(len(kept[vid]) * hours[vid] for vid in seen), source="captions")
            absent = [pair for (vid, _), pair in pairs.items() if vid in set(unseen) and pair.kind in ABSENT]
            rates = [false_alarms_per_hour(presence, score) for pair in absent for score in pair.moments]
            searched = sum(hours[pair.vid] for pair in absent)
            errors.append([np.log2(max((np.array(rates) < rate).sum(), 0.5) / searched / rate) for rate in RATES])
        remaining = [pair for some in kept.values() for pair in some]
        share = 100 * len(of(remaining, *related)) / len(of(list(pairs.values()), *related))
        cells = [f"{value:+.2f}" for value in np.mean(errors, axis=0)]
        true_share = 100 * len(of(remaining, PRESENT)) / len(remaining)
        print(f"| {cut:g} | {true_share:.2f} | {share:.0f} | {' | '.join(cells)} | {np.abs(errors).mean():.2f} |")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--cuts", action="store_true")
    given = parser.parse_args()
    clips = read_clips(given.demo, given.split)
    asked, hours = asked_of(clips.annotations), clips.hours
    with Grounder.open(given.bundle, precision="fp32", provider="cpu", threads=1, kernel="numpy") as grounder:
        if given.choose:
            choose(grounder, clips, asked)
        elif given.cuts:
            cuts(grounder, clips)
        else:
            pairs, presence = pairs_of(grounder, clips, asked), grounder.manifest.presence
            print(f"presence calibrated on {presence.hours:.1f} hours\n")
            absence_table(presence, pairs, hours)
            print(f"\neach clip alone:\n\n{reliability(claims_alone(presence, pairs, hours))[0]}")
            together = reliability(claims_together(presence, pairs, hours))[0]
            print(f"all clips of {sum(hours.values()):.2f} hours together:\n\n{together}")
            joined_table(grounder, clips, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
