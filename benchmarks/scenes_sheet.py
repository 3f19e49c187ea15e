"""Draws a sheet of frames of `wsra scenes` with the sentences that are true of them: docs/pictures/cameras.png.

    python benchmarks/scenes_sheet.py SCENES OUT.png QID QID ...

SCENES is a folder of `wsra scenes`, and QID the `qid` of a line in its spans-*.jsonl; the frame is from the middle of the span.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.video.frames import Video
from wsra.train.scenes.cameras.style import SPLITS

ACROSS, WIDTH_PX, HEIGHT_PX, TEXT_PX = 4, 280, 210, 34
COLOURS = 160  # limits the size of the picture


def frame_at(path: Path, time_s: float) -> NDArray[np.uint8]:
    """The first frame at or after a time, (height, width, 3) red, green, blue."""
    with Video(path, height_px=240, frames_per_s=8) as video:
        for frame in video.frames():
            if frame.time_s >= time_s:
                return np.ascontiguousarray(frame.image[..., ::-1])
    raise SystemExit(f"{path}: shorter than {time_s} s; render it again")


def sheet(scenes: Path, rows: Sequence[Annotation]) -> Image.Image:
    """Arrange frames in rows of four, each with its sentence below."""
    down = -(-len(rows) // ACROSS)
    picture = Image.new("RGB", (ACROSS * WIDTH_PX, down * (HEIGHT_PX + TEXT_PX)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for number, row in enumerate(rows):
        left, top = number % ACROSS * WIDTH_PX, number // ACROSS * (HEIGHT_PX + TEXT_PX)
        image = frame_at(scenes / "videos" / f"{row.vid}.mp4", sum(row.windows_s[0]) / 2)
        picture.paste(Image.fromarray(image).resize((WIDTH_PX - 4, HEIGHT_PX - 4), Image.Resampling.LANCZOS), (left + 2, top + 2))
        pen.text((left + 4, top + HEIGHT_PX), "\n".join(textwrap.wrap(row.query, 46)[:2]), fill="black", font=font, spacing=1)
    return picture.quantize(COLOURS, dither=Image.Dither.NONE)


def main(scenes: Path, out: Path, qids: Sequence[str]) -> None:
    """Read the frames and write the sheet."""
    known = {a.qid: a for split in SPLITS for a in read_annotations(scenes / f"spans-{split}.jsonl")}
    unknown = [qid for qid in qids if qid not in known]
    if unknown:
        raise SystemExit(f"{scenes}: has no sentences {', '.join(unknown)}; give qids of its spans-*.jsonl")
    sheet(scenes, [known[qid] for qid in qids]).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
