"""The pieces of foreground in a frame, each described by position, size, silhouette and the colours of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.background import Image, Mask, pieces_of
from wsra.runtime.backbones.tracking.colours import COLOURS, lab, named_colours

MIN_AREA, MIN_AREA_PX = 0.0008, 12  # fraction of the frame and pixels; the larger one counts
SILHOUETTE_ROWS, SILHOUETTE_COLUMNS = 8, 3
# Fractions of the height, from the top. For "upper" only the middle of each row counts, for "arms" only its two ends.
PARTS = {
    "hair": (0.0, 0.085),
    "head": (0.03, 0.17),
    "upper": (0.19, 0.47),
    "arms": (0.22, 0.52),
    "hip": (0.46, 0.60),
    "legs": (0.60, 0.90),
    "feet": (0.90, 1.0),
    "all": (0.0, 1.0),
}
MATCHED = ("head", "upper", "legs")  # the parts whose colours distinguish objects
SIDES, ARMS = 0.20, 0.24  # excluded from "upper" at either side, and used for "arms", as fractions of a row's width
CORE_PX = (24, 8)  # size from which the outermost pixels, which mix with the ground, are left out
CORE_SHARE = 0.4  # unless less than this fraction would be left
MOST_PIXELS = 1000  # pixels used for the colours of an object; more are subsampled evenly
LAB_CENTRE, LAB_SCALE = np.array((100, 128, 128), np.float32), np.array((60, 20, 20), np.float32)


def _no_label() -> NDArray[np.float32]:
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Piece:
    """One connected piece of foreground, or several that form one object.

    Attributes:
        left, top, width, height: its box in pixels.
        area: its pixels.
        mask: (height, width) bool, the pixels of the box that belong to it.
        image: (height, width, 3) uint8 BGR, the frame within the box.
        label: (L,) output of a detector (`wsra.runtime.backbones.detectors.classes.NAMES`); empty without a detector.
    """

    left: int
    top: int
    width: int
    height: int
    area: int
    mask: Mask
    image: Image
    label: NDArray[np.float32] = field(default_factory=_no_label)


@dataclass(frozen=True)
class Blob:
    """The description of an object in one frame.

    Attributes:
        box: left, top, right and bottom, as shares of the frame's width and height.
        area: share of the frame's pixels.
        x, foot: middle and lowest row, as shares of the frame's width and height.
        width, height: of its box, as shares of the frame's width and height.
        aspect: width / height of its box in pixels.
        cut, cut_top, cut_bottom: 1 if its box touches the left or right, the top, or the bottom edge of the frame, else 0.
        fill: fraction of its box that it fills.
        silhouette: (24,) share of foreground in 8 rows (from the top) by 3 columns (outermost to middle, both sides averaged).
        parts: (8, 18) for each of `PARTS` the shares of `COLOURS`, then middle values of L, a and b (`LAB_CENTRE` is 0, `LAB_SCALE` is 1);
            zeros for a part without a pixel.
        colours: (3, 15) the shares of `COLOURS` in `MATCHED`.
        label: (L,) label of its piece.
    """

    box: tuple[float, float, float, float]
    area: float
    x: float
    foot: float
    width: float
    height: float
    aspect: float
    cut: float
    cut_top: float
    cut_bottom: float
    fill: float
    silhouette: NDArray[np.float32]
    parts: NDArray[np.float32]
    colours: NDArray[np.float32]
    label: NDArray[np.float32] = field(default_factory=_no_label)


def find_pieces(image: Image, foreground: Mask) -> list[Piece]:
    """Every connected piece of foreground that is large enough; pieces in the holes of another one belong to it.

    Args:
        image: (H, W, 3) uint8 BGR; the pieces hold views of it.
        foreground: (H, W) bool.

    Returns:
        Pieces, the largest first.
    """
    pieces = []
    for left, top, mask in pieces_of(foreground, max(MIN_AREA_PX, MIN_AREA * foreground.size)):
        height, width = mask.shape
        crop = image[top : top + height, left : left + width]
        pieces.append(Piece(left, top, width, height, int(np.count_nonzero(mask)), mask, crop))
    return sorted(pieces, key=lambda piece: (-piece.area, piece.top, piece.left))


def united(pieces: Sequence[Piece]) -> Piece:
    """Merge several pieces into one; between them its image is black and its mask False."""
    left, top = min(piece.left for piece in pieces), min(piece.top for piece in pieces)
    width = max(piece.left + piece.width for piece in pieces) - left
    height = max(piece.top + piece.height for piece in pieces) - top
    mask, image = np.zeros((height, width), bool), np.zeros((height, width, 3), np.uint8)
    for piece in pieces:
        box = np.s_[piece.top - top : piece.top - top + piece.height, piece.left - left : piece.left - left + piece.width]
        image[box][piece.mask] = piece.image[piece.mask]
        mask[box] |= piece.mask
    return Piece(left, top, width, height, int(np.count_nonzero(mask)), mask, image)


def described(piece: Piece, shape: tuple[int, ...], light: NDArray[np.float64] | None) -> Blob:
    """Describe one object.

    Args:
        piece: the object.
        shape: shape of its frame, (H, W) or (H, W, 3), in pixels.
        light: gains (3,) for blue, green and red that remove the scene's light from its colours (`Background.light`); or None.
    """
    rows, columns = shape[:2]
    left, top, right, bottom = piece.left, piece.top, piece.left + piece.width, piece.top + piece.height
    cells = cv2.resize(piece.mask.astype(np.float32), (SILHOUETTE_COLUMNS * 2, SILHOUETTE_ROWS), interpolation=cv2.INTER_AREA)
    folded = (cells[:, :SILHOUETTE_COLUMNS] + cells[:, : SILHOUETTE_COLUMNS - 1 : -1]) / 2
    parts = _parts(piece, light)
    return Blob(
        box=(left / columns, top / rows, right / columns, bottom / rows),
        area=piece.area / (rows * columns),
        x=(left + right) / 2 / columns,
        foot=bottom / rows,
        width=piece.width / columns,
        height=piece.height / rows,
        aspect=piece.width / piece.height,
        cut=float(left <= 0 or right >= columns),
        cut_top=float(top <= 0),
        cut_bottom=float(bottom >= rows),
        fill=piece.area / (piece.width * piece.height),
        silhouette=folded.reshape(-1).astype(np.float32),
        parts=parts,
        colours=parts[[list(PARTS).index(name) for name in MATCHED], : len(COLOURS)],
        label=piece.label,
    )


def find_blobs(image: Image, foreground: Mask) -> list[Blob]:
    """Describe every connected piece of foreground that is large enough, without correction for light; the largest first."""
    return [described(piece, foreground.shape, None) for piece in find_pieces(image, foreground)]


def _parts(piece: Piece, light: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """(8, 18), see `Blob.parts`."""
    step = int(np.ceil(np.sqrt(piece.area / MOST_PIXELS)))
    y, x = (places * step + step // 2 for places in np.nonzero(piece.mask[step // 2 :: step, step // 2 :: step]))
    pixels = piece.image[y, x]
    if light is not None:
        pixels = cv2.transform(pixels[None], np.diag(light))[0]
    members = _members(piece, _core(piece)[y, x], y, x)
    sums = members.astype(np.float32) @ named_colours(pixels)
    shares = sums / np.maximum(np.count_nonzero(members, axis=1), 1).astype(np.float32)[:, None]
    values = np.ascontiguousarray(lab(pixels).T)
    middles = np.array([_middle(values.compress(member, axis=1)) for member in members], np.float32)
    return np.concatenate([shares, middles], axis=1)


def _core(piece: Piece) -> Mask:
    """The piece without its outermost pixels, if it is large enough; pixels at the edges of the box are kept."""
    if piece.height < CORE_PX[0] or piece.width < CORE_PX[1]:
        return piece.mask
    inner = cv2.erode(piece.mask.view(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).view(np.bool_)
    return inner if np.count_nonzero(inner) >= CORE_SHARE * piece.area else piece.mask


def _members(piece: Piece, core: Mask, y: NDArray[np.intp], x: NDArray[np.intp]) -> Mask:
    """(8, N): the pixels of the piece (rows y and columns x, both (N,)) that belong to each part."""
    limits = np.array([_rows(piece.height, *share) for share in PARTS.values()])
    within = (y >= limits[:, :1]) & (y < limits[:, 1:])
    first, last = piece.mask.argmax(axis=1)[y], piece.width - 1 - piece.mask[:, ::-1].argmax(axis=1)[y]
    from_side = np.minimum(x - first, last - x) / (last - first + 1)
    members = within & core
    upper, arms = list(PARTS).index("upper"), list(PARTS).index("arms")
    members[arms] = within[arms] & (from_side < ARMS)
    middle = members[upper] & (from_side >= SIDES)
    if piece.width >= 6 and middle.any():
        members[upper] = middle
    without = ~members.any(axis=1)
    members[without] = within[without]
    return members


def _rows(height: int, first: float, last: float) -> tuple[int, int]:
    start = int(first * height)
    return start, max(start + 1, round(last * height))


def _middle(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Middle value of L, a and b (3, N), centred and scaled (3,); zeros if N is 0."""
    middle = values.shape[1] // 2
    return (np.partition(values, middle, axis=1)[:, middle] - LAB_CENTRE) / LAB_SCALE if values.size else np.zeros(3, np.float32)
