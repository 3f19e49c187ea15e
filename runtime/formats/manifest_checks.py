"""Checks of the values in a manifest beyond their types; its seal proves only that it was not changed by accident."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wsra.runtime.files.names import is_inside
from wsra.runtime.files.typed import from_table
from wsra.runtime.formats.presence import REFERENCE, check_presence

if TYPE_CHECKING:
    from wsra.runtime.formats.bundle import Manifest

GRAPHS = ("text", "keys", "scorer")  # the graphs that grounding runs
IMAGE = "image"  # the encoder of the features, in bundles that contain it
PRECISIONS = ("fp32", "fp16", "int8")
MANIFEST, TOKENIZER, GOLDEN, SCORER = "manifest.json", "tokenizer.json", "golden.safetensors", "scorer.safetensors"
WIDEST = 1 << 20  # limit for the width of a vector and the tokens of a sentence
LONGEST_S = 3600.0  # the longest snippet
_SHA256 = re.compile(r"[0-9a-f]{64}")

Dtype = Literal["float32", "float16", "float64", "bool", "int64", "int32", "int8", "uint8"]
Axes = list[int | str]


@dataclass(frozen=True)
class _Text:
    encoder: str
    pooling: str
    max_tokens: int
    sha256: str


@dataclass(frozen=True)
class _Sides:
    inputs: dict[str, tuple[Dtype, Axes]]
    outputs: dict[str, tuple[Dtype, Axes]]


@dataclass(frozen=True)
class _Tensors:
    text: _Sides
    keys: _Sides
    scorer: _Sides
    image: _Sides | None = None


@dataclass(frozen=True)
class _Gate:
    """The fields of a precision that the rest of wsra reads."""

    passed: bool
    reason: str | None = None
    quantization: dict[str, Any] | None = None


def check_manifest(manifest: Manifest) -> None:
    """Check the ranges of a manifest's values and whether they fit each other.

    Raises:
        ValueError: a value is wrong; the message names it and what was expected.
    """
    for name in ("feature_width", "text_width", "key_width"):
        _check_count(name, getattr(manifest, name))
    if not 0 < manifest.snippet_s <= LONGEST_S:
        raise ValueError(f"snippet_s is {manifest.snippet_s}; expected seconds above 0, at most {LONGEST_S:g}")
    if (manifest.span_score == "lives") != (manifest.plan == "tracks"):
        raise ValueError(f"plan is {manifest.plan} and span_score {manifest.span_score}; expected tracks together with lives, or neither")
    if manifest.span_score == "pooled" and manifest.plan in ("peaks", "maximal"):
        raise ValueError(f"plan is {manifest.plan} and span_score pooled; expected relative, segments or seconds")
    check_presence(manifest.presence)
    _check_count("text.max_tokens", from_table(_Text, manifest.text, "text").max_tokens)
    sides = _checked_tensors(manifest)
    _check_profiles(manifest, sides)
    _check_precisions(manifest.precisions)
    _check_files(manifest)


def _check_count(name: str, value: int) -> None:
    if not 1 <= value <= WIDEST:
        raise ValueError(f"{name} is {value}; expected 1 to {WIDEST}")


def _checked_tensors(manifest: Manifest) -> dict[str, _Sides]:
    """Inputs and outputs of each graph, once those that grounding uses have the widths of the bundle."""
    tensors = from_table(_Tensors, manifest.tensors, "tensors")
    ids, text = {"input_ids": None, "attention_mask": None}, {"text": manifest.text_width}
    keys = {"keys": manifest.key_width}
    expected: tuple[tuple[str, _Sides, Mapping[str, int | None], Mapping[str, int | None]], ...] = (
        ("text", tensors.text, ids, text),
        ("keys", tensors.keys, {"features": manifest.feature_width}, keys),
        ("scorer", tensors.scorer, keys | text, {"scores": None, "logits": None}),
    )
    for graph, sides, inputs, outputs in expected:
        for side, found, widths in (("inputs", sides.inputs, inputs), ("outputs", sides.outputs, outputs)):
            if found.keys() != widths.keys():
                raise ValueError(f"tensors.{graph}.{side} are {', '.join(found) or 'none'}; expected {', '.join(widths)}")
            for name, (_, axes) in found.items():
                width = widths[name]
                if len(axes) != 2 or (width is not None and axes[1] != width):
                    raise ValueError(f"tensors.{graph}.{side}.{name} has axes {axes}; expected two{f', the last {width}' if width else ''}")
    if manifest.scorer == "cosine":
        _check_cosine(manifest)
    image = {IMAGE: tensors.image} if tensors.image else {}
    return {"text": tensors.text, "keys": tensors.keys, "scorer": tensors.scorer, **image}


def _check_cosine(manifest: Manifest) -> None:
    """A key is the vectors of a row and one more number; rows of objects have further numbers before their vectors."""
    vectors, features = manifest.key_width - 1, manifest.feature_width
    if vectors % manifest.text_width or not (features == vectors or (manifest.span_score == "lives" and features > vectors > 0)):
        raise ValueError(
            f"feature_width is {features} and key_width {manifest.key_width}; expected, for a cosine scorer, a multiple of text_width"
            f" ({manifest.text_width}) and that plus one; only features of objects may be wider"
        )


def _check_profiles(manifest: Manifest, graphs: Mapping[str, _Sides]) -> None:
    """The libraries that build engines check little of this, and a sentence longer than the position table would read past its end."""
    longest = {"text": int(manifest.text["max_tokens"])}
    for graph, profiles in manifest.profiles.items():
        if graph not in graphs:
            raise ValueError(f"profiles.{graph} belongs to no graph; expected {', '.join(graphs)}")
        inputs = graphs[graph].inputs
        for profile in profiles:
            if profile.keys() != inputs.keys():
                raise ValueError(f"a profile of {graph} names {', '.join(profile) or 'nothing'}; expected {', '.join(inputs)}")
            for name, shapes in profile.items():
                _check_shapes(f"a profile of {graph} does not fit ({name} is {shapes}", shapes, inputs[name][1], longest.get(graph, WIDEST))


def _check_shapes(prefix: str, shapes: list[list[int]], axes: Axes, longest: int) -> None:
    if len(shapes) != 3 or any(len(shape) != len(axes) for shape in shapes):
        raise ValueError(f"{prefix}; expected smallest, usual and largest of {len(axes)} axes)")
    for axis, low, usual, high in zip(axes, *shapes, strict=True):
        if not 1 <= low <= usual <= high or (isinstance(axis, int) and {low, high} != {axis}):
            raise ValueError(f"{prefix}; expected smallest, usual and largest, in order, of {axes})")
    if shapes[2][-1] > longest:
        raise ValueError(f"{prefix}; the encoder accepts {longest} tokens)")


def _check_precisions(precisions: Mapping[str, Mapping[str, Any]]) -> None:
    if unknown := precisions.keys() - set(PRECISIONS):
        raise ValueError(f"precisions.{min(unknown)} is unknown; expected {', '.join(PRECISIONS)}")
    for name, entry in precisions.items():
        known = {key: value for key, value in entry.items() if key in _Gate.__dataclass_fields__}
        gate = from_table(_Gate, known, f"precisions.{name}")
        if gate.quantization is not None and not isinstance(gate.quantization.get("ranges"), str):
            raise ValueError(f"precisions.{name}.quantization has no ranges; expected the method of calibration")


def _check_files(manifest: Manifest) -> None:
    for name, digest in manifest.files.items():
        if not is_inside(name):
            raise ValueError(f"files names {name!r}; expected files inside the bundle")
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"files.{name} is {digest!r}; expected a sha256")
    passed = [name for name, entry in manifest.precisions.items() if entry["passed"]]
    needed = [TOKENIZER, SCORER, GOLDEN, REFERENCE, *(f"{precision}/{graph}.onnx" for precision in passed for graph in manifest.tensors)]
    if missing := [name for name in needed if name not in manifest.files]:
        raise ValueError(f"files has no digest of {missing[0]}")
