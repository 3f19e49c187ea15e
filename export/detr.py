"""RT-DETR, RT-DETRv2 and D-FINE from transformers: the model as a graph to export, and how its images are preprocessed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsra.export.graphs import ByteInput, Graph, example_bytes
from wsra.runtime.backbones.detectors.classes import known
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.errors import ConfigError
from wsra.runtime.files.writing import sha256_of
from wsra.train.towers import image_preparation

FAMILIES = ("rt_detr", "rt_detr_v2", "d_fine")
EXPECTED = "RT-DETR, RT-DETRv2 or D-FINE; any other detector can be used as ONNX with a detector.json (docs/detectors.md)"
ONES, ZEROS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


class DetrGraph(nn.Module):
    """pixels (N, 3, height, width), prepared -> logits (N, Q, C), boxes (N, Q, 4): centre, width and height as fractions of the input."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and boxes of frames."""
        out = self.model(pixel_values=pixels)
        return out.logits, out.pred_boxes


@dataclass(frozen=True)
class Detr:
    """A detector of transformers.

    Attributes:
        name: short name of the model.
        module: the model.
        size: height and width of its input in pixels.
        scale: factor on pixel values of 0 to 255.
        mean: mean of each colour (red, green, blue), after `scale`.
        std: standard deviation of each colour, after `scale`.
        classes: class names, by number.
        scores: "sigmoid" or "softmax".
    """

    name: str
    module: DetrGraph
    size: tuple[int, int]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    scores: str

    def graph(self) -> Graph:
        """The graph to export: it takes any number of frames (N, height, width, 3) uint8; see `ByteInput`."""
        module, example = ByteInput(self.module, self.scale, self.mean, self.std).eval(), (example_bytes(self.size),)
        with torch.no_grad():
            logits, boxes = module(*example)
        outputs: dict[str, tuple[str | int, ...]] = {
            "logits": ("frames", *logits.shape[1:]),
            "boxes": ("frames", *boxes.shape[1:]),
        }
        return Graph("detector", module, example, {"pixels": {0: "frames"}}, outputs, strict=True)

    def settings(self, graph: Path) -> DetectorSettings:
        """How its graph is used. Of many classes, only those that rows distinguish are tracked."""
        followed = known(self.classes)
        return DetectorSettings(
            name=self.name,
            graph=graph.name,
            sha256=sha256_of(graph),
            input="pixels",
            size=self.size,
            resize="stretch",
            outputs="detr",
            names=("logits", "boxes"),
            classes=self.classes,
            layout="NHWC",
            colour="BGR",
            scale=1.0,
            scores=self.scores,
            follow=tuple(followed) if followed and len(followed) < len(self.classes) else None,
        )


@contextmanager
def without_checks() -> Iterator[None]:
    """Turn off the shape checks in models of transformers, for which ONNX has no operator, by its documented variable."""
    name = "TRANSFORMERS_DISABLE_TORCH_CHECK"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def load_detr(name: str) -> Detr:
    """Load a detector by hub name or folder. Code that comes with the model is never run.

    Raises:
        ConfigError: it cannot be loaded, is of another family, lacks weights, or does not say how its images are preprocessed.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoConfig, AutoModelForObjectDetection
    from transformers.utils import logging as transformers_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # without a network it would report a dozen retries
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        kind = str(AutoConfig.from_pretrained(name, trust_remote_code=False).model_type)
        if kind in FAMILIES:
            model, loading = AutoModelForObjectDetection.from_pretrained(
                name, attn_implementation="eager", dtype=torch.float32, trust_remote_code=False, output_loading_info=True
            )
    except Exception as err:  # transformers, safetensors and torch raise errors of many types for damaged or foreign folders
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ConfigError(f"detector {name!r}: cannot be loaded ({reason}); expected {EXPECTED}") from err
    if kind not in FAMILIES:
        raise ConfigError(f"detector {name!r}: a model of type {kind}; expected {EXPECTED}")
    if missing := sorted(loading["missing_keys"]):
        raise ConfigError(f"detector {name!r}: {len(missing)} of its weights are missing, first {missing[0]}; give a trained model")
    config = model.config
    scores = "sigmoid" if getattr(config, "use_focal_loss", True) else "softmax"
    names = [str(config.id2label.get(number, "")) for number in range(config.num_labels)]
    if scores == "softmax":
        names = names[:-1]
    short = re.sub(r"[^A-Za-z0-9._-]", "-", Path(name).resolve().name.lower())  # the characters that a detector's name may have
    size, scale, mean, std = _preparation(image_preparation(name), name)
    return Detr(short, DetrGraph(model), size, scale, mean, std, tuple(names), scores)


Triple = tuple[float, float, float]


def _preparation(table: Mapping[str, Any], name: str) -> tuple[tuple[int, int], float, Triple, Triple]:
    """Size, scale, mean and std from preprocessor_config.json.

    Raises:
        ConfigError: something is missing, or the frames would not all have one size.
    """
    try:
        size = table["size"]
        if not table.get("do_resize", True) or table.get("do_pad", False) or "height" not in size:
            raise ConfigError(f"{name}: its images have no fixed size ({size}); expected a height and a width in preprocessor_config.json")
        scale = float(table.get("rescale_factor", 1 / 255)) if table.get("do_rescale", True) else 1.0
        normalised = bool(table.get("do_normalize", False))
        (red, green, blue) = table["image_mean"] if normalised else ZEROS
        (reds, greens, blues) = table["image_std"] if normalised else ONES
        mean, std = (float(red), float(green), float(blue)), (float(reds), float(greens), float(blues))
        return (int(size["height"]), int(size["width"])), scale, mean, std
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as err:
        raise ConfigError(
            f"{name}: preprocessor_config.json is incomplete or damaged ({err}); expected size, image_mean and image_std"
        ) from err
