"""Models of two towers: a backbone folder, a zero-shot bundle, and a checkpoint that carries its encoder; parity with transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from towers import make_towers
from wsra.export.encoder import export_encoder
from wsra.export.half import RoundedBackend
from wsra.export.pictures import scene_pixels
from wsra.export.publish import ExportOptions
from wsra.export.tensorrt.layers import read_layers, summary
from wsra.export.zeroshot import NEUTRAL, CosineScorer, cosine_scorer, export_zero_shot
from wsra.runtime.backbones.encoders.encoder_settings import read_settings
from wsra.runtime.backbones.encoders.regions import SLOTS
from wsra.runtime.backbones.encoders.tracked import TrackedBackbone
from wsra.runtime.backbones.registry import backbone_of, load_backbone
from wsra.runtime.backbones.tracking.motion import WIDTH
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.settings import GraphSettings, RunSettings
from wsra.runtime.bench import stages
from wsra.runtime.bench.report import bench_json
from wsra.runtime.cli import app
from wsra.runtime.errors import ConfigError, ExportError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.features import read_features
from wsra.runtime.formats.manifest_checks import check_manifest
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.gates import LIMITS
from wsra.train.checkpoint import load_checkpoint
from wsra.train.command import train_run
from wsra.train.towers import Preparation, load_towers, preparation_of

SENTENCES = ["a man in a yellow shirt walks past", "a red car", "a black dog runs past the house slowly"]


@pytest.fixture(scope="module", params=["clip", pytest.param("siglip", marks=pytest.mark.full)])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_towers(tmp_path_factory.mktemp("towers") / request.param, request.param)


@pytest.fixture(scope="module")
def bundle_folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("zero") / "bundle"
    export_zero_shot(str(model), out, ExportOptions(fp16=True), regions="moving")
    return out


@pytest.fixture(scope="module")
def encoder_folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image tower in all precisions."""
    out = tmp_path_factory.mktemp("encoder") / "encoder"
    export_encoder(str(model), out, fp16=True, int8=True)
    return out


