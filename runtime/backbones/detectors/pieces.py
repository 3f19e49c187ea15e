"""Detections as pieces for the tracker: an ellipse in each box approximates the outline of the object."""

from __future__ import annotations

import cv2
import numpy as np

from wsra.runtime.backbones.detectors.classes import label
from wsra.runtime.backbones.detectors.found import Found
from wsra.runtime.backbones.tracking.background import Image, Mask
from wsra.runtime.backbones.tracking.blobs import MIN_AREA_PX, Piece


def pieces_of(found: Found, image: Image) -> list[Piece]:
    """Crop the detections.

    Args:
        found: detections of this frame.
        image: (H, W, 3) uint8 BGR; the pieces hold views of it.

    Returns:
        Pieces, the largest first, without those of fewer than 12 pixels.
    """
    rows, columns = image.shape[:2]
    pieces = []
    for box, score, number in zip(found.boxes, found.scores, found.classes, strict=True):
        left, top, right, bottom = np.round(box * np.array([columns, rows, columns, rows])).astype(int).tolist()
        mask = _ellipse(bottom - top, right - left)
        area = int(np.count_nonzero(mask))
        if area >= MIN_AREA_PX:
            crop = image[top:bottom, left:right]
            pieces.append(Piece(left, top, right - left, bottom - top, area, mask, crop, label(int(number), float(score))))
    return sorted(pieces, key=lambda piece: (-piece.area, piece.top, piece.left))


def _ellipse(height: int, width: int) -> Mask:
    """(height, width) bool, the ellipse that touches all sides."""
    mask = np.zeros((height, width), np.uint8)
    if height and width:
        middle, axes = ((width - 1) / 2, (height - 1) / 2), (float(width), float(height))
        cv2.ellipse(mask, (middle, axes, 0.0), 1, cv2.FILLED)
    return mask.view(np.bool_)
