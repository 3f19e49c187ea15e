"""Does a bundle recognise absence? Compares the best scores of sentences that are true of a clip and of sentences that are not.

    python benchmarks/absence.py demo [demo/bundle ...]

Present sentences are the demo's test sentences that mention a colour, each on its own clip. Each clip gets as many absent ones from other
clips, whose combination of kind and colour nobody in it has; an absent sentence is hard if somebody has its kind or its colour. The score
is the presence score of the best candidate. AUROC is the share of pairs of a present
and an absent sentence in which the present one scores higher.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.train.scenes.demo.render import Sizes, plan

Look = tuple[str, str]  # kind and colour
FALSE_ALARMS = 0.05  # share of absent sentences that are answered at the threshold where recall is read


@dataclass(frozen=True)
class Query:
    """A sentence to look for in a clip.

    Attributes:
        vid: the clip.
        query: the sentence.
        present: whether it is true of the clip.
        hard: whether the sentence is absent, but somebody has its kind or its colour.
        unseen: whether training never showed that kind in that colour.
    """

    vid: str
    query: str
    present: bool
    hard: bool
    unseen: bool


def look_of(annotation: Annotation) -> Look | None:
    """Kind and colour that a sentence mentions, or None if it mentions no colour."""
    mentions = annotation.row["mentions"]
    return (mentions["kind"], mentions["colour"]) if "colour" in mentions else None


def queries_of(annotations: Sequence[Annotation], looks: Mapping[str, set[Look]], *, seed: int = 0) -> list[Query]:
    """All present sentences, and for each clip as many absent ones, drawn without repetition.

    Args:
        annotations: of all clips.
        looks: clip -> kind and colour of everybody in it.
        seed: random seed of the draw.
    """
    rng, queries = np.random.default_rng(seed), []
    coloured = [(annotation, look) for annotation in annotations if (look := look_of(annotation)) is not None]
    for vid in dict.fromkeys(annotation.vid for annotation, _ in coloured):
        own = [annotation for annotation, _ in coloured if annotation.vid == vid]
        queries += [Query(vid, a.query, True, False, bool(a.row["unseen"])) for a in own]
        strange = [(a, look) for a, look in coloured if a.vid != vid and look not in looks[vid]]
        for number in rng.choice(len(strange), min(len(own), len(strange)), replace=False):
            annotation, (kind, colour) = strange[number]
            hard = any((kind == k) != (colour == c) for k, c in looks[vid])
            queries.append(Query(vid, annotation.query, False, hard, bool(annotation.row["unseen"])))
    return queries


def best_scores(grounder: Grounder, features: Features, queries: Sequence[str]) -> tuple[list[float], list[bool]]:
    """For each query the presence score of the best candidate (-inf if there is none), and whether it is found."""
    answers = grounder.answers(features, queries, top_k=1)
    return [-np.inf if a.best is None else a.best.presence for a in answers], [a.present for a in answers]


def auroc(present: NDArray[np.float64], absent: NDArray[np.float64]) -> float:
    """AUROC in percent; a tie counts half."""
    higher, equal = present[:, None] > absent[None, :], present[:, None] == absent[None, :]
    return 100 * float(higher.mean() + 0.5 * equal.mean())


def row(name: str, scores: NDArray[np.float64], answered: NDArray[np.bool_], queries: Sequence[Query]) -> str:
    """One line of the table."""
    present, hard, unseen = (np.array([getattr(one, what) for one in queries]) for what in ("present", "hard", "unseen"))
    level = np.quantile(scores[~present], 1 - FALSE_ALARMS)
    figures = (
        auroc(scores[present], scores[~present]),
        auroc(scores[present], scores[hard]),
        auroc(scores[present & unseen], scores[~present]),
        100 * float((scores[present] > level).mean()),
        100 * float(answered[present].mean()),
        100 * float(answered[~present].mean()),
        100 * float(answered[hard].mean()),
    )
    return f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} |"


def looks_in(demo: Path) -> dict[str, set[Look]]:
    """Kind and colour of everybody in each test clip of a demo's folder."""
    settings = json.loads((demo / "demo.json").read_text(encoding="utf-8"))
    clips = plan(Sizes(0, 0, max(8, settings["clips"] // 4)), settings["seed"])
    return {clip.name: {(actor.kind, actor.colour) for actor in clip.actors} for clip in clips}


def main(demo: Path, bundles: Sequence[Path]) -> int:
    """Answer the queries and print a table; return the exit code."""
    queries = queries_of(read_annotations(demo / "spans-test.jsonl"), looks_in(demo))
    present, hard = sum(one.present for one in queries), sum(one.hard for one in queries)
    print(f"{present} present sentences, {len(queries) - present} absent ones, {hard} of them hard; percent\n")
    print("| bundle | AUROC | hard ones | pairs never seen | recall at 5 % false alarms | answered: present | absent | hard |")
    print("|---|---|---|---|---|---|---|---|")
    for bundle in bundles or [demo / "bundle"]:
        scores, answered = np.zeros(len(queries)), np.zeros(len(queries), bool)
        with Grounder.open(bundle, precision="fp32", provider="cpu", threads=2) as grounder:
            for vid in dict.fromkeys(one.vid for one in queries):
                at = [number for number, one in enumerate(queries) if one.vid == vid]
                features = read_features(demo / "features" / f"{vid}.feat")
                scores[at], answered[at] = best_scores(grounder, features, [queries[number].query for number in at])
        print(row(str(bundle), scores, answered, queries))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
