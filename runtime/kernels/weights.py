"""The scorer's few weights, as `scorer.safetensors` of a bundle holds them, and what of them a sentence determines.

Shapes: Q sentences, H key width, Dt text width, R vectors per snippet, D their width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from wsra.runtime.bundle import SCORER, Bundle
from wsra.runtime.errors import BundleError

Array32 = NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """logit = out . relu(key + offset of the sentence) + bias.

    Attributes:
        mean: (Dt,) of the training sentences.
        scale: one factor.
        weight: (H, Dt).
        added: (H,).
        out: (H,).
        bias: a number.
    """

    mean: Array32
    scale: float
    weight: Array32
    added: Array32
    out: Array32
    bias: float

    def offsets(self, text: Array32) -> Array32:
        """What each sentence (Q, Dt) adds to every key, (Q, H); summed in float64, for large offsets cancel."""
        centred = (text.astype(np.float64) - self.mean) * self.scale
        return np.asarray(centred @ self.weight.T.astype(np.float64) + self.added, np.float32)


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
        return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), np.float32)


Weights = Trained | Cosine


def read_weights(bundle: Bundle) -> Weights:
    """The weights of a bundle.

    Raises:
        BundleError: the file does not hold them.
    """
    path, manifest = bundle.folder / SCORER, bundle.manifest
    try:
        table = load_file(path)
        if manifest.scorer == "cosine":
            width = manifest.text_width
            return Cosine(slots=manifest.feature_width // width, width=width, scale=float(table["scale"][0]))
        return Trained(
            mean=table["text_mean"],
            scale=float(table["text_scale"][0]),
            weight=table["text.weight"],
            added=table["text.bias"],
            out=np.ascontiguousarray(table["out.weight"][0]),
            bias=float(table["out.bias"][0]),
        )
    except (SafetensorError, OSError, KeyError, IndexError) as err:
        raise BundleError(f"{path}: does not hold the weights of a {manifest.scorer} scorer ({err}); export the bundle again") from err
