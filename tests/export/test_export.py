from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from safetensors.numpy import load_file

import wsra.export.pack
from tiny import make_bundle, make_checkpoint, make_encoder
from wsra.export.golden import choose_golden
from wsra.export.graphs import graphs_of
from wsra.export.half import fp16_from_onnx
from wsra.export.onnx import IR_VERSION, OPSET, onnx_from_graph
from wsra.export.pack import export_bundle, newest_checkpoint
from wsra.export.parity import LOGIT_LIMIT, SCORE_LIMIT, VECTOR_LIMIT, Edges, TorchBackend, tensor_errors
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.bundle import open_bundle, read_manifest
from wsra.runtime.errors import BackendError, ConfigError, DataError, ExportError, OutputError
from wsra.runtime.ground import Grounder
from wsra.train.data import load
from wsra.train.model import Scorer
from wsra.train.text import TextEncoder, load_encoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), epochs=16)


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scorer, TextEncoder]:
    """The graphs of a scorer and an encoder in FP32 and FP16."""
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
        fp16_from_onnx(folder / "fp32" / f"{graph.name}.onnx", folder / "fp16" / f"{graph.name}.onnx", name=graph.name)
    return folder, scorer, encoder


def edges(scorer: Scorer, encoder: TextEncoder) -> Edges:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, scorer.feature_width)).astype(np.float32)
    with torch.no_grad():
        keys = scorer.keys(torch.from_numpy(features)).numpy()
    sentences = ["a man", "the red car drives to the left", "a woman with a bag"] * 4
    ids = [encoder.tokenizer(sentence)["input_ids"] for sentence in sentences]
    return Edges(features, keys, encoder.encode(sentences).numpy(), ids, encoder.max_tokens)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_graph_agrees_with_pytorch_at_every_edge(exported: tuple[Path, Scorer, TextEncoder], precision: str) -> None:
    folder, scorer, encoder = exported
    for graph in graphs_of(scorer, encoder):
        backend = OrtBackend(folder / precision / f"{graph.name}.onnx", threads=1)
        errors = tensor_errors(graph, backend, edges(scorer, encoder), precision)
        assert set(errors) == set(graph.outputs)
        for name, error in errors.items():
            limit = {"scores": SCORE_LIMIT[precision], "logits": LOGIT_LIMIT[precision]}.get(name, VECTOR_LIMIT[precision])
            assert error <= limit
        assert {name: len(spec.shape) for name, spec in backend.inputs.items()} == dict.fromkeys(graph.inputs, 2)


