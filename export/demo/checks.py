"""Checks of the controls themselves: a control that cannot fail, or that answers the same whatever it is asked, shows nothing.

Each check reads a control's answers and returns one message, or None if it holds. Answers that are always empty, always the whole clip, or
always the clip's first event fail a check of every control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsra.export.demo.controls import Control, TestSet
from wsra.runtime.evaluation.metrics import ON_THRESHOLD
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.spans.moments import best_iou

Array = NDArray[np.float64]
IOU = 0.5
ERRORS = 4.0  # standard errors, clips counted as independent; a sound control is further off in 6 of 100,000 runs
DIFFER = 0.1  # least share of pairs of sentences about one clip that must get different answers; a sound control has 0.4 or more
SAME_S = 1e-6  # spans that differ by less are the same
GRID = 10  # steps of the coarse grid that a fixed window is compared with


@dataclass(frozen=True)
class Known:
    """What the checks compare with.

    Attributes:
        test: the labelled queries.
        events: for each query (E, 2) the spans of all events of its clip.
        training: annotations of the training split.
        prior: the control that answers with one fixed window.
        model: the exported bundle's answers, where its presence finds one.
        forced: the same, with answers forced.
    """

    test: TestSet
    events: Sequence[Array]
    training: Sequence[Annotation]
    prior: Control
    model: Control
    forced: Control


Check = Callable[[Control, Known], str | None]


def failed_checks(controls: Mapping[str, Control], known: Known) -> list[str]:
    """Messages of all checks that fail, each beginning with the name of its control; empty if every control is sound.

    Raises:
        KeyError: a control has no checks.
    """
    return [f"{name}: {message}" for name, control in controls.items() for check in CHECKS[name] if (message := check(control, known))]


def _asked(control: Control) -> Iterator[int]:
    return (number for number, counts in enumerate(control.chosen) if counts)


def _answered(candidates: Sequence[Array], control: Control) -> str | None:
    missing = sum(len(candidates[i]) > 0 and len(control.first[i]) == 0 for i in _asked(control))
    return f"{missing} queries have candidates and no answer; every candidate must count" if missing else None


def _among(candidates: Sequence[Array], what: str, control: Control) -> str | None:
    strange = 0
    for i in _asked(control):
        apart = np.abs(control.first[i][:, None] - candidates[i][None]).max(axis=2)  # (K, N)
        strange += bool((apart.min(axis=1, initial=np.inf) > SAME_S).any())
    return f"{strange} queries are answered with a span that is none of their clip's {what}" if strange else None


def _not_the_earliest(candidates: Sequence[Array], control: Control) -> str | None:
    """Fails if the clip's earliest candidate is answered more often than halfway between chance and always."""
    shares, expected = [], []
    for i in _asked(control):
        if len(candidates[i]) > 1 and len(control.first[i]):
            shares.append(np.mean(control.first[i][:, 0] <= candidates[i][:, 0].min() + SAME_S))
            expected.append(1 / len(candidates[i]))
    if not shares or np.mean(shares) <= (1 + np.mean(expected)) / 2:
        return None
    return f"{100 * np.mean(shares):.0f} % of its answers are the first of the clip; chance {100 * np.mean(expected):.0f} %"


def of_lives(control: Control, known: Known) -> str | None:
    """Every query whose clip has a life is answered with one, and not with the first as a rule."""
    lives = known.test.lives
    return _answered(lives, control) or _among(lives, "lives", control) or _not_the_earliest(lives, control)


def nearest_to_prior(control: Control, known: Known) -> str | None:
    """Every query whose clip has a life is answered with one, and no other life overlaps the fixed window more."""
    lives = known.test.lives
    message = _answered(lives, control) or _among(lives, "lives", control)
    if message:
        return message
    windows = known.prior.first
    better = sum(
        best_iou(lives[i], windows[i]).max() > best_iou(control.first[i], windows[i]).max() + SAME_S
        for i in _asked(control)
        if len(lives[i])
    )
    return f"another life overlaps the fixed window more for {better} queries" if better else None


def of_events(control: Control, known: Known) -> str | None:
    """Every query is answered with events of its clip, one of which is the true one, and not with the first as a rule."""
    message = _answered(known.events, control) or _among(known.events, "events", control)
    if message:
        return message
    truths = known.test.truths
    lost = sum(best_iou(control.first[i], truths[i]).max(initial=0.0) < 1 - SAME_S for i in _asked(control))
    return f"the true event is not among the candidates of {lost} queries" if lost else _not_the_earliest(known.events, control)


def draws_all_lives(control: Control, known: Known) -> str | None:
    """Every life of the clip has the same chance."""
    return _draws_all(known.test.lives, control)


def draws_all_events(control: Control, known: Known) -> str | None:
    """Every event of the clip has the same chance."""
    return _draws_all(known.events, control)


def _draws_all(candidates: Sequence[Array], control: Control) -> str | None:
    left_out = sum(len(control.first[i]) != len(candidates[i]) for i in _asked(control))
    return f"not every candidate of {left_out} queries has a chance" if left_out else None


