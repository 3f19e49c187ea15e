"""Kills, pairs, full disks, strange paths and streams, as pieces of work for `command.py`; each yields verdicts for the log."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from random import Random
from threading import Thread
from typing import Any, TypeVar

from hostile import paths, streams
from hostile.commands import Commands
from hostile.full import Full, small_disk
from hostile.kills import Kills
from hostile.materials import Materials
from hostile.outcomes import Verdict
from hostile.pairs import Pair, Twice, pairs
from hostile.writers import Writer, prepare, writers

Found = tuple[str, int, list[tuple[int, Verdict]]]  # group, first number, verdicts
Stop = Callable[[], bool]
Part = Callable[[int], bool]
T = TypeVar("T")
Either = TypeVar("Either", Writer, Pair)
SLOW = 0.25  # share of the attacks that a writer of seconds gets


@dataclass(frozen=True)
class Chance:
    """How many attacks, of which seed, what is asked before each whether it is time to stop, and whether slow ones count."""

    count: int
    seed: int
    stop: Stop
    slow: bool = True


class Bench:
    """Where the attacks are made.

    Args (constructor):
        materials: what they start from.
        work: a folder to work in.
        held: closes the servers of commands in the end.
        seed: of all chance.
        part: of strange paths and streams, which numbers are tried.
        slow: also what takes seconds each; for that two bundles are exported first.
    """

    def __init__(
        self,
        materials: Materials,
        work: Path,
        held: ExitStack,
        *,
        seed: int,
        part: Part = lambda number: True,
        slow: bool = True,
    ) -> None:
        self._materials, self._work, self._held, self._seed = materials, work, held, seed
        self._part, self._slow = part, slow
        self._servers: dict[str, Commands] = {}
        (work / "graphs").mkdir(parents=True, exist_ok=True)
        prepare(materials, self._server("others") if slow else None)

    def attacks(self, kind: str, count: int, *, stop: Stop = lambda: False) -> Iterator[Found]:
        """Attacks of a kind.

        Args:
            kind: "kills", "pairs", "full" or "paths".
            count: about how many; of paths all.
            stop: asked before each.

        Yields:
            What was found, group by group.
        """
        m, place, chance = self._materials, self._work / kind, Chance(count, self._seed, stop, self._slow)
        if kind == "kills":
            yield from killed(m, self._server("kills"), place, chance)
        elif kind == "pairs":
            yield from at_once(m, (self._server("others"), self._server("others-too")), place, chance)
        elif kind == "full":
            yield from on_full_disks(m, self._server("others"), place, chance)
        else:
            yield from with_strange_paths(m, self._server("others"), place, part=self._part, stop=stop)
            yield from with_strange_streams(m, place, part=self._part, stop=stop)

    def _server(self, name: str) -> Commands:
        """A server of commands; kills have their own, so that they can run beside the others."""
        if name not in self._servers:
            place = self._work / f"server-{name}"
            shutil.rmtree(place, ignore_errors=True)
            self._servers[name] = self._held.enter_context(Commands(place, self._work / "graphs"))
        return self._servers[name]


def killed(materials: Materials, commands: Commands, work: Path, chance: Chance) -> Iterator[Found]:
    """About `chance.count` kills over all writers, every step of each first."""
    chosen = _chosen(writers(materials), chance)
    for writer, share in zip(chosen, _shares([writer.slow for writer in chosen], chance.count), strict=True):
        if chance.stop():
            return
        kills = Kills(writer, commands, work)
        numbers = list(range(kills.whole.steps + max(3, kills.whole.steps // 4)))
        Random(f"{writer.name}/{chance.seed}").shuffle(numbers)
        numbers = (numbers * (1 + share // len(numbers)))[:share]
        found = []
        for place, number in enumerate(numbers):
            if chance.stop():
                break
            found.append((place, kills.run(Random(f"{writer.name}/{chance.seed}/{place}"), number)))
        yield f"kill: {writer.name}", 0, found


def at_once(materials: Materials, commands: tuple[Commands, Commands], work: Path, chance: Chance) -> Iterator[Found]:
    """About `chance.count` pairs of commands at once."""
    chosen = _chosen(pairs(materials), chance)
    for pair, share in zip(chosen, _shares([pair.slow for pair in chosen], chance.count), strict=True):
        if chance.stop():
            return
        twice = Twice(pair, commands, work)
        found = []
        for number in range(share):
            if chance.stop():
                break
            found.append((number, twice.run(Random(f"{pair.name}/{chance.seed}/{number}"))))
        yield f"two at once: {pair.name}", 0, found


def on_full_disks(materials: Materials, commands: Commands, work: Path, chance: Chance) -> Iterator[Found]:
    """About `chance.count` writes with too little room."""
    chosen = _chosen(writers(materials), chance)
    with small_disk(work / "disk") as mounted:
        for writer, share in zip(chosen, _shares([writer.slow for writer in chosen], chance.count), strict=True):
            if chance.stop():
                return
            full = Full(writer, commands, work / "disk", mounted=mounted)
            found = []
            for number in range(share):
                if chance.stop():
                    break
                found.append((number, full.run(Random(f"{writer.name}/{chance.seed}/{number}"))))
            yield f"full disk: {writer.name}", 0, found


def with_strange_paths(materials: Materials, commands: Commands, work: Path, *, part: Part, stop: Stop) -> Iterator[Found]:
    """Every strange path of which `part` says so."""
    found: dict[str, list[tuple[int, Verdict]]] = {}
    for number, (group, case) in enumerate(paths.cases(materials)):
        if stop():
            break
        if part(number):
            found.setdefault(group, []).append((number, paths.run(case, commands, work)))
    yield from ((group, 0, verdicts) for group, verdicts in found.items())


def with_strange_streams(materials: Materials, work: Path, *, part: Part, stop: Stop) -> Iterator[Found]:
    """Every way to spoil the streams of which `part` says so."""
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy2(materials.feat, work / "v.feat")
    found = []
    for number, (what, argv, shell, env, same) in enumerate(streams.cases(materials, work)):
        if stop():
            break
        if part(number):
            verdict = streams.run(argv, shell, env, same=same)
            found.append((number, Verdict(verdict.kind, verdict.detail, what)))
    yield "streams", 0, found


def _chosen(all_of_them: list[Either], chance: Chance) -> list[Either]:
    """In an order by chance, so that a short run does not always try the same."""
    chosen = [one for one in all_of_them if chance.slow or not one.slow]
    Random(chance.seed).shuffle(chosen)
    return chosen


def _shares(slow: list[bool], count: int) -> list[int]:
    weights = [SLOW if one else 1.0 for one in slow]
    return [max(1, round(count * weight / sum(weights))) for weight in weights]


def side_by_side(works: list[Callable[[], Iterator[T]]]) -> Iterator[T]:
    """Several generators at once, each in a thread."""
    done: Queue[Any] = Queue()

    def work(one: Callable[[], Iterator[T]]) -> None:
        try:
            for found in one():
                done.put(found)
        except BaseException as err:  # raised where it is seen
            done.put(err)
        done.put(None)

    for one in works:
        Thread(target=work, args=(one,), daemon=True).start()
    running = len(works)
    while running:
        try:
            found = done.get(timeout=1)
        except Empty:
            continue
        if isinstance(found, BaseException):
            raise found
        if found is None:
            running -= 1
        else:
            yield found
