from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from objects import object_features
from safetensors.torch import load_file

from tiny import make_checkpoint, make_encoder, make_rows_run, make_run
from wsra.runtime.errors import ConfigError, DataError, OutputError, WsraError
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.formats.features import read_features, write_features
from wsra.train.checkpoint import load_checkpoint
from wsra.train.command import train_run
from wsra.train.config import read_run
from wsra.train.data import load
from wsra.train.loop import has_collapsed
from wsra.train.model import Scorer
from wsra.train.run import permuted, prepare, train
from wsra.train.spans import SpanObjective, shares_inside
from wsra.train.stored import SeenAs
from wsra.train.text import cached_vectors, load_encoder, minilm_folder


def test_keys_are_affine_so_that_windows_can_be_pooled() -> None:
    scorer = Scorer(5, 4, 8)
    scorer.normalise(torch.randn(5), torch.tensor([1.0, 2.0, 0.0, 3.0, 1e-9]))
    rows = torch.randn(7, 5)
    torch.testing.assert_close(scorer.keys(rows).mean(dim=0), scorer.keys(rows.mean(dim=0)), atol=1e-5, rtol=1e-4)


def test_every_sentence_ranks_snippets_in_its_own_way() -> None:
    torch.manual_seed(0)
    scorer = Scorer(5, 4, 16)
    orders = scorer.logits(scorer.keys(torch.randn(20, 5))[None], 3 * torch.randn(6, 1, 4)).argsort(dim=1)
    assert len({tuple(order.tolist()) for order in orders}) > 1  # a single layer would rank alike for all


def test_training_learns_which_sentence_belongs_to_which_video(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, epochs=16)
    rows = read_metrics(folder)
    assert max(row["val_match"] for row in rows) > 70 and rows[-1]["val_loss"] < rows[0]["val_loss"]
    assert {"attended", "open_gates", "val_attended", "val_open_gates", "collapsed"} <= rows[-1].keys()
    checkpoint = load_checkpoint(folder)
    assert checkpoint.run == read_run(folder / "config.toml") and checkpoint.scorer.key_width == 16
    assert sorted(p.name for p in folder.iterdir()) == ["config.toml", "curves.png", "last.safetensors", "metrics.csv", "model.safetensors"]


