"""Hostile strings and numbers, and damage of text by lines."""

from __future__ import annotations

import re
from random import Random

from hostile.mutate import raw

STRINGS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x1b[31mred\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\link",
    "\u202egnp.exe",
    "\u2066\u2069\u200f",
    "[/red]",
    "[bold]x",
    "[link=file:///etc/passwd]x[/link]",
    "\r\nINJECTED",
    "line\nbreak",
    "\ud800",
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "-rf",
    "--overwrite",
    "%s%n{0}{x}",
    "\ufeff",
    "NaN",
    "1e999",
    "é" * 300,
    "字" * 2000,
    "A" * 100_000,
    "\U0001d518" * 50,
    "e\u0301" * 500,
)
NUMBERS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e308",
    "-1e308",
    "1e400",
    "5e-324",
    "-0.0",
    "0",
    "-1",
    "1",
    "3e10",
    "1e15",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "9" * 400,
    "1" * 5_000,
    "0.1",
    "1e-9",
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def damaged(rng: Random, text: str) -> tuple[bytes, str]:
    """Damage a text by lines, numbers and strings; sometimes by bytes."""
    chosen = rng.randrange(10)
    lines = text.splitlines(keepends=True) or [""]
    place = rng.randrange(len(lines))
    if chosen == 0:
        return raw.damaged(rng, text.encode())
    if chosen == 1:
        lines.insert(place, lines[rng.randrange(len(lines))])
        what = f"a line repeated at {place}"
    elif chosen == 2:
        lines.pop(place)
        what = f"line {place} left out"
    elif chosen == 3:
        lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
        what = f"line {place} cut"
    elif chosen == 4:
        string = rng.choice(STRINGS)
        lines.insert(place, string + "\n")
        what = f"a line {string[:20]!r} at {place}"
    elif chosen == 5:
        rng.shuffle(lines)
        what = "lines shuffled"
    elif chosen == 6:
        string, at = rng.choice(STRINGS), rng.randrange(len(lines[place]) + 1)
        lines[place] = lines[place][:at] + string + lines[place][at:]
        what = f"{string[:20]!r} into line {place} at {at}"
    elif chosen == 7:
        word = rng.choice(lines[place].split() or [""])
        string = rng.choice(STRINGS)
        lines[place] = lines[place].replace(word, string, 1) if word else string
        what = f"{word[:20]!r} in line {place} becomes {string[:20]!r}"
    else:
        found = list(_NUMBER.finditer(text))
        if not found:
            return raw.damaged(rng, text.encode())
        match, number = rng.choice(found), rng.choice(NUMBERS)
        return (text[: match.start()] + number + text[match.end() :]).encode(), f"number at {match.start()} becomes {number[:20]}"
    return "".join(lines).encode("utf-8", "surrogatepass"), what
