"""Models with an image and a text tower that share a space (CLIP, SigLIP and similar), from Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wsra.runtime.errors import ConfigError
from wsra.runtime.files.reading import read_json
from wsra.train.text import TextEncoder


class TextTower(TextEncoder):
    """The text tower as a sentence encoder; its vectors have length 1.

    Args (constructor):
        model: with `get_text_features`.
        tokenizer: its fast tokenizer.
        name: the name or folder that the user gave.
        max_tokens: length of the longest sentence in tokens.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, max_tokens: int) -> None:
        super().__init__(model, tokenizer, "tower", name, max_tokens)
        # SigLIP was trained on sentences padded to one length, and takes its vector from the last position.
        self.padded = str(model.config.model_type).startswith("siglip")
        self.pad = int(tokenizer.pad_token_id or 0)
        with torch.no_grad():
            self._width = int(self(torch.tensor([[self.pad, self.pad]]), torch.ones(1, 2, dtype=torch.long)).shape[-1])

    @property
    def width(self) -> int:
        """Dt, the width of the shared space."""
        return self._width

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode; see `TextEncoder.forward`."""
        ids = torch.where(attention_mask > 0, input_ids, self.pad)
        if self.padded:
            filled = torch.cat([ids, ids.new_full((ids.shape[0], self.max_tokens), self.pad)], dim=1)
            output = self.model.get_text_features(input_ids=filled[:, : self.max_tokens])  # type: ignore[operator]
        else:
            output = self.model.get_text_features(input_ids=ids, attention_mask=attention_mask)  # type: ignore[operator]
        return nn.functional.normalize(_vectors(output), dim=-1)


class ImageTower(nn.Module):
    """The image tower: preprocessed pixels (N, 3, height, width) -> vectors (N, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode."""
        return _vectors(self.model.get_image_features(pixel_values=pixels))


def _vectors(output: Any) -> Tensor:
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return vectors


@dataclass(frozen=True)
class Preparation:
    """How an image is preprocessed.

    Attributes:
        size: height and width in pixels.
        crop: whether the shortest side is scaled and the centre cropped; otherwise the image is stretched.
        scale: factor on 0 to 255.
        mean: per colour (red, green, blue), after `scale`.
        std: per colour, after `scale`.
    """

    size: tuple[int, int]
    crop: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Towers:
    """A model with two towers.

    Attributes:
        name: short name of the model.
        image: pixels -> vectors.
        text: sentences -> vectors of length 1.
        preparation: preprocessing of images.
        scale: the trained factor on the cosine.
    """

    name: str
    image: ImageTower
    text: TextTower
    preparation: Preparation
    scale: float


def load_towers(name: str) -> Towers:
    """Load a model by hub name or folder.

    Raises:
        ConfigError: the model cannot be loaded, or lacks a tower.
    """
    from wsra.train.text import load_encoder

    text = load_encoder(name, "mean")
    if not isinstance(text, TextTower):
        raise ConfigError(f"{name}: the model has no image tower; expected CLIP, SigLIP or a similar model")
    model: Any = text.model
    if not (hasattr(model, "get_image_features") and hasattr(model, "logit_scale")):
        raise ConfigError(f"{name}: the model has no image tower in the text's space; expected CLIP, SigLIP or a similar model")
    short = re.sub(r"[^A-Za-z0-9._-]", "-", Path(name).resolve().name.lower())  # the characters allowed in a backbone's name
    return Towers(short, ImageTower(model), text, preparation_of(image_preparation(name), name), float(model.logit_scale.detach().exp()))


def image_preparation(name: str) -> dict[str, Any]:
    """The preprocessing table: preprocessor_config.json, or its part in the processor_config.json that transformers 5 writes."""
    from transformers.utils.hub import cached_file

    for file in ("preprocessor_config.json", "processor_config.json"):
        try:
            path = Path(str(cached_file(name, file)))
        except (OSError, ValueError):  # the file does not exist
            continue
        table = read_json(path, error=ConfigError, hint="save the model's processor in its folder again")
        if not isinstance(table, dict):
            continue
        table_of_images = table.get("image_processor") if file.startswith("processor") else table
        if isinstance(table_of_images, dict):
            return table_of_images
    raise ConfigError(
        f"{name}: no preprocessor_config.json, and no processor_config.json with an image_processor; save the model's processor in its"
        " folder"
    )


def preparation_of(table: Mapping[str, Any], name: str) -> Preparation:
    """Read preprocessor_config.json.

    Raises:
        ConfigError: a value is missing or wrong.
    """
    try:
        crop = bool(table.get("do_center_crop", "crop_size" in table))
        size_entry = table["crop_size"] if crop else table["size"]
        edge = size_entry if isinstance(size_entry, int) else size_entry.get("shortest_edge")
        size = (edge, edge) if edge else (size_entry["height"], size_entry["width"])
        scale = float(table.get("rescale_factor", 1 / 255)) if table.get("do_rescale", True) else 1.0
        (red, green, blue), std = table["image_mean"], table["image_std"]
        mean = float(red), float(green), float(blue)
        return Preparation((int(size[0]), int(size[1])), crop, scale, mean, (float(std[0]), float(std[1]), float(std[2])))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as err:
        raise ConfigError(
            f"{name}: preprocessor_config.json has a missing or wrong value ({err}); expected size, image_mean and image_std"
        ) from err
