"""Bundles: damaged files, a stranger's manifest with a seal of its own, what a device notes in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

from hostile.cases import Damage, Reader
from hostile.materials import Materials
from hostile.mutate import jsons, onnxs, raw, tensors
from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.describe import bundle_table, describe
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.terminal.display import stdout_console


def linked(source: Path, target: Path) -> None:
    """A copy that shares the bytes of its files: what changes one must put a new file there."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)


def put(path: Path, data: bytes) -> None:
    """A new file there."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def sealed(table: dict[str, Any]) -> bytes:
    """A manifest as wsra writes it, whatever it says."""
    body = {name: value for name, value in table.items() if name != "seal"}
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**body, "seal": seal}, indent=1) + "\n").encode("utf-8", "surrogatepass")


class BundleReader(Reader):
    """A small FP32 bundle that is opened and asked."""

    asks = True

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        self.source = materials.slim
        self._features = read_features(materials.feat)

    def lay(self, place: Path) -> None:
        linked(self.source, place / "bundle")

    def made(self, place: Path) -> frozenset[str]:
        return frozenset()

    def read(self, place: Path) -> Any:
        facts = describe(place / "bundle")
        console = stdout_console()
        with console.capture():
            console.print(bundle_table(facts, {}))
        facts.pop("bytes", None)
        with Grounder.open(place / "bundle", precision="fp32", provider="cpu", threads=1, kernel="numpy") as grounder:
            answer = grounder.answer(self._features, self.materials.sentence)
        return {"facts": facts, "logits": answer.logits.tolist()}


class DamagedBundle(BundleReader):
    """Any file of a bundle damaged, the manifest as it was."""

    name = "bundle, damaged"

    def damage(self, rng: Random, place: Path) -> Damage:
        folder = place / "bundle"
        path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "verified"))
        data, what = raw.damaged(rng, path.read_bytes())
        put(path, data)
        return Damage(f"{path.relative_to(folder)}: {what}", "same")


class StrangersManifest(BundleReader):
    """A manifest that says something else, with a seal that fits; files that it does not name."""

    name = "manifest, sealed again"

    def damage(self, rng: Random, place: Path) -> Damage:
        folder = place / "bundle"
        table = json.loads((folder / "manifest.json").read_text())
        chosen = rng.randrange(12)
        if chosen == 0:
            name = rng.choice(list(table["files"]))
            del table["files"][name]
            put(folder / "manifest.json", sealed(table))
            return Damage(f"{name} is not in files", "refused")
        if chosen == 1:
            name = rng.choice(("fp32/extra.onnx", "extra.json", "backbone.json", "fp16/text.onnx"))
            (folder / name).parent.mkdir(exist_ok=True)
            put(folder / name, b"{}")
            return Damage(f"a file {name} that the manifest does not name", "refused")
        if chosen == 2:
            outside = place / "outside.bin"
            outside.write_bytes(b"secret")
            name = rng.choice(("../outside.bin", str(outside), "fp32/../../outside.bin"))
            table["files"][name] = hashlib.sha256(b"secret").hexdigest()
            put(folder / "manifest.json", sealed(table))
            return Damage(f"files names {name}", "refused")
        changed, inserted, what = jsons.altered(rng, {name: value for name, value in table.items() if name != "seal"})
        if isinstance(changed, dict) and "@@raw@@" not in json.dumps(changed) and rng.random() < 0.8:
            put(folder / "manifest.json", sealed(changed))
            return Damage(what)
        text = json.dumps(changed, indent=1, ensure_ascii=False).replace('"@@raw@@"', inserted)
        put(folder / "manifest.json", text.encode("utf-8", "surrogatepass"))
        return Damage(f"{what}, not sealed", "any")


class StrangersFiles(BundleReader):
    """Tokenizer, scorer, ONNX and golden data of a stranger, with digests and seal that fit."""

    name = "bundle files, sealed again"
    weight = 0.5

    def damage(self, rng: Random, place: Path) -> Damage:
        folder = place / "bundle"
        table = json.loads((folder / "manifest.json").read_text())
        name = rng.choice(sorted(table["files"]))
        data, expect = (folder / name).read_bytes(), "any"
        if name.endswith(".json"):
            data, what = jsons.damaged(rng, json.loads(data))
        elif name.endswith(".safetensors"):
            data, what = rng.choice((tensors.header_damaged, tensors.numbers_damaged, raw.damaged))(rng, data)
        elif rng.random() < 0.6:
            data, what, reaches = onnxs.damaged(rng, data, place)
            expect = "refused" if reaches else "any"
        else:
            data, what = raw.damaged(rng, data)
        put(folder / name, data)
        table["files"][name] = hashlib.sha256(data).hexdigest()
        put(folder / "manifest.json", sealed(table))
        return Damage(f"{name}: {what}", expect)  # type: ignore[arg-type]

    def read(self, place: Path) -> Any:
        from wsra.runtime.verification.golden import read_golden

        bundle = open_bundle(place / "bundle")
        open_route(
            bundle, Route("fp32", "cpu"), this_device(), RunSettings(threads=1)
        )  # all graphs, also the scorer that NumPy does without
        found = super().read(place)
        golden = read_golden(place / "bundle" / "golden.safetensors")
        return found | {"golden": golden.sentences}


class RecordReader(Reader):
    """The record of `wsra verify`, which `--precision auto` goes by."""

    name = "record of verify"

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        self._bundle = open_bundle(materials.bundle)

    def lay(self, place: Path) -> None:
        shutil.copytree(self.materials.bundle / "verified", place / "verified")

    def damage(self, rng: Random, place: Path) -> Damage:
        path = next((place / "verified").glob("*.json"))
        data, what = jsons.damaged(rng, json.loads(path.read_text()), indent=1)
        path.write_bytes(data)
        return Damage(what)

    def read(self, place: Path) -> Any:
        from dataclasses import replace

        bundle = replace(self._bundle, folder=place)
        for precision in bundle.passed():
            (place / precision).mkdir(exist_ok=True)
        return repr(choose(bundle, this_device(), RunSettings()))

    def made(self, place: Path) -> frozenset[str]:
        return frozenset({"fp32", "fp16", "int8"})
