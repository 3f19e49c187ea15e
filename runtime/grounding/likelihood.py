"""The word for how sure an answer is: the same in the table, the report, a notebook and JSON."""

from __future__ import annotations

from typing import Literal

Likelihood = Literal["likely", "possible", "unlikely", "not found"]
LIKELY, POSSIBLE = 0.8, 0.5  # the confidences from which a moment that is found is called so


def likelihood(confidence: float | None, *, found: bool) -> Likelihood | None:
    """The word for a confidence.

    Args:
        confidence: of a moment, or of the best candidate where nothing is found; None where the bundle knows none.
        found: whether the moment is among those that are found.

    Returns:
        "likely" from a confidence of `LIKELY` on, "possible" from `POSSIBLE` on, else "unlikely", which only `--false-alarms` finds;
        "not found" for a candidate; None where no confidence is known.
    """
    if confidence is None:
        return None
    if not found:
        return "not found"
    if confidence >= LIKELY:
        return "likely"
    return "possible" if confidence >= POSSIBLE else "unlikely"


def in_words(confidence: float | None, *, found: bool) -> str:
    """The word with its number: "likely, 93 %" or "not found (best candidate 31 %)"; empty where no confidence is known."""
    word = likelihood(confidence, found=found)
    if confidence is None or word is None:
        return ""
    return f"{word}, {percent(confidence)}" if found else f"{word} (best candidate {percent(confidence)})"


def percent(confidence: float) -> str:
    """A confidence as a whole number of hundredths."""
    return f"{100 * confidence:.0f} %"
