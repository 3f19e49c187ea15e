"""vocabulary.json of a bundle: the words of the captions that it was trained on, with their counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wsra.runtime.errors import BundleError
from wsra.runtime.files.typed import from_table, read_versioned
from wsra.runtime.formats.bundle import Bundle

VOCABULARY = "vocabulary.json"
FORMAT, VERSION = "wsra.vocabulary", 1
Source = Literal["training", "validation"]


@dataclass(frozen=True)
class Vocabulary:
    """The words of captions, each with the number of times that it occurs.

    Attributes:
        source: which captions: "training", or "validation" where export no longer found the training captions.
        captions: number of captions.
        kinds: people, vehicles and animals by their base form ("car" counts "cars" too).
        colours: colours and shades.
        garments: what people wear and carry.
        actions: what they do.
        others: every other word, as it is written.
    """

    source: Source
    captions: int
    kinds: dict[str, int]
    colours: dict[str, int]
    garments: dict[str, int]
    actions: dict[str, int]
    others: dict[str, int]

    @property
    def groups(self) -> Mapping[str, Mapping[str, int]]:
        """The words by group, the other words last."""
        return {
            "kinds": self.kinds,
            "colours": self.colours,
            "garments": self.garments,
            "actions": self.actions,
            "others": self.others,
        }


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary; the words of each group stand by their counts, the most frequent first."""
    path.write_text(json.dumps({"format": FORMAT, "version": VERSION, **asdict(vocabulary)}, indent=1) + "\n", encoding="utf-8")


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary.

    Raises:
        BundleError: the file cannot be read, is of another version, or a value is wrong.
    """
    again = "copy or export the bundle again"
    table = read_versioned(path, FORMAT, VERSION, hint=again)[1]
    try:
        vocabulary = from_table(Vocabulary, table)
        for name, count in (("captions", vocabulary.captions), *((w, n) for words in vocabulary.groups.values() for w, n in words.items())):
            if count < 1:
                raise ValueError(f"the count of {name!r} is {count}; expected 1 or more")
    except ValueError as err:
        raise BundleError(f"{path}: damaged, not the vocabulary that was written ({err}); {again}") from err
    return vocabulary


def vocabulary_in(bundle: Bundle) -> Vocabulary | None:
    """The vocabulary of a bundle; None for a zero-shot bundle, and for one that an earlier wsra wrote.

    Raises:
        BundleError: it cannot be read.
    """
    return read_vocabulary(bundle.folder / VOCABULARY) if VOCABULARY in bundle.manifest.files else None
