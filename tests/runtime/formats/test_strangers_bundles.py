"""A bundle that somebody else made: resealed, so that its seal fits, and wrong in every way. One line each, and nothing outside is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.records import read_record, record_paths, write_record
from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.device import this_device
from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import Bundle, open_bundle, read_manifest, sealed_files, write_manifest
from wsra.runtime.formats.presence import KEYS, REFERENCE
from wsra.runtime.grounding.presence import read_reference
from wsra.runtime.grounding.text import QueryEncoder
from wsra.runtime.kernels.weights import read_weights

pytestmark = pytest.mark.device
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle", ignore=shutil.ignore_patterns("verified")))


def reseal(folder: Path, edit: Edit) -> None:
    """Change the manifest, whatever comes of it, and seal it again as `Manifest.dumps` does."""
    table = json.loads((folder / "manifest.json").read_text())
    del table["seal"]
    edit(table)
    seal = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({**table, "seal": seal}, indent=1) + "\n")


def test_resealing_alone_changes_nothing(bundle: Path) -> None:
    reseal(bundle, lambda _: None)
    open_bundle(bundle)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.update(plan="sometimes"), 'plan is sometimes; expected "tracks" or "peaks" or "maximal" or'),
        (lambda t: t.update(span_score=7), 'span_score is 7; expected "additive" or "pooled"'),
        (lambda t: t.update(span_score="pooled"), "plan is peaks and span_score pooled; expected relative, segments or seconds"),
        (lambda t: t.update(scorer=None), 'scorer is null; expected "trained" or "custom" or "cosine"'),
        (lambda t: t.update(scorer="cosine"), "for a cosine scorer, a multiple of text_width"),
        (lambda t: t.update(theta=float("nan")), "theta is NaN; expected a finite number"),
        (lambda t: t.update(theta=10**308 * 9), "an integer of 309 digits"),
        (lambda t: t.update(theta=True), "theta is true; expected a finite number"),
        (lambda t: t.update(snippet_s=0), "snippet_s is 0; expected seconds above 0"),
        (lambda t: t.update(snippet_s=1e300), "snippet_s is 1e+300; expected seconds above 0, at most 3600"),
        (lambda t: t.update(feature_width=0), "feature_width is 0; expected 1 to 1048576"),
        (lambda t: t.update(key_width=17), "tensors.keys.outputs.keys has axes ['snippets', 16]; expected two, the last 17"),
        (lambda t: t.update(text_width=10**12), "text_width is 1000000000000; expected 1 to 1048576"),
        (lambda t: t.update(backbone=["x"]), 'backbone is ["x"]; expected a string'),
        (lambda t: t.update(more=1), "more is unknown"),
        (lambda t: t.pop("theta"), "theta is missing"),
        (lambda t: t.update(text=[]), "text is []; expected an object"),
        (lambda t: t["text"].update(max_tokens="64"), "text.max_tokens is 64; expected a whole number"),
        (lambda t: t["text"].update(max_tokens=-1), "text.max_tokens is -1; expected 1 to 1048576"),
        (lambda t: t["text"].pop("max_tokens"), "text.max_tokens is missing"),
        (lambda t: t.update(tensors={}), "tensors.keys is missing"),
        (lambda t: t["tensors"].update(other={"inputs": {}, "outputs": {}}), "tensors.other is unknown"),
        (lambda t: t["tensors"]["keys"]["inputs"].update(features=["float8", ["n", 251]]), "tensors.keys.inputs.features[0] is float8"),
        (lambda t: t["tensors"]["keys"]["inputs"].update(features=["float32", "n"]), "features[1] is n; expected a list"),
        (lambda t: t["tensors"]["keys"].update(inputs={}), "tensors.keys.inputs are none; expected features"),
        (lambda t: t["tensors"]["scorer"]["outputs"].pop("logits"), "tensors.scorer.outputs are scores; expected scores, logits"),
        (lambda t: t["profiles"].update(image=[]), "profiles.image belongs to no graph"),
        (lambda t: t["profiles"]["keys"][0].update(features=[[1, 251], [0, 251], [256, 251]]), "a profile of keys does not fit"),
        (lambda t: t["profiles"]["keys"][0].update(features=[[1, 251]]), "a profile of keys does not fit"),
        (lambda t: t["profiles"]["keys"][0].clear(), "a profile of keys names nothing; expected features"),
        (lambda t: t["profiles"].update(keys=7), "profiles.keys is 7; expected a list"),
        (lambda t: t["precisions"].update(fp4={"passed": True}), "precisions.fp4 is unknown; expected fp32, fp16, int8"),
        (lambda t: t["precisions"]["fp32"].update(passed="yes"), "precisions.fp32.passed is yes; expected true or false"),
        (lambda t: t["precisions"].update(fp32=None), "precisions.fp32 is null; expected an object"),
        (lambda t: t["precisions"]["fp32"].update(reason=7), "precisions.fp32.reason is 7; expected a string or null"),
        (lambda t: t["precisions"]["int8"].update(quantization={}), "precisions.int8.quantization has no ranges"),
        (lambda t: t["files"].update({"../x": "0" * 64}), "files names '../x'; expected files inside the bundle"),
        (lambda t: t["files"].update({"/etc/passwd": "0" * 64}), "files names '/etc/passwd'"),
        (lambda t: t["files"].update({"fp32/../../x": "0" * 64}), "files names 'fp32/../../x'"),
        (lambda t: t["files"].update({"tokenizer.json": "0"}), "files.tokenizer.json is '0'; expected a sha256"),
        (lambda t: t["files"].pop("tokenizer.json"), "files has no digest of tokenizer.json"),
        (lambda t: t["files"].pop("golden.safetensors"), "files has no digest of golden.safetensors"),
        (lambda t: t["files"].pop("int8/keys.onnx"), "files has no digest of int8/keys.onnx"),
        (lambda t: t["files"].pop("presence.safetensors"), "files has no digest of presence.safetensors"),
        (lambda t: t.pop("presence"), "presence is missing"),
        (lambda t: t["presence"].update(source="hearsay"), "presence.source is hearsay; expected"),
        (lambda t: t["presence"].update(slope=0.0), "presence.slope is 0.0; expected a number above 0"),
        (lambda t: t["presence"].update(slope=float("nan")), "presence.slope is NaN; expected a finite number"),
        (lambda t: t["presence"].update(hours=-1.0), "presence.hours is -1.0; expected a number above 0"),
        (lambda t: t["presence"].update(scores=[0.0]), "presence has 1 scores and"),
        (lambda t: t["presence"]["scores"].sort(reverse=True), "presence.scores do not ascend"),
        (lambda t: t["presence"]["rates"].sort(), "presence.rates do not descend to a number above 0"),
        (lambda t: t["presence"]["rates"].__setitem__(-1, 0.0), "presence.rates do not descend to a number above 0"),
        (lambda t: t.update(format="wsra.feat"), "wsra.feat version 3; this wsra reads wsra.bundle version 3"),
        (lambda t: t.update(version=[]), "wsra.bundle version []"),
        (lambda t: t.pop("format"), "damaged, it has no format and version"),
    ],
)  # fmt: skip
def test_every_value_of_a_resealed_manifest_is_judged(bundle: Path, edit: Edit, message: str) -> None:
    reseal(bundle, edit)
    with pytest.raises(BundleError) as error:
        open_bundle(bundle)
    assert message in str(error.value) and "\n" not in str(error.value), str(error.value)


@pytest.mark.parametrize("text", ["[" * 50_000, "9" * 5_000, "[1]", '"x"', "", "\xff"])
def test_a_manifest_that_is_none(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["fp32/image.onnx", "backbone.json", "notes.txt", "more/x.onnx"])
def test_a_file_that_is_not_in_the_manifest_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("{}")
    with pytest.raises(BundleError, match=f"holds {name}, which is not in its manifest; move it away"):
        open_bundle(bundle)


def test_what_belongs_to_a_device_or_to_nobody_stays_allowed(bundle: Path) -> None:
    reseal(bundle, lambda table: table["precisions"]["int8"].update(passed=False))  # killed before its folder was set aside
    reseal(bundle, lambda table: [table["files"].pop(name) for name in list(table["files"]) if name.startswith("int8/")])
    for name in ("engines/orin-trt10/fp32/x.plan", "verified/x.json", "fp16.rejected/x.onnx", ".manifest.json.0123.part", ".git/config"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text("{}")
    assert open_bundle(bundle).passed() == ["fp32", "fp16"]


@pytest.mark.parametrize("name", ["scorer.safetensors", "fp32", "verified", "fp16/text.onnx"])
def test_a_link_out_of_the_bundle_is_refused(bundle: Path, name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    if (bundle / name).exists():
        shutil.move(bundle / name, outside)
    else:
        outside.mkdir()
    (bundle / name).symlink_to(outside)
    with pytest.raises(BundleError, match=f"{name} is a link out of the bundle"):
        open_bundle(bundle)


def test_links_within_a_bundle_and_to_it_are_followed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "tokenizer.json").rename(bundle / ".tokenizer")
    (bundle / "tokenizer.json").symlink_to(".tokenizer")
    (tmp_path / "link").symlink_to(bundle)
    open_bundle(tmp_path / "link")


def test_graphs_are_held_against_the_manifest(bundle: Path) -> None:
    """Another graph under the name: its inputs are not those that are fed."""
    shutil.copy2(bundle / "fp32" / "keys.onnx", bundle / "fp32" / "scorer.onnx")
    write_manifest(bundle, replace(read_manifest(bundle), files=sealed_files(bundle)))
    opened = open_bundle(bundle)
    with pytest.raises(BundleError, match=r"scorer of fp32 has inputs features, the manifest tells of keys, text; export the bundle again"):
        open_route(opened, Route("fp32", "cpu"), this_device())
    reseal(bundle, lambda t: [t["tensors"]["text"]["outputs"].update(text=["float16", ["queries", t["text_width"]]])])
    with pytest.raises(BundleError, match=r"text of text in fp32 is float32 .*, the manifest says float16"):
        open_route(open_bundle(bundle), Route("fp32", "cpu"), this_device(), graphs=["text"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("text_mean"), "no text_mean"),
        (lambda t: t.update({"text.weight": t["text.weight"].T.copy()}), r"text.weight is float32 \(32, 16\), expected float32 \(16, 32\)"),
        (lambda t: t.update({"out.weight": t["out.weight"][0]}), r"out.weight is float32 \(16,\), expected float32 \(1, 16\)"),
        (lambda t: t.update({"text.bias": t["text.bias"].astype(np.int32)}), "text.bias is int32"),
        (lambda t: t.update({"out.bias": np.array([np.nan], np.float32)}), "out.bias holds NaN"),
        (lambda t: t.update({"text_scale": np.zeros(0, np.float32)}), r"text_scale is float32 \(0,\)"),
    ],
)
def test_weights_of_other_shapes(bundle: Path, change: Edit, message: str) -> None:
    table = load_file(bundle / "scorer.safetensors")
    change(table)
    save_file(table, bundle / "scorer.safetensors")
    with pytest.raises(BundleError, match=f"does not hold the weights of a trained scorer .{message}"):
        read_weights(Bundle(bundle, read_manifest(bundle)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda keys: {}, "does not hold reference keys .*; export the bundle again"),
        (lambda keys: {KEYS: keys[:, :-1].copy()}, r"holds float16 \(\d+, 15\), expected float16 \(1 to 65536, 16\)"),
        (lambda keys: {KEYS: keys[:0]}, r"holds float16 \(0, 16\), expected float16 \(1 to 65536, 16\)"),
        (lambda keys: {KEYS: keys[0]}, r"holds float16 \(16,\), expected float16"),
        (lambda keys: {KEYS: keys.astype(np.int32)}, "holds int32 "),
        (lambda keys: {KEYS: np.full_like(keys, np.nan)}, "holds keys that are NaN or infinite"),
    ],
)
def test_reference_keys_of_presence_that_are_none(
    bundle: Path, change: Callable[[np.ndarray], dict[str, np.ndarray]], message: str
) -> None:
    path = bundle / REFERENCE
    save_file(change(load_file(path)[KEYS]), path)
    with pytest.raises(BundleError, match=message):
        read_reference(Bundle(bundle, read_manifest(bundle)))
    path.write_bytes(b"none")
    with pytest.raises(BundleError, match="does not hold reference keys"):
        read_reference(Bundle(bundle, read_manifest(bundle)))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["model"].update(vocab={"a": 7}),
        lambda t: t.update(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3]}),
        lambda t: t["post_processor"].update(special_tokens={}),
        lambda t: t.update(model=None),
        lambda t: t["model"].update(unk_token="gone"),
    ],
)
def test_a_tokenizer_that_panics_is_one_line(bundle: Path, change: Edit) -> None:
    """Its Rust code raises what is no Exception."""
    path = bundle / "tokenizer.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    with pytest.raises(BundleError, match="copy or export the bundle again"):
        QueryEncoder(path, None, max_tokens=64).token_ids("zzz a man")  # type: ignore[arg-type]


ENTRY = {"precision": "fp32", "provider_asked": "cpu", "passed": True, "reason": None, "ms_per_query": 5.0}


@pytest.mark.parametrize(
    "change",
    [
        {"ms_per_query": None},
        {"ms_per_query": "fast"},
        {"ms_per_query": float("nan")},
        {"ms_per_query": -1.0},
        {"ms_per_picture": "fast"},
        {"ms_per_picture": 0.0},
        {"passed": "no"},
        {"passed": None},
        {"reason": []},
        {"precision": "fp4"},
        {"precision": ["fp32"]},
        {"provider_asked": "../x"},
        {"of": None},
        {"of": []},
    ],
)
def test_an_entry_of_a_record_that_is_wrong_is_as_if_there_were_none(bundle: Path, change: dict[str, Any]) -> None:
    opened, device = open_bundle(bundle), this_device()
    path = write_record(opened, device, {"fp16": ENTRY | {"precision": "fp16"}, "fp32": ENTRY})
    assert path == record_paths(opened, device)[0] and read_record(opened, device).keys() == {"fp32", "fp16"}
    table = json.loads(path.read_text())
    table["fp32"] |= change
    path.write_text(json.dumps({**table, "int8": table["fp16"], "x": 7, "y": []}))  # and entries under names that are not theirs
    assert read_record(opened, device).keys() == {"fp16"}
    assert choose(opened, device) == Route("fp16", "cpu")


@pytest.mark.parametrize("text", ["[" * 50_000, "7", "[]", "\0"])
def test_a_record_that_is_none(bundle: Path, text: str) -> None:
    opened, device = open_bundle(bundle), this_device()
    path = record_paths(opened, device)[0]
    path.parent.mkdir()
    path.write_text(text)
    assert read_record(opened, device) == {}
    path.unlink()
    os.mkfifo(path)
    assert read_record(opened, device) == {} and choose(opened, device) == Route("fp32", "cpu")
