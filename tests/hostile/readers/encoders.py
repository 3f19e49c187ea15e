"""A stranger's encoder of images (backbone.json and its graph), and the sidecar of engines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

from hostile.cases import Damage, Reader
from hostile.materials import Materials
from hostile.mutate import jsons, onnxs, raw


class EncoderReader(Reader):
    """`wsra extract --backbone DIR` with a damaged JSON or a damaged graph whose digest fits."""

    name = "backbone.json and encoder"
    weight = 0.25

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials)
        self._made = materials.films / "encoder"
        if not (self._made / "backbone.json").is_file():
            from encoders import mean_colour, settings_of

            self._made.mkdir(exist_ok=True)
            settings_of(mean_colour(self._made / "image.onnx")).write(self._made / "backbone.json")

    def lay(self, place: Path) -> None:
        shutil.copytree(self._made, place / "encoder")

    def damage(self, rng: Random, place: Path) -> Damage:
        from wsra.runtime.files.writing import sha256_of

        folder = place / "encoder"
        table = json.loads((folder / "backbone.json").read_text())
        if rng.random() < 0.5:
            data, what = jsons.damaged(rng, table, indent=1)
            (folder / "backbone.json").write_bytes(data)
            return Damage(what)
        graph = (folder / "image.onnx").read_bytes()
        data, what, reaches = onnxs.damaged(rng, graph, place) if rng.random() < 0.6 else (*raw.damaged(rng, graph), False)
        (folder / "image.onnx").write_bytes(data)
        table["sha256"] = sha256_of(folder / "image.onnx")
        (folder / "backbone.json").write_text(json.dumps(table, indent=1))
        return Damage(f"graph: {what}", "refused" if reaches else "any")

    def read(self, place: Path) -> Any:
        from wsra.runtime.backbones.registry import load_backbone
        from wsra.runtime.backends.settings import GraphSettings
        from wsra.runtime.extraction.batch import extract_features

        backbone = load_backbone(place / "encoder", GraphSettings(threads=1))
        features = extract_features(self.materials.films / "plain.mp4", backbone=backbone)
        features.check_finite()
        return features.values.tolist()


class EngineReader(Reader):
    """engine.json beside the plans of TensorRT."""

    name = "engine.json"

    def lay(self, place: Path) -> None:
        from wsra.runtime.backends.engines import SIDECAR, BuiltGraph, engine_of, write_sidecar
        from wsra.runtime.device import this_device

        profile: dict[str, Any] = {"x": ((1, 4), (8, 4), (64, 4))}
        graphs = {name: BuiltGraph("0" * 64, "1" * 64, 100, [profile]) for name in ("text", "keys", "scorer")}
        write_sidecar(place / SIDECAR, engine_of(this_device(), "tensorrt", "10.3.0", "fp16", graphs))

    def damage(self, rng: Random, place: Path) -> Damage:
        path = place / "engine.json"
        data, what = jsons.damaged(rng, json.loads(path.read_text()), indent=1)
        path.write_bytes(data)
        return Damage(what)

    def read(self, place: Path) -> Any:
        from wsra.runtime.backends.engines import SIDECAR, misfit, read_sidecar, remarks
        from wsra.runtime.device import this_device

        engine = read_sidecar(place / SIDECAR)
        graphs = {name: self.materials.slim / "fp32" / f"{name}.onnx" for name in ("text", "keys", "scorer")}
        return misfit(engine, place, graphs, this_device(), "tensorrt", "10.3.0"), remarks(engine, this_device())
