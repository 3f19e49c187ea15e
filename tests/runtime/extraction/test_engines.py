"""Videos through engines: `--provider engine` against `--provider cpu`, with ONNX Runtime behind the signatures of TensorRT."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "onnx", "onnxruntime", "torch", "transformers"):
    pytest.importorskip(library)

import trt_on_ort  # noqa: E402
from pictures import bright_detector  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from towers import make_towers  # noqa: E402
from wsra.export.encoder import export_encoder  # noqa: E402
from wsra.export.tensorrt.profiles import picture_profile  # noqa: E402
from wsra.runtime.backbones.detectors.settings import read_detector  # noqa: E402
from wsra.runtime.backbones.encoders.encoder_settings import read_settings  # noqa: E402
from wsra.runtime.cli import app  # noqa: E402
from wsra.runtime.formats.features import Features, read_features  # noqa: E402

HALF = 0.999  # least cosine between features of FP32 and FP16


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    export_encoder(str(make_towers(folder / "clip", "clip")), folder / "encoder", fp16=True)
    return folder / "encoder"


@pytest.fixture
def footage(data_folder: Path) -> Path:
    return data_folder / "footage" / "car-detection.mp4"


def with_plans(folder: Path, to: Path, *, rows: tuple[int, int, int] | None = None) -> Path:
    """A copy of an encoder's or a detector's folder in which every graph has a plan."""
    shutil.copytree(folder, to)
    for path in (*to.rglob("backbone.json"), *to.rglob("detector.json")):
        settings: Any = read_settings(path) if path.name == "backbone.json" else read_detector(path)
        ((name, shapes),) = picture_profile(settings).items()
        sizes = tuple((count, *shapes[0][1:]) for count in rows) if rows else shapes
        trt_on_ort.build(path.parent / settings.graph, [{name: sizes}])  # type: ignore[dict-item]
    return to


def extracted(video: Path, out: Path, *options: str) -> tuple[Features, str]:
    run = CliRunner().invoke(app, ["extract", str(video), "-o", str(out), *options])
    assert run.exit_code == 0, run.output
    return read_features(out / f"{video.stem}.feat"), run.output


@pytest.mark.parametrize(("regions", "precision"), [("whole", ""), ("grid", "fp16"), ("tracks", "fp16")])
def test_an_encoder_on_its_engine_makes_the_features_of_the_cpu(
    encoder_folder: Path, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regions: str, precision: str
) -> None:
    engines = trt_on_ort.install(monkeypatch)
    folder = with_plans(encoder_folder, tmp_path / "encoder")
    chosen = ["--regions", regions, "--backbone"]
    plain, _ = extracted(footage, tmp_path / "cpu", *chosen, str(folder / precision))
    found, said = extracted(footage, tmp_path / "engine", *chosen, str(folder / precision), "--provider", "engine")
    assert found.backbone == plain.backbone and len(found) == len(plain) > 3
    np.testing.assert_allclose(found.values.astype(np.float32), plain.values.astype(np.float32), atol=2e-3)
    single, _ = extracted(footage, tmp_path / "fp32", *chosen, str(folder))
    width = read_settings(folder / "backbone.json").width
    one, other = (features.values.astype(np.float32)[:, -width:] for features in (found, single))
    cosines = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > HALF
    (engine,) = engines
    counts = [shape[0] for shape in engine.shapes]
    assert all(shape[1:] == (32, 32, 3) for shape in engine.shapes)
    assert all(count == 16 for count in counts[:-1]) and 1 <= counts[-1] <= 16  # calls are full except the last one
    assert "the encoder waited" in said and "is the bound" in said


@pytest.mark.parametrize(("rows", "expected"), [((1, 4, 7), 7), ((3, 3, 3), 3), ((30, 32, 64), 64)])
def test_calls_are_as_large_as_the_profile_and_never_larger(
    encoder_folder: Path, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: tuple[int, int, int], expected: int
) -> None:
    engines = trt_on_ort.install(monkeypatch)
    folder = with_plans(encoder_folder, tmp_path / "encoder", rows=rows)
    plain, _ = extracted(clip_file, tmp_path / "cpu", "--backbone", str(folder), "--regions", "grid")
    found, _ = extracted(clip_file, tmp_path / "engine", "--backbone", str(folder), "--regions", "grid", "--provider", "engine")
    np.testing.assert_allclose(found.values, plain.values, atol=1e-5)
    pictures, counts = 5 * len(plain), [shape[0] for shape in engines[0].shapes]
    full, rest = divmod(pictures, expected)
    assert counts == [expected] * full + [max(rest, rows[0])] * bool(rest)  # the last call is filled up to the smallest shape


def test_a_detector_on_its_engine_finds_what_the_cpu_finds(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = trt_on_ort.install(monkeypatch)
    folder = with_plans(bright_detector(tmp_path / "made"), tmp_path / "detector")
    plain, _ = extracted(footage, tmp_path / "cpu", "--detector", str(folder))
    found, said = extracted(footage, tmp_path / "engine", "--detector", str(folder), "--provider", "engine")
    assert len(plain) >= 29 and "the detector waited" in said
    np.testing.assert_array_equal(found.values, plain.values)
    counts = [shape[0] for shape in engines[0].shapes]
    assert all(count == 8 for count in counts[:-1]) and engines[0].shapes[0][1:] == (64, 64, 3)


def test_without_a_plan_one_line_says_how_to_build_it(encoder_folder: Path, clip_file: Path, tmp_path: Path) -> None:
    arguments = ["extract", str(clip_file), "-o", str(tmp_path / "out"), "--backbone", str(encoder_folder), "--provider", "engine"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code != 0 and "its engine cannot run here (there is no GPU" in str(refused.exception)
    accepted = CliRunner().invoke(app, [*arguments, "--allow-fallback"])
    assert accepted.exit_code == 0 and "until then ONNX Runtime runs it on the CPU" in accepted.output.replace("\n", " ")
    assert "--allow-fallback" not in accepted.output


def test_build_compiles_an_encoder_in_all_its_precisions_and_keeps_plans_that_fit(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsra.export.tensorrt import folders

    trt_on_ort.install(monkeypatch)
    monkeypatch.setattr(folders, "this_device", lambda **_: trt_on_ort.DEVICE)
    folder, built = shutil.copytree(encoder_folder, tmp_path / "encoder"), []

    def build_onnx(graph: Path, plan: Path, profiles: list[Any], **_: Any) -> None:
        built.append(plan)
        trt_on_ort.build(graph, profiles)

    monkeypatch.setattr(folders, "build_onnx", build_onnx)
    plans = [folder / "image.plan", folder / "fp16" / "image.plan"]
    for options, expected in (([], plans), ([], []), (["--overwrite"], plans)):
        built.clear()
        run = CliRunner().invoke(app, ["build", str(folder), *options])
        assert run.exit_code == 0, run.output
        assert built == expected and [line for line in run.stdout.split("\n") if line.endswith(".plan")] == [str(plan) for plan in plans]
    sidecar = json.loads((folder / "fp16" / "image.engine.json").read_text())
    assert sidecar["engine"]["graphs"]["image"]["profiles"] == [{"pixels": [[1, 32, 32, 3], [16, 32, 32, 3], [16, 32, 32, 3]]}]
