"""The best frames in the terminal, where it can show pictures: kitty's protocol or Sixel (iTerm2 and many others)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from wsra.runtime.errors import ConfigError, MissingExtraError
from wsra.runtime.evidence.exhibits import Exhibit
from wsra.runtime.evidence.pictures import pictures_of
from wsra.runtime.grounding.likelihood import in_words
from wsra.runtime.terminal.display import RenderableType

_PICTURE_PX = (480, 360)
_COLUMNS = 48


def check_terminal(*, as_json: bool) -> None:
    """Refuse before the search what cannot be shown after it.

    Raises:
        ConfigError: JSON is printed, stdout is no terminal, or the terminal cannot show pictures or has no size.
        MissingExtraError: textual-image is not installed.
    """
    if as_json:
        raise ConfigError("--show draws pictures, and --json prints JSON; leave one of them out")
    if not sys.stdout.isatty():
        raise ConfigError("--show: stdout is no terminal, so no picture can be shown; write them with --picture X.png or --report X.html")
    if 0 in os.get_terminal_size(sys.stdout.fileno()):
        raise ConfigError("--show: the terminal does not say how large it is; write pictures with --picture X.png or --report X.html")
    _drawing()


def _drawing() -> Any:
    """The class of textual-image that draws in this terminal; the library asks the terminal when it is imported."""
    try:
        from textual_image import renderable
    except ImportError as err:
        raise MissingExtraError("textual-image", "show", "--show") from err
    if renderable.Image not in (renderable.SixelImage, renderable.TGPImage):
        raise ConfigError(
            "--show: this terminal shows no pictures, neither by kitty's protocol nor as Sixel; write them with --picture X.png"
        )
    return renderable.Image


def terminal_pictures(exhibits: Sequence[Exhibit]) -> Iterator[RenderableType]:
    """For each moment a line and its best frame with the box; for one whose video is not here the reason."""
    import cv2
    from PIL import Image

    drawing = _drawing()
    for exhibit in exhibits:
        moment = exhibit.detection.moment
        yield f"{exhibit.rank}  {in_words(moment.confidence, found=exhibit.found)}  {exhibit.clock or moment.video}"
        pictures = pictures_of(exhibit, crops=0)
        if pictures.best is None:
            yield f"no picture: {pictures.missing}"
            continue
        rgb = cv2.cvtColor(pictures.best.boxed(*_PICTURE_PX), cv2.COLOR_BGR2RGB)
        yield drawing(Image.fromarray(rgb), width=_COLUMNS, height="auto")
