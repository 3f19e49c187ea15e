"""A video that a file names is an entry of the folder of features, and nothing else, wherever the two are joined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsra.runtime.errors import DataError, WsraError
from wsra.runtime.files.names import feat_of, is_component, is_inside
from wsra.runtime.formats.annotations import read_annotations

ODD = ["../x", "/etc/x", "a/b", "a\\b", "..", ".", "", "a\0b", "x" * 251, "\ud800"]
REAL = ["3MSZA", "10015567@N08_3655084291_d8b58466fa.mov", "-4Mlqc7PbZY_210.0_360.0", "Abuse037_x264", "名前", "x" * 250, "...", "a b\nc"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which cannot name a file; expected a name of at most 250 bytes, without / and") as error:
        feat_of(tmp_path, name, error=DataError, source="a.jsonl")
    str(error.value).encode()


@pytest.mark.parametrize("name", REAL)
def test_real_names_are_taken(name: str, tmp_path: Path) -> None:
    path = feat_of(tmp_path, name, error=DataError, source="a.jsonl")
    path.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{name}.feat"]


def test_names_of_the_real_data_sets(data_folder: Path) -> None:
    for name in ("didemo/val_data.json", "uca/UCFCrime_Val.json", "qvhighlights/highlight_val_release.jsonl", "footage/annotations.jsonl"):
        assert all(is_component(annotation.vid) for annotation in read_annotations(data_folder / name))


def test_names_within_a_bundle() -> None:
    assert all(map(is_inside, ("a", "fp32/keys.onnx", "a/b/c")))
    assert not any(map(is_inside, ("", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\\b")))


@pytest.mark.parametrize("what", ["evaluate", "train", "calib", "verify"])
def test_no_file_of_annotations_leads_out_of_the_folder(what: str, bundle_folder: Path, feat_file: Path, tmp_path: Path) -> None:
    """v.feat lies beside the folder of features."""
    features, rows = tmp_path / "features", tmp_path / "rows.jsonl"
    features.mkdir()
    assert feat_file == tmp_path / "v.feat"
    row = {"qid": "1", "query": "a cat", "vid": "../v", "duration": 12.0, "relevant_windows": [[1, 2]]}
    rows.write_text(json.dumps(row) + "\n")
    with pytest.raises(WsraError, match=r"a video '\.\./v', which cannot name a file"):
        if what == "train":
            from wsra.train.data import load

            load(rows, features, seen_as="snippets")
        elif what == "calib":
            from wsra.calib.samples import samples_from_captions

            samples_from_captions(rows, features, lambda _: [1], width=4, checked_sentences=[], checked_videos=[])
        elif what == "verify":
            from wsra.runtime.verification.route_check import read_labelled

            read_labelled(rows, features)
        else:
            from wsra.runtime.evaluation.answer_sources import BundleSource
            from wsra.runtime.grounding.grounder import Grounder

            with Grounder.open(bundle_folder) as grounder:
                BundleSource(grounder, read_annotations(rows), features, protocol="spans", plan=None, top_k=1)
