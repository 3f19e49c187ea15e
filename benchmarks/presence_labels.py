"""Does `wsra calibrate` make confidences and false alarms per hour hold on clips that are unlike the validation videos? On `wsra demo`.

    python benchmarks/presence_labels.py demo demo/bundle [--labels 20 50 200 0] [--seeds 0 1 2 3 4] [--other-sentences]

The pairs are those of presence.py on the test clips: 80 sentences that mention a colour, asked of every clip. The rule, written before the
first run: for each seed `numpy.random.default_rng(seed).permutation` puts the names of the clips in an order; the first half is labelled
and the other half measured, and then the other way round. So each clip is measured once per seed, by a bundle that was calibrated on other
clips, and rates rest on the hours of the clips themselves. All rows of the table measure the same pairs.

Labels are drawn without repetition from the pairs of the labelled half, half of them of present and half of absent sentences; 0 takes all
pairs. They are written as a user writes them, with the true spans of a present sentence and none of an absent one, and a copy of the bundle
is calibrated with the function that `wsra calibrate` runs. Pairs of which kind and colour are there and the rest is not are neither labels
nor measured, as in presence.py. With `--other-sentences` one half of the sentences, by the same draw, is in labels, and the other half is
measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from presence import (
    ABSENT,
    PRESENT,
    RATES,
    Clips,
    Mentions,
    Pair,
    asked_of,
    claims_alone,
    claims_together,
    of,
    pairs_of,
    read_clips,
    reliability,
)

from wsra.calib.labels import calibrate_on_labels
from wsra.runtime.errors import DataError
from wsra.runtime.formats.presence import Presence
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.presence import false_alarms_per_hour, least_score
from wsra.train.scenes.demo.wording import DemoSentence

RECALL_AT = 1.0  # false alarms an hour


@dataclass(frozen=True)
class Figures:
    """What one seed gives, both ways round.

    Attributes:
        found, absent_found: percent of present and of absent sentences, each clip asked alone.
        alone, together: expected calibration errors.
        rates: false alarms per hour measured at each of `RATES`.
        recall: percent of present sentences found at one false alarm an hour.
    """

    found: float
    absent_found: float
    alone: float
    together: float
    rates: tuple[float, ...]
    recall: float


def labels_of(clips: Clips, pairs: Sequence[Pair], asked: Mapping[str, Mentions | None]) -> list[dict[str, object]]:
    """The pairs as a user labels them."""
    rows: list[dict[str, object]] = []
    for number, pair in enumerate(pairs):
        who = zip(clips.actors[pair.vid], clips.spans_s[pair.vid], strict=True)
        true = [span for actor, span in who if DemoSentence("", asked[pair.query] or {}).is_true_of(actor)] if pair.kind == PRESENT else []
        duration_s = clips.features[pair.vid].duration_s
        rows.append({"qid": number, "query": pair.query, "vid": pair.vid, "duration": duration_s, "relevant_windows": sorted(true)})
    return rows


def drawn(pairs: Sequence[Pair], count: int, rng: np.random.Generator) -> list[Pair]:
    """Half of `count` from the present and half from the absent pairs; of 0 all."""
    present, absent = of(pairs, PRESENT), of(pairs, *ABSENT)
    if count == 0:
        return present + absent
    return [some[place] for some in (present, absent) for place in rng.permutation(len(some))[: count // 2]]


def calibrated(bundle: Path, features: Path, rows: Sequence[dict[str, object]]) -> Presence:
    """What `wsra calibrate` makes of the labels, on a copy of the bundle."""
    with TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.jsonl"
        labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return calibrate_on_labels(bundle, labels, features, Path(folder) / "bundle")


def halves_of(names: Sequence[str], rng: np.random.Generator) -> list[tuple[set[str], set[str]]]:
    """Two halves, both ways round."""
    order = rng.permutation(sorted(names)).tolist()
    one, other = set(order[: len(order) // 2]), set(order[len(order) // 2 :])
    return [(one, other), (other, one)]


def figures_of(measured: Sequence[tuple[Presence, Sequence[Pair]]], hours: Mapping[str, float]) -> Figures:
    """Figures over all that was measured, each part with the presence that was calibrated for it."""
    found: dict[bool, list[bool]] = {True: [], False: []}
    claims: tuple[list[tuple[float, bool]], ...] = ([], [])
    false, searched_h, recalled = np.zeros(len(RATES)), 0.0, list[bool]()
    for presence, pairs in measured:
        for pair in of(pairs, PRESENT, *ABSENT):
            there = pair.kind == PRESENT
            found[there].append(pair.best > least_score(presence, hours[pair.vid], None))
            if there:
                recalled.append(pair.best > least_score(presence, hours[pair.vid], RECALL_AT))
            else:
                searched_h += hours[pair.vid]
                rates = np.array([false_alarms_per_hour(presence, score) for score in pair.moments])
                false += (rates[:, None] < np.array(RATES)).sum(axis=0)
        claims[0].extend(claims_alone(presence, pairs, hours))
        claims[1].extend(claims_together(presence, pairs, hours))
    alone, together = (reliability(some)[1] for some in claims)
    shares = [100 * float(np.mean(some)) for some in (found[True], found[False], recalled)]
    return Figures(shares[0], shares[1], alone, together, tuple((false / searched_h).tolist()), shares[2])


def row(name: str, results: Sequence[Figures]) -> str:
    """One line of the table: the mean, the lowest and the highest of the seeds."""

    def cell(values: Sequence[float], digits: int) -> str:
        return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    cells = [cell([result.found for result in results], 1), cell([result.absent_found for result in results], 1)]
    cells += [cell([result.alone for result in results], 3), cell([result.together for result in results], 3)]
    for place, rate in enumerate(RATES):
        cells.append(cell([result.rates[place] for result in results], 2 if rate <= 1 else 1))
    return f"| {name} | {' | '.join([*cells, cell([result.recall for result in results], 1)])} |"


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 50, 200, 0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--other-sentences", action="store_true")
    given = parser.parse_args()
    clips = read_clips(given.demo, "test")
    asked = {query: mentions for query, mentions in asked_of(clips.annotations).items() if mentions is not None}
    with Grounder.open(given.bundle, precision="fp32", provider="cpu", threads=1, kernel="numpy") as grounder:
        pairs, before = pairs_of(grounder, clips, asked), grounder.manifest.presence
    results: dict[str, list[Figures]] = {}
    refused = 0
    for seed in given.seeds:
        rng = np.random.default_rng(seed)
        clip_halves, sentence_halves = halves_of(list(clips.features), rng), halves_of(list(asked), rng)
        parts = []
        for (seen, unseen), (known, other) in zip(clip_halves, sentence_halves, strict=True):
            chosen = [pair for pair in pairs if pair.vid in seen and (pair.query in known or not given.other_sentences)]
            left = [pair for pair in pairs if pair.vid in unseen and (pair.query in other or not given.other_sentences)]
            parts.append((chosen, left))
        results.setdefault("none: as exported", []).append(figures_of([(before, left) for _, left in parts], clips.hours))
        for count in given.labels:
            measured = []
            for chosen, left in parts:
                labels = labels_of(clips, drawn(chosen, count, rng), asked)
                try:
                    measured.append((calibrated(given.bundle, given.demo / "features", labels), left))
                except DataError as err:
                    refused += 1
                    print(f"seed {seed}, {count} labels: {err}", file=sys.stderr)
            if len(measured) == len(parts):
                name = str(count) if count else "all"
                results.setdefault(name, []).append(figures_of(measured, clips.hours))
    print(f"{len(given.seeds)} seeds, {refused} calibrations refused\n")
    rates = " | ".join(f"at {rate:g}" for rate in RATES)
    print(f"| labels | found % | absent found % | ECE alone | ECE together | false alarms an hour {rates} | found % at {RECALL_AT:g} |")
    print("|" + "---|" * (6 + len(RATES)))
    for name, some in results.items():
        print(row(name, some))
    return 0


if __name__ == "__main__":
    sys.exit(main())
