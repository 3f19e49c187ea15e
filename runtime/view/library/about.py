"""What the page shows before anything is asked: bundle, examples, folders, cameras, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.vocabulary import Vocabulary
from wsra.runtime.view.library.listing import Listing

EXAMPLES = 8
_PEOPLE = frozenset(["man", "woman", "boy", "girl", "child", "kid", "person", "guy", "lady", "pedestrian", "runner", "jogger"])
_SHADES = frozenset(["dark", "light", "bright", "blond", "blonde", "fair", "colourful", "colorful"])  # of hair and light, not of things


def about(bundle: Bundle, vocabulary: Vocabulary | None, listing: Listing) -> dict[str, Any]:
    """The answer of /api/archive.

    Args:
        bundle: what answers.
        vocabulary: of the bundle; None where it has none.
        listing: what the opened folders hold.
    """
    return {
        "version": version("wsra"),
        "bundle": bundle.folder.resolve().name,
        "calibration": bundle.manifest.presence.source,
        "examples": [] if vocabulary is None else examples(vocabulary),
        "kinds": [] if vocabulary is None else list(vocabulary.kinds),
        "folders": [
            {"id": folder.id, "name": folder.name, "ready": folder.ready, "missing": len(folder.missing)} for folder in listing.folders
        ],
        "cameras": [asdict(camera) for camera in listing.cameras],
        "from_s": listing.from_s,
        "to_s": listing.to_s,
        "hours": listing.hours,
        "left_out": [{"file": one.file, "reason": one.reason} for one in listing.left_out],
        "false_alarms": None,
    }


def examples(vocabulary: Vocabulary) -> list[str]:
    """Sentences of the words that a bundle knows best, the kinds in turn with the colours."""
    return [sentence for _, sentence in zip(range(EXAMPLES), _sentences(vocabulary), strict=False)]


def _sentences(vocabulary: Vocabulary) -> Iterator[str]:
    colours = [colour for colour in vocabulary.colours if colour not in _SHADES]
    garments = list(vocabulary.garments)
    for place, kind in enumerate(vocabulary.kinds):
        colour = colours[place % len(colours)] if colours else ""
        if kind not in _PEOPLE:
            yield _with_article(f"{colour} {kind}".strip())
        elif colour and garments and place % 2:
            yield f"{_with_article(kind)} with {_with_article(f'{colour} {garments[place % len(garments)]}')}"
        else:
            yield f"{_with_article(kind)}{f' in {colour}' if colour else ''}"


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