def prepared(frames: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Frames as transformers prepares them: (N, 3, height, width) float32, red first, from (N, height, width, 3) uint8, blue first."""
    values = (frames[..., ::-1] * np.float32(preparation.scale) - np.array(preparation.mean, np.float32)) / np.array(
        preparation.std, np.float32
    )
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


TOLD = {"clip": "CLIP of transformers, 2 layers, 32 x 32", "siglip": "SigLIP of transformers, 2 layers, 32 x 32"}


def test_both_towers_are_those_of_transformers(model: Path, bundle_folder: Path, tell_parity: Callable[..., None]) -> None:
    from transformers import AutoModel, AutoTokenizer

    reference: Any = AutoModel.from_pretrained(model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    padding = {"padding": "max_length", "max_length": 32} if model.name == "siglip" else {"padding": True}
    tokens = tokenizer(SENTENCES, return_tensors="pt", **padding)
    tokens = {name: tokens[name] for name in (("input_ids",) if model.name == "siglip" else ("input_ids", "attention_mask"))}
    grounder = Grounder.open(bundle_folder, precision="fp32", provider="cpu", threads=1)
    settings = read_settings(bundle_folder / "backbone.json")
    frames = scene_pixels(settings, "uint8")
    pixels = prepared(frames, load_towers(str(model)).preparation)
    with torch.no_grad():
        text = torch.nn.functional.normalize(reference.get_text_features(**tokens).pooler_output, dim=-1).numpy()
        images = reference.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output.numpy()
    np.testing.assert_allclose(grounder.encoder.encode(SENTENCES), text, atol=1e-5)
    for precision, tolerance in (("fp32", 1e-5), ("fp16", 5e-3)):
        half = Grounder.open(bundle_folder, precision=precision, provider="cpu", threads=1)
        got = OrtBackend(bundle_folder / precision / "image.onnx", threads=1).infer({"pixels": frames})["vectors"]
        of_image = np.abs(got - images).max() / np.abs(images).max()
        of_text = np.abs(half.encoder.encode(SENTENCES) - text).max() / np.abs(text).max()
        tell_parity(TOLD[model.name], precision, "ONNX Runtime", f"image {of_image:.1e}, text {of_text:.1e}")
        assert max(of_image, of_text) < tolerance
    rounded = RoundedBackend(bundle_folder / "fp16" / "image.onnx").infer({"pixels": frames})["vectors"]
    of_image = np.abs(rounded - images).max() / np.abs(images).max()
    half_text = RoundedBackend(bundle_folder / "fp16" / "text.onnx")
    ids = [np.array([grounder.encoder.token_ids(sentence)], np.int64) for sentence in SENTENCES]
    vectors = np.concatenate([half_text.infer({"input_ids": row, "attention_mask": np.ones_like(row)})["text"] for row in ids])
    of_text = np.abs(vectors - text).max() / np.abs(text).max()
    tell_parity(TOLD[model.name], "fp16", "rounded to half at every node", f"image {of_image:.1e}, text {of_text:.1e}")
    assert max(of_image, of_text) < 5e-3


def test_the_scorer_is_the_cosine_against_neutral_words() -> None:
    rng = np.random.default_rng(0)
    unit = lambda *shape: torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=shape).astype(np.float32)), dim=-1)  # noqa: E731
    neutral, text, vectors = unit(3, 8), unit(2, 8), unit(5, 2, 8)
    scorer = CosineScorer(neutral, slots=2, scale=100.0)
    logits = scorer.matrix(scorer.keys(3.0 * vectors.reshape(5, 16)), text).numpy()
    for query in range(2):
        for snippet in range(5):
            best = max(float(vectors[snippet, slot] @ text[query]) for slot in range(2))
            plain = max(float(vectors[snippet, slot] @ neutral[word]) for slot in range(2) for word in range(3))
            assert logits[query, snippet] == pytest.approx(100 * (best - plain), abs=1e-3)
    assert (scorer.feature_width, scorer.text_width, scorer.key_width) == (16, 8, 17)


def test_neutral_words_say_nothing_of_any_image(model: Path) -> None:
    towers = load_towers(str(model))
    scorer = cosine_scorer(towers, 1)
    keys = scorer.keys(torch.randn(20, towers.text.width))
    assert float(scorer.matrix(keys, towers.text.encode(list(NEUTRAL))).max()) <= 1e-4


def test_a_zero_shot_bundle_grounds_a_video_file(bundle_folder: Path, clip_file: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_folder)
    assert bundle.manifest.presence.source == "rendered scenes"  # no captions are there
    assert bundle.manifest.scorer == "cosine" and bundle.passed() == ["fp32", "fp16"]
    assert bundle.graphs == ("text", "keys", "scorer", "image")
    backbone = backbone_of(bundle)
    features = extract_features(clip_file, backbone=backbone)
    assert features.backbone == bundle.manifest.backbone and features.backbone.endswith("+moving")
    assert features.width == bundle.manifest.feature_width == SLOTS["moving"] * bundle.manifest.text_width
    answer = Grounder.open(bundle_folder, precision="fp32").answer(features, SENTENCES[0])
    text = Grounder.open(bundle_folder, precision="fp32").encoder.encode([SENTENCES[0]])[0]
    weights = load_file(bundle_folder / "scorer.safetensors")
    slots = features.values.reshape(len(features), SLOTS["moving"], -1)
    slots = slots / np.linalg.norm(slots, axis=-1, keepdims=True)
    expected = weights["scale"] * ((slots @ text).max(axis=1) - (slots @ weights["neutral"].T).max(axis=(1, 2)))
    np.testing.assert_allclose(answer.curve, expected, atol=2.0**-11 * float(weights["scale"][0]))  # two roundings of cosines to float16
    video = shutil.copy(clip_file, tmp_path)
    run = CliRunner().invoke(app, ["ground", str(video), SENTENCES[0], "-b", str(bundle_folder), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["bundle"] == str(bundle_folder) and json.loads(run.stdout)["calibration"] == "rendered scenes"
    run = CliRunner().invoke(app, ["ground", str(video), SENTENCES[0], "-b", str(bundle_folder)])
    assert "confidence was calibrated on rendered scenes" in " ".join(run.stdout.split())


def test_an_encoder_is_a_backbone(encoder_folder: Path, clip_file: Path) -> None:
    settings = read_settings(encoder_folder / "backbone.json")
    backbone = load_backbone(encoder_folder)
    features = extract_features(clip_file, backbone=backbone)
    assert features.width == settings.width and np.allclose(np.linalg.norm(features.values, axis=1), 1, atol=1e-5)
    half = extract_features(clip_file, backbone=load_backbone(encoder_folder / "fp16"))
    assert half.backbone != features.backbone  # they never mix
    assert (half.values * features.values).sum(axis=1).min() > 0.999


def test_a_model_as_transformers_5_saves_it_in_a_folder_of_any_name(model: Path, tmp_path: Path) -> None:
    """The processor is one file, with the preparation of images as a part of it."""
    folder = shutil.copytree(model, tmp_path / "My CLIP (tiny)")
    table = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": table, "processor_class": "CLIPProcessor"}))
    towers = load_towers(str(folder))
    assert towers.preparation == load_towers(str(model)).preparation
    assert towers.name == "my-clip--tiny-"


def test_an_encoder_in_int8_passes_the_gate_of_int8(
    model: Path, encoder_folder: Path, clip_file: Path, tell_parity: Callable[..., None]
) -> None:
    graph = onnx.load(str(encoder_folder / "int8" / "image.onnx"))
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph.node) > 4
    one, other = (extract_features(clip_file, backbone=load_backbone(encoder_folder / part)) for part in ("", "int8"))
    cosine = (one.values * other.values).sum(axis=1)
    tell_parity(TOLD[model.name], "int8", "ONNX Runtime", f"image: cosine {cosine.mean():.5f}, at least {cosine.min():.5f}")
    assert one.backbone != other.backbone and cosine.mean() >= LIMITS["int8"].cosine
    frames = scene_pixels(read_settings(encoder_folder / "backbone.json"), "uint8")
    plain, rounded = (
        backend.infer({"pixels": frames})["vectors"]
        for backend in (OrtBackend(encoder_folder / "image.onnx", threads=1), RoundedBackend(encoder_folder / "int8" / "image.onnx"))
    )
    cosine = (plain * rounded).sum(axis=1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(rounded, axis=1)
    said = f"image: cosine {cosine.mean():.5f}, at least {cosine.min():.5f}"
    tell_parity(TOLD[model.name], "int8", "rounded to half at every node", said)
    assert cosine.mean() >= LIMITS["int8"].cosine


@pytest.mark.trt
def test_an_encoder_is_compiled_beside_its_graphs(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    export_encoder(str(model), tmp_path / "encoder", fp16=True, int8=True, engine=True)
    for part in ("", "fp16", "int8"):
        assert (tmp_path / "encoder" / part / "image.plan").stat().st_size > 10_000
        sidecar = json.loads((tmp_path / "encoder" / part / "image.engine.json").read_text())
        assert sidecar["engine"]["graphs"]["image"]["profiles"][0]["pixels"][2] == [16, 32, 32, 3]
    made = read_layers((tmp_path / "encoder/int8/image.log").read_text())
    assert made and not [layer for layer in made if layer.overflows], summary(made)


def test_what_has_no_two_towers_or_disagrees_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny import make_encoder

    with pytest.raises(ConfigError, match="has no image tower"):
        load_towers(str(make_encoder(tmp_path / "bert", "bert")))
    bare = shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("preprocessor_config.json"))
    with pytest.raises(ConfigError, match=r"no preprocessor_config\.json"):
        load_towers(str(bare))
    with pytest.raises(ConfigError, match="missing or wrong value .'image_mean'."):
        preparation_of({"size": 224}, "x")
    monkeypatch.setitem(LIMITS, "fp32", replace(LIMITS["fp32"], vectors=0.0))
    with pytest.raises(ExportError, match="fp32 image fails its gate"):
        export_encoder(str(model), tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    ("table", "size", "crop"),
    [
        ({"crop_size": {"height": 224, "width": 200}, "size": {"shortest_edge": 256}}, (224, 200), True),
        ({"crop_size": 224, "size": 224, "do_center_crop": True}, (224, 224), True),
        ({"size": {"height": 384, "width": 384}}, (384, 384), False),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, (224, 224), False),
    ],
)
def test_preparations_of_released_models(table: dict[str, Any], size: tuple[int, int], crop: bool) -> None:
    preparation = preparation_of({**table, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255}, "x")
    assert preparation.size == size and preparation.crop == crop and preparation.scale == pytest.approx(1 / 255)


@pytest.mark.trt
def test_every_graph_of_a_zero_shot_bundle_compiles(
    model: Path, bundle_folder: Path, tmp_path: Path, tell_parity: Callable[..., None]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed (extra rtx)")
    from wsra.export.tensorrt.build import build_bundle

    copy = Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))
    for folder in build_bundle(copy, None, workspace_mb=512):
        plans = {plan.stem: plan.stat().st_size / 1e6 for plan in folder.glob("*.plan")}
        assert sorted(plans) == ["image", "keys", "scorer", "text"]
        tell_parity(TOLD[model.name], folder.name, "TensorRT-RTX", f"compiled, image {plans['image']:.2f} MB, text {plans['text']:.2f} MB")


def test_a_zero_shot_bundle_is_evaluated(bundle_folder: Path, clip_file: Path, tmp_path: Path) -> None:
    from wsra.runtime.evaluation.evaluate import EvaluationRequest, evaluate
    from wsra.runtime.formats.features import write_features

    features = extract_features(clip_file, backbone=backbone_of(open_bundle(bundle_folder)))
    rows = []
    for number, name in enumerate(("one", "two")):
        write_features(tmp_path / f"{name}.feat", replace(features, video=name))
        rows.append({"qid": number, "query": SENTENCES[number], "vid": name, "duration": features.duration_s, "relevant_windows": [[2, 8]]})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = EvaluationRequest(bundle_folder, tmp_path / "a.jsonl", "spans", features=tmp_path, settings=RunSettings(threads=1))
    report = evaluate(request)
    assert report.queries == 2 and set(report.controls) == {"chance", "prior", "shuffled"}
    # The videos are alike, so the shuffled sentences are answered as in their own video: only the places of the answers change.
    assert report.controls["shuffled"] is not None and report.controls["shuffled"]["miou"] == pytest.approx(report.result["miou"])
    grounder = Grounder.open(bundle_folder, threads=1)
    for annotation, answer in zip(report.annotations, report.answers, strict=True):
        moments = grounder.ground(features, annotation.query, top_k=10, false_alarms=np.inf)
        np.testing.assert_allclose(answer[:, :2], np.array([[m.start_s, m.end_s] for m in moments]).reshape(-1, 2))


def test_a_zero_shot_bundle_is_timed_on_a_video(bundle_folder: Path, clip_file: Path) -> None:
    request = stages.BenchRequest(clip_file, queries=SENTENCES, settings=RunSettings(threads=1), repeats=1, first_s=3.0)
    report = bench_json(stages.measure(bundle_folder, request))
    assert (report["queries"], report["snippets"], report["video_s"]) == (3, 3, 3.0)
    assert all(stage["p50_ms"] > 0 for stage in report["stages"].values()) and {"decode", "features", "scoring"} <= set(report["stages"])


@pytest.fixture(scope="module")
def tracks_folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("zero-tracks") / "bundle"
    export_zero_shot(str(model), out, ExportOptions(fp16=True), regions="tracks")
    return out


def test_a_zero_shot_bundle_over_tracks_ranks_lives_by_the_cosine_of_their_views(
    tracks_folder: Path, clip_file: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(tracks_folder)
    manifest = bundle.manifest
    assert (manifest.scorer, manifest.plan, manifest.span_score, manifest.theta) == ("cosine", "tracks", "lives", 0.0)
    assert bundle.passed() == ["fp32", "fp16"] and manifest.backbone.startswith("motion-") and manifest.backbone.endswith("+tracks")
    assert (manifest.feature_width, manifest.key_width) == (WIDTH + manifest.text_width, manifest.text_width + 1)
    features = extract_features(clip_file, backbone=backbone_of(bundle))
    assert features.backbone == manifest.backbone and features.tracks is not None and len(features.tracks) > 1
    weights = load_file(tracks_folder / "scorer.safetensors")
    vectors = features.values[:, WIDTH:].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for kernel in ("numpy", "graph", "numba"):
        grounder = Grounder.open(tracks_folder, precision="fp32", kernel=kernel, threads=1)  # type: ignore[arg-type]
        text = grounder.encoder.encode([SENTENCES[0]])[0]
        expected = weights["scale"] * (vectors @ text - (vectors @ weights["neutral"].T).max(axis=1))
        answer = grounder.answer(features, SENTENCES[0])
        np.testing.assert_allclose(answer.curve, expected, atol=2.0**-10 * float(weights["scale"][0]))
        of_track = [float(expected[features.tracks.of_row == track].max()) for track in range(len(features.tracks))]
        if max(of_track) > 0.1:
            assert answer.moments[0].track == int(np.argmax(of_track))
    run = CliRunner().invoke(app, ["verify", str(shutil.copytree(tracks_folder, tmp_path / "bundle")), "--json"])
    assert run.exit_code == 0, run.output
    assert all(entry["passed"] for entry in json.loads(run.stdout)["precisions"].values())
    video = shutil.copy(clip_file, tmp_path)
    run = CliRunner().invoke(app, ["ground", str(video), SENTENCES[0], "-b", str(tmp_path / "bundle"), "--json"])
    assert run.exit_code == 0, run.output
    for moment in json.loads(run.stdout)["moments"]:
        assert [moment["start_s"], moment["end_s"]] == pytest.approx(features.tracks.lives_s[moment["track"]].tolist(), abs=1e-3)
        assert len(moment["box"]) == 4


def test_numbers_before_the_vectors_are_of_objects_alone(tracks_folder: Path) -> None:
    manifest = open_bundle(tracks_folder).manifest
    check_manifest(manifest)
    changes: list[dict[str, Any]] = [
        {"plan": "maximal", "span_score": "additive"},
        {"key_width": manifest.key_width - 1},
        {"key_width": manifest.feature_width + 2},
    ]
    for changed in changes:
        with pytest.raises(ValueError, match=r"for a cosine scorer, a multiple of text_width|has axes"):
            check_manifest(replace(manifest, **changed))


def test_how_many_views_share_a_call_changes_an_embedding_by_rounding_alone(encoder_folder: Path, clip_file: Path) -> None:
    found = []
    for per_call in (1, 3, 16):
        backbone = load_backbone(encoder_folder, GraphSettings(threads=1), regions="tracks")
        assert isinstance(backbone, TrackedBackbone)
        backbone.encoder.per_call = per_call
        found.append(extract_features(clip_file, backbone=backbone).values)
    assert len(found[0]) > 10 and np.ptp(found[0][:, WIDTH:].astype(np.float32), axis=0).max() > 0.001
    for other in found[1:]:
        np.testing.assert_array_equal(other[:, :WIDTH], found[0][:, :WIDTH])
        np.testing.assert_allclose(other[:, WIDTH:].astype(np.float32), found[0][:, WIDTH:].astype(np.float32), atol=2e-3)


def test_a_model_trained_on_both_carries_its_encoder(tmp_path: Path) -> None:
    """extract --regions tracks, train (validated by what it learns by heart), export, ground."""
    from tiny import make_encoder
    from wsra.train.scenes.demo.render import Sizes, render_scenes

    model = make_towers(tmp_path / "model", "clip")
    list(render_scenes(tmp_path, Sizes(train=6, val=0, test=1), jobs=1))
    export_encoder(str(model), tmp_path / "encoder")
    videos = sorted(map(str, (tmp_path / "videos").glob("*.mp4")))
    features = tmp_path / "features"
    run = CliRunner().invoke(app, ["extract", *videos, "-o", str(features), "--backbone", str(tmp_path / "encoder"), "--regions", "tracks"])
    assert run.exit_code == 0, run.output
    again = [json.loads(line) for line in (tmp_path / "captions-train.jsonl").read_text().splitlines()]
    for name in {row["vid"] for row in again}:
        shutil.copy(features / f"{name}.feat", features / f"again-{name}.feat")
    (tmp_path / "captions-again.jsonl").write_text("".join(json.dumps({**row, "vid": f"again-{row['vid']}"}) + "\n" for row in again))
    make_encoder(tmp_path / "bert", "bert")
    (tmp_path / "run.toml").write_text(
        f'[data]\ncaptions = "captions-train.jsonl"\nval_captions = "captions-again.jsonl"\nfeatures = "features"\n'
        f'[text]\nencoder = "{tmp_path / "bert"}"\npooling = "mean"\n[sampling]\nfirst = 1\nlast = 1\n'
        f"[training]\nepochs = 30\nbatch = 16\nkey_width = 16\nlearning_rate = 0.003\n"
    )
    checkpoint = train_run(tmp_path / "run.toml", tmp_path / "runs" / "both", [], resume=False)
    scorer = load_checkpoint(checkpoint).scorer
    assert scorer.feature_width == WIDTH + load_towers(str(model)).text.width
    behind = scorer.feature_scale[WIDTH:]
    assert (behind > 1.0).any()  # an embedding's numbers vary by less than 1: they are scaled up
    bundle = tmp_path / "bundle"
    run = CliRunner().invoke(app, ["export", str(checkpoint), "-o", str(bundle), "--backbone", str(tmp_path / "encoder")])
    assert run.exit_code == 0, run.output
    assert open_bundle(bundle).manifest.plan == "tracks" and open_bundle(bundle).graphs == ("text", "keys", "scorer", "image")
    test_video = next(video for video in videos if "test" in Path(video).stem)
    run = CliRunner().invoke(app, ["ground", test_video, SENTENCES[0], "-b", str(bundle), "--json"])
    assert run.exit_code == 0, run.output
    made = read_features(Path(test_video).with_suffix(".feat"))
    np.testing.assert_array_equal(made.values, read_features(features / f"{Path(test_video).stem}.feat").values)
