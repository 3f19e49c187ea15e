"""Small encoders of images and clips with their JSON: graphs known by hand, and PyTorch models exported in the test."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from graphs import save
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.files.writing import sha256_of

Paint = Callable[[NDArray[np.uint8], float], None]


def settings_of(graph: Path, **changes: Any) -> EncoderSettings:
    """Settings of `mean_colour`, with changes."""
    plain = EncoderSettings(
        name="tiny",
        graph=graph.name,
        sha256=sha256_of(graph),
        input="x",
        output="y",
        layout="NCHW",
        size=(8, 8),
        resize="stretch",
        colour="BGR",
        scale=1.0,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        width=3,
        normalise="none",
        sampling="middle",
    )
    return replace(plain, frames_per_snippet=0 if "frames" in changes else 1, **changes)


def encoder(graph: Path, **changes: Any) -> Path:
    """Write the JSON beside a graph; the path of the JSON."""
    settings_of(graph, **changes).write(graph.with_suffix(".json"))
    return graph.with_suffix(".json")


def mean_colour(path: Path, *, shape: Sequence[int | str] = ("n", 3, 8, 8), axes: Sequence[int] = (2, 3)) -> Path:
    """x -> y (n, 3), the mean of each channel: what it was shown can be read off."""
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0, name="mean")
    return save(path, [node], {"x": list(shape)}, {"y": [shape[0], 3]}, {"axes": np.array(axes)})


def film(path: Path, *, seconds: float, paint: Paint, fps: int = 8, size: tuple[int, int] = (640, 480)) -> Path:
    """An H.264 file of a noisy grey yard, painted on frame by frame."""
    import av

    rng = np.random.default_rng(0)
    width, height = size
    yard = np.full((height, width, 3), 120.0)
    yard[:, :: width // 10] += 15
    grains = [rng.normal(0, 2, yard.shape) for _ in range(4)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "ultrafast"}
        for number in range(int(seconds * fps)):
            image = np.clip(yard + grains[number % 4], 0, 255).astype(np.uint8)
            paint(image, number / fps)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def exported(model: Any, example: Any, path: Path) -> Path:
    """A PyTorch module as ONNX with any number of rows: x -> y."""
    import torch

    rows = {0: torch.export.Dim("rows", min=1, max=64)}
    with warnings.catch_warnings():  # the exporter's own
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, (example,), dynamo=True, opset_version=20, input_names=["x"], output_names=["y"], dynamic_shapes=(rows,), verbose=False
        )
    program.model.ir_version = 10
    program.save(str(path), external_data=False)
    return path


def halved(path: Path) -> Path:
    """The same graph in FP16 beside it."""
    from wsra.export.fp16 import to_fp16

    out = path.with_name(f"{path.stem}-half.onnx")
    onnx.save_model(to_fp16(onnx.load(str(path)), name="image", wide=()), str(out))
    return out


def mobilenet() -> Any:
    """MobileNetV2 of transformers, narrow, random weights with statistics as after training: pooled (rows, 1280) of (rows, 3, 64, 64)."""
    import torch
    from transformers import MobileNetV2Config, MobileNetV2Model

    torch.manual_seed(0)
    model = MobileNetV2Model(MobileNetV2Config(image_size=64, depth_multiplier=0.35))

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values=x).pooler_output

    return _settled(Pooled(), torch.randn(16, 3, 64, 64))


def clip_net() -> Any:
    """A small 3-D convolution net in the manner of C3D and I3D: (rows, 3, 8, 32, 32) -> (rows, 24, 4, 4, 4), pooled by wsra."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 12, (1, 2, 2)), (12, 16, (2, 2, 2)), (16, 24, (1, 2, 2))):
        layers += [nn.Conv3d(before, after, 3, stride, 1, bias=False), nn.BatchNorm3d(after), nn.ReLU()]
    return _settled(nn.Sequential(*layers), torch.randn(8, 3, 8, 32, 32))


def _settled(model: Any, example: Any) -> Any:
    """With the running statistics of one pass, so that numbers keep their size through all layers."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(example)
    return model.eval()
