"""Two commands at once over one folder, also as process 1 of two containers: the result is always that of one of them.

They start together, or the first is held at one of its steps until the second has ended (or has waited for it for a while).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hostile.commands import Commands, Ended
from hostile.kills import hidden
from hostile.materials import Materials
from hostile.outcomes import Kind, Verdict
from hostile.writers import bundle_content, file_bytes, folder_bytes

PATIENCE_S = 1.5  # of the second for the first, which it may wait for


@dataclass(frozen=True)
class Pair:
    """Two commands.

    Attributes:
        name: in tables.
        lay: puts the inputs into an empty folder.
        argv: both commands.
        target: what they write.
        signature: of that.
        both: whether both must succeed; else one may be refused.
        answer: what of its stdout must be as when it runs alone; None where that does not count.
        sums: whether what each of two that succeed wrote must be there in the end.
        slow: whether they take seconds.
    """

    name: str
    lay: Callable[[Path], None]
    argv: tuple[Sequence[str], Sequence[str]]
    target: str
    signature: Callable[[Path], Any]
    both: bool = True
    answer: Callable[[str], Any] | None = None
    sums: bool = False
    slow: bool = False


def pairs(materials: Materials) -> list[Pair]:
    """All of them."""
    m = materials
    everything = ["-b", str(m.bundle), "--kernel", "numpy", "--false-alarms", "inf", "--json"]
    ground = ["ground", "v.feat", m.sentence, *everything]
    video = ["ground", "v.mp4", m.sentence, *everything, "--precision", "fp32"]
    export = ["export", str(m.checkpoint), "-o", "bundle"]

    def feat(place: Path) -> None:
        shutil.copy2(m.long_feat, place / "v.feat")

    def film(place: Path) -> None:
        shutil.copy2(m.films / "plain.mp4", place / "v.mp4")

    def arrays(place: Path) -> None:
        import numpy as np

        for name, number in (("a", 1), ("b", 2)):
            np.save(place / f"{name}.npy", np.full((4000, 64), number, np.float32))

    def convert(name: str, *more: str) -> list[str]:
        return ["convert", f"{name}.npy", "-o", "v.feat", "--snippet-s", "1", "--video", "v", *more]

    def in_precision(name: str) -> list[str]:
        return [*ground, "--precision", name]

    def moments(out: str) -> Any:
        return json.loads(out)["moments"]

    def bundle(place: Path) -> None:
        shutil.copytree(m.plain_bundle, place / "bundle")

    return [
        Pair(
            "ground, FP32 and FP16",
            feat,
            ([*ground, "--precision", "fp32"], [*ground, "--precision", "fp16"]),
            "v.keys",
            file_bytes,
            answer=moments,
        ),
        Pair(
            "ground, FP32 and INT8",
            feat,
            ([*ground, "--precision", "fp32"], [*ground, "--precision", "int8"]),
            "v.keys",
            file_bytes,
            answer=moments,
        ),
        Pair("ground of one video twice", film, (video, video), "v.keys", file_bytes, answer=moments),
        Pair("extract twice", film, (["extract", "v.mp4", "-o", "out"],) * 2, "out", folder_bytes),
        Pair("convert twice", arrays, (convert("a"), convert("b")), "v.feat", file_bytes, both=False),
        Pair("convert --overwrite twice", arrays, (convert("a", "--overwrite"), convert("b", "--overwrite")), "v.feat", file_bytes),
        Pair("export twice", lambda place: None, (export, [*export, "--fp16"]), "bundle", bundle_content, both=False, sums=True, slow=True),
        Pair("export that adds twice", bundle, ([*export, "--fp16"],) * 2, "bundle", bundle_content, both=False, sums=True, slow=True),
        Pair(
            "export --overwrite of two checkpoints",
            bundle,
            ([*export, "--overwrite"], ["export", str(m.other), "-o", "bundle", "--overwrite"]),
            "bundle",
            bundle_content,
            both=False,
            slow=True,
        ),
    ]


class Twice:
    """One pair, again and again.

    Args (constructor):
        pair: two commands.
        commands: what runs each.
        work: a folder to work in.
    """

    def __init__(self, pair: Pair, commands: tuple[Commands, Commands], work: Path) -> None:
        self.pair, self.commands, self.place = pair, commands, work / "case"
        self.alone: list[tuple[Ended, Any]] = []
        for runner, argv in zip(commands, pair.argv, strict=True):
            for _ in range(2):  # the second time with the caches that later runs find
                self._fresh()
                ended = runner.run(argv, self.place, limit_s=600, writes=not pair.slow)
            if ended.code != 0:
                raise RuntimeError(f"{pair.name} does not work alone: {ended.err}")
            self.alone.append((ended, pair.signature(self.place / pair.target)))

    def run(self, rng: Random) -> Verdict:
        """Both at once, in one way by chance."""
        self._fresh()
        contained, held = rng.random() < 0.7, rng.random() < 0.6
        first = rng.randrange(2)
        runners = [self.commands[first], self.commands[1 - first]]
        argv = [self.pair.argv[first], self.pair.argv[1 - first]]
        place = {"own_pid": contained}
        steps = max(1, self.alone[first][0].steps)
        if held:
            at = rng.randrange(steps)
            what = f"{argv[0][0]} held at step {at} of {steps}"
            runners[0].start(argv[0], self.place, at=at, how="HOLD", writes=not self.pair.slow, **place)
            early = runners[0].held()
            runners[1].start(argv[1], self.place, **place)
            if early is None:
                runners[1].ends_within(PATIENCE_S)
                runners[0].go_on()
            ended = [early or runners[0].end(), runners[1].end()]
        else:
            delay = rng.choice((0.0, 0.0, rng.random() * min(0.3, self.alone[first][0].seconds)))
            what = f"started {delay:.3f} s apart"
            runners[0].start(argv[0], self.place, **place)
            time.sleep(delay)
            runners[1].start(argv[1], self.place, **place)
            ended = [runner.end() for runner in runners]
        what += ", each process 1 of its namespace" if contained else ""
        if not all(one.permitted for one in ended):
            return Verdict(Kind.SKIPPED, "namespaces are not permitted here", what)
        verdict = self._judged(ended, [self.alone[first], self.alone[1 - first]])
        return Verdict(verdict.kind, verdict.detail, what)

    def _judged(self, ended: list[Ended], alone: list[tuple[Ended, Any]]) -> Verdict:
        for one in ended:
            if fault := one.fault((0,) if self.pair.both else (0, 1)):
                return fault
        if all(one.code for one in ended):
            return Verdict(Kind.WRONG, f"both were refused: {ended[0].err[-120:]} | {ended[1].err[-120:]}")
        signature = self.pair.signature(self.place / self.pair.target)
        if signature not in (alone[0][1], alone[1][1]):
            return Verdict(Kind.LOST, f"{self.pair.target} is neither that of the one nor of the other: {str(signature)[:160]}")
        if self.pair.sums:
            for one, (_, wrote) in zip(ended, alone, strict=True):
                if one.code == 0 and not wrote["passed"].items() <= signature["passed"].items():
                    return Verdict(
                        Kind.LOST, f"a precision of an export that succeeded is not in the bundle: {sorted(signature['passed'])}"
                    )
        if self.pair.answer is not None:
            for one, (by_itself, _) in zip(ended, alone, strict=True):
                if self.pair.answer(one.out) != self.pair.answer(by_itself.out):
                    return Verdict(Kind.WRONG, f"an answer differs: {one.out[:120]} instead of {by_itself.out[:120]}")
        if left := hidden(self.place):
            return Verdict(Kind.LEFTOVER, ", ".join(left))
        return Verdict(Kind.OK)

    def _fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.pair.lay(self.place)
