"""Whether a sentence is true of an actor: yes, no, or maybe, if people would disagree.

Colour words are loose, as in everyday use: a dark blue car is also blue. A sentence that is only maybe true counts neither as present
nor as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from wsra.train.scenes.cameras.look import ANIMALS, ON_FOOT, VEHICLES, Traits

Answer = Literal["yes", "maybe", "no"]
Mentions = Mapping[str, Any]

# What else a word is true of, and what some people would use it for.
_COLOUR_YES = {
    "grey": {"light grey", "dark grey", "silver"},
    "blue": {"light blue", "dark blue"},
    "red": {"dark red"},
    "green": {"dark green"},
}
_COLOUR_MAYBE = {
    "white": {"light grey", "beige", "silver"},
    "light grey": {"white", "silver", "beige", "grey"},
    "silver": {"light grey", "white", "grey"},
    "grey": {"beige"},
    "dark grey": {"black", "grey"},
    "black": {"dark grey", "dark blue", "dark green"},
    "dark blue": {"black", "blue"},
    "light blue": {"blue"},
    "dark red": {"brown", "red"},
    "dark green": {"black", "green"},
    "beige": {"white", "light grey", "brown"},
    "brown": {"beige", "dark red", "orange"},
    "orange": {"brown", "red"},
    "red": {"orange", "pink"},
    "pink": {"purple", "red"},
    "purple": {"pink"},
}
_DARK, _LIGHT = {"black", "dark blue", "dark grey", "dark red", "dark green"}, {"white", "beige", "light grey", "light blue", "silver"}
_DARKISH, _LIGHTISH = {"brown", "blue", "purple", "grey", "green"}, {"yellow", "pink", "grey"}
_KIND_YES: dict[str, set[str]] = {"person": set(ON_FOOT), "vehicle": set(VEHICLES), "animal": set(ANIMALS)}
_KIND_MAYBE = {
    "person": {"cyclist", "motorcycle"},
    "vehicle": {"motorcycle", "cyclist"},
    "man": {"cyclist", "motorcycle"},
    "woman": {"cyclist"},
    "child": {"cyclist"},
    "car": {"van"},
    "van": {"car", "truck", "bus"},
    "truck": {"van"},
    "bus": {"van"},
    "cyclist": {"motorcycle"},
    "motorcycle": {"cyclist"},
    "dog": {"cat"},
    "cat": {"dog"},
}
_GARMENT_MAYBE = {
    "shirt": {"t-shirt", "top", "pullover"},
    "t-shirt": {"shirt", "top"},
    "jacket": {"coat", "hoodie", "cardigan"},
    "coat": {"jacket", "cardigan"},
    "pullover": {"hoodie", "cardigan", "shirt", "top"},
    "hoodie": {"pullover", "jacket"},
    "cardigan": {"jacket", "pullover", "coat"},
    "top": {"t-shirt", "shirt", "pullover"},
}
_LOWER_MAYBE = {"trousers": {"jeans"}, "jeans": {"trousers"}, "skirt": {"shorts"}, "shorts": {"skirt"}}
_HAIR_YES = {"dark": {"black", "brown"}}
_HAIR_MAYBE = {"black": {"brown"}, "brown": {"black", "red"}, "red": {"brown"}, "blond": {"grey"}, "grey": {"blond"}}


def agrees(mentions: Mentions, traits: Traits) -> Answer:
    """Whether everything that a sentence mentions is true of an actor.

    Args:
        mentions: attribute -> value; `kind` is a kind, "person", "vehicle" or "animal".
        traits: the actor.
    """
    answers = [_ANSWERS[attribute](value, traits) for attribute, value in mentions.items()]
    return "no" if "no" in answers else "maybe" if "maybe" in answers else "yes"


def _loose(mentioned: str, is_: str, yes: Mapping[str, set[str]], maybe: Mapping[str, set[str]]) -> Answer:
    if mentioned == is_ or is_ in yes.get(mentioned, ()):
        return "yes"
    return "maybe" if is_ in maybe.get(mentioned, ()) else "no"


def _same(mentioned: object, is_: object) -> Answer:
    return "yes" if mentioned == is_ else "no"


def _tone(mentioned: str, traits: Traits) -> Answer:
    surely, maybe = (_DARK, _DARKISH) if mentioned == "dark" else (_LIGHT, _LIGHTISH)
    worn = [traits.colour, *([traits.lower_colour] if traits.lower_colour else []), *([traits.rider] if traits.rider else [])]
    if all(colour in surely for colour in worn):
        return "yes"
    return "maybe" if any(colour in surely | maybe for colour in worn) else "no"


def _direction(mentioned: str, traits: Traits) -> Answer:
    if all(mentioned == way for way in traits.directions):
        return "yes"
    return "maybe" if mentioned in traits.directions else "no"


def turns_back(traits: Traits) -> bool:
    """Whether the actor leaves in the direction opposite to that in which it came."""
    ends = {traits.directions[0], traits.directions[-1]}
    return ends in ({"left", "right"}, {"towards", "away"})


def _turns(mentioned: bool, traits: Traits) -> Answer:
    if turns_back(traits):
        return _same(mentioned, True)
    return "maybe" if len(set(traits.directions)) > 1 else _same(mentioned, False)


_ANSWERS = {
    "kind": lambda mentioned, traits: _loose(mentioned, traits.kind, _KIND_YES, _KIND_MAYBE),
    "colour": lambda mentioned, traits: _loose(mentioned, traits.colour, _COLOUR_YES, _COLOUR_MAYBE),
    "tone": _tone,
    "rider": lambda mentioned, traits: _loose(mentioned, traits.rider, _COLOUR_YES, _COLOUR_MAYBE),
    "garment": lambda mentioned, traits: _loose(mentioned, traits.garment, {}, _GARMENT_MAYBE),
    "lower": lambda mentioned, traits: _loose(mentioned, traits.lower, {}, _LOWER_MAYBE),
    "lcolour": lambda mentioned, traits: _loose(mentioned, traits.lower_colour, _COLOUR_YES, _COLOUR_MAYBE),
    "hair": lambda mentioned, traits: _loose(mentioned, traits.hair, _HAIR_YES, _HAIR_MAYBE),
    "long": lambda mentioned, traits: _same(mentioned, traits.long_hair),
    "cap": lambda mentioned, traits: _same(mentioned, traits.cap),
    "bag": lambda mentioned, traits: _same(mentioned, traits.bag),
    "umbrella": lambda mentioned, traits: _same(mentioned, traits.umbrella),
    "gait": lambda mentioned, traits: _same(mentioned, traits.gait),
    "direction": _direction,
    "stands": lambda mentioned, traits: _same(mentioned, traits.stands),
    "turns": _turns,
}
