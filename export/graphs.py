"""The graphs to export: modules that take and return tensors only, with the names of their inputs, outputs and dynamic axes.

Shapes: T snippets, N keys, Q sentences, L tokens, Dv, Dt, H widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wsra.train.text import TextEncoder
from wsra.train.towers import Preparation


class AnyScorer(Protocol):
    """What a bundle needs from a scorer: the trained scorer, or the cosine of a zero-shot bundle."""

    @property
    def feature_width(self) -> int:
        """Dv."""

    @property
    def text_width(self) -> int:
        """Dt."""

    @property
    def key_width(self) -> int:
        """H."""

    def keys(self, features: Tensor) -> Tensor:
        """Keys (T, H) of features (T, Dv)."""

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of keys (N, H) and sentences (Q, Dt)."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Its weights."""


class KeysGraph(nn.Module):
    """features (T, Dv) -> keys (T, H)."""

    def __init__(self, scorer: AnyScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, features: Tensor) -> Tensor:
        """Keys of snippets."""
        return self.scorer.keys(features)


class ScorerGraph(nn.Module):
    """keys (N, H), text (Q, Dt) -> scores (Q, N), logits (Q, N); scores are phi, and logits are log(phi / (1 - phi))."""

    def __init__(self, scorer: AnyScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, keys: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and logits of every key for every sentence."""
        logits = self.scorer.matrix(keys, text)
        return torch.sigmoid(logits), logits


class TextGraph(nn.Module):
    """input_ids, attention_mask (Q, L) int64 -> text (Q, Dt)."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors of sentences."""
        vectors: Tensor = self.encoder(input_ids, attention_mask)
        return vectors


class ImageGraph(nn.Module):
    """pixels (N, 3, height, width), prepared -> vectors (N, D)."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> Tensor:
        """Vectors of images."""
        vectors: Tensor = self.tower(pixels)
        return vectors


class ByteInput(nn.Module):
    """pixels (N, height, width, 3) uint8, blue, green and red -> the outputs of a module for (N, 3, height, width), prepared as it expects.

    With the preparation inside the graph bytes are copied to a GPU, not floats of four bytes. The operations and their order are those of
    `wsra.runtime.backbones.common.pixels.arranged`, so the numbers are equal, bit by bit. The cast is first because TensorRT requires it.

    Args (constructor):
        module: takes pixels (N, 3, height, width) float32, red, green and blue.
        scale: factor on 0 to 255.
        mean: per colour (red, green, blue), subtracted after `scale`.
        std: per colour, divides after that.
    """

    mean: Tensor
    std: Tensor
    colours: Tensor

    def __init__(self, module: nn.Module, scale: float, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.module, self.scale = module, scale
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(1, 3, 1, 1))
        self.register_buffer("colours", torch.tensor([2, 1, 0]))

    def forward(self, pixels: Tensor) -> Any:
        """Outputs of the module."""
        values = pixels.to(torch.float32).permute(0, 3, 1, 2).index_select(1, self.colours)
        return self.module((values * self.scale - self.mean) / self.std)


@dataclass(frozen=True)
class Graph:
    """A graph to export.

    Attributes:
        name: file name without suffix.
        module: the module to export.
        example: inputs to trace with; no dynamic axis has length 0 or 1.
        inputs: input -> axis number -> name of the dynamic axis.
        outputs: output -> lengths of its axes; dynamic axes have names instead.
        strict: export in strict mode, through TorchDynamo. It is slower, but needed where the code depends on the length of a tensor.
    """

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: dict[str, dict[int, str]]
    outputs: dict[str, tuple[str | int, ...]]
    strict: bool = False


def text_graph(encoder: TextEncoder) -> Graph:
    """Sentences to vectors."""
    ids, axes = torch.randint(0, 100, (2, 8)), {0: "queries", 1: "tokens"}
    inputs = {"input_ids": axes, "attention_mask": axes}
    return Graph("text", TextGraph(encoder).eval(), (ids, torch.ones_like(ids)), inputs, {"text": ("queries", encoder.width)})


def keys_graph(scorer: AnyScorer) -> Graph:
    """Features to keys."""
    example, inputs = (torch.randn(5, scorer.feature_width),), {"features": {0: "snippets"}}
    return Graph("keys", KeysGraph(scorer).eval(), example, inputs, {"keys": ("snippets", scorer.key_width)})


def scorer_graph(scorer: AnyScorer) -> Graph:
    """Keys and sentences to scores."""
    example = (torch.randn(5, scorer.key_width), torch.randn(3, scorer.text_width))
    inputs = {"keys": {0: "windows"}, "text": {0: "queries"}}
    outputs: dict[str, tuple[str | int, ...]] = {"scores": ("queries", "windows"), "logits": ("queries", "windows")}
    return Graph("scorer", ScorerGraph(scorer).eval(), example, inputs, outputs)


def image_graph(tower: nn.Module, preparation: Preparation, *, width: int) -> Graph:
    """Images (N, height, width, 3) uint8 to vectors (N, D); see `ByteInput`."""
    module = ByteInput(ImageGraph(tower), preparation.scale, preparation.mean, preparation.std).eval()
    return Graph("image", module, (example_bytes(preparation.size),), {"pixels": {0: "images"}}, {"vectors": ("images", width)})


def example_bytes(size: tuple[int, int]) -> Tensor:
    """Two frames of noise, (2, height, width, 3) uint8, to trace a graph with."""
    return torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def graphs_of(scorer: AnyScorer, encoder: TextEncoder) -> tuple[Graph, ...]:
    """The graphs of a bundle, in the order text, keys, scorer."""
    return text_graph(encoder), keys_graph(scorer), scorer_graph(scorer)
