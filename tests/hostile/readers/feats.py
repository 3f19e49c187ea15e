""".feat and .keys: damaged bytes must never change an answer in silence."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from hostile.cases import Damage, Reader
from hostile.materials import Materials
from hostile.mutate import raw, tensors
from hostile.mutate.texts import NUMBERS, STRINGS
from hostile.readers.asking import answer_of, searched
from wsra.runtime.files.tensors import TensorFile, write_tensors
from wsra.runtime.formats.describe import describe, info_table
from wsra.runtime.formats.features import read_features, write_features
from wsra.runtime.terminal.display import stdout_console


def shown(facts: dict[str, Any]) -> str:
    """What `wsra info` shows for people."""
    console = stdout_console()
    console.width = 200
    with console.capture() as capture:
        console.print(info_table(facts))
    return capture.get()


def written_anew(rng: Random, path: Path) -> tuple[bytes, str]:
    """A file of a stranger: its digests fit, its times and words are absurd."""
    file = TensorFile(path)
    metadata, values, times = dict(file.metadata), file.read("features"), file.read("times_s")
    chosen = rng.randrange(4)
    if chosen <= 1:
        key = rng.choice((*metadata, "start_time", "start_time_source", "damage", "camera"))
        metadata[key] = rng.choice((*STRINGS, *NUMBERS, "9999-12-31T23:59:59", "0001-01-01T00:00:00+14:00"))
        metadata[key] = metadata[key].encode("utf-8", "replace").decode()
        what = f"metadata {key} is {metadata[key][:30]!r}"
    elif chosen == 2:
        factor = rng.choice((1e-300, 1e-9, 1e9, 1e15, 1e300))
        with np.errstate(all="ignore"):
            times = times * factor + rng.choice((0.0, -1e9, 1e300))
        what = f"times by {factor:g}"
    else:
        shift = rng.choice((6e4, 3e38, -3e38))
        values = np.full_like(values, shift)
        what = f"all features {shift:g}"
    write_tensors(path, {"features": values, "times_s": times}, metadata, digests=True)
    return path.read_bytes(), f"written anew, {what}"


class FeatReader(Reader):
    """`wsra info X.feat` and `wsra ground X.feat`."""

    name = "feat"

    def lay(self, place: Path) -> None:
        shutil.copyfile(self.materials.feat, place / "v.feat")

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "v.feat"
        data = path.read_bytes()
        chosen = rng.randrange(10)
        if chosen < 5:
            data, what = raw.damaged(rng, data)
            expect = "same"
        elif chosen < 7:
            data, what = tensors.header_damaged(rng, data)
            expect = "any"
        elif chosen < 8:
            data, what = written_anew(rng, path)
            expect = "any"
        else:
            data, what = tensors.numbers_damaged(rng, data)
            expect = "same"
        path.write_bytes(data)
        return Damage(what, expect)  # type: ignore[arg-type]

    def read(self, place: Path) -> Any:
        facts = describe(place / "v.feat")
        shown(facts)
        return {"facts": facts} | answer_of(read_features(place / "v.feat"), self.materials, keep_keys=False)


class FeatInFolder(FeatReader):
    """`wsra ground FOLDER` over a damaged file and a good one: the good one must be answered."""

    name = "feat in a folder"
    weight = 0.1

    def lay(self, place: Path) -> None:
        super().lay(place)
        features = read_features(self.materials.feat)
        write_features(place / "good.feat", replace(features, video="good"))

    def damage(self, rng: Random, place: Path) -> Damage:
        return Damage(super().damage(rng, place).what)

    def made(self, place: Path) -> frozenset[str]:
        return frozenset({"v.keys", "good.keys"})

    def read(self, place: Path) -> Any:
        found = searched(self.materials, place)
        if not any(one[1] == "good" for one in found["seen"]):
            raise AssertionError(f"the good file beside it was not answered: {found['left_out']}")
        return found


class KeysReader(Reader):
    """`wsra ground X.feat` beside damaged X.keys: made again, or told; the answer stays that of good keys."""

    name = "keys"

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        self._whole: bytes | None = None
        self._times_ns = materials.feat.stat().st_mtime_ns

    def lay(self, place: Path) -> None:
        shutil.copyfile(self.materials.feat, place / "v.feat")
        os.utime(place / "v.feat", ns=(self._times_ns, self._times_ns))  # as it was when the keys were made
        if self._whole is None:
            answer_of(read_features(place / "v.feat"), self.materials, keep_keys=True)
            self._whole = (place / "v.keys").read_bytes()
        (place / "v.keys").write_bytes(self._whole)

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "v.keys"
        change = rng.choice((raw.damaged, raw.damaged, tensors.header_damaged, tensors.numbers_damaged))
        data, what = change(rng, path.read_bytes())
        path.write_bytes(data)
        return Damage(what, "same")

    def read(self, place: Path) -> Any:
        return answer_of(read_features(place / "v.feat"), self.materials, keep_keys=True)
