"""Reading and checking the JSON settings of ONNX graphs."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from wsra.runtime.errors import BackboneError
from wsra.runtime.files.reading import read_json
from wsra.runtime.files.writing import sha256_of

Expected = Mapping[str, tuple[Callable[[Any], bool], str]]  # key -> the check of its value, and what is expected in words


def read_table(path: Path, kind: type, *, form: str, version: int, what: str, docs: str) -> dict[str, Any]:
    """Read a JSON whose keys are the fields of a dataclass; lists become tuples.

    Args:
        path: the file.
        kind: the dataclass.
        form: expected "format".
        version: expected "version".
        what: kind of the graph, for messages: "encoder".
        docs: the page that describes the format.

    Raises:
        BackboneError: the file is missing or not such a JSON, or a key is missing or unknown.
    """
    if not os.path.exists(path):  # noqa: PTH110 (it does not raise for a name that is too long)
        raise BackboneError(f"{path}: no such file; expected the JSON settings of the {what} ({docs})")
    table = read_json(path, error=BackboneError, hint=f"write it again ({docs})")
    if not isinstance(table, dict) or (table.pop("format", None), table.pop("version", None)) != (form, version):
        raise BackboneError(f'{path}: not a {form} of version {version}; it must say "format": "{form}", "version": {version}')
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    if unknown := table.keys() - known.keys():
        raise BackboneError(f"{path}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    if missing := [key for key, field in known.items() if field.default is MISSING and key not in table]:
        raise BackboneError(f"{path}: lacks {', '.join(missing)}; see {docs}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def check(settings: object, expected: Expected) -> None:
    """Check every value.

    Raises:
        BackboneError: a value is wrong; the message names the key.
    """
    for key, (fits, description) in expected.items():
        if not fits(getattr(settings, key)):
            raise BackboneError(f"{key} is {json.dumps(getattr(settings, key), default=str)}; expected {description}")


def find_graph(path: Path, given: Path, *, graph: str, sha256: str) -> Path:
    """The graph that a JSON describes.

    Args:
        path: the JSON.
        given: what the user named: the JSON, its folder, or the graph.
        graph: name of the graph in the JSON.
        sha256: digest of the graph in the JSON.

    Raises:
        BackboneError: the graph is missing, is not the one that the user named, or has another digest.
    """
    place = path.parent / graph
    if given.suffix == ".onnx" and given.name != graph:
        raise BackboneError(f"{path}: its graph is {graph}, not {given.name}; give the JSON of {given.name}, or name that graph in it")
    if not place.is_file():
        raise BackboneError(f"{path}: its graph {graph} is not in the same folder; copy both files")
    if sha256_of(place) != sha256:
        raise BackboneError(f"{place}: not the graph that {path.name} describes (sha256 differs); copy both again, or write the JSON again")
    return place


def is_count(low: int, high: int) -> Callable[[Any], bool]:
    """Whether a value is a whole number from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def is_triple(value: Any) -> bool:
    """Whether a value is three finite numbers."""
    return isinstance(value, tuple) and len(value) == 3 and all(is_number(number) for number in value)


def is_name(value: Any) -> bool:
    """Whether a value is a non-empty string."""
    return isinstance(value, str) and bool(value)


def matches(pattern: str) -> Callable[[Any], bool]:
    """Whether a value is a string that matches a pattern."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def one_of(words: tuple[str, ...]) -> str:
    """The choices in words."""
    return " or ".join(f'"{word}"' for word in words)


def is_one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    """The check whether a value is one of these words, and the words for messages."""
    return lambda value: value in words, one_of(words)


_SIDE = is_count(1, 4096)
# Keys of every graph whose input is a picture.
PICTURES: Expected = {
    "name": (matches(r"[A-Za-z0-9._-]+"), "letters, digits, dots, dashes and underscores"),
    "graph": (matches(r"[^/\\]+\.onnx"), "the name of an .onnx file in the same folder"),
    "sha256": (matches(r"[0-9a-f]{64}"), "the 64 hexadecimal digits of the graph's SHA-256"),
    "input": (is_name, "the name of the graph's input"),
    "size": (lambda value: isinstance(value, tuple) and len(value) == 2 and all(map(_SIDE, value)), "[height, width] in pixels, 1 to 4096"),
    "colour": is_one_of("RGB", "BGR"),
    "scale": (lambda value: is_number(value) and value > 0, "a number above 0, such as 0.00392156862745098 for 1 / 255"),
    "mean": (is_triple, "three numbers, of the channels after scale"),
    "std": (lambda value: is_triple(value) and min(value) > 0, "three numbers above 0"),
    "batch": (lambda value: value == "dynamic" or is_count(1, 4096)(value), '"dynamic" or a whole number from 1 to 4096'),
}
