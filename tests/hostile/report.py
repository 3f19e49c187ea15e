"""The table of docs/measurements/robustness.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostile.outcomes import FAILURES, MEANING, Kind, told

BEGIN, END = "<!-- table: python -m tests.hostile -->", "<!-- end of table -->"


@dataclass
class Group:
    """One line of the table.

    Attributes:
        name: a reader, or a kind of attack.
        kinds: how its cases ended.
        seeds: they were made of.
    """

    name: str
    kinds: Counter[Kind]
    seeds: set[int]

    def told(self) -> str:
        """In one line."""
        return f"{self.name}: {sum(self.kinds.values())} cases: {told(self.kinds)}"


def table(groups: Sequence[Group]) -> str:
    """In Markdown; a kind of failure that never came is no column."""
    seen = [kind for kind in FAILURES if any(group.kinds[kind] for group in groups)]
    columns = [Kind.OK, Kind.REFUSED, Kind.SKIPPED, *seen]
    rows = [["", "cases", *(kind.value for kind in columns), "failed"], ["---"] + ["---:"] * (len(columns) + 2)]
    for group in groups:
        failed = sum(group.kinds[kind] for kind in FAILURES)
        counts = [sum(group.kinds.values()), *(group.kinds[kind] for kind in columns), failed]
        rows.append([group.name, *(f"{count:,}" for count in counts)])
    told_kinds = "; ".join(f"{kind.value}: {MEANING[kind]}" for kind in columns)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{told_kinds}."


def write_report(path: Path, groups: Sequence[Group]) -> None:
    """Put the table between its two marks; what stands around it stays."""
    text = path.read_text(encoding="utf-8") if path.is_file() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n\n{table(groups)}\n\n{END}{after}", encoding="utf-8")
