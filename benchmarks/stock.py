"""Accuracy of a bundle on scenes of `wsra scenes`, by kind of word, and whether it recognises absent objects.

    python benchmarks/stock.py SCENES BUNDLE [BUNDLE ...] [--split dev]

SCENES is a folder of `wsra scenes` with SCENES/features beside SCENES/videos (`wsra extract SCENES/videos -o SCENES/features`). R@1 at IoU
0.5 is in percent, with an answer forced. A group holds the sentences that mention an attribute, with an answer
forced. AUROC is the share of pairs of a present and an absent sentence in which the present one scores higher; hard absent sentences
differ from a present one only in kind or colour. The controls are a random life (exact), and sentences of another clip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absence import auroc, best_scores

from wsra.export.demo.controls import TestSet, forced
from wsra.runtime.evaluation.metrics import Figures
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.moments import best_iou


@dataclass(frozen=True)
class Scenes:
    """A split of a folder of scenes: its sentences, its absent sentences (true of nobody), and its features."""

    test: TestSet
    absent: Sequence[dict[str, Any]]

    @property
    def features(self) -> dict[str, Features]:
        """Features by the name of the clip."""
        return self.test.features


def read_scenes(folder: Path, split: str) -> Scenes:
    """Read a split."""
    annotations = read_annotations(folder / f"spans-{split}.jsonl")
    lines = (folder / f"absent-{split}.jsonl").read_text(encoding="utf-8").splitlines()
    names = {annotation.vid for annotation in annotations}
    features = {name: read_features(folder / "features" / f"{name}.feat") for name in names}
    return Scenes(TestSet(annotations, features), [row for row in map(json.loads, lines) if row["vid"] in names])


def words_of(annotation: Annotation) -> Iterable[str]:
    """The groups of a sentence: the attributes that it mentions, and its kind."""
    mentions = annotation.row["mentions"]
    yield from (f"mention {name}" for name in mentions if name != "kind")
    yield f"have the kind {mentions['kind']}"


def scores_of(grounder: Grounder, scenes: Scenes, queries: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Best score of (clip, sentence) pairs, and whether each is answered."""
    scores, answered = np.zeros(len(queries)), np.zeros(len(queries), bool)
    for vid, features in scenes.features.items():
        at = [number for number, (name, _) in enumerate(queries) if name == vid]
        scores[at], answered[at] = best_scores(grounder, features, [queries[number][1] for number in at])
    return scores, answered


def object_of(scenes: Scenes, vid: str, moment: np.ndarray) -> tuple[dict[str, str], bool]:
    """All mentions of the object whose span fits a moment (2,) best, and whether its IoU is at least 0.5."""
    own = [annotation for annotation in scenes.test.annotations if annotation.vid == vid]
    spans = [tuple(np.round(annotation.windows_s[0], 3)) for annotation in own]
    overlaps = best_iou(np.array(spans), moment[None])
    best = int(overlaps.argmax())
    mentions: dict[str, str] = {}
    for annotation, span in zip(own, spans, strict=True):
        if span == spans[best]:
            mentions |= annotation.row["mentions"]
    return mentions, bool(overlaps[best] >= 0.5)


def confusions(scenes: Scenes, answers: Sequence[np.ndarray]) -> Counter[str]:
    """Count why the best moment of each sentence is wrong: the mentioned attributes in which the object found differs."""
    why: Counter[str] = Counter()
    for annotation, moments in zip(scenes.test.annotations, answers, strict=True):
        if not len(moments):
            why["no candidate"] += 1
            continue
        truth = np.array(annotation.windows_s).reshape(-1, 2)
        overlap = float(best_iou(moments[:1], truth)[0])
        if overlap >= 0.5:
            continue
        mentions, fits = object_of(scenes, annotation.vid, moments[0])
        mentioned = annotation.row["mentions"]
        wrong = sorted(name for name in mentioned if name in mentions and mentions[name] != mentioned[name])
        if overlap >= 0.1:
            why["the right object, with wrong ends"] += 1
        elif not fits:
            why["an object that no sentence mentions"] += 1
        else:
            why["another object that differs in " + (" and ".join(wrong) or "nothing that its sentences mention")] += 1
    return why


def figures_line(name: str, figures: Figures) -> str:
    """A line of the first table."""
    numbers = (figures.r1_iou30, figures.r1_iou50, figures.r1_iou70, figures.r5_iou50, figures.miou)
    return f"| {name} | {figures.queries} | {' | '.join(f'{number:.1f}' for number in numbers)} |"


def report(bundle: Path, scenes: Scenes) -> None:
    """Print the tables of a bundle."""
    test = scenes.test
    with Grounder.open(bundle, precision="fp32", provider="cpu", threads=1) as grounder:
        always = forced(grounder)
        answers = test.answers(always)
        other = np.random.default_rng(0).permutation(len(test.annotations))
        strange = test.answers(always, [test.annotations[number].query for number in other])
        present, answered = scores_of(grounder, scenes, [(a.vid, a.query) for a in test.annotations])
        absent, found = scores_of(grounder, scenes, [(row["vid"], row["query"]) for row in scenes.absent])
        print(f"\n{bundle}: theta {grounder.manifest.theta:.3f}\n")
        print("| | sentences | R@1 IoU .3 | .5 | .7 | R@5 .5 | mIoU |\n|---|---|---|---|---|---|---|")
        print(figures_line("answer forced", test.figures(answers)))
        print(figures_line("control: a random life, exact", test.drawn(test.lives).figures))
        print(figures_line("control: a sentence of another clip", test.figures(strange)))
    hard = np.array([row["hard"] for row in scenes.absent])
    rates = [100 * float(rate) for rate in (answered.mean(), found.mean(), found[hard].mean())]
    print(f"\nAUROC of absence {auroc(present, absent):.1f}, hard ones {auroc(present, absent[hard]):.1f}")
    print(f"answered: {rates[0]:.1f} % of present, {rates[1]:.1f} % of absent, {rates[2]:.1f} % of hard absent sentences")
    groups: dict[str, list[int]] = defaultdict(list)
    for number, annotation in enumerate(test.annotations):
        for word in words_of(annotation):
            groups[word].append(number)
    print("\n| sentences that | number | R@1 IoU .5 |\n|---|---|---|")
    for word, numbers in sorted(groups.items()):
        chosen = np.isin(np.arange(len(answers)), numbers).tolist()
        print(f"| {word} | {len(numbers)} | {test.figures(answers, chosen).r1_iou50:.1f} |")

    print("\n| the best moment is wrong because it shows | sentences |\n|---|---|")
    for reason, count in confusions(scenes, answers).most_common(12):
        print(f"| {reason} | {count} |")


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    given = parser.parse_args()
    scenes = read_scenes(given.scenes, given.split)
    present, absent = len(scenes.test.annotations), len(scenes.absent)
    print(f"{given.split}: {present} present and {absent} absent sentences of {len(scenes.features)} clips")
    for bundle in given.bundles:
        report(bundle, scenes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
