"""A camera that pans over a painted world wider than its picture, and detectors that read the truth off a code in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from graphs import save
from wsra.runtime.backbones.detectors.settings import DetectorSettings
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.video.frames import Frame
from wsra.train.scenes.demo.actors import paint, position
from wsra.train.scenes.demo.backdrop import backdrop
from wsra.train.scenes.demo.render import FPS, HEIGHT_PX, WIDTH_PX, write_video
from wsra.train.scenes.demo.world import RELATIVE_HEIGHT, RELATIVE_LENGTH, Actor, Clip, Kind, sample_clip

WORLD_PX = 3 * WIDTH_PX
BITS, BIT_PX = 13, 8  # of the number of the frame, in blocks along its upper edge
IN_VIEW = 1 / 3  # of an actor's length, from which it is there
COCO = ("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "bench", "dog", "backpack")
CLASS_OF: dict[Kind, str] = {"man": "person", "woman": "person", "child": "person", "cyclist": "bicycle", "dog": "dog", "car": "car"}
CLASS_OF["van"] = "truck"
MOST = 8  # boxes of a frame
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pan:
    """A clip whose camera pans.

    Attributes:
        clip: who is in the world, x as fractions of its width.
        sweep_px: how far the camera turns to either side.
        period_s: of its turning.
        first: number of its first frame; of clips that share a detector every frame has its own.
    """

    clip: Clip
    sweep_px: float = 300.0
    period_s: float = 40.0
    first: int = 0

    @property
    def count(self) -> int:
        """Frames, 8 a second."""
        return int(self.clip.duration_s * FPS)

    def left_px(self, time_s: float) -> int:
        """Where the picture begins in the world."""
        return round((WORLD_PX - WIDTH_PX) / 2 + self.sweep_px * np.sin(2 * np.pi * time_s / self.period_s))

    def box(self, actor: Actor, time_s: float) -> Box | None:
        """Of an actor, as shares of the picture; None where less of it is in view than a third, or it is away."""
        if not actor.start_s <= time_s <= actor.end_s:
            return None
        x, foot = position(actor, time_s)
        man = self.clip.man_height(foot) * HEIGHT_PX
        half = RELATIVE_LENGTH[actor.kind] * man * actor.build[1] / 2
        left = (x * WORLD_PX - half - self.left_px(time_s)) / WIDTH_PX
        right = (x * WORLD_PX + half - self.left_px(time_s)) / WIDTH_PX
        if min(right, 1.0) - max(left, 0.0) < IN_VIEW * (right - left):
            return None
        top = foot - RELATIVE_HEIGHT[actor.kind] * actor.build[0] * man / HEIGHT_PX
        return max(left, 0.0), max(top, 0.0), min(right, 1.0), min(foot, 1.0)

    @cached_property
    def visits(self) -> list[tuple[Actor, float, float]]:
        """Every time that an actor is in view: who, from when, to when."""
        found = []
        for actor in self.clip.actors:
            start_s = None
            for number in range(self.count + 1):
                there = number < self.count and self.box(actor, number / FPS) is not None
                if there and start_s is None:
                    start_s = number / FPS
                elif not there and start_s is not None:
                    found.append((actor, start_s, number / FPS))
                    start_s = None
        return sorted(found, key=lambda visit: visit[1])

    def images(self, step: int = 1) -> Iterator[Any]:
        """(240, 320, 3) uint8 BGR, each with its number in the upper edge: every `step`-th of 8 a second."""
        world = backdrop(self.clip, WORLD_PX, HEIGHT_PX)
        grain = np.random.default_rng(self.clip.seed).normal(0, 3, (HEIGHT_PX, WIDTH_PX, 3))
        for number in range(0, self.count, step):
            time_s = number / FPS
            wide = world.copy()
            here = [actor for actor in self.clip.actors if actor.start_s <= time_s <= actor.end_s]
            for actor in sorted(here, key=lambda actor: position(actor, time_s)[1]):
                paint(wide, self.clip, actor, time_s, shadow=0.75)
            left = self.left_px(time_s)
            image = np.clip(wide[:, left : left + WIDTH_PX] + np.roll(grain, number, axis=1), 0, 255).astype(np.uint8)
            for bit in range(BITS):
                image[:BIT_PX, bit * BIT_PX : (bit + 1) * BIT_PX] = 255 * ((self.first + number) >> bit & 1)
            yield image

    def frames(self) -> Iterator[Frame]:
        """Frames as a video gives them that is read four times a second."""
        for number, image in enumerate(self.images(FPS // 4)):
            yield Frame(number / 4, image)

    def write(self, path: Path) -> Path:
        """As H.264."""
        write_video(path, self.images())
        return path


def truth(pans: Sequence[Pan], folder: Path, **changes: Any) -> Path:
    """A detector that knows where everybody is in these clips: a graph and its JSON, whose path is returned."""
    tables = {
        "boxes": np.zeros((1 << BITS, MOST, 4), np.float32),
        "scores": np.zeros((1 << BITS, MOST), np.float32),
        "labels": np.full((1 << BITS, MOST), -1, np.float32),
    }
    for pan in pans:
        for number in range(pan.count):
            seen = [(actor, box) for actor in pan.clip.actors if (box := pan.box(actor, number / FPS)) is not None]
            for place, (actor, box) in enumerate(seen):
                tables["boxes"][pan.first + number, place], tables["scores"][pan.first + number, place] = box, 0.9
                tables["labels"][pan.first + number, place] = COCO.index(CLASS_OF[actor.kind])
    graph = reading(folder / "truth.onnx", tables)
    values: dict[str, Any] = {"size": (HEIGHT_PX, WIDTH_PX), "outputs": "boxes", "names": tuple(tables), "units": "shares", "classes": COCO}
    return detector(graph, **{**values, **changes})


def detector(place: Path, **values: Any) -> Path:
    """Write the JSON beside a graph whose input is "x"; the path of the JSON."""
    plain: dict[str, Any] = {"name": "tiny", "graph": place.name, "sha256": sha256_of(place), "input": "x", "resize": "stretch"}
    DetectorSettings(**{**plain, **values}).write(place.with_suffix(".json"))
    return place.with_suffix(".json")


def reading(path: Path, tables: dict[str, np.ndarray]) -> Path:
    """A graph that reads the number of each frame in its upper edge and looks up what is in the tables there."""
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axes"], ["strip"]),
        helper.make_node("ReduceMean", ["strip", "rows"], ["line"], keepdims=0),
        helper.make_node("Reshape", ["line", "blocks"], ["blocked"]),
        helper.make_node("ReduceMean", ["blocked", "last"], ["bits"], keepdims=0),
        helper.make_node("Greater", ["bits", "half"], ["lit"]),
        helper.make_node("Cast", ["lit"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["ones", "powers"], ["number"]),
        helper.make_node("Cast", ["number"], ["index"], to=TensorProto.INT64),
        *(helper.make_node("Gather", [f"{name}_of", "index"], [name], axis=0) for name in tables),
    ]
    weights = {
        "from": np.array([0, 0]),
        "to": np.array([BIT_PX, BITS * BIT_PX]),
        "axes": np.array([2, 3]),
        "rows": np.array([1, 2]),
        "blocks": np.array([-1, BITS, BIT_PX]),
        "last": np.array([2]),
        "half": np.array(0.5, np.float32),
        "powers": (2.0 ** np.arange(BITS)).astype(np.float32),
        **{f"{name}_of": table for name, table in tables.items()},
    }
    outputs = {name: ["n", *table.shape[1:]] for name, table in tables.items()}
    return save(path, nodes, {"x": ["n", 3, HEIGHT_PX, WIDTH_PX]}, outputs, weights)


def crowd(seconds: float = 40.0) -> Pan:
    """A man who walks through the world, a woman who never moves, a car that passes and a dog that waits, under a turning camera."""
    drawn = sample_clip("world", "train", 7)
    looks = {kind: look(kind, colour) for kind, colour in (("man", "red"), ("woman", "yellow"), ("car", "blue"), ("dog", "black"))}
    actors = (
        along(looks["woman"], (0.0, seconds), (0.52, 0.52), 0.74),
        along(looks["man"], (0.0, 34.0), (0.05, 0.85), 0.86),
        along(looks["car"], (12.0, 20.0), (1.05, -0.05), 0.93),
        along(looks["dog"], (0.0, seconds), (0.30, 0.30), 0.80),
    )
    return Pan(replace(drawn, duration_s=seconds, actors=actors))


LOOKS = (("man", "red"), ("man", "blue"), ("woman", "yellow"), ("woman", "white"), ("car", "red"), ("car", "blue"), ("dog", "black"))


def told_of(actor: Actor) -> str:
    """A sentence that is true of a look."""
    return f"a {actor.kind} in {actor.colour}" if actor.kind in ("man", "woman") else f"a {actor.colour} {actor.kind}"


def drawn(number: int, first: int, seconds: float = 20.0) -> Pan:
    """A clip of three looks that stand, walk or pass under a camera that turns; the same number gives the same clip."""
    rng = np.random.default_rng(number)
    actors = []
    for place in rng.choice(len(LOOKS), 3, replace=False):
        actor = look(*LOOKS[place])
        foot, x = float(rng.uniform(0.70, 0.93)), float(rng.uniform(0.2, 0.8))
        if actor.kind == "car":
            start_s, forth = float(rng.uniform(0, seconds - 9)), int(rng.integers(2))
            actors.append(along(actor, (start_s, start_s + 8), ((-0.1, 1.1), (1.1, -0.1))[forth], foot))
        else:
            to = x if rng.random() < 0.4 else float(np.clip(x + rng.uniform(-0.6, 0.6), 0.05, 0.95))
            actors.append(along(actor, (0.0, seconds), (x, to), foot))
    clip = replace(sample_clip("drawn", "train", number), duration_s=seconds, actors=tuple(actors))
    return Pan(clip, sweep_px=280.0, period_s=float(rng.uniform(20, 34)), first=first)


@cache
def look(kind: str, colour: str) -> Actor:
    """An actor of this look, from the clips of `wsra demo`."""
    for seed in range(4000):
        for actor in sample_clip("look", "train", seed).actors:
            if (actor.kind, actor.colour) == (kind, colour) and not actor.bag:
                return actor
    raise ValueError(f"no {colour} {kind}")


def along(actor: Actor, times_s: tuple[float, float], x: tuple[float, float], foot: float) -> Actor:
    """The same on a straight path through the world."""
    start_s, end_s = times_s
    middle_s, middle = (start_s + end_s) / 2, (x[0] + x[1]) / 2
    stands = x[0] == x[1]
    path = ((start_s, middle_s, end_s if stands else middle_s, end_s), (x[0], middle, middle, x[1]), (foot,) * 4)
    direction = "right" if x[1] >= x[0] else "left"
    return replace(actor, start_s=start_s, end_s=end_s, path=path, direction=direction, stands=stands)
