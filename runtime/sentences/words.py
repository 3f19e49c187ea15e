"""A sentence as words, and the base forms of a word by its English suffixes. Plain Python, so that a device needs nothing more."""

from __future__ import annotations

import re
import unicodedata

from wsra.runtime.sentences.lexicon import GROUPS, IRREGULAR, Group

_LEAST = 3  # letters that are left when a suffix is taken off
# A letter of a script without spaces is a word by itself: kana, Han, Thai, Lao, Khmer, Burmese.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[^\W\d_])+(?:['\u2019-](?:(?![{_SPACELESS}])[^\W\d_])+)*")
_OF_WHOM = re.compile(r"['\u2019]s$")
_HISSES = ("s", "x", "z", "ch", "sh", "o")


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in lower case, in order; hyphens and apostrophes within a word belong to it, except the 's of a genitive."""
    return [_OF_WHOM.sub("", word).replace("\u2019", "'") for word in _WORD.findall(unicodedata.normalize("NFKC", sentence).casefold())]


def base_forms(word: str) -> frozenset[str]:
    """What a word may be an inflection of, itself included: "cars" of "car", "stopping" of "stop". Some of the forms are no words."""
    if word in IRREGULAR:
        return frozenset((word, IRREGULAR[word]))
    forms = {word}
    if word.endswith("ies"):
        forms |= {word[:-3] + "y", word[:-1]}
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        forms.add(word[:-1])
        if word.endswith("es") and word[:-2].endswith(_HISSES):
            forms.add(word[:-2])
    if word.endswith("ied"):
        forms.add(word[:-3] + "y")
    for suffix in ("ing", "ed"):
        if word.endswith(suffix):
            stem = word.removesuffix(suffix)
            forms |= {stem, stem + "e"}
            if len(stem) > _LEAST and stem[-1] == stem[-2]:
                forms.add(stem[:-1])
    return frozenset(form for form in forms if form == word or len(form) >= _LEAST)


_GROUP_OF: dict[str, tuple[Group, str]] = {word: (group, word) for group, sets in GROUPS.items() for synonyms in sets for word in synonyms}
_SYNONYMS = {word: synonyms for sets in GROUPS.values() for synonyms in sets for word in synonyms}


def group_of(word: str) -> tuple[Group, str] | None:
    """The group of a word and its base form there: ("kinds", "car") for "cars"; None if it stands in no group."""
    return next((_GROUP_OF[form] for form in (word, *sorted(base_forms(word))) if form in _GROUP_OF), None)


def synonyms_of(word: str) -> frozenset[str]:
    """Words that mean the same as a word or its base forms, these included."""
    return frozenset(same for form in base_forms(word) for same in _SYNONYMS.get(form, (form,)))
