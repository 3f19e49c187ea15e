"""The gates: what they let through, what they catch, and what becomes of a precision that fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

import wsra.export.precisions
from schemas import check
from tiny import SENTENCES, make_checkpoint
from wsra.calib.samples import Samples, choose_samples
from wsra.export.int8 import calibrate, int8_until_it_passes, write_int8, write_weights_alone
from wsra.export.precisions import Calibration
from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.routes import Route
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackendError, BundleError, ConfigError, DataError, ExportError
from wsra.runtime.evaluation.metrics import Figures
from wsra.runtime.formats.bundle import SCORER, Bundle, open_bundle, read_manifest, sealed_files, write_manifest
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.presence import FOUND
from wsra.runtime.kernels.choose import kernels_on_cpu
from wsra.runtime.verification.gates import LIMITS, label_gate, limits_of, tensor_gate
from wsra.runtime.verification.golden import Case, read_golden
from wsra.runtime.verification.reports import RouteReport
from wsra.runtime.verification.route_check import gate_route
from wsra.runtime.verification.verify import verify_bundle

PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture
def bundle(bundle_folder: Path, tmp_path: Path) -> Bundle:
    """A copy to damage."""
    return open_bundle(shutil.copytree(bundle_folder, tmp_path / "bundle"))


def resealed(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle as it lies in its folder now, as if it had been made so."""
    changed = Bundle(bundle.folder, replace(bundle.manifest, files=sealed_files(bundle.folder), **changes))
    write_manifest(changed.folder, changed.manifest)
    return changed


def gate(bundle: Bundle, precision: str) -> RouteReport:
    return gate_route(bundle, this_device(), Route(precision, "cpu"), read_golden(bundle.folder / "golden.safetensors"), threads=1)


def damage(path: Path, amount: float) -> None:
    """Add to one number of the largest weight of a product."""
    model = onnx.load(str(path))
    read = {name for node in model.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input}
    weight = max((w for w in model.graph.initializer if w.name in read), key=lambda w: int(np.prod(w.dims)))
    damaged = numpy_helper.to_array(weight).copy()
    damaged.flat[7] += amount
    weight.CopyFrom(numpy_helper.from_array(damaged, weight.name))
    onnx.save_model(model, str(path))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_passes_on_300_queries_or_more(bundle: Bundle, precision: str) -> None:
    report = gate(bundle, precision)
    assert report.passed and report.reason is None and report.provider == "CPUExecutionProvider"
    assert report.grounding is not None and report.tensors is not None
    # How many are answered depends a little on the number of threads that trained the bundle.
    assert report.grounding.queries >= 300 and report.grounding.answered >= 90 and report.ran
    answered, differing = report.grounding.answered, 1 - report.grounding.agreement / 100
    assert round(answered * differing) <= round((1 - LIMITS[precision].agreement / 100) * max(answered, 300))  # as many as of 300
    of_kernel = {f"{name} ({kernel})" for name in ("scores", "logits") for kernel in kernels_on_cpu()}
    assert set(report.tensors) == {"text", "keys", "scores", "logits", "words"} | of_kernel
    assert (report.tensors["text"].cosine_mean or 0.0) >= LIMITS[precision].cosine


def test_the_edges_really_are_edges(bundle: Bundle) -> None:
    golden, longest = read_golden(bundle.folder / "golden.safetensors"), bundle.manifest.text["max_tokens"]
    text = [case.feeds["input_ids"].shape for case in golden.edges["text"]]
    assert (1, 1) in text and (1, longest) in text and max(batch for batch, _ in text) == 8
    assert golden.edges["words"][0].feeds["input_ids"].shape == (8, longest)
    lengths = {1, 2, 21, 47, 255, 256, 257, 1024}  # 256 is where one profile ends and the next begins
    assert {case.feeds["keys"].shape[0] for case in golden.edges["scorer"]} == lengths
    assert {case.feeds["features"].shape[0] for case in golden.edges["keys"]} == lengths
    assert all(case.expected["scores"].max() > 0.01 for case in golden.edges["scorer"])  # where an error of phi can be seen


