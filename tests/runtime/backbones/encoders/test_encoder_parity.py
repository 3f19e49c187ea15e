"""Encoders of the released classes, from frames of a real H.264 file to features, against PyTorch; and compiled by TensorRT-RTX."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "torch", "onnxscript"):
    pytest.importorskip(library)

import cv2  # noqa: E402
import torch  # noqa: E402
from encoders import clip_net, encoder, exported, halved, mobilenet  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from wsra.runtime.backbones.registry import load_backbone  # noqa: E402
from wsra.runtime.extraction.batch import extract_features  # noqa: E402
from wsra.runtime.video.frames import Video  # noqa: E402

# Of the largest number: other kernels and other orders of sums.
TOLERANCE = 5e-5
# In half precision random weights lose more than trained ones; PyTorch's own half is the measure, and the graph is to be about as near.
OF_HALF = 1.5
PRECISIONS = ("fp32", "fp16")
TOLD = {"mobilenet": "MobileNetV2 of transformers, 0.35 wide, 64 x 64", "clip": "3-D convolutions, 8 frames of 32 x 32"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHARED = {"colour": "RGB", "scale": 1 / 255, "mean": MEAN, "std": STD}
IMAGE = {**SHARED, "size": (64, 64), "resize": "crop", "width": 1280, "normalise": "l2"}
CLIP = {**SHARED, "size": (32, 32), "resize": "stretch", "width": 24, "normalise": "none"}
CLIP |= {"frames": 8, "layout": "NCTHW", "sampling": "uniform"}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {"mobilenet": mobilenet(), "clip": clip_net()}


@pytest.fixture(scope="module")
def graphs(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("encoders")
    examples = {"mobilenet": torch.randn(2, 3, 64, 64), "clip": torch.randn(2, 3, 8, 32, 32)}
    made = {}
    for name, model in models.items():
        whole = exported(model, examples[name], folder / f"{name}.onnx")
        made |= {(name, "fp32"): whole, (name, "fp16"): halved(whole)}
    for (name, _), graph in made.items():
        encoder(graph, **(IMAGE if name == "mobilenet" else CLIP))
    return made


def frames_of(path: Path, *, height_px: int, frames_per_s: float) -> dict[int, list[tuple[float, NDArray[Any]]]]:
    """Frames of each second, by the definition."""
    seconds: dict[int, list[tuple[float, NDArray[Any]]]] = {}
    with Video(path, height_px=height_px, frames_per_s=frames_per_s) as video:
        for frame in video.frames():
            seconds.setdefault(int(frame.time_s + 1e-6), []).append((frame.time_s, frame.image))
    return seconds


def as_input(image: NDArray[Any], size: int, *, crop: bool) -> torch.Tensor:
    """(3, size, size), written with PyTorch but for the resizing."""
    rows, columns = image.shape[:2]
    if crop:
        image = cv2.resize(image, (round(columns * size / rows), size), interpolation=cv2.INTER_AREA)
        left = (image.shape[1] - size) // 2
        image = image[:, left : left + size]
    else:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(image[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


@torch.no_grad()
def reference(name: str, model: Any, video: Path, dtype: torch.dtype = torch.float32) -> NDArray[np.float32]:
    """Features by PyTorch, all snippets in one call, computed in `dtype`."""
    return pooled(name, model(inputs_of(name, video).to(dtype)).float())


def pooled(name: str, out: torch.Tensor) -> NDArray[np.float32]:
    """Features of the outputs of a model."""
    return (torch.nn.functional.normalize(out) if name == "mobilenet" else out.mean(dim=(2, 3, 4))).numpy()


def inputs_of(name: str, video: Path) -> torch.Tensor:
    """Every snippet of a video as an input, made with PyTorch."""
    rows = []
    count, size = (1, 64) if name == "mobilenet" else (8, 32)
    for second, frames in frames_of(video, height_px=2 * size, frames_per_s=2 * count).items():
        targets = [second + (part + 0.5) / count for part in range(count)]
        chosen = [min(frames, key=lambda frame, target=target: abs(frame[0] - target))[1] for target in targets]
        inputs = [as_input(image, size, crop=name == "mobilenet") for image in chosen]
        rows.append(inputs[0] if name == "mobilenet" else torch.stack(inputs, 1))
    return torch.stack(rows)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["mobilenet", "clip"])
def test_features_of_a_real_file_are_those_of_pytorch(
    models: dict[str, Any],
    graphs: dict[tuple[str, str], Path],
    clip_file: Path,
    name: str,
    precision: str,
    tell_parity: Callable[..., None],
) -> None:
    got = extract_features(clip_file, backbone=load_backbone(graphs[name, precision])).values
    expected = reference(name, models[name], clip_file)
    assert got.shape == expected.shape and len(got) % 16 and len(got) > 16  # a full call of images and a partial one
    assert expected.std(axis=0).max() > 20 * TOLERANCE  # seconds differ, so a wrong frame would be seen
    error = worst(got, expected)
    limit = TOLERANCE
    if precision == "fp16":
        own = worst(reference(name, copy.deepcopy(models[name]).half(), clip_file, torch.float16), expected)
        limit = OF_HALF * own
        tell_parity(TOLD[name], precision, "PyTorch's own half", f"{own:.1e}")
        from wsra.export.half import RoundedBackend

        (out,) = RoundedBackend(graphs[name, precision]).infer({"x": inputs_of(name, clip_file).numpy()}).values()
        rounded = worst(pooled(name, torch.from_numpy(out)), expected)
        tell_parity(TOLD[name], precision, "rounded to half at every node", f"{rounded:.1e}")
        assert rounded < limit
    tell_parity(TOLD[name], precision, "ONNX Runtime", f"{error:.1e}")
    assert error < limit


def worst(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("rows", [1, 5, 16, 64])
@pytest.mark.parametrize("name", ["mobilenet", "clip"])
def test_calls_of_every_size_agree(graphs: dict[tuple[str, str], Path], clip_file: Path, name: str, rows: int) -> None:
    """A call of one row, calls that leave a rest, and one that is never full; the size is fixed in the JSON, so the rest is filled up."""
    graph = graphs[name, "fp32"]
    free = extract_features(clip_file, backbone=load_backbone(graph)).values
    path = graph.with_name(f"{name}-{rows}.onnx")
    path.write_bytes(graph.read_bytes())
    encoder(path, **(IMAGE if name == "mobilenet" else CLIP), batch=rows)
    fixed = extract_features(clip_file, backbone=load_backbone(path)).values
    np.testing.assert_allclose(fixed, free, atol=TOLERANCE * np.abs(free).max())
    assert load_backbone(path).id(1.0).split("-", 1)[1] == load_backbone(graph).id(1.0).split("-", 1)[1]


@pytest.mark.trt
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["mobilenet", "clip"])
def test_tensorrt_compiles_them(
    graphs: dict[tuple[str, str], Path], tmp_path: Path, name: str, precision: str, tell_parity: Callable[..., None]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    from wsra.export.tensorrt.engine import compile_graph

    shape = (3, 64, 64) if name == "mobilenet" else (3, 8, 32, 32)
    profile = {"x": ((1, *shape), (4, *shape), (16, *shape))}
    built = compile_graph(graphs[name, precision], tmp_path / "e.plan", [profile], workspace_mb=256, timing_cache=None)
    tell_parity(TOLD[name], precision, "TensorRT-RTX", f"compiled, {built.bytes / 1e6:.2f} MB")
    assert built.bytes > graphs[name, precision].stat().st_size // 2
