"""The vocabulary of a bundle: counted from its captions, sealed, shown by info, and what `ground` takes its notes from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from tiny import SENTENCES
from wsra.export.stock import CHECKPOINT
from wsra.export.vocabulary import carry_vocabulary, vocabulary_of
from wsra.runtime.cli import app_of
from wsra.runtime.errors import BundleError, DataError
from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.formats.bundle import open_bundle, read_manifest, write_manifest
from wsra.runtime.formats.describe import describe_vocabulary
from wsra.runtime.formats.vocabulary import VOCABULARY, read_vocabulary, vocabulary_in
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.sentences.notes import notes_on
from wsra.runtime.sentences.words import group_of
from wsra.train.checkpoint import Checkpoint, load_checkpoint
from wsra.train.scenes.cameras.look import BANDS
from wsra.train.scenes.cameras.nouns import WORDS
from wsra.train.scenes.demo.wording import _NOUNS


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app_of([arguments[0]]), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkpoint(bundle_folder: Path) -> Checkpoint:
    return load_checkpoint(bundle_folder.parent / "runs" / "tiny")


def test_words_are_counted_by_group_and_base_form() -> None:
    counted = vocabulary_of(["two men and a man", "A red car; cars drive past", "dressed in red"], source="training")
    assert counted.captions == 3 and counted.kinds == {"car": 2, "man": 2} and counted.colours == {"red": 2}
    assert counted.actions == {"drive": 1, "wear": 1} and counted.garments == {}
    assert counted.others == {"a": 2, "and": 1, "in": 1, "past": 1, "two": 1} and next(iter(counted.others)) == "a"


def test_a_bundle_has_the_vocabulary_of_its_training_captions(bundle_folder: Path) -> None:
    captions = [caption.query for caption in read_captions(bundle_folder.parent / "train.jsonl")]
    assert vocabulary_in(open_bundle(bundle_folder)) == vocabulary_of(captions, source="training")


def test_validation_captions_take_the_place_of_captions_that_are_gone(
    checkpoint: Checkpoint, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    gone = replace(checkpoint, run=replace(checkpoint.run, data=replace(checkpoint.run.data, captions=str(tmp_path / "gone.jsonl"))))
    carry_vocabulary(gone, tmp_path)
    captions = [caption.query for caption in read_captions(Path(checkpoint.run.data.val_captions))]
    assert read_vocabulary(tmp_path / VOCABULARY) == vocabulary_of(captions, source="validation")
    assert "gone.jsonl: the training captions are gone" in logged.text


def test_a_vocabulary_beside_the_weights_goes_before_captions(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(CHECKPOINT / VOCABULARY, folder)
    carry_vocabulary(replace(checkpoint, folder=folder), tmp_path)
    assert read_vocabulary(tmp_path / VOCABULARY) == read_vocabulary(CHECKPOINT / VOCABULARY)
    (folder / VOCABULARY).write_text("{}")
    with pytest.raises(BundleError, match="no format and version"):
        carry_vocabulary(replace(checkpoint, folder=folder), tmp_path)


def test_the_stock_vocabulary_is_that_of_its_training() -> None:
    stock = read_vocabulary(CHECKPOINT / VOCABULARY)
    assert stock.source == "training" and stock.captions == 25144  # as docs/stock.md says
    own = [caption.query for caption in read_captions(CHECKPOINT / "captions-val.jsonl")]
    assert not [sentence for sentence in own if notes_on(sentence, stock)]
    assert [note.words for note in notes_on("a man with a trolley", stock)] == [("trolley",)]


def test_words_of_the_scenes_stand_in_their_groups() -> None:
    named = "jacket coat shirt t-shirt pullover hoodie cardigan top dress trousers jeans skirt shorts cap bag backpack"
    garments = set(named.split())
    for name, written in WORDS["train"].items():
        for words in written:
            assert any((group_of(word) or ("",))[0] == ("garments" if name in garments else "kinds") for word in words.split()), words
    assert all((group_of(word) or ("",))[0] == "kinds" for words in _NOUNS.values() for word in words)
    assert all((group_of(word) or ("",))[0] == "colours" for colour in BANDS for word in colour.split())


def test_info_lists_the_words(bundle_folder: Path, tmp_path: Path) -> None:
    facts = json.loads(run("info", str(bundle_folder), "--vocabulary", "--json"))
    assert facts["kind"] == "vocabulary" and facts["captions"] == len(read_captions(bundle_folder.parent / "train.jsonl"))
    shown = " ".join(run("info", str(bundle_folder), "--vocabulary").split())
    first = next(iter(facts["kinds"]))
    assert f"kinds {first} {facts['kinds'][first]}, " in shown and f"others {len(facts['others'])} words" in shown
    with pytest.raises(DataError, match="not a bundle"):
        describe_vocabulary(bundle_folder.parent / "runs" / "tiny")


def test_a_changed_vocabulary_is_refused(bundle_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    place = tmp_path / "bundle" / VOCABULARY
    place.write_text(place.read_text().replace('"captions": ', '"captions": 1'))
    with pytest.raises(BundleError, match=r"vocabulary\.json changed"):
        describe_vocabulary(tmp_path / "bundle")


def test_ground_shows_each_note_once(bundle_folder: Path, tmp_path: Path) -> None:
    feats = [str(shutil.copy(bundle_folder.parent / "features" / f"val{number}.feat", tmp_path)) for number in (0, 1)]
    ask = ("-b", str(bundle_folder))
    output = run("ground", *feats, "a man without a trolley", *ask)
    assert output.count("note: ") == 2 and output.count("trolley: not in the training captions") == 1
    assert output.index("note: ") < output.index("start")
    answer = json.loads(run("ground", *feats, "a man without a trolley", *ask, "--json"))
    assert [(note["kind"], note["words"]) for note in answer["notes"]] == [("unknown", ["trolley"]), ("negation", ["without"])]
    learned = read_captions(bundle_folder.parent / "train.jsonl")[0].query
    assert "note: " not in run("ground", *feats, learned, *ask) and learned in SENTENCES


def test_notes_depend_on_what_a_moment_is(bundle_folder: Path, rows_bundle_folder: Path) -> None:
    with Grounder.open(bundle_folder) as grounder:
        [note] = grounder.notes("two men in blue")
        assert note.kind == "count" and "one of them" not in note.text
    with Grounder.open(rows_bundle_folder) as grounder:
        [note] = grounder.notes("two men in blue")
        assert note.kind == "count" and "one of them" in note.text


def test_a_bundle_without_a_vocabulary(bundle_folder: Path, tmp_path: Path) -> None:
    """As a zero-shot bundle is."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder)
    (folder / VOCABULARY).unlink()
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={name: digest for name, digest in manifest.files.items() if name != VOCABULARY}))
    assert vocabulary_in(open_bundle(folder)) is None
    with pytest.raises(DataError, match="zero-shot"):
        describe_vocabulary(folder)
    with Grounder.open(folder, provider="cpu", precision="fp32") as grounder:
        assert [note.kind for note in grounder.notes("no trolley")] == ["negation"]