def test_check_and_calibration_share_nothing(bundle: Bundle) -> None:
    golden = read_golden(bundle.folder / "golden.safetensors")
    assert not set(golden.sentences) & set(golden.calibration_sentences)
    assert not {v.video for v in golden.videos} & {v.video for v in golden.calibration_videos}
    assert {tuple(row) for v in golden.videos for row in v.values}.isdisjoint(
        tuple(row) for v in golden.calibration_videos for row in v.values
    )


@pytest.mark.parametrize("graph", ["text", "keys", "scorer"])
def test_one_damaged_weight_is_caught(bundle: Bundle, graph: str) -> None:
    damage(bundle.graph("fp32", graph), 0.05)
    report = gate(bundle, "fp32")
    assert not report.passed and "the limit is" in (report.reason or "")


def test_a_damaged_half_is_caught_by_the_moments_alone(bundle: Bundle) -> None:
    """Keys of another snippet are vectors of the right size; only the moments tell."""
    golden = read_golden(bundle.folder / "golden.safetensors")
    model = onnx.load(str(bundle.graph("fp16", "keys")))
    last = model.graph.node[-1]
    out, last.output[0] = last.output[0], "unturned"
    turned = onnx.helper.make_node("Slice", ["unturned", "from", "to", "axis", "step"], [out], name="turn")
    model.graph.node.append(turned)
    for name, value in (("from", -1), ("to", -(2**62)), ("axis", 0), ("step", -1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    onnx.save_model(model, str(bundle.graph("fp16", "keys")))
    report = gate_route(bundle, this_device(), Route("fp16", "cpu"), replace(golden, edges={name: [] for name in golden.edges}), threads=1)
    assert report.tensors == {} and not report.passed and report.reason is not None and report.grounding is not None
    assert "first answers agree with PyTorch's in" in report.reason and "the worst: " in report.reason
    assert report.grounding.worst.query in golden.sentences and report.grounding.worst.iou == 0.0


def test_a_presence_that_changes_is_caught_by_the_confidences_alone(bundle: Bundle) -> None:
    """A shift of all confidences moves no moment; it is caught by what is found, and by their mean error where nothing changes sides."""
    golden = read_golden(bundle.folder / "golden.safetensors")
    assert {bool(found) for found in golden.confidence > FOUND} == {True, False}
    for intercept, message in (
        (1e6, "queries are found, or not, as by PyTorch, the limit is 99.5 %"),
        (0.1, "confidence: its mean error is"),
    ):
        shifted = replace(bundle.manifest.presence, intercept=bundle.manifest.presence.intercept + intercept)
        other = Bundle(bundle.folder, replace(bundle.manifest, presence=shifted))
        report = gate_route(other, this_device(), Route("fp32", "cpu"), golden, threads=1)
        assert not report.passed and message in (report.reason or "") and "first answers" not in (report.reason or "")
        assert report.grounding is not None and report.grounding.agreement == 100.0


def test_nan_and_shapes_are_told() -> None:
    class Wrong:
        def infer(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"keys": feeds["features"]}

    good = np.ones((2, 3), np.float32)
    bad = good.copy()
    bad[1, 1] = np.nan
    _, wrong = tensor_gate(Wrong(), [Case({"features": bad}, {"keys": good})], LIMITS["int8"])  # type: ignore[arg-type]
    assert wrong == ["keys of features (2, 3) holds NaN or infinite values"]
    _, wrong = tensor_gate(Wrong(), [Case({"features": good}, {"keys": good[:1]})], LIMITS["int8"])  # type: ignore[arg-type]
    assert wrong == ["keys of features (2, 3) is (2, 3), expected (1, 3)"]
    reports, wrong = tensor_gate(Wrong(), [Case({"features": good}, {"keys": good})], LIMITS["fp32"])  # type: ignore[arg-type]
    expected = {"max_abs": 0.0, "cosine_mean": 1.0, "cosine_min": 1.0, "relative": 0.0}
    assert wrong == [] and reports["keys"].to_json() == pytest.approx(expected) and list(reports["keys"].to_json()) == list(expected)
    _, wrong = tensor_gate(Wrong(), [Case({"features": good}, {"vectors": good})], LIMITS["fp32"])  # type: ignore[arg-type]
    assert wrong == ["the output vectors is missing; there are keys"]


def test_labelled_figures_are_judged_from_300_queries_on() -> None:
    def figures(queries: int, miou: float) -> Figures:
        return Figures(queries, 90.0, 80.0, 70.0, 95.0, 85.0, 75.0, miou)

    for precision, drop in (("fp16", 0.3), ("int8", 1.0)):
        assert label_gate(figures(300, 60.0 - drop), figures(300, 60.0), LIMITS[precision])[1] == []
        report, wrong = label_gate(figures(300, 59.99 - drop), figures(300, 60.0), LIMITS[precision])
        assert wrong and f"the limit is {drop}" in wrong[0] and report.miou_drop == pytest.approx(drop + 0.01)
        assert label_gate(figures(299, 10.0), figures(299, 60.0), LIMITS[precision])[1] == []


def test_fp32_on_a_gpu_is_held_to_what_its_products_keep() -> None:
    assert limits_of("fp32", "cpu") == LIMITS["fp32"] and limits_of("fp32", "NVIDIA Orin") == LIMITS["fp16"]
    assert limits_of("int8", "NVIDIA Orin") == LIMITS["int8"]


def test_verify_with_labels_keeps_a_record_that_auto_follows(bundle: Bundle, make_labels: Path, logged: pytest.LogCaptureFixture) -> None:
    folder = bundle.folder
    shutil.rmtree(folder / "verified", ignore_errors=True)
    reports = verify_bundle(folder, data=make_labels, features=make_labels.parent / "features", threads=1)
    assert list(reports) == list(PRECISIONS) and all(report.passed for report in reports.values())
    times_ms = {name: report.ms_per_query or 0.0 for name, report in reports.items()}
    assert min(times_ms.values()) > 0
    labelled = {name: report.grounding.labelled for name, report in reports.items() if report.grounding is not None}
    assert labelled["int8"] is not None and labelled["int8"].queries == 60
    assert labelled["fp32"] is not None and labelled["fp32"].miou_drop == 0
    assert any("60 labelled queries" in line and "reported, but cannot fail the gate" in line for line in logged.messages)
    record = json.loads(next((folder / "verified").glob("*.json")).read_text())
    assert {name: {key: value for key, value in entry.items() if key != "of"} for name, entry in record.items()} == {
        name: report.to_json() for name, report in reports.items()
    }
    chosen = Grounder.open(folder).precision
    assert times_ms[chosen] <= 1.05 * min(times_ms.values())
    with pytest.raises(ConfigError, match="give --data and --features"):
        verify_bundle(folder, data=make_labels)
    with pytest.raises(DataError, match="no query with relevant_windows"):
        empty = make_labels.with_name("none.jsonl")
        empty.write_text('{"qid": 1, "query": "a", "vid": "val0", "duration": 9, "relevant_windows": []}\n')
        verify_bundle(folder, data=empty, features=make_labels.parent / "features")


@pytest.fixture
def make_labels(tmp_path: Path) -> Path:
    """Labelled queries: where each sentence of the tiny validation videos was planted."""
    from tiny import make_run

    make_run(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "val.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["relevant_windows"] = [[(1, 7)[number % 2], (5, 11)[number % 2]]]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "labels.jsonl"


def test_what_fails_is_kept_as_rejected_and_never_chosen(bundle: Bundle, logged: pytest.LogCaptureFixture) -> None:
    damage(bundle.graph("fp16", "scorer"), 3.0)
    resealed(bundle)
    reports = verify_bundle(bundle.folder, threads=1)
    assert not reports["fp16"].passed and reports["fp32"].passed and reports["int8"].passed
    assert (bundle.folder / "fp16.rejected" / "scorer.onnx").is_file() and not (bundle.folder / "fp16").exists()
    assert any("fp16.rejected" in line for line in logged.messages)
    left = open_bundle(bundle.folder)
    assert left.passed() == ["fp32", "int8"] and left.manifest.precisions["fp16"]["reason"] == reports["fp16"].reason
    with pytest.raises(BundleError, match="fp16 failed its gate"):
        Grounder.open(bundle.folder, precision="fp16")
    assert Grounder.open(bundle.folder).precision in ("fp32", "int8")
    assert list(verify_bundle(bundle.folder, threads=1)) == ["fp32", "int8"]


def test_a_graph_that_does_not_load_fails_its_gate(bundle: Bundle) -> None:
    bundle.graph("int8", "text").write_bytes(b"nothing")
    report = gate(bundle, "int8")
    assert not report.passed and not report.ran and "not an ONNX graph" in (report.reason or "")


def test_what_cannot_run_here_is_not_rejected(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run-time error of one route leaves its files and the results of the others."""
    real = OrtBackend.infer

    def infer(self: OrtBackend, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._path.parent.name == "fp16":
            raise BackendError("out of memory")
        return real(self, feeds)

    monkeypatch.setattr(OrtBackend, "infer", infer)
    reports = verify_bundle(bundle.folder, threads=1)
    assert [reports[name].passed for name in PRECISIONS] == [True, False, True]
    assert reports["fp16"].reason == "out of memory" and (bundle.folder / "fp16" / "text.onnx").is_file()
    assert open_bundle(bundle.folder).passed() == list(PRECISIONS)
    with pytest.raises(BundleError, match="fp16: out of memory"):
        Grounder.open(bundle.folder, precision="fp16")
    assert Grounder.open(bundle.folder).precision != "fp16"


def test_an_error_while_running_is_one_line(bundle: Bundle) -> None:
    with OrtBackend(bundle.graph("fp32", "text"), threads=1) as backend:
        ids = np.full((1, 3), 10**6)
        with pytest.raises(BackendError, match=r"CPUExecutionProvider fails on input_ids \(1, 3\).* run wsra verify"):
            backend.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})


def test_words_that_no_caption_has_are_checked(bundle: Bundle) -> None:
    model = onnx.load(str(bundle.graph("fp32", "text")))
    table = max((w for w in model.graph.initializer if len(w.dims) == 2), key=lambda w: w.dims[0])
    damaged = numpy_helper.to_array(table).copy()
    golden = read_golden(bundle.folder / "golden.safetensors")
    said = {int(token) for case in golden.edges["text"] for token in case.feeds["input_ids"].ravel()}
    drawn = golden.edges["words"][0].feeds["input_ids"].ravel()
    unsaid = next(int(token) for token in drawn if int(token) not in said)
    damaged[unsaid] = np.nan
    table.CopyFrom(numpy_helper.from_array(damaged, table.name))
    onnx.save_model(model, str(bundle.graph("fp32", "text")))
    report = gate(bundle, "fp32")
    assert not report.passed and "NaN" in (report.reason or "") and report.grounding is None and "grounding" not in report.to_json()


def test_numbers_that_are_not_finite_are_no_answer(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    grounder = Grounder.open(bundle.folder, precision="fp32", threads=1)
    golden = read_golden(bundle.folder / "golden.safetensors")
    monkeypatch.setattr(grounder.scorer.kernel, "logits", lambda keys, text: np.full((len(text), len(keys)), np.nan, np.float32))
    with pytest.raises(BackendError, match="gives NaN or infinite scores for"):
        grounder.ground(golden.videos[0], golden.sentences[0])


def test_the_kernel_that_ground_takes_is_gated_beside_the_graph(bundle: Bundle) -> None:
    weights = load_file(bundle.folder / SCORER)
    save_file({**weights, "out.bias": weights["out.bias"] + np.float32(0.01)}, bundle.folder / SCORER)
    report = gate(resealed(bundle), "fp32")
    assert not report.passed and report.kernel in ("numba", "numpy") and report.tensors is not None
    for kernel in kernels_on_cpu():
        assert f"kernel {kernel}: logits: its largest error is 1.00e-02" in (report.reason or "")
    assert report.tensors["logits"].max_abs < 1e-4  # the graph itself is right


def poisoned(samples: Samples) -> Samples:
    """Features a thousand times too large, and the same token over and over."""
    return replace(samples, features=1000 * samples.features, token_ids=[[ids[0]] * len(ids) for ids in samples.token_ids])


def calibration(bundle: Bundle) -> Samples:
    golden = read_golden(bundle.folder / "golden.safetensors")
    ids = [[2, *(5 + ord(letter) % 200 for letter in word), 3] for word in " ".join(SENTENCES).split()]
    return choose_samples(golden.calibration_videos, ids, source="s")


def test_a_poisoned_calibration_set_is_caught(bundle: Bundle) -> None:
    calibrated = calibrate(bundle.folder / "fp32", poisoned(calibration(bundle)))
    write_int8(calibrated, calibrated.left, bundle.folder / "int8")
    report = gate(bundle, "int8")
    assert not report.passed and "the limit is" in (report.reason or "")


def test_the_most_sensitive_products_are_left_until_it_passes(bundle: Bundle, logged: pytest.LogCaptureFixture) -> None:
    """Poisoned features spoil the keys' only product; the gate must lead to leaving it, and the manifest must say so."""
    samples = calibration(bundle)
    calibrated = calibrate(bundle.folder / "fp32", replace(samples, features=1000 * samples.features))
    report, quantization = int8_until_it_passes(calibrated, bundle.folder / "int8", lambda: gate(bundle, "int8"), samples)
    assert report.passed, report.reason
    keys = next(reason for (graph, _), reason in quantization.left.items() if graph == "keys")
    assert "alone in INT8 it changes the logits by" in keys and "and the gate failed" in keys
    assert len(quantization.left) < quantization.products and any("INT8 fails its gate" in line for line in logged.messages)


def test_int8_that_never_passes_gives_up_with_half_of_it_left(bundle: Bundle) -> None:
    calibrated = calibrate(bundle.folder / "fp32", calibration(bundle))
    tries: list[int] = []

    def never() -> RouteReport:
        tries.append(1)
        return RouteReport(Route("int8", "cpu"), threads=1, reason="never good enough", ran=True)

    report, quantization = int8_until_it_passes(calibrated, bundle.folder / "int8", never, calibration(bundle))
    assert not report.passed and 3 <= len(tries) <= 6
    assert len(quantization.left) <= 0.5 * quantization.products


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), epochs=40)


@pytest.fixture(scope="module")
def fp32_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("fp32") / "bundle"
    export_bundle(checkpoint, out)
    return out


def test_export_publishes_what_passed_beside_what_is_rejected(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "fp16", replace(LIMITS["fp16"], vectors=0.0))
    out = tmp_path / "bundle"
    with pytest.raises(ExportError, match=r"fp16 fails its gate .* kept as .*fp16\.rejected, while fp32 can be used"):
        export_bundle(checkpoint, out, ExportOptions(fp16=True))
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["fp16.rejected", "fp32", "verified"]
    assert open_bundle(out).passed() == ["fp32"] and Grounder.open(out).precision == "fp32"
    monkeypatch.undo()
    export_bundle(checkpoint, out)  # asks for nothing new, so it does not fail
    manifest = export_bundle(checkpoint, out, ExportOptions(fp16=True))
    assert manifest.precisions["fp16"]["passed"] and not (out / "fp16.rejected").exists()


def test_fp32_that_fails_publishes_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "fp32", replace(LIMITS["fp32"], scores=0.0))
    with pytest.raises(ExportError, match="fp32 fails its gate: scores: .* nothing is published"):
        export_bundle(checkpoint, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_calibration_is_recorded_and_given_anew(
    checkpoint: Path, fp32_bundle: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    out = Path(shutil.copytree(fp32_bundle, tmp_path / "bundle"))
    export_bundle(checkpoint, out, ExportOptions(int8=True))
    first = read_manifest(out).precisions["int8"]["quantization"]
    assert first["calibration"]["source"] == "the golden data's calibration part" and first["ranges"] == "minmax"
    assert any("no --calib is given" in line for line in logged.messages) and any(
        "to calibrate on" in line for line in first["calibration"]["warnings"]
    )
    export_bundle(checkpoint, out, ExportOptions(int8=True))
    assert read_manifest(out).precisions["int8"]["quantization"] == first
    run = checkpoint.parent.parent
    given = Calibration(run / "train.jsonl", run / "features", "percentile")
    export_bundle(checkpoint, out, ExportOptions(int8=True, calibration=given))
    again = read_manifest(out).precisions["int8"]["quantization"]
    assert again["calibration"]["source"] == "train.jsonl" and again["ranges"] == "percentile"
    assert again["calibration"]["sha256"] != first["calibration"]["sha256"]
    with pytest.raises(ConfigError, match="give --calib and --features"):
        export_bundle(checkpoint, out, ExportOptions(int8=True, calibration=Calibration(run / "train.jsonl")))


def test_weights_alone_are_taken_where_they_pass_and_are_smaller(
    checkpoint: Path, fp32_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(fp32_bundle, tmp_path / "bundle"))
    export_bundle(checkpoint, out, ExportOptions(int8=True))
    taken = read_manifest(out).precisions["int8"]
    assert taken["quantization"]["recipe"] == "weights" and taken["quantization"]["left_in_fp16"] == []
    assert f"it passes the gates with {taken['bytes']} bytes of graphs" in taken["quantization"]["why"] and "integer_sums" not in taken
    check("manifest", json.loads((out / "manifest.json").read_text()))

    def spoiled(*args: Any) -> Any:
        written = write_weights_alone(*args)
        model = onnx.load(str(args[1] / "keys.onnx"))
        scale = next(node.input[1] for node in model.graph.node if node.op_type == "DequantizeLinear")
        tensor = next(one for one in model.graph.initializer if one.name == scale)
        tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), scale))
        onnx.save_model(model, str(args[1] / "keys.onnx"))
        return written

    def large(*args: Any) -> Any:
        written = write_weights_alone(*args)
        model = onnx.load(str(args[1] / "keys.onnx"))
        model.doc_string = "x" * 1_000_000
        onnx.save_model(model, str(args[1] / "keys.onnx"))
        return written

    for number, (instead, why) in enumerate(
        ((spoiled, "weights alone in INT8 fail: "), (large, "with weights alone in INT8 the graphs have"))
    ):
        monkeypatch.setattr("wsra.export.precisions.write_weights_alone", instead)
        other = Path(shutil.copytree(fp32_bundle, tmp_path / f"bundle{number}"))
        export_bundle(checkpoint, other, ExportOptions(int8=True))
        made = read_manifest(other).precisions["int8"]
        assert made["quantization"]["recipe"] == "integers" and made["quantization"]["why"].startswith(why) and made["integer_sums"]
        assert made["bytes"] > taken["bytes"]


