"""Describes an appearance in the words that people type, and records what each sentence mentions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from wsra.train.scenes.cameras.agreement import agrees, turns_back
from wsra.train.scenes.cameras.look import ANIMALS, ON_FOOT, VEHICLES, Traits
from wsra.train.scenes.cameras.nouns import WORDS, Words
from wsra.train.scenes.cameras.style import Split

# {n} noun, {c} colour, {g} garment, {l} lower garment in its colour, {h} hair, {t} dark or light, {r} colour of who rides a motorcycle,
# {b} bag, {k} cap, {w} walks, {ing} walking, {d} where to. A sentence mentions what fills its slots and the words beside its template.
Template = tuple[str, tuple[str, ...]]

_PEOPLE: dict[str, tuple[Template, ...]] = {
    "all": (
        ("{n} in {c}", ()),
        ("{n} in {c} {g}", ()),
        ("{n} in a {c} {g}", ()),
        ("{n} with {h}", ()),
        ("{n} with {l}", ()),
        ("{n} in a {c} {g} and {l}", ()),
        ("{n} in a {c} {g} {w} {d}", ()),
        ("{n} in {t} clothes", ()),
        ("{n} with a {b}", ()),
        ("{n} with a {k}", ()),
        ("{n} with an umbrella", ("umbrella",)),
        ("{n} in {c} stops and stands", ("stands",)),
    ),
    "train": (
        ("{n} wearing a {c} {g}", ()),
        ("{n} dressed in {c}", ()),
        ("{n} wearing {c}", ()),
        ("{n} with {h} in a {c} {g}", ()),
        ("{n} in a {c} {g} with {h}", ()),
        ("{n} dressed in {c} with {h}", ()),
        ("{n} wearing {l}", ()),
        ("{n} in {c} and {l}", ()),
        ("{n} in {c} {ing} {d}", ()),
        ("{n} {w} {d}", ()),
        ("{n} in {c} carrying a {b}", ()),
        ("{n} in a {c} {g} with a {b}", ()),
        ("{n} in a {c} {g} and a {k}", ()),
        ("{n} in {c} under an umbrella", ("umbrella",)),
        ("{n} in a {c} {g} stands still", ("stands",)),
        ("{n} in {c} turns back", ("turns",)),
        ("{n} in {c} runs", ("runs",)),
        ("{n} in a {c} {g} running", ("runs",)),
    ),
    "dev": (
        ("there is a {n} in {c}", ()),
        ("{n} who wears a {c} {g}", ()),
        ("{n}, {h}, {c} {g}", ()),
        ("{n} with {l} and a {c} {g}", ()),
        ("{n} in {c} going {d}", ()),
        ("{n} in {c} with a {b}", ()),
        ("{n} in {c} and a {k}", ()),
        ("{n} waiting, dressed in {c}", ("stands",)),
        ("running {n} in {c}", ("runs",)),
    ),
    "test": (
        ("the {n} in the {c} {g}", ()),
        ("{n} with a {c} {g} on", ()),
        ("{n} in something {c}", ()),
        ("{n} who has {h} and wears {c}", ()),
        ("{n} in {c} with {l}", ()),
        ("{n} in {c} heading {d}", ()),
        ("{n} with a {c} {g} and a {b}", ()),
        ("{n} in {c} standing around", ("stands",)),
        ("{n} running in {c}", ("runs",)),
        ("{n} wearing a {k} and a {c} {g}", ()),
    ),
}
_THINGS: dict[str, tuple[Template, ...]] = {
    "all": (("{c} {n}", ()), ("{c} {n}", ()), ("{n}", ()), ("{t} {n}", ()), ("{c} {n} {w} {d}", ()), ("{c} {n} stops", ("stands",))),
    "train": (
        ("{c} {n} {ing} past", ()),
        ("{n} of {c} colour", ()),
        ("{c} {n} enters the scene", ()),
        ("{n} {ing} {d}", ()),
        ("{c} {n} stands still", ("stands",)),
        ("{c} {n} turns back", ("turns",)),
    ),
    "dev": (("there is a {c} {n}", ()), ("{n} in {c}", ()), ("{c} {n} going {d}", ()), ("{c} {n} waiting", ("stands",))),
    "test": (("{n}, {c} in colour", ()), ("{c} coloured {n}", ()), ("{c} {n} heading {d}", ()), ("{c} {n} that stands there", ("stands",))),
}
_RIDERS: tuple[Template, ...] = (("{n} with a rider in {r}", ()), ("motorcyclist in {r}", ()))
_HAIR = {"blond": ("blond", "blonde", "fair"), "black": ("black", "dark"), "brown": ("brown", "dark")}
_WAYS = {
    "left": ("to the left",),
    "right": ("to the right",),
    "towards": ("towards the camera", "towards us"),
    "away": ("away", "away from the camera"),
}
_VERBS = {"walks": ("walks", "walking"), "runs": ("runs", "running"), "rides": ("rides", "riding"), "drives": ("drives", "driving")}
# Least height of a man in pixels at which people would mention the attribute.
_CLEAR_PX = {"{h}": 60, "{g}": 35, "{l}": 36, "{k}": 40, "{b}": 40, "{n}": 28}
_NO_ARTICLE = ("someone", "somebody", "there", "the ")


@dataclass(frozen=True)
class Sentence:
    """A sentence.

    Attributes:
        text: the sentence, lower case.
        mentions: attribute -> value, see `agreement`.
        template: the template that was filled.
        seed: chose its words.
    """

    text: str
    mentions: dict[str, Any]
    template: Template
    seed: int


def templates(traits: Traits, split: Split) -> list[Template]:
    """The templates that fit an actor."""
    table = _THINGS if traits.kind in (*ANIMALS, *VEHICLES, "motorcycle") else _PEOPLE
    offered = [*table["all"], *table["train" if split == "val" else split], *(_RIDERS if traits.kind == "motorcycle" else ())]
    return [template for template in offered if _fits(template, traits)]


def is_rare(template: Template) -> bool:
    """Whether a template mentions something that few actors have or do."""
    text, says = template
    return bool(says) or any(slot in text for slot in ("{h}", "{k}", "{b}"))


def _fits(template: Template, traits: Traits) -> bool:
    text, says = template
    if any(slot in text and traits.clear_px < least for slot, least in _CLEAR_PX.items() if slot != "{n}"):
        return False
    tone = _tone(traits)
    needs = {
        "{l}": traits.lower != "",
        "{h}": traits.hair != "" and traits.kind in ON_FOOT and not (traits.cap and not traits.long_hair) and not traits.umbrella,
        "{k}": traits.cap,
        "{b}": traits.bag != "",
        "{t}": tone != "",
        "{d}": len(set(traits.directions)) == 1,
    }
    true_of = {"umbrella": traits.umbrella, "stands": traits.stands, "turns": turns_back(traits), "runs": traits.gait == "runs"}
    return all(there for slot, there in needs.items() if slot in text) and all(true_of[word] for word in says)


def _tone(traits: Traits) -> str:
    return next((tone for tone in ("dark", "light") if agrees({"tone": tone}, traits) == "yes"), "")


def describe(traits: Traits, split: Split, template: Template, seed: int) -> Sentence:
    """Describe an actor in a sentence.

    Args:
        traits: the actor.
        split: whose words are used.
        template: one of `templates`.
        seed: chooses among the words.
    """
    rng = np.random.default_rng([seed, 11])
    text, says = template
    name = _class_of(rng, traits, text)
    slots = _slots(rng, traits, WORDS[split], name)
    mentions: dict[str, Any] = {"kind": name}
    used = set(re.findall(r"{(\w+)}", text))
    for slot in sorted(used & slots.keys()):
        mentions |= slots[slot].says
    if used & {"w", "ing"} and traits.kind in (*ON_FOOT, *ANIMALS):
        mentions["gait"] = traits.gait
    for word in says:
        mentions |= {"gait": "runs"} if word == "runs" else {word: True}
    article = _one(rng, ("a ", "the ", "", ""))
    sentence = text.format(**{slot: filled.text for slot, filled in slots.items()})
    if not sentence.startswith(_NO_ARTICLE):
        sentence = article + sentence
    sentence = re.sub(r"\b(a|the) (someone|somebody)", r"\2", sentence)
    sentence = re.sub(r"\ba (?=[aeio]|umb)", "an ", sentence)
    return Sentence(sentence, mentions, template, seed)


@dataclass(frozen=True)
class _Slot:
    """The words for a slot, and what they mention."""

    text: str
    says: dict[str, Any]


def _slots(rng: Generator, traits: Traits, words: Words, name: str) -> dict[str, _Slot]:
    """Words for every slot. All are drawn, so that the words of one slot do not depend on which others a template uses."""
    noun = _one(rng, words[name])
    garment = _one(rng, words[traits.garment]) if traits.garment else ""
    cap = _one(rng, words["cap"])
    bag = _one(rng, words[traits.bag]) if traits.bag else ""
    lower = _one(rng, words[traits.lower]) if traits.lower else ""
    hair = _one(rng, _HAIR.get(traits.hair, (traits.hair,)))
    direction = traits.directions[-1] if traits.directions else ""
    way = _one(rng, _WAYS.get(direction, ("",)))
    walks, walking = _VERBS[traits.gait]
    if direction == "towards" and rng.random() < 0.4 and traits.gait == "walks":
        walks, walking = "comes", "coming"
    tone = _tone(traits)
    worn = ("a " if traits.lower == "skirt" else "") + f"{traits.lower_colour} {lower}"
    length = "long" if traits.long_hair else "short"
    return {
        "n": _Slot(noun, {}),
        "c": _Slot(traits.colour, {"colour": traits.colour}),
        "g": _Slot(garment, {"garment": traits.garment}),
        "l": _Slot(worn, {"lower": traits.lower, "lcolour": traits.lower_colour}),
        "h": _Slot(f"{length} {hair} hair", {"hair": "dark" if hair == "dark" else traits.hair, "long": traits.long_hair}),
        "t": _Slot("light-coloured" if tone == "light" else tone, {"tone": tone}),
        "r": _Slot(traits.rider, {"rider": traits.rider}),
        "b": _Slot(bag, {"bag": traits.bag}),
        "k": _Slot(cap, {"cap": True}),
        "d": _Slot(way, {"direction": direction}),
        "w": _Slot(walks, {}),
        "ing": _Slot(walking, {}),
    }


def _class_of(rng: Generator, traits: Traits, text: str) -> str:
    """A noun for the actor: its kind, or a more general word."""
    chance = rng.random()
    if "{n}" not in text:
        return "motorcycle"
    if traits.kind in ON_FOOT:
        return "person" if chance < 0.25 or traits.clear_px < _CLEAR_PX["{n}"] else traits.kind
    if traits.kind in VEHICLES:
        return "vehicle" if chance < 0.06 else traits.kind
    if traits.kind in ANIMALS:
        return "animal" if chance < 0.06 else traits.kind
    return traits.kind


def _one(rng: Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
