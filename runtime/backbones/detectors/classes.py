"""The classes that rows distinguish, and the mapping of a detector's classes to them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CLASSES = ("person", "bicycle", "motorcycle", "car", "bus", "truck", "dog", "cat", "bag", "other")
OTHER = CLASSES.index("other")
# Other names for these classes in COCO, Objects365, Open Images and traffic data sets.
_SAME = {
    "person": ("man", "woman", "boy", "girl", "child", "people", "pedestrian", "human", "rider"),
    "bicycle": ("bike", "cycle"),
    "motorcycle": ("motorbike", "motor", "scooter", "moped"),
    "car": ("van", "suv", "taxi", "sedan", "vehicle"),
    "bus": ("coach", "minibus"),
    "truck": ("lorry", "pickup truck", "heavy truck"),
    "bag": ("backpack", "handbag", "suitcase", "luggage", "handbag/satchel", "luggage and bags", "briefcase"),
}
_CLASS_OF = {name: CLASSES.index(own) for own, names in _SAME.items() for name in names}
_CLASS_OF |= {name: number for number, name in enumerate(CLASSES)}

# The numbers that a detector adds to a row; each is the mean over the frames in which the object is seen.
NAMES: tuple[str, ...] = (*(f"is {name}" for name in CLASSES), "score")


def class_of(name: str) -> int:
    """The class of `CLASSES` for a detector's class, by its name; `OTHER` if there is none."""
    return _CLASS_OF.get(name.strip().lower().replace("_", " "), OTHER)


def known(names: Sequence[str]) -> list[str]:
    """The classes of a detector that map to one of `CLASSES`."""
    return [name for name in names if name and class_of(name) != OTHER]


def label(number: int, score: float) -> NDArray[np.float32]:
    """The numbers of one detection, see `NAMES`: (11,) float32, 1 for its class and 0 for the others, and its score, 0 to 1."""
    numbers = np.zeros(len(NAMES), np.float32)
    numbers[number], numbers[-1] = 1.0, score
    return numbers
