"""Which profile of an engine accepts the shapes of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wsra.runtime.errors import BackendError

Shape = tuple[int, ...]
Ranges = dict[str, tuple[Shape, Shape]]  # input -> smallest and largest shape


def fitting_profile(shapes: Mapping[str, Shape], profiles: Sequence[Ranges], graph: str) -> int:
    """Index of the first profile that accepts these shapes.

    Args:
        shapes: shapes of the inputs of one call.
        profiles: profiles of the engine, without inputs that have no dynamic axis.
        graph: name of the graph, for messages.

    Raises:
        BackendError: no profile accepts them; the message names a tensor, its shape and the allowed shapes.
    """
    for number, ranges in enumerate(profiles):
        if all(_inside(shapes[name], *limits) for name, limits in ranges.items()):
            return number
    names = list(profiles[0])
    never_allowed = [name for name in names if not any(_inside(shapes[name], *ranges[name]) for ranges in profiles)]
    named = never_allowed[:1] or names  # each shape may be allowed alone, but not together with the others
    wrong = " with ".join(f"{name} {shapes[name]}" for name in named)
    allowed = " or ".join(" with ".join(f"{name} {ranges[name][0]} to {ranges[name][1]}" for name in named) for ranges in profiles)
    raise BackendError(f"{graph}: fed with {wrong}; the engine takes {allowed}: feed other shapes, or build it for them")


def _inside(shape: Shape, smallest: Shape, largest: Shape) -> bool:
    return all(low <= size <= high for size, low, high in zip(shape, smallest, largest, strict=True))
