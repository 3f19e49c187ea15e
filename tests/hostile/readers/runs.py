"""Run files with `--set`, and checkpoints."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

from hostile.cases import Damage, Reader
from hostile.materials import PLACES
from hostile.mutate import raw, tensors, texts
from hostile.mutate.texts import NUMBERS, STRINGS
from wsra.runtime.formats.describe import describe

SETTINGS = (
    "training.epochs",
    "training.batch",
    "training.key_width",
    "training.learning_rate",
    "training.threads",
    "training.cache_mb",
    "training.seed",
    "training.device",
    "sampling.first",
    "sampling.draws",
    "loss.gamma",
    "loss.temperature",
    "data.longest",
    "data.seen_as",
    "data.captions",
    "data.features",
    "text.encoder",
    "text.pooling",
)
TOML_VALUES = (
    *NUMBERS,
    "nan",
    "inf",
    "-inf",
    "true",
    "[]",
    "{}",
    '""',
    "'''x",
    "[" * 5000,
    "{a=" * 3000,
    "1979-05-27",
    "0x7fffffffffffffff",
)


class RunReader(Reader):
    """A damaged run.toml and `--set section.key=value`, as far as the captions, features and sizes are looked at."""

    name = "run.toml and --set"

    def lay(self, place: Path) -> None:
        text = (self.materials.folder / "run.toml").read_text()
        for name in PLACES.values():
            text = text.replace(f'"{name}"', f'"{self.materials.folder / name}"')
        (place / "run.toml").write_text(text)
        (place / "settings").write_bytes(b"")

    def damage(self, rng: Random, place: Path) -> Damage:
        if rng.random() < 0.6:
            data, what = texts.damaged(rng, (place / "run.toml").read_text())
            (place / "run.toml").write_bytes(data)
            return Damage(what)
        value = rng.choice((*TOML_VALUES, *STRINGS[:16]))
        name = rng.choice((*SETTINGS, "", ".", "a.b.c", "training", "training.", rng.choice(STRINGS[:16])))
        setting = rng.choice((f"{name}={value}", f"{name}={value}", f"{name}", f"={value}", f"{name}={value}={value}"))
        (place / "settings").write_bytes(setting.encode("utf-8", "surrogatepass"))
        return Damage(f"--set {setting[:60]!r}")

    def read(self, place: Path) -> Any:
        from wsra.train.config import read_run
        from wsra.train.data import load
        from wsra.train.run import check_sets

        setting = (place / "settings").read_bytes().decode("utf-8", "surrogatepass")
        run = read_run(place / "run.toml", [setting] if setting else [])
        sets = [
            load(Path(path), Path(run.data.features), seen_as=run.data.seen_as, longest=run.data.longest, cache_mb=run.training.cache_mb)
            for path in (run.data.captions, run.data.val_captions)
        ]
        check_sets(run, *sets)
        return repr(run).replace(str(place), "")


class TrainReader(RunReader):
    """The same through a whole `wsra train` of one epoch."""

    name = "train with --set"
    weight = 0.02

    def damage(self, rng: Random, place: Path) -> Damage:
        name = rng.choice([name for name in SETTINGS if not name.startswith(("data.", "text.")) and name != "training.epochs"])
        sizes = ("0", "1", "2", "7", "1000", "100000", "1000000", "1000000000", "2147483648", "9223372036854775807")
        value = rng.choice(sizes if rng.random() < 0.7 else (*NUMBERS, "nan", "inf"))
        (place / "settings").write_text(f"{name}={value}")
        return Damage(f"--set {name}={value[:20]}")

    def read(self, place: Path) -> Any:
        from wsra.train.command import train_run

        setting = (place / "settings").read_text()
        train_run(place / "run.toml", place / "out", [*([setting] if setting else []), "training.epochs=1"], resume=False)
        return sorted(path.name for path in (place / "out").iterdir())

    def made(self, place: Path) -> frozenset[str]:
        files = ("model.safetensors", "last.safetensors", "config.toml", "metrics.csv", "curves.png")
        cache = {f"text-cache/{path.name}" for path in (place / "text-cache").glob("[!.]*")} if (place / "text-cache").is_dir() else set()
        return frozenset({"out", "text-cache", *(f"out/{name}" for name in files), *cache})


class CheckpointReader(Reader):
    """`wsra info CHECKPOINT`, loading it for `export`, and its state for `train --resume`."""

    name = "checkpoint"

    def lay(self, place: Path) -> None:
        (place / "run").mkdir()
        for name in ("model.safetensors", "last.safetensors", "config.toml", "metrics.csv"):
            os.link(self.materials.checkpoint / name, place / "run" / name)

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "run" / rng.choice(("model.safetensors", "last.safetensors", "config.toml", "metrics.csv"))
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            data, what = rng.choice((raw.damaged, tensors.header_damaged, tensors.numbers_damaged))(rng, data)
        else:
            data, what = texts.damaged(rng, data.decode())
        path.unlink()
        path.write_bytes(data)
        return Damage(f"{path.name}: {what}")

    def read(self, place: Path) -> Any:
        import torch

        from wsra.train.checkpoint import load_checkpoint, load_last

        facts = describe(place / "run")
        checkpoint = load_checkpoint(place / "run")
        optimizer = torch.optim.Adam(checkpoint.scorer.parameters())
        reached = load_last(place / "run", checkpoint.scorer, optimizer, torch.Generator())
        return {"facts": facts, "epoch": reached.epoch}


class CameraReader(Reader):
    """The state of a camera (.camera) that `extract --continue` goes on from."""

    name = ".camera"
    weight = 0.5

    def lay(self, place: Path) -> None:
        made = self.materials.films / "made.camera"
        if not made.is_file():
            from wsra.runtime.backbones.registry import MotionBackbone
            from wsra.runtime.backbones.tracking.camera import Camera
            from wsra.runtime.extraction.batch import extract_features

            camera = Camera()
            extract_features(self.materials.films / "plain.mp4", backbone=MotionBackbone(camera))
            camera.write(made)
        shutil.copyfile(made, place / "v.camera")

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "v.camera"
        data, what = rng.choice((raw.damaged, tensors.header_damaged, tensors.numbers_damaged))(rng, path.read_bytes())
        path.write_bytes(data)
        return Damage(what)

    def read(self, place: Path) -> Any:
        from wsra.runtime.backbones.registry import MotionBackbone
        from wsra.runtime.backbones.tracking.camera import read_camera
        from wsra.runtime.extraction.batch import extract_features

        features = extract_features(self.materials.films / "plain.mp4", backbone=MotionBackbone(read_camera(place / "v.camera")))
        features.check_finite()
        return features.values.tolist()