def follows_sentences(control: Control, known: Known) -> str | None:
    """Sentences about different events of one clip often get different answers."""
    assert control.asked is not None
    rows, differ = known.test.annotations, []
    by_clip: dict[str, list[int]] = {}
    for i in _asked(control):
        if len(control.first[i]):
            by_clip.setdefault(rows[i].vid, []).append(i)
    for numbers in by_clip.values():
        for place, i in enumerate(numbers):
            for j in numbers[:place]:
                if len(known.test.lives[i]) > 1 and rows[control.asked[i]].query != rows[control.asked[j]].query:
                    differ.append(not np.array_equal(control.first[i], control.first[j]))
    if differ and np.mean(differ) >= DIFFER:
        return None
    share = f"only {100 * np.mean(differ):.0f} % of" if differ else "no"
    return f"{share} pairs of sentences about one clip get different answers"


def no_better_or_worse_than_chance(control: Control, known: Known) -> str | None:
    """R@1 is that of a random life, within the error of so many clips: sentences decide nothing."""
    difference, errors = _above(control, known.test.drawn(known.test.lives), known)
    if abs(errors) <= ERRORS:
        return None
    return f"R@1 at IoU {IOU} is {abs(difference):.1f} points {'above' if difference > 0 else 'below'} a random life; expected the same"


def finds_what_it_was_asked(control: Control, known: Known) -> str | None:
    """The answers fit the event that the sentence is about, better than a random life does."""
    assert control.asked is not None
    truths = known.test.truths
    errors = _above(control, known.test.drawn(known.test.lives), known, truths=[truths[number] for number in control.asked])[1]
    return None if errors > ERRORS else "the answers do not fit the events that the sentences are about; the model has learned too little"


def refuses_more_than_the_model(control: Control, known: Known) -> str | None:
    """The bundle leaves more wrong sentences than true ones unanswered, but not all of them; its answers are lives."""
    wrong, true = control.unanswered / control.figures.queries, known.model.unanswered / known.model.figures.queries
    if true < wrong < 1:
        return _among(known.test.lives, "lives", control)
    return f"{100 * wrong:.0f} % of wrong sentences have no answer, {100 * true:.0f} % of true ones; expected more, but not all"


def fits_training(control: Control, known: Known) -> str | None:
    """It is one window, in shares of the clip, and no window of a coarse grid fits the spans of training clearly better."""
    shares = [control.first[i] / known.test.annotations[i].duration_s for i in _asked(control)]
    if any(len(share) != 1 or np.abs(share - shares[0]).max() > SAME_S for share in shares):
        return "the answers are not one window in shares of the clip"
    edges = np.linspace(0, 1, GRID + 1)
    windows = np.array([*shares[0], *((start, end) for start in edges for end in edges if end > start)])
    rows = [annotation for annotation in known.training if annotation.windows_s]
    hits = [best_iou(windows * a.duration_s, np.array(a.windows_s).reshape(-1, 2)) >= IOU - ON_THRESHOLD for a in rows]
    rates = 100 * np.mean(hits, axis=0)
    if rates[0] >= rates[1:].max() - 0.5:
        return None
    return f"the window hits {rates[0]:.1f} % of the training spans; another one hits {rates[1:].max():.1f} %"


def not_below_the_model(control: Control, known: Known) -> str | None:
    """What is trained with spans is not clearly below the model that is trained without, or it is no upper reference."""
    difference, errors = _above(control, known.forced, known)
    return f"{-difference:.1f} points of R@1 below the model trained without spans; no upper reference" if errors < -ERRORS else None


def _above(control: Control, other: Control, known: Known, *, truths: Sequence[Array] | None = None) -> tuple[float, float]:
    """By how many points R@1 is above that of another control, and by how many standard errors; clips count as independent."""
    by_clip: dict[str, list[float]] = {}
    spans = truths or known.test.truths
    for i in _asked(control):
        by_clip.setdefault(known.test.annotations[i].vid, []).append(_hit(control.first[i], spans[i]) - _hit(other.first[i], spans[i]))
    sums = np.array([sum(values) for values in by_clip.values()])
    error = np.sqrt(np.square(sums).sum())
    return 100 * sums.sum() / sum(map(len, by_clip.values())), float(sums.sum() / error) if error else 0.0


def _hit(first: Array, truth: Array) -> float:
    """Probability that the first answer hits."""
    return float(np.mean(best_iou(first, truth) >= IOU - ON_THRESHOLD)) if len(first) else 0.0


CHECKS: dict[str, tuple[Check, ...]] = {
    "chance": (of_lives, draws_all_lives),
    "random_event": (of_events, draws_all_events),
    "kind_only": (of_events, follows_sentences),
    "colour_only": (of_events, follows_sentences),
    "kind_only_conjunctions": (of_events, follows_sentences),
    "colour_only_conjunctions": (of_events, follows_sentences),
    "prior": (fits_training,),
    "prior_life": (nearest_to_prior,),
    "longest_track": (of_lives,),
    "largest_track": (of_lives,),
    "shuffled": (refuses_more_than_the_model, follows_sentences),
    "shuffled_forced": (of_lives, follows_sentences, no_better_or_worse_than_chance),
    "other_event": (of_lives, follows_sentences, finds_what_it_was_asked),
    "shuffled_training": (of_lives, follows_sentences, no_better_or_worse_than_chance),
    "skyline": (of_lives, follows_sentences, not_below_the_model),
}