def test_the_edges_really_are_edges(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    _, scorer, encoder = exported
    shapes = [feeds["input_ids"].shape for feeds in edges(scorer, encoder).cases("text")]
    assert (1, 1) in shapes and (1, encoder.max_tokens) in shapes and max(q for q, _ in shapes) == 8
    assert {feeds["keys"].shape[0] for feeds in edges(scorer, encoder).cases("scorer")} == {1, 21, 47, 1024}


def test_graphs_have_the_promised_opset_names_axes_and_precision(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    folder, _, _ = exported
    for precision in ("fp32", "fp16"):
        for name, inputs in (("text", ["input_ids", "attention_mask"]), ("keys", ["features"]), ("scorer", ["keys", "text"])):
            model = onnx.load(str(folder / precision / f"{name}.onnx"))
            assert {o.version for o in model.opset_import if o.domain == ""} == {OPSET} and model.ir_version == IR_VERSION
            assert [i.name for i in model.graph.input] == inputs
            assert all(i.type.tensor_type.shape.dim[0].dim_param for i in model.graph.input)
            kinds = {i.type.tensor_type.elem_type for i in (*model.graph.input, *model.graph.output)}
            assert kinds <= {TensorProto.FLOAT, TensorProto.INT64}
            halves = [w for w in model.graph.initializer if w.data_type == TensorProto.FLOAT16]
            assert bool(halves) == (precision == "fp16")


def test_a_damaged_weight_is_caught(exported: tuple[Path, Scorer, TextEncoder], tmp_path: Path) -> None:
    folder, scorer, encoder = exported
    model = onnx.load(str(folder / "fp32" / "keys.onnx"))
    weight = max(model.graph.initializer, key=lambda w: int(np.prod(w.dims)))
    damaged = numpy_helper.to_array(weight).copy()
    damaged.flat[7] += 0.01
    weight.CopyFrom(numpy_helper.from_array(damaged, weight.name))
    onnx.save_model(model, str(tmp_path / "keys.onnx"))
    graph = graphs_of(scorer, encoder)[1]
    with pytest.raises(ExportError, match="keys of .* is off by"):
        tensor_errors(graph, OrtBackend(tmp_path / "keys.onnx"), edges(scorer, encoder), "fp32")


def test_feeds_are_checked_once_and_named(exported: tuple[Path, Scorer, TextEncoder]) -> None:
    folder, _scorer, _ = exported
    with OrtBackend(folder / "fp32" / "keys.onnx") as backend:
        for feeds, told in (
            ({"feature": np.zeros((1, 11), np.float32)}, "expected .'features'."),
            ({"features": np.zeros((1, 12), np.float32)}, r"expected float32 \('snippets', 11\)"),
            ({"features": np.zeros((1, 11))}, "float64"),
            ({"features": np.zeros(11, np.float32)}, "expected float32"),
        ):
            with pytest.raises(BackendError, match=told):
                backend.infer(feeds)
    with pytest.raises(BackendError, match="refuses the graph"):
        OrtBackend(folder / "encoder" / "config.json")


def test_a_bundle_is_whole_and_sealed(checkpoint: Path, tmp_path: Path) -> None:
    manifest = export_bundle(checkpoint, tmp_path / "bundle", fp16=True, say=lambda _: None)
    assert open_bundle(tmp_path / "bundle").manifest == manifest
    files = {p.relative_to(tmp_path / "bundle").as_posix() for p in (tmp_path / "bundle").rglob("*") if p.is_file()}
    graphs = {f"{precision}/{name}.onnx" for precision in ("fp32", "fp16") for name in ("text", "keys", "scorer")}
    assert files == graphs | {"manifest.json", "tokenizer.json", "golden.safetensors", "scorer.safetensors"}
    assert set(manifest.files) == files - {"manifest.json"}
    measured = manifest.precisions["fp32"]
    assert measured["moments"]["same_order"] == 100.0 and measured["moments"]["queries"] > 5
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    golden = load_file(tmp_path / "bundle" / "golden.safetensors")
    check, calib = ({tuple(row) for row in golden[f"{part}/features"]} for part in ("check", "calib"))
    assert check and calib and not check & calib
    tokens = [{tuple(ids[ids != 0]) for ids in golden[f"{part}/input_ids"]} for part in ("check", "calib")]
    assert tokens[0] and tokens[1] and not tokens[0] & tokens[1]
    # The scorer's few weights alone give the golden logits: what a kernel without a graph will need.
    weights = load_file(tmp_path / "bundle" / "scorer.safetensors")
    text = (golden["check/text"][:1] - weights["text_mean"]) * weights["text_scale"]
    hidden = np.maximum(golden["check/keys"] + text @ weights["text.weight"].T + weights["text.bias"], 0)
    np.testing.assert_allclose(hidden @ weights["out.weight"][0] + weights["out.bias"], golden["check/logits"][0], atol=1e-4)


def test_exporting_again_adds_and_another_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export_bundle(checkpoint, out, say=lambda _: None)
    assert set(read_manifest(out).precisions) == {"fp32"}
    export_bundle(checkpoint, out, fp16=True, say=lambda _: None)
    assert set(read_manifest(out).precisions) == {"fp32", "fp16"}
    export_bundle(checkpoint, out, say=lambda _: None)
    assert set(read_manifest(out).precisions) == {"fp32", "fp16"}
    other = make_checkpoint(tmp_path / "other", epochs=1)
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="a bundle of another checkpoint"):
        export_bundle(other, out, say=lambda _: None)
    assert (out / "manifest.json").read_bytes() == before
    export_bundle(other, out, overwrite=True, say=lambda _: None)
    assert (out / "manifest.json").read_bytes() != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists and is no bundle"):
        export_bundle(checkpoint, tmp_path / "mine", overwrite=True, say=lambda _: None)


@pytest.mark.parametrize("failing", ["fp32", "fp16"])
def test_a_failed_check_publishes_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """A limit that no graph can meet stands for a graph that is wrong."""
    monkeypatch.setitem(VECTOR_LIMIT, failing, 0.0)
    with pytest.raises(ExportError, match=f"{failing} .* is off by"):
        export_bundle(checkpoint, tmp_path / "bundle", fp16=True, say=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_wrong_moments_publish_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = wsra.export.pack.load_graphs

    def other_keys(*arguments: object) -> dict[str, object]:
        backends = original(*arguments)  # type: ignore[arg-type]
        healthy = backends["keys"].infer
        backends["keys"].infer = lambda feeds: {"keys": healthy(feeds)["keys"][::-1]}  # type: ignore[method-assign]
        return backends  # type: ignore[return-value]

    monkeypatch.setattr(wsra.export.pack, "load_graphs", other_keys)
    monkeypatch.setattr(wsra.export.pack, "tensor_errors", lambda *_: {})
    with pytest.raises(ExportError, match="PyTorch finds .* do not deploy it"):
        export_bundle(checkpoint, tmp_path / "bundle", say=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_gpt2_goes_the_whole_way(tmp_path: Path) -> None:
    manifest = open_bundle(make_bundle(tmp_path, kind="gpt2")).manifest
    assert manifest.text["pooling"] == "all_blocks" and manifest.precisions["fp16"]["passed"]


def test_the_papers_windows_ground_by_pooled_scores(tmp_path: Path) -> None:
    from tiny import make_run
    from wsra.train.command import train_run

    folder = train_run(make_run(tmp_path), tmp_path / "runs" / "w", ["data.seen_as=windows"], resume=False)
    manifest = export_bundle(folder, tmp_path / "bundle", say=lambda _: None)
    assert (manifest.plan, manifest.span_score) == ("relative", "pooled")
    data = load(Path(load_run(folder)["data"]["val_captions"]), tmp_path / "features", seen_as="snippets")
    golden = choose_golden(data)
    moments = Grounder.open(tmp_path / "bundle").ground(golden.videos[0], "a red car")
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


def test_the_manifest_is_readable_json(checkpoint: Path, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path / "bundle", say=lambda _: None)
    table = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert table["format"] == "wsra.bundle" and table["tensors"]["scorer"]["inputs"]["text"][0] == "float32"
