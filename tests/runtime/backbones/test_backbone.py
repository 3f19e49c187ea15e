"""The command line with an encoder, and bundles that carry one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

for library in ("av", "cv2", "onnx", "onnxruntime"):
    pytest.importorskip(library)

from encoders import encoder, halved, mean_colour  # noqa: E402
from onnx import helper  # noqa: E402

from graphs import save  # noqa: E402
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings, read_settings  # noqa: E402
from wsra.runtime.backbones.registry import MotionBackbone, backbone_of, load_backbone  # noqa: E402
from wsra.runtime.device import find_gpu  # noqa: E402
from wsra.runtime.errors import BundleError  # noqa: E402
from wsra.runtime.formats.bundle import open_bundle, read_manifest, sealed_files, write_manifest  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402

SMALL = {"size": (8, 8), "normalise": "l2", "scale": 1 / 255}


def wsra(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wsra.runtime.cli", *arguments], capture_output=True, text=True, cwd=folder, timeout=600)


def wide_encoder(graph: Path, width: int) -> Path:
    """The mean colour of a frame through a random matrix: as many numbers as a bundle wants."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0, name="mean"),
        helper.make_node("MatMul", ["m", "w"], ["y"], name="mix"),
    ]
    constants = {"axes": np.array([2, 3]), "w": np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)}
    save(graph, nodes, {"x": ["n", 3, 8, 8]}, {"y": ["n", width]}, constants)
    return encoder(graph, width=width, **SMALL)


@pytest.fixture
def place(tmp_path: Path, bundle_folder: Path, clip_file: Path) -> Path:
    """A video, a bundle that carries the encoder of its features, and that encoder by itself."""
    shutil.copy(clip_file, tmp_path / "video.mp4")
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_folder, bundle)
    manifest = read_manifest(bundle)
    path = wide_encoder(tmp_path / "encoder" / "image.onnx", manifest.feature_width)
    shutil.copy(path, bundle / "backbone.json")
    shutil.copy(path.with_suffix(".onnx"), bundle / "fp32" / "image.onnx")
    shutil.move(halved(path.with_suffix(".onnx")), bundle / "fp16" / "image.onnx")
    sealed(bundle, load_backbone(path).id(manifest.snippet_s))
    return tmp_path


def sealed(bundle: Path, backbone: str) -> None:
    """Write the manifest anew over what lies in the folder."""
    manifest = replace(read_manifest(bundle), backbone=backbone, files=sealed_files(bundle))
    write_manifest(bundle, manifest)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_ground_makes_the_features_with_the_encoder_that_the_bundle_carries(place: Path, precision: str) -> None:
    first = wsra("ground", "video.mp4", "a red car", "--precision", precision, "--json", folder=place)
    assert first.returncode == 0, first.stderr
    assert "extracting video.mp4" in first.stderr
    again = wsra("ground", "video.feat", "a red car", "--precision", precision, "--json", folder=place)
    assert first.stdout == again.stdout and json.loads(first.stdout)["precision"] == precision
    alone = wsra("extract", "video.mp4", "-o", "out", "--backbone", "encoder/image.onnx", folder=place)
    assert alone.returncode == 0, alone.stderr
    by_ground, by_extract = read_features(place / "video.feat"), read_features(place / "out" / "video.feat")
    assert by_ground.backbone == by_extract.backbone
    difference = np.abs(by_ground.values - by_extract.values).max()
    assert difference == 0 if precision == "fp32" else 0 < difference < 0.01  # the graph of the precision was run
    assert "features video.feat" in wsra("ground", "video.mp4", "a dog", folder=place).stderr


def test_regions_of_a_bundle_are_read_from_its_id(place: Path) -> None:
    settings = read_settings(place / "encoder" / "image.json")
    for regions, slots in (("grid", 5), ("moving", 3)):
        sealed(place / "bundle", load_backbone(place / "encoder" / "image.onnx", regions=regions).id(1.0))  # type: ignore[arg-type]
        backbone = backbone_of(open_bundle(place / "bundle"))
        assert backbone.width == slots * settings.width


def test_a_precision_without_an_image_graph_takes_that_of_fp32(place: Path) -> None:
    backbone = backbone_of(open_bundle(place / "bundle"), precision="int8")
    assert backbone.id(1.0) == open_bundle(place / "bundle").manifest.backbone


def test_a_bundle_over_motion_needs_no_encoder(bundle_folder: Path) -> None:
    assert isinstance(backbone_of(open_bundle(bundle_folder)), MotionBackbone)


