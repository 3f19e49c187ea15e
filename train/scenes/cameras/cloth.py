"""The texture over the plain colours of a body: folds, light from one side, stripes, checks, and the grain of cloth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.train.scenes.cameras.look import DRESSED
from wsra.train.scenes.cameras.world import Actor

CLOTH_PX = 96


def draw_cloth(actor: Actor) -> NDArray[np.float32]:
    """Draw the cloth of an actor.

    Returns:
        (96, 96) float32 factors on brightness, around 1, over the rectangle that the body fills.
    """
    rng = np.random.default_rng([actor.seed, 5])
    n = CLOTH_PX
    dressed = actor.traits.kind in DRESSED
    coarse = _noise(rng, (9, 7)) * float(rng.uniform(0.03, 0.14)) * (1.0 if dressed else 0.3)
    fine = _noise(rng, (30, 24)) * float(rng.uniform(0.0, 0.10)) * (1.0 if dressed else 0.15)
    down, across = np.mgrid[0:n, 0:n] / n
    cloth = coarse + fine
    cloth += float(rng.uniform(-0.42, 0.42)) * (across - 0.5) + float(rng.uniform(-0.1, 0.3)) * (0.5 - down)
    chance = rng.random() if dressed else 1.0
    trunk = (down > 0.35) & (down < 0.62)
    if chance < 0.12:
        cloth += 0.22 * np.sign(np.sin(down * 2 * np.pi * float(rng.uniform(14, 30)))) * trunk
    elif chance < 0.20:
        cloth += 0.18 * np.sign(np.sin(down * 2 * np.pi * 20) * np.sin(across * 2 * np.pi * 30)) * trunk
    elif chance < 0.32:
        cloth += rng.normal(0, 0.14, (n, n))
    return np.clip(1.0 + cloth, 0.3, 1.7).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    small = rng.normal(0, 1, shape).astype(np.float32)
    return np.asarray(cv2.resize(small, (CLOTH_PX, CLOTH_PX), interpolation=cv2.INTER_CUBIC), np.float64)
