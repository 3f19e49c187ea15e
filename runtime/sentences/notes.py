"""Short notes on what a bundle cannot take from a sentence: words it never learned, negation, counting, times, other languages.

A note never changes an answer. It is for the person who reads it, so ordinary sentences must have none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wsra.runtime.formats.vocabulary import Vocabulary
from wsra.runtime.sentences.lexicon import COUNTS, FOREIGN, FUNCTION_WORDS, MONTHS, NEGATIONS, NUMBERS, TIMES
from wsra.runtime.sentences.words import base_forms, group_of, synonyms_of, words_of

NoteKind = Literal["language", "unknown", "negation", "count", "time"]
_SHOWN = 5  # words in the text of a note

_NUMBER = rf"(?:\d+|{'|'.join(sorted(NUMBERS))})"
_MONTH = "|".join(MONTHS)
_TIME = re.compile(
    rf"""
    \b\d{{1,2}}(?:[:.]\d{{2}})?\s*(?:[ap]m\b|[ap]\.m\.|o['\u2019]?clock\b)      # 5 pm, 5:30 a.m., 10 o'clock
    | \b(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?\b                          # 17:30
    | \b\d{{4}}-\d{{2}}-\d{{2}}\b | \b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b  # 2026-11-23, 23.11.2026, 11/23/26
    | \b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_MONTH})\b               # 12 March, 3rd of May
    | \b(?:{_MONTH})\s+\d{{1,2}}(?:st|nd|rd|th)?\b                         # March 12
    | \b{_NUMBER}\s+(?:second|minute|hour|day|week|month|year)s?\b(?!-)    # five minutes
    | \b(?:an?|one)\s+(?:minute|hour|day|week|month|year)\b               # an hour; but "a second man"
    | \b(?:at|before|after|around|until|since)\s+{_NUMBER}(?=\s*(?:[,.?!]|$))  # after 5
    """,
    re.VERBOSE | re.IGNORECASE,
)
_COUNT = re.compile(r"\b(?:more than|at least|at most|less than|fewer than) one\b|(?<![\w.:/-])(?!1\b)\d+(?=\s+[^\W\d])", re.IGNORECASE)


@dataclass(frozen=True)
class Note:
    """A note on a sentence.

    Attributes:
        kind: "language", "unknown", "negation", "count" or "time".
        words: the words that it is about, as `words_of` gives them, or the time or number as it is written.
        text: one or two whole sentences for people.
    """

    kind: NoteKind
    words: tuple[str, ...]
    text: str


def notes_on(sentence: str, vocabulary: Vocabulary | None, *, of_objects: bool = True) -> list[Note]:
    """Look at a sentence.

    Args:
        sentence: the sentence.
        vocabulary: of the bundle; None if it has none. Then no word counts as unknown, and the language is compared with English.
        of_objects: whether a moment is one object. A bundle of snippets may have learned a number that its captions use.

    Returns:
        At most one note of each kind: "language" alone, or the others in the order of `NoteKind`.
    """
    times = [match.group().strip() for match in _TIME.finditer(sentence)]
    rest = _TIME.sub(" ; ", sentence)
    words = list(dict.fromkeys(words_of(rest)))
    forms = _forms_of(vocabulary)
    unknown = [word for word in words if not _is_known(word, forms)]
    if _is_foreign(words, unknown):
        return [_language(vocabulary)]
    counts = [*_COUNT.findall(rest), *(word for word in words if word in COUNTS and (of_objects or word not in forms))]
    times += [word for word in words if word in TIMES and word not in forms]
    negations = [word for word in words if _is_negation(word)]
    notes = []
    if unknown and vocabulary is not None:
        notes.append(_unknown(unknown, vocabulary))
    if negations:
        notes.append(_note("negation", negations, "negation is not understood; describe what is to be seen"))
    if counts:
        notes.append(_note("count", counts, f"objects are not counted{'; each moment shows one of them' if of_objects else ''}"))
    if times:
        notes.append(_note("time", times, "times are not taken from the sentence; give a time of day or a date with --between START END"))
    return notes


def _forms_of(vocabulary: Vocabulary | None) -> frozenset[str]:
    """The base forms of all words of a vocabulary."""
    if vocabulary is None:
        return frozenset()
    return frozenset(form for words in vocabulary.groups.values() for word in words for form in base_forms(word))


def _is_known(word: str, forms: frozenset[str]) -> bool:
    """Whether the captions have a word, another form of it or a word of its meaning, or no caption needs it."""
    if word in FUNCTION_WORDS or word in COUNTS or word in TIMES or _is_negation(word) or (len(word) == 1 and word.isascii()):
        return True
    if synonyms_of(word) & forms:
        return True
    parts = word.split("-")
    return len(parts) > 1 and all(_is_known(part, forms) for part in parts)


def _is_negation(word: str) -> bool:
    return word in NEGATIONS or word.endswith("n't")


def _is_foreign(words: Sequence[str], unknown: Sequence[str]) -> bool:
    """Whether most words are of another script, or most are strange and one of them is known to be of another language."""
    strange = [word for word in unknown if group_of(word) is None]
    scripts = [word for word in strange if not unicodedata.name(word[0], "").startswith("LATIN")]
    foreign = [word for word in strange if word in FOREIGN or not word.isascii()]
    return 2 * len(scripts) > len(words) or (bool(foreign) and 2 * len(strange) > len(words))


def _language(vocabulary: Vocabulary | None) -> Note:
    if vocabulary is None:
        return Note("language", (), "The sentence does not seem to be English, and the model may know no other language.")
    return Note("language", (), f"The sentence does not seem to be in the language of the {vocabulary.source} captions: ask in that one.")


def _unknown(words: Sequence[str], vocabulary: Vocabulary) -> Note:
    guess = "this word means" if len(words) == 1 else "these words mean"
    return _note("unknown", words, f"not in the {vocabulary.source} captions, so the model only guesses what {guess}")


def _note(kind: NoteKind, words: Sequence[str], text: str) -> Note:
    """A note that names its words."""
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return Note(kind, tuple(words), f"{', '.join(words[:_SHOWN])}{more}: {text}.")
