"""Dataclasses from JSON, checked against their annotations. Plain Python, since a device has no pydantic."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from sys import float_info
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from wsra.runtime.errors import BundleError
from wsra.runtime.files.reading import json_value, read_text

T = TypeVar("T")
_SHOWN = 60  # characters of a value in a message
_PLAIN = {str: "a string", bool: "true or false", int: "a whole number", float: "a finite number", NoneType: "null"}


def from_table(kind: type[T], table: Any, place: str = "") -> T:
    """Make a dataclass from a JSON object in which every value has the annotated type; only lists are converted, to tuples.

    Annotations may be str, bool, int, float (finite, or a whole number), None, Any, Literal, unions, list, tuple, dict and dataclasses.

    Args:
        kind: the dataclass.
        table: the parsed JSON.
        place: where the table stands, for messages.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type; the message names it and what was expected.
    """
    if not isinstance(table, dict):
        raise ValueError(f"{place or 'it'} is {_shown(table)}; expected an object")
    hints, within = _hints(kind), f"{place}." if place else ""  # type: ignore[arg-type]
    if unknown := table.keys() - hints.keys():
        raise ValueError(f"{within}{_shown(min(unknown))} is unknown; expected {', '.join(hints)}")
    required = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}  # type: ignore[arg-type]
    if missing := required - table.keys():
        raise ValueError(f"{within}{min(missing)} is missing")
    return kind(**{name: checked(hints[name], value, f"{within}{name}") for name, value in table.items()})


def read_versioned(path: Path, form: str, version: int, *, hint: str) -> tuple[str, dict[str, Any]]:
    """Read a JSON object with a format and a version.

    Args:
        path: the file.
        form: the expected format.
        version: the expected version.
        hint: what to do; the end of messages.

    Returns:
        The text, and the object without its format and version.

    Raises:
        BundleError: the file cannot be read, is damaged, or has another format or version.
    """
    text = read_text(path, error=BundleError, hint=hint)
    table = json_value(text, place=f"{path}: damaged", error=BundleError, hint=hint)
    if not (isinstance(table, dict) and {"format", "version"} <= table.keys()):
        raise BundleError(f"{path}: damaged, it has no format and version; {hint}")
    found = table.pop("format"), table.pop("version")
    if found != (form, version):
        raise BundleError(f"{path}: {_shown(found[0])} version {_shown(found[1])}; this wsra reads {form} version {version}: {hint}")
    return text, table


def checked(kind: Any, value: Any, place: str) -> Any:
    """A value of the annotated type; see `from_table`.

    Raises:
        ValueError: the value has another type.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return from_table(kind, value, place)  # type: ignore[arg-type]
    if origin is Literal:
        if any(type(value) is type(choice) and value == choice for choice in parts):
            return value
    elif origin in (Union, UnionType):
        for part in parts:
            try:
                return checked(part, value, place)
            except ValueError:
                continue
    elif origin is list and isinstance(value, list):
        return [checked(parts[0], item, f"{place}[{number}]") for number, item in enumerate(value)]
    elif origin is tuple and isinstance(value, list):
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            return tuple(checked(part, item, f"{place}[{number}]") for number, (part, item) in enumerate(zip(kinds, value, strict=True)))
    elif origin is dict and isinstance(value, dict):
        return {key: checked(parts[1], item, f"{place}.{key}") for key, item in value.items()}
    elif kind is float:
        if (type(value) is float and isfinite(value)) or (type(value) is int and abs(value) <= float_info.max):
            return value
    elif kind in (str, bool, int, NoneType) and type(value) is kind:
        return value
    raise ValueError(f"{place} is {_shown(value)}; expected {_in_words(kind)}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _in_words(kind: Any) -> str:
    """An annotation in words, for messages."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(json.dumps(part) for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, parts))
    if origin is tuple and parts[1:] != (...,):
        return f"a list of {len(parts)}"
    return "a list" if origin in (list, tuple) else "an object" if origin is dict else _PLAIN[kind]
