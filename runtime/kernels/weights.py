"""The scorer's few weights, as `scorer.safetensors` of a bundle holds them, and what of them a sentence determines.

Shapes: Q sentences, H key width, Dt text width, R vectors per snippet, D their width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import SCORER, Bundle

Array32 = NDArray[np.float32]
SHORTEST = 1e-12  # a vector that is shorter is divided by this instead of its length


@dataclass(frozen=True)
class Trained:
    """logit = out . relu(key + offset of the sentence) + bias + cosine of the key and the sentence's direction, times the gain.

    Attributes:
        mean: (Dt,) of the training sentences.
        scale: one factor.
        weight: (H, Dt).
        added: (H,).
        out: (H,).
        bias: a number.
        direction_weight: (H, Dt).
        direction_added: (H,).
        gain: a number.
    """

    mean: Array32
    scale: float
    weight: Array32
    added: Array32
    out: Array32
    bias: float
    direction_weight: Array32
    direction_added: Array32
    gain: float

    def offsets(self, text: Array32) -> Array32:
        """What each sentence (Q, Dt) adds to every key, (Q, H); summed in float64, for large offsets cancel."""
        return np.asarray(_each(self._centred(text), self.weight) + self.added, np.float32)

    def directions(self, text: Array32) -> Array32:
        """What the cosine compares keys with, (Q, H), of length `gain`."""
        wide = _each(self._centred(text), self.direction_weight) + self.direction_added
        return np.asarray(self.gain * wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), SHORTEST), np.float32)

    def _centred(self, text: Array32) -> NDArray[np.float64]:
        return np.asarray((text.astype(np.float64) - self.mean) * self.scale)


def _each(text: NDArray[np.float64], weight: Array32) -> NDArray[np.float64]:
    """(Q, H) products of sentences (Q, Dt) and (H, Dt), one by one: a product of all would round by how many there are."""
    wide = weight.T.astype(np.float64)
    return np.stack([one @ wide for one in text]) if len(text) else np.empty((0, len(weight)))


@dataclass(frozen=True)
class Cosine:
    """logit = scale * (the largest of R cosines - the key's last number), the scorer of a zero-shot bundle.

    Attributes:
        slots: R.
        width: D.
        scale: of the towers.
    """

    slots: int
    width: int
    scale: float

    def directions(self, text: Array32) -> Array32:
        """Sentences (Q, D) at length 1."""
        wide = text.astype(np.float64)
        return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), SHORTEST), np.float32)


Weights = Trained | Cosine


def read_weights(bundle: Bundle) -> Weights:
    """The weights of a bundle.

    Raises:
        BundleError: the file does not hold them.
    """
    path, manifest = bundle.folder / SCORER, bundle.manifest
    text, keys = manifest.text_width, manifest.key_width
    try:
        table = load_file(path)
        if manifest.scorer == "cosine":
            _check(table, {"scale": (1,)})
            return Cosine(slots=(keys - 1) // text, width=text, scale=float(table["scale"][0]))
        shapes = {"text_mean": (text,), "text_scale": (1,), "text.weight": (keys, text), "text.bias": (keys,)}
        shapes |= {"out.weight": (1, keys), "out.bias": (1,)}
        if not table.keys() & {"direction.weight", "direction.bias", "gain"}:  # an earlier bundle, whose scorer has no cosine
            table |= {"direction.weight": np.zeros((keys, text), np.float32), "direction.bias": np.zeros(keys, np.float32)}
            table["gain"] = np.zeros(1, np.float32)
        _check(table, shapes | {"direction.weight": (keys, text), "direction.bias": (keys,), "gain": (1,)})
        return Trained(
            mean=table["text_mean"],
            scale=float(table["text_scale"][0]),
            weight=table["text.weight"],
            added=table["text.bias"],
            out=np.ascontiguousarray(table["out.weight"][0]),
            bias=float(table["out.bias"][0]),
            direction_weight=table["direction.weight"],
            direction_added=table["direction.bias"],
            gain=float(table["gain"][0]),
        )
    except (SafetensorError, OSError, ValueError) as err:
        raise BundleError(f"{path}: does not hold the weights of a {manifest.scorer} scorer ({err}); export the bundle again") from err


def _check(table: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        found = table.get(name)
        if found is None:
            raise ValueError(f"no {name}")
        if found.dtype != np.float32 or found.shape != shape:
            raise ValueError(f"{name} is {found.dtype} {found.shape}, expected float32 {shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} holds NaN or infinite numbers")