def test_bundles_whose_features_cannot_be_made(place: Path) -> None:
    bundle = place / "bundle"
    sealed(bundle, "tiny-000000000000@1s")
    with pytest.raises(BundleError, match=r"backbone.json: makes tiny-[0-9a-f]{12}@1s, the bundle is for tiny-000000000000@1s"):
        backbone_of(open_bundle(bundle))
    for precision in ("fp32", "fp16"):
        (bundle / precision / "image.onnx").unlink()
    sealed(bundle, "tiny-000000000000@1s")
    with pytest.raises(BundleError, match="fp16/image.onnx is missing"):
        backbone_of(open_bundle(bundle), precision="fp16")
    (bundle / "backbone.json").unlink()
    sealed(bundle, "i3d")
    run = wsra("ground", "video.mp4", "a red car", folder=place)
    assert run.returncode == 1 and run.stderr.count("\n") == 1
    assert "its backbone is i3d, which wsra does not include; give a .feat file made with it" in run.stderr
    assert not (place / "video.feat").exists()


def test_extract_with_an_encoder_and_regions(place: Path) -> None:
    first = wsra("extract", "video.mp4", "-o", "out", "--backbone", "encoder/image.json", "--regions", "moving", folder=place)
    assert first.returncode == 0 and first.stdout == "out/video.feat\n", first.stderr
    features = read_features(place / "out" / "video.feat")
    assert features.backbone.endswith("@1s+moving") and features.width == 3 * read_settings(place / "encoder" / "image.json").width
    again = wsra("extract", "video.mp4", "-o", "out", "--backbone", "encoder/image.json", "--regions", "moving", folder=place)
    assert "kept, already extracted" in again.stderr


BAD = {
    "no such backbone": (["--backbone", "clip"], 1, "clip: not a backbone; expected motion, X.onnx"),
    "no JSON": (["--backbone", "bare.onnx"], 1, "bare.json: no such file"),
    "a folder without backbone.json": (["--backbone", "encoder"], 1, "encoder/backbone.json: no such file"),
    "wrong JSON": (["--backbone", "wrong.json"], 1, "wrong.json: unknown key sizes"),
    "another graph": (["--backbone", "swapped.json"], 1, "sha256 differs"),
    "regions of motion": (["--regions", "grid"], 1, "--regions grid with the motion backbone"),
    "unknown regions": (["--regions", "people"], 2, "people"),
    "unknown provider": (["--backbone", "encoder/image.json", "--provider", "openvino"], 2, "openvino"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(tmp_path: Path, clip_file: Path, case: str) -> None:
    arguments, code, message = BAD[case]
    shutil.copy(clip_file, tmp_path / "video.mp4")
    mean_colour(tmp_path / "bare.onnx")
    path = encoder(mean_colour(tmp_path / "encoder" / "image.onnx"))
    (tmp_path / "wrong.json").write_text(json.dumps(json.loads(path.read_text()) | {"sizes": 1}))
    encoder(mean_colour(tmp_path / "swapped.onnx"), sha256="0" * 64)
    run = wsra("extract", "video.mp4", "-o", "out", *arguments, folder=tmp_path)
    assert run.returncode == code and message in run.stderr and "Traceback" not in run.stderr, run.stderr
    assert run.stdout == "" and not (tmp_path / "out").exists()
    if code == 1:
        assert run.stderr.startswith("wsra: ") and run.stderr.count("\n") == 1


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU, on which it may start")
def test_a_provider_that_is_not_there_is_an_error(place: Path) -> None:
    run = wsra("extract", "video.mp4", "-o", "out", "--backbone", "encoder/image.onnx", "--provider", "cuda", folder=place)
    assert run.returncode == 1 and "cuda does not start" in run.stderr and run.stderr.count("\n") == 1


def test_the_settings_in_the_documentation_can_be_read(tmp_path: Path) -> None:
    """docs/backbones.md shows one JSON for each kind; they are written out and read."""
    text = (Path(__file__).parents[3] / "docs" / "backbones.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```json\n")[1:]]
    kinds = []
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.json").write_text(block.replace("...", "0" * 64))
        settings = read_settings(tmp_path / f"{number}.json")
        assert isinstance(settings, EncoderSettings)
        kinds.append((settings.name, settings.frames))
    assert kinds == [("clip-vit-b32", 1), ("mobilenetv2", 1), ("i3d", 16), ("clip-vit-b32-bytes", 1)]
