"""Notes on sentences: each kind where it belongs, none on ordinary sentences; words and their inflections; the vocabulary's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsra.runtime.errors import BundleError
from wsra.runtime.formats.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from wsra.runtime.sentences.lexicon import COUNTS, FOREIGN, FUNCTION_WORDS, GROUPS, IRREGULAR, NEGATIONS, TIMES
from wsra.runtime.sentences.notes import Note, notes_on
from wsra.runtime.sentences.words import base_forms, group_of, words_of

pytestmark = pytest.mark.device
LEARNED = Vocabulary(
    "training",
    40,
    kinds={"man": 20, "woman": 10, "car": 8, "dog": 2},
    colours={"red": 12, "black": 9, "grey": 4},
    garments={"shirt": 11, "trousers": 5},
    actions={"walk": 14, "stop": 3, "carry": 2},
    others={"a": 40, "in": 30, "left": 5, "box-like": 1},
)


def kinds(sentence: str, vocabulary: Vocabulary | None = LEARNED) -> dict[str, tuple[str, ...]]:
    return {note.kind: note.words for note in notes_on(sentence, vocabulary)}


@pytest.mark.parametrize(
    "sentence",
    [
        "a man in a red shirt walks past",
        "the man with the black trousers",
        "men in red shirts walking to the left",
        "the woman's car stopped",
        "a gentleman carries a shirt, then stops",  # of the meaning of a word that it learned
        "guy in gray pants",
        "someone in something red is there",
        "A WOMAN, CARRYING A BLACK-RED SHIRT.",
        "one man in black",
        "a second man in red",
        "",
        "?! 123",
    ],
)
def test_an_ordinary_sentence_has_no_note(sentence: str) -> None:
    assert notes_on(sentence, LEARNED) == []


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a man pushes a trolley", {"unknown": ("pushes", "trolley")}),
        ("a broken window", {"unknown": ("broken", "window")}),
        ("a man without a shirt", {"negation": ("without",)}),
        ("a woman who isn't in red", {"negation": ("isn't",)}),
        ("no car and no dog", {"negation": ("no",)}),
        ("two men in black", {"count": ("two",)}),
        ("3 women", {"count": ("3",)}),
        ("more than one car", {"count": ("more than one",)}),
        ("a red car at 5 pm", {"time": ("5 pm",)}),
        ("a red car at 17:30", {"time": ("17:30",)}),
        ("a man in red at night", {"time": ("night",)}),
        ("a dog on 2026-11-23", {"time": ("2026-11-23",)}),
        ("a dog on 12 March", {"time": ("12 March",)}),
        ("a man stops for five minutes", {"time": ("five minutes",)}),
        ("a man stops after 5", {"time": ("after 5",)}),
        ("two men without a trolley at noon", {"unknown": ("trolley",), "negation": ("without",), "count": ("two",), "time": ("noon",)}),
        ("ein Mann in einem roten Hemd", {"language": ()}),
        ("un hombre con camisa roja", {"language": ()}),
        ("穿红衣服的男人", {"language": ()}),
        ("мужчина в красной рубашке", {"language": ()}),
    ],
)
def test_each_kind_is_noted_with_its_words(sentence: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert kinds(sentence) == expected


def test_what_the_captions_say_was_learned() -> None:
    """In another language, at night and in numbers: each of these sentences has a note under another vocabulary."""
    german = Vocabulary("training", 2, {}, {}, {}, {}, dict.fromkeys(words_of("ein Mann in einem roten Hemd geht nach links"), 1))
    assert notes_on("ein Mann geht nach links", german) == [] and kinds("ein Mann geht nach links") == {"language": ()}
    assert kinds("a man in a red shirt", german) == {"unknown": ("man", "red", "shirt")}  # German has "in", but not "man"
    chinese = Vocabulary("training", 1, {}, {}, {}, {}, dict.fromkeys(words_of("穿红衣服的男人"), 1))
    assert notes_on("红衣服的男人", chinese) == []
    counting = Vocabulary("training", 1, {"man": 1}, {}, {}, {}, {"two": 1, "night": 1})
    assert notes_on("two men at night", counting, of_objects=False) == []
    assert [note.kind for note in notes_on("two men at night", counting)] == ["count"]  # each moment is one object
    assert [note.kind for note in notes_on("three men at night", counting, of_objects=False)] == ["count"]


def test_without_a_vocabulary_no_word_is_unknown() -> None:
    assert notes_on("a broken window", None) == []
    assert list(kinds("two men without a trolley", None)) == ["negation", "count"]
    assert kinds("une femme avec un sac", None) == {"language": ()}
    assert "English" in notes_on("une femme avec un sac", None)[0].text


def test_texts_are_sentences_that_name_the_words() -> None:
    one, many = notes_on("a trolley", LEARNED)[0], notes_on("trolley pram swing window door fence roof", LEARNED)[0]
    assert one == Note("unknown", ("trolley",), "trolley: not in the training captions, so the model only guesses what this word means.")
    assert len(many.words) == 7 and many.text.startswith("trolley, pram, swing, window, door and 2 more: ")
    assert "validation captions" in notes_on("a trolley", Vocabulary("validation", 1, {}, {}, {}, {}, {"a": 1}))[0].text
    assert "--between" in notes_on("a man at night", LEARNED)[0].text
    assert "one of them" in notes_on("two men", LEARNED)[0].text
    assert "one of them" not in notes_on("two men", LEARNED, of_objects=False)[0].text


@pytest.mark.parametrize(
    ("form", "base"),
    [
        *(("cars", "car"), ("buses", "bus"), ("boxes", "box"), ("carries", "carry"), ("carried", "carry"), ("walking", "walk")),
        *(("riding", "ride"), ("stopping", "stop"), ("stopped", "stop"), ("men", "man"), ("children", "child"), ("ran", "run")),
        *(("passes", "pass"), ("dresses", "dress"), ("touches", "touch"), ("lies", "lie"), ("scarves", "scarve")),
    ],
)
def test_inflections_lead_to_the_base_form(form: str, base: str) -> None:
    assert base in base_forms(form) and form in base_forms(form)


def test_a_short_or_different_word_is_no_inflection() -> None:
    assert all(base_forms(word) == {word} for word in ("red", "bus", "dress", "king"))
    assert "dress" not in base_forms("dressed")
    assert group_of("dressed") == ("actions", "wear") and group_of("dresses") == ("garments", "dress") and group_of("window") is None


def test_words_of_a_sentence() -> None:
    assert words_of("The WOMAN's t-shirt isn\u2019t light-coloured, 2 cars") == [
        *("the", "woman", "t-shirt", "isn't", "light-coloured", "cars"),
    ]
    assert words_of("红车 car") == ["红", "车", "car"] and words_of("12:30 ...") == []


def test_lists_do_not_contradict_each_other() -> None:
    grouped = [word for sets in GROUPS.values() for synonyms in sets for word in synonyms]
    assert len(grouped) == len(set(grouped)) > 300
    english = {*grouped, *FUNCTION_WORDS, *NEGATIONS, *COUNTS, *TIMES, *IRREGULAR}
    assert not FOREIGN & english and all(len(word) > 1 for word in FOREIGN)
    assert not NEGATIONS & FUNCTION_WORDS and not COUNTS & FUNCTION_WORDS
    assert {base for base in IRREGULAR.values() if group_of(base) is None} <= {"foot", "knife"}


def test_a_vocabulary_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    write_vocabulary(path, LEARNED)
    assert read_vocabulary(path) == LEARNED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": {"man": 0}}, "the count of 'man' is 0; expected 1 or more"),
        ({"kinds": {"man": "1"}}, "kinds.man is 1; expected a whole number"),
        ({"captions": -1}, "the count of 'captions' is -1"),
        ({"source": "test"}, 'source is test; expected "training" or "validation"'),
        ({"verbs": {}}, "verbs is unknown"),
        ({"version": 2}, "version 2; this wsra reads wsra.vocabulary version 1"),
    ],
)
def test_a_damaged_vocabulary_is_one_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "vocabulary.json"
    write_vocabulary(path, LEARNED)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError) as caught:
        read_vocabulary(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