def test_a_new_int8_that_fails_leaves_the_one_that_passed(
    checkpoint: Path, fp32_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, run = Path(shutil.copytree(fp32_bundle, tmp_path / "bundle")), checkpoint.parent.parent
    export_bundle(checkpoint, out, ExportOptions(int8=True, calibration=Calibration(run / "train.jsonl", run / "features")))
    good = (out / "int8" / "text.onnx").read_bytes()
    monkeypatch.setitem(LIMITS, "int8", replace(LIMITS["int8"], vectors=0.0))
    with pytest.raises(ExportError, match=r"int8\.rejected, while fp32, int8 can be used"):
        export_bundle(checkpoint, out, ExportOptions(int8=True, calibration=Calibration(method="percentile")))
    assert (out / "int8" / "text.onnx").read_bytes() == good and (out / "int8.rejected" / "text.onnx").is_file()
    bundle = open_bundle(out)
    assert bundle.passed() == ["fp32", "int8"] and bundle.manifest.precisions["int8"]["quantization"]["ranges"] == "minmax"
    with Grounder.open(out, precision="int8", threads=1) as grounder:  # the record of this device does not say that it failed
        assert grounder.precision == "int8"


def test_a_bundle_whose_fp32_failed_is_made_anew(
    checkpoint: Path, fp32_bundle: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    out = Path(shutil.copytree(fp32_bundle, tmp_path / "bundle"))
    damage(out / "fp32" / "keys.onnx", 0.5)
    resealed(open_bundle_unchecked(out))
    assert not verify_bundle(out)["fp32"].passed
    with pytest.raises(BundleError, match="no precision passed its gate"):
        Grounder.open(out)
    export_bundle(checkpoint, out)
    assert open_bundle(out).passed() == ["fp32"] and any("everything is exported again" in line for line in logged.messages)


def open_bundle_unchecked(folder: Path) -> Bundle:
    return Bundle(folder, read_manifest(folder))


def test_the_cpu_runs_what_the_gate_saw(bundle: Bundle) -> None:
    """A route opens the very graphs of its precision."""
    backend = Grounder.open(bundle.folder, precision="int8", threads=1).encoder.backend
    feeds = {"input_ids": np.array([[2, 7, 3]], np.int64), "attention_mask": np.ones((1, 3), np.int64)}
    expected = OrtBackend(bundle.graph("int8", "text"), threads=1).infer(feeds)["text"]
    np.testing.assert_array_equal(backend.infer(feeds)["text"], expected)
    assert wsra.export.precisions.gate_route is gate_route
