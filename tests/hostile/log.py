"""What was found, kept line by line as it comes, so that a run of hours can go on where it was stopped."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hostile.outcomes import Kind, Verdict
from hostile.report import Group, write_report


class Log:
    """A file of JSON lines, one for each piece of work.

    Args (constructor):
        path: of the file; what is in it counts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pieces = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def has(self, group: str, seed: int, first: int) -> bool:
        """Whether a piece of work is done."""
        return any((piece["group"], piece["seed"], piece["first"]) == (group, seed, first) for piece in self._pieces)

    def add(self, group: str, seed: int, first: int, verdicts: Iterable[tuple[int, Verdict]]) -> None:
        """Note a piece of work."""
        verdicts = list(verdicts)
        kinds = Counter(verdict.kind.value for _, verdict in verdicts)
        failed = [(number, v.kind.value, v.detail, v.what) for number, v in verdicts if v.failed]
        piece = {"group": group, "seed": seed, "first": first, "kinds": dict(kinds), "failed": failed}
        self._pieces.append(piece)
        with self._path.open("a") as file:
            file.write(json.dumps(piece) + "\n")

    def groups(self) -> list[Group]:
        """Sums by reader, or by kind of attack."""
        found: dict[str, Group] = {}
        for piece in self._pieces:
            group = found.setdefault(piece["group"], Group(piece["group"], Counter(), set()))
            group.kinds.update({Kind(kind): count for kind, count in piece["kinds"].items()})
            group.seeds.add(piece["seed"])
        return [group for group in found.values() if group.kinds]

    def causes(self) -> dict[str, list[str]]:
        """Failures by their first words: one example of each, and how many there are."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for piece in self._pieces:
            for number, kind, detail, what in piece["failed"]:
                cause = piece["group"], kind, _first_words(detail)
                found.setdefault(cause, []).append(f"--seed {piece['seed']} --case {number}: {what} -> {detail}")
        return {f"{group}, {kind}: {len(cases)} like": cases for (group, kind, _), cases in found.items()}

    def finish(self, report: Path | None) -> int:
        """Print the failures, write the report; 1 where something failed."""
        causes = self.causes()
        for cause, cases in sorted(causes.items()):
            print(f"{cause} {cases[0][:400]}")
        for group in self.groups():
            print(group.told(), file=sys.stderr)
        if report is not None:
            write_report(report, self.groups())
        return int(bool(causes))


def _first_words(detail: str) -> str:
    """What failures of one cause have in common: the place in the code where one is told, else nothing."""
    return " ".join(detail.split()[:3]) if ".py:" in detail else ""
