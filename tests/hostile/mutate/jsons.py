"""Damage of JSON by its structure: values of other types, absurd numbers, deep nesting, lost and foreign keys, hostile strings."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

from hostile.mutate import raw
from hostile.mutate.texts import NUMBERS, STRINGS

_MARK = "@@raw@@"  # stands for text that json.dumps would not write


def damaged(rng: Random, value: Any, *, indent: int | None = None) -> tuple[bytes, str]:
    """A damaged copy of a value as JSON text."""
    if rng.random() < 0.1:
        return raw.damaged(rng, json.dumps(value, indent=indent).encode())
    changed, inserted, what = altered(rng, value)
    text = json.dumps(changed, indent=indent, ensure_ascii=rng.random() < 0.5)
    return text.replace(f'"{_MARK}"', inserted).encode("utf-8", "surrogatepass"), what


def altered(rng: Random, value: Any) -> tuple[Any, str, str]:
    """A damaged copy, what stands for `@@raw@@` in its text, and what was done."""
    changed, told, inserted = deepcopy(value), [], "null"
    for _ in range(rng.choice((1, 1, 1, 2))):
        path = _path(rng, changed)
        if not path:
            new, inserted, what = _hostile(rng, changed)
            return new, inserted, f"the whole becomes {what}"
        holder: Any = changed
        for step in path[:-1]:
            holder = holder[step]
        told.append(f"{'.'.join(map(str, path))[:60]} {_change(rng, holder, path[-1])}")
        if _MARK in json.dumps(holder):
            inserted = _raw(rng)
            told[-1] += f" ({inserted[:20]})"
    return changed, inserted, "; ".join(told)


def _path(rng: Random, value: Any) -> list[Any]:
    """A way to some value; deeper ones are as likely as those at the top."""
    path: list[Any] = []
    while isinstance(value, dict | list) and value and (not path or rng.random() < 0.8):
        step = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        path.append(step)
        value = value[step]
    return path if rng.random() > 0.03 else []


def _change(rng: Random, holder: Any, step: Any) -> str:
    chosen = rng.randrange(8)
    if chosen == 0:
        del holder[step]
        return "left out"
    if chosen == 1 and isinstance(holder, dict):
        name = rng.choice(STRINGS)
        holder[name] = holder.pop(step)
        return f"renamed to {name[:20]!r}"
    if chosen == 2 and isinstance(holder, dict):
        name, other = rng.choice((*STRINGS, "extra", "__class__", "format")), rng.choice(list(holder.values()))
        holder[name] = deepcopy(other)
        return f"joined by a key {name[:20]!r}"
    if chosen == 3:
        other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[step], holder[other] = holder[other], holder[step]
        return f"swapped with {str(other)[:20]}"
    if chosen == 4 and isinstance(holder, list):
        holder.insert(step, deepcopy(holder[step]))
        return "repeated"
    holder[step], _, what = _hostile(rng, holder[step])
    return f"becomes {what}"


def _hostile(rng: Random, old: Any) -> tuple[Any, str, str]:
    chosen = rng.randrange(7)
    if chosen == 0:
        value: Any = rng.choice(STRINGS)
    elif chosen == 1:
        value = rng.choice((None, True, False, 0, 1, -1, 2.5, [], {}, "", [[]], [None], {"": None}, [1, 2], 1e300, 2**31, 2**63, 10**30))
    elif chosen == 2:
        return _MARK, _raw(rng), "raw text"
    elif chosen == 3:
        value = [old] if rng.random() < 0.5 else {"x": old}
    elif chosen == 4 and isinstance(old, int | float) and not isinstance(old, bool):
        value = rng.choice((-old, old * 1e9, old + 0.5, old * 10**12, str(old), old / 3))
    elif chosen == 5 and isinstance(old, str):
        at = rng.randrange(len(old) + 1)
        value = old[:at] + rng.choice(STRINGS) + old[at:]
    else:
        value = rng.choice(STRINGS[:12])
    return value, _raw(rng), repr(value)[:30]


def _raw(rng: Random) -> str:
    depth = rng.choice((100, 900, 1_100, 50_000, 200_000))
    return rng.choice(
        (
            *NUMBERS,
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            "[" * depth,
            "tru",
            "'x'",
            "01",
            "1.",
            '"\\ud800"',
            '"\\x"',
        )
    )
