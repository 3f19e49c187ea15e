from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.numpy import load_file

from tiny import SENTENCES, make_checkpoint, make_encoder
from wsra.calib.samples import Samples
from wsra.export.fp16 import to_fp16
from wsra.export.graphs import graphs_of
from wsra.export.int8 import calibrate, write_int8
from wsra.export.onnx import IR_VERSION, OPSET, onnx_from_graph
from wsra.export.precisions import Calibration
from wsra.export.publish import ExportOptions, export_bundle, newest_checkpoint
from wsra.export.reference import TorchBackend, choose_golden
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackendError, ConfigError, DataError, OutputError
from wsra.runtime.formats.bundle import open_bundle, read_manifest
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.gates import LIMITS, tensor_gate
from wsra.runtime.verification.golden import Case, read_golden
from wsra.train.data import load
from wsra.train.model import Scorer
from wsra.train.text import TextEncoder, load_encoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), epochs=16)


@pytest.fixture(scope="module")
def fp32_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; a test that changes it takes a copy."""
    out = tmp_path_factory.mktemp("fp32") / "bundle"
    export_bundle(checkpoint, out)
    return out


@pytest.fixture(scope="module", params=["bert", pytest.param("gpt2", marks=pytest.mark.full)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scorer, TextEncoder]:
    """The graphs of a scorer and an encoder in every precision."""
    folder = tmp_path_factory.mktemp(request.param)
    encoder = load_encoder(str(make_encoder(folder / "encoder", request.param)), "mean" if request.param == "bert" else "all_blocks")
    torch.manual_seed(0)
    scorer = Scorer(11, encoder.width, 16)
    scorer.normalise(torch.randn(11), torch.rand(11) + 0.5)
    scorer.normalise_text(encoder.encode(["a man", "a woman", "a red car drives past"]))
    for precision in ("fp32", "fp16"):
        (folder / precision).mkdir()
    for graph in graphs_of(scorer, encoder):
        onnx_from_graph(graph, folder / "fp32" / f"{graph.name}.onnx")
        model = onnx.load(str(folder / "fp32" / f"{graph.name}.onnx"))
        onnx.save_model(to_fp16(model, name=graph.name, wide=()), str(folder / "fp16" / f"{graph.name}.onnx"))
    ids = [encoder.tokenizer(sentence)["input_ids"] for sentence in SENTENCES]
    samples = Samples(np.random.default_rng(0).normal(size=(256, 11)).astype(np.float32), sorted(ids, key=len), "made up", [])
    calibrated = calibrate(folder / "fp32", samples)
    write_int8(calibrated, calibrated.left, folder / "int8")
    return folder, scorer, encoder


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_graph_agrees_with_pytorch_at_any_shape(exported: tuple[Path, Scorer, TextEncoder], precision: str) -> None:
    folder, scorer, encoder = exported
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 200, (3, 9))
    feeds: dict[str, list[dict[str, np.ndarray]]] = {
        "text": [{"input_ids": i, "attention_mask": np.ones_like(i)} for i in (ids[:1, :1], ids, np.resize(ids, (1, encoder.max_tokens)))],
        "keys": [{"features": rng.normal(size=(n, 11)).astype(np.float32)} for n in (1, 2, 300)],
        "scorer": [
            {"keys": rng.normal(size=(n, 16)).astype(np.float32), "text": encoder.encode(list(SENTENCES[:q])).numpy()}
            for n, q in ((1, 1), (5, 3), (300, 8))
        ],
    }
    for graph in graphs_of(scorer, encoder):
        reference = TorchBackend(graph)
        cases = [Case(one, reference.infer(one)) for one in feeds[graph.name]]
        backend = OrtBackend(folder / precision / f"{graph.name}.onnx", threads=1)
        tensors, wrong = tensor_gate(backend, cases, LIMITS[precision])
        assert wrong == [] and set(tensors) == set(graph.outputs)
        assert {name: len(spec.shape) for name, spec in backend.inputs.items()} == dict.fromkeys(graph.inputs, 2)


def test_graphs_have_the_promised_opset_names_axes_and_precision(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    folder, _, _ = exported
    for precision in ("fp32", "fp16", "int8"):
        for name, inputs in (("text", ["input_ids", "attention_mask"]), ("keys", ["features"]), ("scorer", ["keys", "text"])):
            model = onnx.load(str(folder / precision / f"{name}.onnx"))
            assert {o.version for o in model.opset_import if o.domain == ""} == {OPSET} and model.ir_version == IR_VERSION
            assert [i.name for i in model.graph.input] == inputs
            assert all(i.type.tensor_type.shape.dim[0].dim_param for i in model.graph.input)
            kinds = {i.type.tensor_type.elem_type for i in (*model.graph.input, *model.graph.output)}
            assert kinds <= {TensorProto.FLOAT, TensorProto.INT64}
            weights = {w.data_type for w in model.graph.initializer}
            assert precision == "int8" or (TensorProto.FLOAT16 in weights) == (precision == "fp16")
            assert (TensorProto.INT8 in weights) == (precision == "int8")


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    folder, _, _ = exported
    for path in folder.glob("*/*.onnx"):
        content = path.read_bytes()
        assert b"site-packages" not in content and b".py" not in content and str(Path.home()).encode() not in content


def test_feeds_are_checked_once_and_named(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    folder, _scorer, _ = exported
    with OrtBackend(folder / "fp32" / "keys.onnx") as backend:
        for feeds, message in (
            ({"feature": np.zeros((1, 11), np.float32)}, "expected .'features'."),
            ({"features": np.zeros((1, 12), np.float32)}, r"expected float32 \('snippets', 11\)"),
            ({"features": np.zeros((1, 11))}, "float64"),
            ({"features": np.zeros(11, np.float32)}, "expected float32"),
        ):
            with pytest.raises(BackendError, match=message):
                backend.infer(feeds)
    with pytest.raises(BackendError, match="not an ONNX graph"):
        OrtBackend(folder / "encoder" / "config.json")


def test_a_bundle_is_whole_and_sealed(checkpoint: Path, tmp_path: Path) -> None:
    manifest = export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(fp16=True))
    assert open_bundle(tmp_path / "bundle").manifest == manifest
    files = {p.relative_to(tmp_path / "bundle").as_posix() for p in (tmp_path / "bundle").rglob("*") if p.is_file()}
    graphs = {f"{precision}/{name}.onnx" for precision in ("fp32", "fp16") for name in ("text", "keys", "scorer")}
    sealed = graphs | {"tokenizer.json", "golden.safetensors", "scorer.safetensors", "presence.safetensors", "vocabulary.json"}
    assert set(manifest.files) == sealed
    record = f"verified/{this_device().name}.json"
    assert files == sealed | {"manifest.json", record}
    assert manifest.precisions["fp32"]["grounding"]["agreement"] == 100.0
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    # The scorer's few weights alone give the golden logits: what a kernel without a graph will need.
    weights = load_file(tmp_path / "bundle" / "scorer.safetensors")
    case = read_golden(tmp_path / "bundle" / "golden.safetensors").edges["scorer"][-1]
    text = (case.feeds["text"] - weights["text_mean"]) * weights["text_scale"]
    hidden = np.maximum(case.feeds["keys"] + (text @ weights["text.weight"].T + weights["text.bias"])[:, None], 0)
    directions = text @ weights["direction.weight"].T + weights["direction.bias"]
    directions *= weights["gain"] / np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = directions @ (case.feeds["keys"] / np.linalg.norm(case.feeds["keys"], axis=1, keepdims=True)).T
    np.testing.assert_allclose(hidden @ weights["out.weight"][0] + weights["out.bias"] + cosines, case.expected["logits"], atol=1e-4)


def test_exporting_again_adds_and_another_checkpoint_is_refused(checkpoint: Path, fp32_bundle: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(fp32_bundle, tmp_path / "bundle"))
    assert set(read_manifest(out).precisions) == {"fp32"}
    export_bundle(checkpoint, out, ExportOptions(fp16=True))
    assert set(read_manifest(out).precisions) == {"fp32", "fp16"}
    before = {path: path.read_bytes() for path in out.glob("*/*.onnx")}
    export_bundle(checkpoint, out)
    assert set(read_manifest(out).precisions) == {"fp32", "fp16"} and {p: p.read_bytes() for p in out.glob("*/*.onnx")} == before
    other = make_checkpoint(tmp_path / "other", epochs=1)
    sealed = (out / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="a bundle of another checkpoint"):
        export_bundle(other, out)
    assert (out / "manifest.json").read_bytes() == sealed
    export_bundle(other, out, ExportOptions(overwrite=True))
    assert (out / "manifest.json").read_bytes() != sealed
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists and is not a bundle"):
        export_bundle(checkpoint, tmp_path / "mine", ExportOptions(overwrite=True))


def test_calibration_that_is_not_there_is_noticed_before_the_work(
    checkpoint: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    nothing = Calibration(tmp_path / "none.jsonl", tmp_path)
    with pytest.raises(DataError, match="none.jsonl"):
        export_bundle(checkpoint, tmp_path / "bundle", ExportOptions(int8=True, calibration=nothing))
    assert logged.messages == [] and not (tmp_path / "bundle").exists()


def test_gpt2_goes_the_whole_way(gpt2_bundle_folder: Path) -> None:
    bundle = open_bundle(gpt2_bundle_folder)
    assert bundle.manifest.text["pooling"] == "all_blocks" and bundle.passed() == ["fp32", "fp16"]
    golden = read_golden(bundle.folder / "golden.safetensors")
    for precision in bundle.passed():
        grounder = Grounder.open(bundle.folder, precision=precision, threads=1)
        answer = grounder.ground(golden.videos[0], golden.sentences[0], false_alarms=np.inf)
        assert answer and all(moment.end_s > moment.start_s for moment in answer)


def test_the_papers_windows_ground_by_pooled_scores(tmp_path: Path) -> None:
    from tiny import make_run
    from wsra.train.command import train_run

    folder = train_run(make_run(tmp_path), tmp_path / "runs" / "w", ["data.seen_as=windows"], resume=False)
    manifest = export_bundle(folder, tmp_path / "bundle")
    assert (manifest.plan, manifest.span_score) == ("relative", "pooled")
    data = load(Path(load_run(folder)["data"]["val_captions"]), tmp_path / "features", seen_as="snippets")
    golden = choose_golden(data)
    moments = Grounder.open(tmp_path / "bundle").ground(golden.videos[0], "a red car", false_alarms=np.inf)
    assert len(moments) == 5 and all(0 < m.score < 1 for m in moments)


def load_run(folder: Path) -> dict[str, dict[str, str]]:
    from wsra.train.config import read_run, table_from_run

    return table_from_run(read_run(folder / "config.toml"))


def test_the_newest_checkpoint_is_found(checkpoint: Path, tmp_path: Path) -> None:
    assert newest_checkpoint(checkpoint.parent) == checkpoint
    with pytest.raises(ConfigError, match="no checkpoint under"):
        newest_checkpoint(tmp_path)


def test_too_few_captions_for_golden_data(checkpoint: Path) -> None:
    run = load_run(checkpoint)
    data = load(Path(run["data"]["val_captions"]), Path(run["data"]["features"]), seen_as="snippets")
    few = type(data)(data.captions[:1], data.values[:1], data.video_of[:1], data.backbone, data.snippet_s)
    with pytest.raises(DataError, match="do not split into a check and a calibration part"):
        choose_golden(few)


def test_torch_backend_is_the_module(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    _, scorer, encoder = exported
    backend = TorchBackend(graphs_of(scorer, encoder)[1])
    features = np.ones((2, 11), np.float32)
    with torch.no_grad():
        np.testing.assert_array_equal(backend.infer({"features": features})["keys"], scorer.keys(torch.from_numpy(features)).numpy())


def test_the_manifest_is_readable_json(fp32_bundle: Path) -> None:
    table = json.loads((fp32_bundle / "manifest.json").read_text())
    assert table["format"] == "wsra.bundle" and table["tensors"]["scorer"]["inputs"]["text"][0] == "float32"