def test_the_same_seed_gives_the_same_weights_also_when_resumed(tmp_path: Path) -> None:
    path = make_run(tmp_path, epochs=4)
    whole = train_run(path, tmp_path / "runs" / "whole", [], resume=False)
    half = train_run(path, tmp_path / "runs" / "half", ["training.epochs=2"], resume=False)
    train_run(path, half, [], resume=True)
    for name in ("model.safetensors", "last.safetensors"):
        first, second = load_file(whole / name), load_file(half / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert read_metrics(whole) == read_metrics(half)


def test_a_run_is_not_overwritten_and_nothing_is_resumed_from_nothing(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    with pytest.raises(ConfigError, match="no last.safetensors to resume from"):
        train_run(path, tmp_path / "runs" / "a", [], resume=True)
    train_run(path, tmp_path / "runs" / "a", [], resume=False)
    with pytest.raises(OutputError, match="already holds a run"):
        train_run(path, tmp_path / "runs" / "a", [], resume=False)


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    folder = train_run(path, tmp_path / "runs" / "a", [], resume=False)
    for setting in ("training.key_width=8", "loss.margin=0.3", "training.seed=5"):
        with pytest.raises(ConfigError, match=setting.split("=")[0]):
            train_run(path, folder, [setting], resume=True)


def test_windows_as_the_paper_sees_them(tmp_path: Path) -> None:
    folder = train_run(make_run(tmp_path), tmp_path / "runs" / "w", ["data.seen_as=windows"], resume=False)
    run = load_checkpoint(folder).run
    data = load(Path(run.data.captions), Path(run.data.features), seen_as="windows")
    assert {len(values) for values in data.values} == {47}


def test_times_in_captions_are_never_read(tmp_path: Path) -> None:
    path = make_run(tmp_path)
    plain = train_run(path, tmp_path / "runs" / "plain", [], resume=False)
    for name in ("train.jsonl", "val.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        text = "".join(json.dumps({**row, "relevant_windows": [["no", "time"]]}) + "\n" for row in rows)
        (tmp_path / name).write_text(text)
    other = train_run(path, tmp_path / "runs" / "other", [], resume=False)
    first, second = load_file(plain / "model.safetensors"), load_file(other / "model.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)


def epoch(association: float, foreground: float, background: float) -> dict[str, float]:
    return {"val_association": association, "val_foreground_phi": foreground, "val_background_phi": background}


def test_collapse_is_a_foreground_that_other_sentences_find_too() -> None:
    good, bad, slow = epoch(0.1, 0.9, 0.4), epoch(0.446, 0.63, 0.24), epoch(0.499, 0.41, 0.4)  # bad: planted, background weight 1
    assert has_collapsed([good, bad, bad, bad], 0.5)
    assert not has_collapsed([slow, slow, slow], 0.5)
    assert not has_collapsed([bad, bad], 0.5) and not has_collapsed([bad, bad, good], 0.5)


def test_a_small_margin_that_is_reached_is_no_collapse() -> None:
    assert not has_collapsed([epoch(0.0, 0.9, 0.1)] * 3, 0.1)
    assert has_collapsed([epoch(0.09, 0.9, 0.1)] * 3, 0.1)


def test_a_collapse_really_happens_and_is_reported(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    settings = ["loss.background=50", "loss.association=0.1", "loss.instance=0.1", "loss.contrast=0", "loss.temperature=0.05"]
    folder = train_run(make_run(tmp_path, epochs=8), tmp_path / "runs" / "c", [*settings, "training.seed=2"], resume=False)
    # How it goes on afterwards differs from machine to machine: some runs climb out in the end.
    assert any(row["collapsed"] for row in read_metrics(folder))
    assert "attention has settled on the background" in logged.text


def test_the_skyline_reads_spans_and_the_permuted_control_deals_captions_anew(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, epochs=3))
    prepared = prepare(run, tmp_path / "cache")
    spans = tmp_path / "spans.jsonl"
    rows = [json.loads(line) for name in ("train", "val") for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    spans.write_text("".join(json.dumps({**row, "relevant_windows": [[1.0, 2.5]]}) + "\n" for row in rows))
    annotations = read_annotations(spans)
    inside = [shares_inside(data, annotations) for data, _ in (prepared.train, prepared.val)]
    assert inside[0][0][:4].tolist() == [0.0, 1.0, 0.5, 0.0]
    objective, val_objective = (SpanObjective(shares, run.sampling) for shares in inside)
    figures = train(run, tmp_path / "sky", prepared, objective=objective, val_objective=val_objective)
    assert figures[-1]["loss"] < figures[0]["loss"]
    shuffled = permuted(prepared, 1).train[0]
    assert sorted(shuffled.video_of.tolist()) == sorted(prepared.train[0].video_of.tolist())
    assert shuffled.video_of.tolist() != prepared.train[0].video_of.tolist()


def spans_of(folder: Path, windows: list[list[float]]) -> list[Annotation]:
    """The same spans for every training caption."""
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    (folder / "spans.jsonl").write_text("".join(json.dumps({**row, "relevant_windows": windows}) + "\n" for row in rows))
    return read_annotations(folder / "spans.jsonl")


def shares_of(folder: Path, windows: list[list[float]], *, seen_as: SeenAs = "snippets", longest: int = 0) -> tuple[torch.Tensor, float]:
    """Shares of the first caption, and how long its video is."""
    data = load(folder / "train.jsonl", folder / "features", seen_as=seen_as, longest=longest)
    shares = shares_inside(data, spans_of(folder, windows))[0]
    assert len(shares) == len(data.values[int(data.video_of[0])])
    return shares, read_features(folder / "features" / f"{data.captions[0].vid}.feat").duration_s


def test_shares_inside_are_of_the_snippets_that_a_row_stands_for(tmp_path: Path) -> None:
    make_run(tmp_path)
    shares, duration_s = shares_of(tmp_path, [[1.0, 2.5], [2.25, 4.0], [1e3, 2e3]])  # they overlap, and one is beyond the end
    assert shares[:6].tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0] and shares.sum() == 3
    shares, _ = shares_of(tmp_path, [[0.0, 0.25], [0.5, 1.0]])
    assert shares[:2].tolist() == [0.75, 0.0]
    # Four equal runs of a longer video: the first and half of the second lie inside.
    shares, _ = shares_of(tmp_path, [[0.0, 0.375 * duration_s]], longest=4)
    assert shares.tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0])
    # The paper's windows: 20 % of the video, moved by 4 %.
    shares, _ = shares_of(tmp_path, [[0.0, 0.1 * duration_s]], seen_as="windows")
    assert len(shares) == 47 and shares[:4].tolist() == pytest.approx([0.5, 0.3, 0.1, 0.0], abs=1e-6)


def test_rows_of_a_track_are_inside_where_its_life_is_the_span(tmp_path: Path) -> None:
    """The track of the second life overlaps the span as long, but lives three times as long; the third video has no row."""
    videos = {"a": [(0.0, 4.0), (2.0, 14.0)], "b": [(3.0, 7.0)], "c": []}
    for name, lives_s in videos.items():
        write_features(tmp_path / f"{name}.feat", object_features(lives_s, video=name))
    rows = [{"qid": name, "query": "a man", "vid": name, "duration": 60.0, "relevant_windows": [[1.0, 5.0]]} for name in videos]
    (tmp_path / "spans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load(tmp_path / "spans.jsonl", tmp_path, seen_as="snippets")
    shares = shares_inside(data, read_annotations(tmp_path / "spans.jsonl"))
    of_row = read_features(tmp_path / "a.feat").tracks
    assert of_row is not None and shares[0].tolist() == [float(track == 0) for track in of_row.of_row]
    assert shares[1].tolist() == [0.0] * 4 and shares[2].tolist() == [0.0]  # 2 of 6 s of `b` are shared: an IoU of 1/3


def test_the_skyline_learns_lives(tmp_path: Path) -> None:
    run = read_run(make_rows_run(tmp_path, epochs=25))
    prepared = prepare(run, tmp_path / "cache")
    objectives = [
        SpanObjective(shares_inside(data, read_annotations(tmp_path / f"spans-{split}.jsonl")), run.sampling)
        for split, (data, _) in (("train", prepared.train), ("val", prepared.val))
    ]
    rows = train(run, tmp_path / "out", prepared, objective=objectives[0], val_objective=objectives[1])
    assert rows[-1]["val_loss"] < rows[0]["val_loss"] and rows[-1]["val_match"] > 75


def test_shares_need_the_times_of_features_on_disk(tmp_path: Path) -> None:
    make_run(tmp_path)
    data = load(tmp_path / "train.jsonl", tmp_path / "features", seen_as="snippets")
    with pytest.raises(TypeError, match="tuple have no times"):
        shares_inside(replace(data, values=tuple(data.values)), [])


def other_width(folder: Path) -> None:
    make_run(folder / "other", width=7)
    (folder / "other" / "features" / "train0.feat").replace(folder / "features" / "train0.feat")


BAD_DATA = {
    "no features": (lambda f: (f / "features" / "train0.feat").unlink(), "1 of 30 videos have no features"),
    "an id twice": (lambda f: (f / "train.jsonl").write_text((f / "train.jsonl").read_text() * 2), "occurs twice"),
    "no captions": (lambda f: (f / "train.jsonl").write_text(""), "no captions in it"),
    "no sentence": (lambda f: (f / "train.jsonl").write_text('{"query": " ", "vid": "a"}\n'), "expected a sentence"),
    "not JSON": (lambda f: (f / "train.jsonl").write_text("{\n"), "line 1: not JSON"),
    "no vid": (lambda f: (f / "train.jsonl").write_text('{"query": "a"}\n'), "lacks vid"),
    "no file": (lambda f: (f / "train.jsonl").unlink(), "cannot be read"),
    "too long": (
        lambda f: (f / "train.jsonl").write_text(
            (f / "train.jsonl").read_text() + json.dumps({"qid": "x", "query": "man " * 100, "vid": "train0"}) + "\n"
        ),
        "102 tokens .* takes 64",
    ),
    "another width": (other_width, "7 wide"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be_learned_from(tmp_path: Path, case: str) -> None:
    path = make_run(tmp_path)
    spoil, message = BAD_DATA[case]
    spoil(tmp_path)
    with pytest.raises(WsraError, match=message) as error:
        train_run(path, tmp_path / "runs" / "a", [], resume=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "runs" / "a").exists()


def test_a_batch_without_negatives_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WsraError, match=r"enlarge training\.batch"):
        train_run(make_run(tmp_path), tmp_path / "runs" / "a", ["training.batch=3"], resume=False)


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a checkpoint"):
        load_checkpoint(tmp_path)
    folder = make_checkpoint(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="truncated"):
        load_checkpoint(folder)


def test_mean_pooling_ignores_padding(tmp_path: Path) -> None:
    encoder = load_encoder(str(make_encoder(tmp_path / "bert", "bert")), "mean")
    sentences = ["a man", "a woman in a purple shirt with a bag walks to the left"]
    alone = [encoder.encode([sentence])[0] for sentence in sentences]
    for row, sentence_alone in zip(encoder.encode(sentences), alone, strict=True):
        torch.testing.assert_close(row, sentence_alone, atol=1e-5, rtol=1e-4)


def test_gpt2_averages_all_blocks_and_tokens(tmp_path: Path) -> None:
    encoder = load_encoder(str(make_encoder(tmp_path / "gpt2", "gpt2")), "all_blocks")
    ids = encoder.tokenizer("a red car drives")["input_ids"]
    states = encoder.model(torch.tensor([ids]), output_hidden_states=True).hidden_states  # type: ignore[operator]
    expected = sum(states[block][0, t] for block in (1, 2) for t in range(len(ids))) / (2 * len(ids))
    torch.testing.assert_close(encoder.encode(["a red car drives"])[0], expected)


def test_vectors_are_cached_by_encoder_and_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(str(make_encoder(tmp_path / "bert", "bert")), "mean")
    asked: list[str] = []
    original = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda sentences, progress=None: asked.extend(sentences) or original(sentences, progress))
    first = cached_vectors(encoder, ["a man", "a dog", "a man"], tmp_path / "cache")
    second = cached_vectors(encoder, ["a dog", "a car"], tmp_path / "cache")
    assert asked == ["a man", "a dog", "a car"]
    assert torch.equal(first[0], first[2]) and torch.equal(first[1], second[0])


def test_an_encoder_that_is_not_there(tmp_path: Path) -> None:
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_warning()
    with pytest.raises(
        ConfigError, match=r"^encoder '.*nothing': cannot be loaded .*; give the name of a model on the hub, or its folder$"
    ):
        load_encoder(str(tmp_path / "nothing"), "mean")
    assert hub_logging.get_verbosity() == hub_logging.ERROR  # its retries are not shown


def test_minilm_is_the_real_one() -> None:
    encoder = load_encoder("minilm", "mean")
    assert encoder.width == 384 and encoder.max_tokens == 256 and minilm_folder().is_dir()
    a, b, c = torch.nn.functional.normalize(encoder.encode(["man in yellow shirt", "a guy with a yellow top", "a parked lorry"]))
    assert float(a @ b) > 0.6 > float(a @ c) + 0.2


def test_spans_of_a_caption_are_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks relevant_windows"):
        read_annotations(Path(make_run(tmp_path)).parent / "train.jsonl")
