"""Describes events in sentences, and decides which events a sentence is true of."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from wsra.train.scenes.demo.world import PEOPLE, Actor, Kind

_NOUNS: dict[Kind, tuple[str, ...]] = {
    "man": ("man",),
    "woman": ("woman",),
    "child": ("child",),
    "cyclist": ("cyclist",),
    "dog": ("dog",),
    "car": ("car",),
    "van": ("van",),
}
_TEST_NOUNS: dict[Kind, tuple[str, ...]] = {
    "man": ("man", "man", "guy"),
    "woman": ("woman", "woman", "lady"),
    "child": ("child", "child", "kid"),
    "cyclist": ("cyclist", "cyclist", "person on a bicycle"),
    "dog": ("dog",),
    "car": ("car", "car", "automobile"),
    "van": ("van", "van", "delivery van"),
}

# (wording, what it mentions beyond the kind). {n} noun, {c} colour, {l} lower colour, {g} gait, {d} direction.
Wording = tuple[str, tuple[str, ...]]
_PERSON: tuple[Wording, ...] = (
    ("a {n} in a {c} shirt {g} past", ("colour", "gait")),
    ("a {n} wearing a {c} top", ("colour",)),
    ("the {n} with the {c} jacket", ("colour",)),
    ("a {n} in {c} {g} to the {d}", ("colour", "gait", "direction")),
    ("{n} in {c} shirt and {l} {t}", ("colour", "lower")),
    ("a {n} in a {c} shirt leaves on the {d}", ("colour", "direction")),
    ("a {n} with {l} {t}", ("lower",)),
    ("a {n} dressed in {c} enters the scene", ("colour",)),
)
_PERSON_TEST: tuple[Wording, ...] = (
    ("{n} in {c} shirt", ("colour",)),
    ("a {n} wearing something {c}", ("colour",)),
    ("{n} with a {c} sweater", ("colour",)),
    ("there goes a {n} in {c}", ("colour",)),
    ("{n} in {c} and {l} {t}", ("colour", "lower")),
)
_STANDING: tuple[Wording, ...] = (
    ("a {n} in a {c} shirt stops and stands still", ("colour", "stands")),
    ("a {n} in {c} stands for a while", ("colour", "stands")),
)
_BAG: tuple[Wording, ...] = (
    ("a {n} in a {c} shirt carrying a bag", ("colour", "bag")),
    ("a {n} in {c} with a bag", ("colour", "bag")),
)
_CYCLIST: tuple[Wording, ...] = (
    ("a {n} in a {c} shirt rides past", ("colour",)),
    ("a {n} wearing {c}", ("colour",)),
    ("a {n} in {c} rides to the {d}", ("colour", "direction")),
    ("the {n} with the {c} jacket", ("colour",)),
    ("a {n} dressed in {c} enters the scene", ("colour",)),
)
_CYCLIST_TEST: tuple[Wording, ...] = (
    ("{n} in {c} shirt", ("colour",)),
    ("a {n} with a {c} top", ("colour",)),
    ("there goes a {n} in {c}", ("colour",)),
)
_THING: tuple[Wording, ...] = (
    ("a {c} {n} {g} past", ("colour", "gait")),
    ("a {c} {n} {g} to the {d}", ("colour", "gait", "direction")),
    ("the {n} is {c}", ("colour",)),
    ("a {c} {n} enters the scene", ("colour",)),
    ("a {c} {n} leaves on the {d}", ("colour", "direction")),
)
_THING_TEST: tuple[Wording, ...] = (
    ("{c} {n}", ("colour",)),
    ("there is a {c} {n}", ("colour",)),
    ("a {n}, {c} in colour", ("colour",)),
)


@dataclass(frozen=True)
class DemoSentence:
    """A sentence and what it mentions.

    Attributes:
        text: the sentence.
        mentions: attribute -> value.
    """

    text: str
    mentions: dict[str, str | bool]

    def is_true_of(self, actor: Actor) -> bool:
        """Whether everything that the sentence mentions is true of the actor."""
        return all(getattr(actor, attribute) == value for attribute, value in self.mentions.items())


def _wordings(actor: Actor, test: bool) -> tuple[Wording, ...]:
    if actor.kind in PEOPLE:
        known = _PERSON_TEST if test else _PERSON
        return known + _STANDING * actor.stands + _BAG * actor.bag
    if actor.kind == "cyclist":
        return _CYCLIST_TEST if test else _CYCLIST
    return _THING_TEST if test else _THING


def describe(rng: Generator, actor: Actor, *, test: bool) -> DemoSentence:
    """Describe one actor in one sentence.

    Args:
        rng: chooses noun and wording.
        actor: the actor.
        test: use mostly wordings, and some nouns, that training never shows.
    """
    wordings = _wordings(actor, test)
    wording, mentioned = wordings[int(rng.integers(len(wordings)))]
    nouns = (_TEST_NOUNS if test else _NOUNS)[actor.kind]
    noun = nouns[int(rng.integers(len(nouns)))]
    trousers = "skirt" if actor.kind == "woman" else "trousers"
    text = wording.format(n=noun, c=actor.colour, l=actor.lower, g=actor.gait, d=actor.direction, t=trousers)
    text = text.replace("a orange", "an orange").replace("a automobile", "an automobile")
    mentions: dict[str, str | bool] = {"kind": actor.kind}
    mentions.update({attribute: getattr(actor, attribute) for attribute in mentioned})
    return DemoSentence(text, mentions)


def no_single_attribute_decides(caption: DemoSentence, actors: tuple[Actor, ...]) -> bool:
    """Whether the sentence mentions kind and colour, and each attribute alone is also true of another actor."""
    if not {"kind", "colour"} <= caption.mentions.keys():
        return False
    return all(
        sum(DemoSentence("", {attribute: value}).is_true_of(actor) for actor in actors) > 1 for attribute, value in caption.mentions.items()
    )
