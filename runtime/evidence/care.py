"""How wrong an answer may be, from the calibration of the bundle, and what it must not be used for."""

from __future__ import annotations

from dataclasses import dataclass

from wsra.runtime.archive.report import hours_in_words, rate
from wsra.runtime.formats.bundle import Manifest
from wsra.runtime.grounding.presence import FOUND, false_alarms_per_hour, least_score

LEAD = "A moment is a lead, not proof. Watch the video itself, with what comes before and after, before you act on it."
FORBIDDEN = (
    "telling who somebody is: wsra knows no faces, voices, names or number plates",
    "following a person from camera to camera: each camera is searched by itself, and nothing links people across cameras",
    "choosing people by origin, skin colour, religion, health, age, gender or another protected attribute, or by signs of these",
)
NOT_BUILT = "None of these is built into wsra, and no answer of it is evidence for them."
_CALIBRATED = {
    "captions": "on captions of other videos than those it learned from",
    "rendered scenes": "on rendered scenes, not on real video, so the figures are only a rough guide",
    "labels": "on labels of your own footage",
}


@dataclass(frozen=True)
class Care:
    """The section "Use with care".

    Attributes:
        lead: what a moment is.
        wrong: how often answers are wrong, in sentences.
        forbidden: uses that are ruled out.
        not_built: what holds of all of them.
    """

    lead: str
    wrong: tuple[str, ...]
    forbidden: tuple[str, ...]
    not_built: str


def care_of(manifest: Manifest, hours: float, false_alarms: float | None) -> Care:
    """The section for one answer.

    Args:
        manifest: of the bundle.
        hours: of video that were asked.
        false_alarms: per hour that were accepted; None for moments of a confidence above 1/2.
    """
    presence = manifest.presence
    searched = hours_in_words(presence.hours)
    calibrated = (
        f"The confidences of this bundle were calibrated {_CALIBRATED[presence.source]}; {searched} of video were searched for it, where"
        " each video counts once for every sentence."
    )
    if false_alarms is None:
        per_hour = false_alarms_per_hour(presence, least_score(presence, max(hours, 1 / 3600), None))
        limit = f"A moment counts as found if its confidence is above {100 * FOUND:.0f} %."
    else:
        per_hour, limit = false_alarms, "A moment counts as found if it gives at most as many false alarms an hour as were accepted."
    if per_hour >= presence.rates[0]:
        expected = f"A sentence that is not true of such video is then answered {rate(presence.rates[0])} times an hour or more."
    else:
        expected = (
            f"A sentence that is not true of such video is then still answered {rate(per_hour)} times an hour:"
            f" {rate(per_hour * hours)} times in the {hours_in_words(hours)} that were asked."
        )
    other = "Footage that differs from that of the calibration (another camera, light or place) gives more errors."
    return Care(LEAD, (f"{calibrated} {limit} {expected}", other), FORBIDDEN, NOT_BUILT)
