"""Objectives and scorers of the user's own, as docs/research.md has them; and the upper bound that is trained with spans."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tga import TextGuidedObjective
from tiny import make_rows_run, make_run
from wsra.runtime.cli import app_of
from wsra.runtime.errors import ConfigError, DataError, TrainingError, WsraError
from wsra.runtime.formats.describe import describe
from wsra.runtime.formats.epochs import read_metrics
from wsra.train.checkpoint import load_checkpoint
from wsra.train.command import draw_curves, train_run
from wsra.train.config import Loss, Run, read_run
from wsra.train.custom import imported, new_scorer
from wsra.train.data import Batch, load
from wsra.train.loop import goodness, has_collapsed
from wsra.train.model import Scorer
from wsra.train.objective import CaptionObjective
from wsra.train.pairs import batch_keys, pair_logits
from wsra.train.run import prepare, train
from wsra.train.spans import span_objective
from wsra.train.text import load_encoder

PAGE = (Path(__file__).parents[2] / "docs" / "research.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- (\w+)\.py -->\n```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with the examples of the page; modules that are imported from it are forgotten afterwards."""
    for name, text in EXAMPLES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def wsra(*arguments: str) -> Any:
    return CliRunner().invoke(app_of([arguments[0]]), arguments, catch_exceptions=True)


def batch() -> Batch:
    torch.manual_seed(0)
    mask = torch.arange(5) < torch.tensor([[5], [3], [4], [5]])
    return Batch(torch.randn(4, 5, 6) * mask[..., None], mask, torch.randn(4, 7), torch.tensor([0, 1, 2, 1]), torch.arange(4))


def test_the_examples_are_short() -> None:
    assert EXAMPLES.keys() == {"guided", "bilinear"}
    for text in EXAMPLES.values():
        parts = re.split(r"\n\n\n", text.strip())[1:]
        assert parts and all(sum(bool(line.strip()) for line in part.splitlines()) <= 12 for part in parts)


def test_text_guided_attention_is_the_reference(here: Path) -> None:
    """The example's loss, match and gradients are those of benchmarks/planted/tga.py."""
    run = replace(read_run(make_run(here)), loss=Loss(margin=0.2, temperature=0.3))
    ours, reference = new_scorer("guided:Scorer", 6, 7, 8), Scorer(6, 7, 8)
    for scorer in (ours, reference):
        scorer.normalise(torch.full((6,), 0.3), torch.full((6,), 2.0))
        scorer.normalise_text(batch().text + 1)
    reference.video.load_state_dict(ours.module.video.state_dict())
    reference.text.load_state_dict(ours.module.text.state_dict())
    loss, figures = imported("guided:objective", "training.objective")(run)(ours, batch(), torch.Generator())
    expected, others = TextGuidedObjective(0.2, 0.3)(reference, batch(), torch.Generator())
    torch.testing.assert_close(loss, expected)
    assert figures["match"] == pytest.approx(others["match"])
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.module.video.weight.grad, reference.video.weight.grad)
    torch.testing.assert_close(ours.module.text.weight.grad, reference.text.weight.grad)


def test_a_custom_scorer_scores_a_batch_as_it_scores_one_video(here: Path) -> None:
    scorer = new_scorer("bilinear:Scorer", 6, 7, 8)
    keys, text = batch_keys(scorer, batch().values), torch.randn(4, 3, 7)
    logits = pair_logits(scorer, keys, text)
    for video in range(4):
        torch.testing.assert_close(logits[video], scorer.matrix(keys[video], text[video]))
    torch.testing.assert_close(scorer.logits(keys[:, 0], text[:, 0]), logits[:, 0, 0])
    torch.testing.assert_close(scorer.logits(keys[:, :1], text), logits[:, :, 0])  # a pooled video for several sentences
    torch.testing.assert_close(scorer.phi(keys, text[:, :1]), torch.sigmoid(logits[:, 0]))


def test_text_guided_attention_from_the_command_line(here: Path) -> None:
    make_run(here, epochs=12)
    names = ["--objective", "guided:objective", "--scorer", "guided:Scorer", "--set", "loss.margin=0.2", "--set", "loss.temperature=0.3"]
    done = wsra("train", "run.toml", "--out", "whole", *names)
    assert done.exit_code == 0, done.output
    rows = read_metrics(here / "whole")
    assert max(row["val_match"] for row in rows) > 70  # chance: 50
    assert rows[0].keys() == {"epoch", "loss", "match", "val_loss", "val_match", "collapsed"}
    run = read_run(here / "whole" / "config.toml")
    assert (run.training.objective, run.training.scorer) == ("guided:objective", "guided:Scorer")
    assert wsra("train", "run.toml", "--out", "half", *names, "--set", "training.epochs=5").exit_code == 0
    assert wsra("train", "run.toml", "--out", "half", *names, "--resume").exit_code == 0
    for name in ("model.safetensors", "last.safetensors"):
        whole, half = load_file(here / "whole" / name), load_file(here / "half" / name)
        assert whole.keys() == half.keys() and all(torch.equal(whole[key], half[key]) for key in whole), name


def test_a_run_is_not_resumed_with_another_objective_or_scorer(here: Path) -> None:
    path = make_run(here)
    objective, scorer = 'training.objective="guided:objective"', 'training.scorer="guided:Scorer"'
    train_run(path, here / "a", [objective, scorer], resume=False)
    for settings, changed in (([scorer], "objective"), ([objective], "scorer")):
        with pytest.raises(ConfigError, match=f"the run started with training.{changed} = 'guided:.*', now it is"):
            train_run(path, here / "a", settings, resume=True)


def test_an_objective_from_python_is_recorded(here: Path) -> None:
    run = read_run(make_run(here))
    prepared = prepare(run, here / "cache")
    weak = CaptionObjective(run.loss, run.sampling)

    def mine(*given: Any) -> Any:
        return weak(*given)

    train(run, here / "mine", prepared, objective=mine)
    assert read_run(here / "mine" / "config.toml").training.objective.endswith("<locals>.mine")
    with pytest.raises(ConfigError, match=r"training\.objective"):
        train(run, here / "mine", prepared, resume=True)
    train(run, here / "weak", prepared, objective=weak)
    assert read_run(here / "weak" / "config.toml") == run


def test_a_scorers_code_runs_only_where_it_is_named(here: Path) -> None:
    train_run(make_run(here), here / "a", ['training.scorer="bilinear:Scorer"'], resume=False)
    del sys.modules["bilinear"]
    with pytest.raises(ConfigError, match="trained with the scorer bilinear:Scorer, not with wsra; give --scorer bilinear:Scorer"):
        load_checkpoint(here / "a")
    assert "bilinear" not in sys.modules
    checkpoint = load_checkpoint(here / "a", scorer="bilinear:Scorer")
    assert checkpoint.scorer.key_width == 16 and not checkpoint.scorer.training
    with pytest.raises(ConfigError, match=r"model\.safetensors: cannot be used .*Error.*module.extra"):
        (here / "bilinear.py").write_text(EXAMPLES["bilinear"].replace("self.bias =", "self.extra = self.bias ="))
        del sys.modules["bilinear"]
        load_checkpoint(here / "a", scorer="bilinear:Scorer")
    train_run(here / "run.toml", here / "own", [], resume=False)
    with pytest.raises(ConfigError, match="trained with the scorer wsra, not with guided:Scorer; leave out --scorer"):
        load_checkpoint(here / "own", scorer="guided:Scorer")


WRONG = {
    "nowhere:Scorer": "there is no module nowhere in .* or among the installed packages",
    "guided:Missing": "guided.py has no function or class Missing",
    "wrong:number": "gives a int; expected a torch.nn.Module with keys and matrix",
    "wrong:Nothing": "has no parameters to learn",
    "wrong:Wide": r"keys of \(2, 3, 6\) gives \(2, 3, 9\); expected \(2, 3, 8\)",
    "wrong:Turned": r"matrix of \(2, 3, 8\) gives \(2, 3, 4\); expected \(2, 4, 3\)",
    "wrong:Mixed": "gives other logits for two videos together than for each alone",
}
CODE = """
import guided

def number(*widths):
    return 3

class Nothing(guided.torch.nn.Module):
    def __init__(self, *widths):
        super().__init__()
    keys = matrix = lambda self, *given: given[0]

class Wide(guided.Scorer):
    def __init__(self, features, text, keys):
        super().__init__(features, text, keys + 1)

class Turned(guided.Scorer):
    def matrix(self, keys, text):
        return super().matrix(keys, text).mT

class Mixed(guided.Scorer):
    def keys(self, features):
        return super().keys(features - features.mean(dim=0))
"""


@pytest.mark.parametrize("name", WRONG)
def test_scorers_that_cannot_be_used(here: Path, name: str) -> None:
    (here / "wrong.py").write_text(CODE)
    with pytest.raises(ConfigError, match=WRONG[name]) as error:
        new_scorer(name, 6, 7, 8)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"training.scorer {name}")


def test_objectives_that_cannot_be_used(here: Path) -> None:
    path = make_run(here)
    (here / "broken.py").write_text("import missing_library\n")
    (here / "flat.py").write_text("def objective(run):\n    return 3\n")
    with pytest.raises(ConfigError, match=r"training.objective is 'nonsense'"):
        train_run(path, here / "a", ["training.objective=nonsense"], resume=False)
    with pytest.raises(ConfigError, match=r"flat:objective: gives a int; expected a function"):
        train_run(path, here / "a", ["training.objective=flat:objective"], resume=False)
    with pytest.raises(ModuleNotFoundError, match="missing_library"):  # the researcher's own module lacks something: its traceback helps
        train_run(path, here / "a", ["training.objective=broken:objective"], resume=False)
    assert wsra("train", "run.toml", "--with-spans", "--objective", "flat:objective").exit_code == 2


def loss_alone(run: Run) -> Any:
    """An objective that gives no figure at all."""
    weak = CaptionObjective(run.loss, run.sampling)
    return lambda *given: (weak(*given)[0], {})


def test_an_objective_without_figures_keeps_the_epoch_of_the_lowest_loss(here: Path, logged: pytest.LogCaptureFixture) -> None:
    (here / "bare.py").write_text("from test_research_objectives import loss_alone as objective\n")
    (here / "test_research_objectives.py").write_text(
        "from wsra.train.objective import CaptionObjective\n"
        "def loss_alone(run):\n"
        "    weak = CaptionObjective(run.loss, run.sampling)\n"
        "    return lambda *given: (weak(*given)[0], {})\n"
    )
    settings = ["training.objective=bare:objective", "training.epochs=8", "training.learning_rate=0.05"]
    folder = train_run(make_run(here), here / "a", settings, resume=False)
    rows = read_metrics(folder)
    assert rows[0].keys() == {"epoch", "loss", "val_loss", "collapsed"} and (folder / "curves.png").is_file()
    best = min(rows, key=lambda row: row["val_loss"])["epoch"]
    assert describe(folder)["epoch"] == str(int(best))
    assert f"epoch 1: loss {rows[0]['loss']:.3f}, validation {rows[0]['val_loss']:.3f};" in logged.text
    assert not has_collapsed([{"val_association": 0.4, "val_foreground_phi": 0.9}] * 3, 0.5)
    assert goodness({"val_loss": 2.0}) == -2.0 and goodness({"val_loss": 2.0, "val_match": 60.0}) == 60.0


def test_figures_of_some_batches_only_are_refused(here: Path) -> None:
    run = read_run(make_run(here))
    plain = loss_alone(run)
    calls = iter(range(1000))

    def odd(*given: Any) -> Any:
        return plain(*given)[0], ({"match": 50.0} if next(calls) % 2 else {})

    with pytest.raises(TrainingError, match="the objective gave the figures loss for one batch and loss, match for another"):
        train(run, here / "a", prepare(run, here / "cache"), objective=odd)


def test_curves_of_what_is_there(here: Path) -> None:
    draw_curves([{"epoch": 1.0, "loss": 1.0, "val_loss": 2.0}], here / "c.png")
    assert (here / "c.png").read_bytes()[:4] == b"\x89PNG"


def with_spans(folder: Path) -> Path:
    """As `make_run`, with the true spans of its sentences in the captions."""
    path = make_run(folder, epochs=10)
    for split in ("train", "val"):
        rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        spans = [[[1.0, 5.0]], [[7.0, 11.0]]]
        text = "".join(json.dumps({**row, "relevant_windows": spans[number % 2]}) + "\n" for number, row in enumerate(rows))
        (folder / f"{split}.jsonl").write_text(text)
    return path


def test_the_upper_bound_learns_spans_and_says_what_it_is(here: Path, logged: pytest.LogCaptureFixture) -> None:
    with_spans(here)
    done = wsra("train", "run.toml", "--out", "upper", "--with-spans")
    assert done.exit_code == 0, done.output
    assert "upper bound, not a model to use" in done.output + logged.text and "training does not read them" not in done.output + logged.text
    checkpoint = load_checkpoint(here / "upper")
    assert checkpoint.upper_bound and checkpoint.run.training.objective == "spans"
    assert describe(here / "upper")["upper_bound"] == "trained with the spans of its captions"
    assert checkpoint.metrics[-1]["val_loss"] < checkpoint.metrics[0]["val_loss"]
    prepared = prepare(checkpoint.run, here / "text-cache")
    data, text = prepared.val
    with torch.no_grad():
        inside = []
        for number, (caption, video) in enumerate(zip(data.captions, data.video_of.tolist(), strict=True)):
            curve = checkpoint.scorer.logits(checkpoint.scorer.keys(data.values[video]), text[number][None])
            first = 1 if number % 2 == 0 else 7
            inside.append(bool(first <= int(curve.argmax()) < first + 4))
            assert caption.has_times
    assert sum(inside) / len(inside) > 0.6  # four of 12 to 23 snippets, so chance is below 0.34
    assert not load_checkpoint(train_run(here / "run.toml", here / "weak", [], resume=False)).upper_bound


def test_captions_without_spans_give_no_upper_bound(here: Path) -> None:
    with pytest.raises(DataError, match=r"train\.jsonl, line 1: lacks relevant_windows") as error:
        train_run(make_run(here), here / "upper", ["training.objective=spans"], resume=False)
    assert "\n" not in str(error.value) and not (here / "upper" / "model.safetensors").exists()


def test_spans_without_durations_take_those_of_the_features(here: Path) -> None:
    """Charades-STA's text has no durations."""
    sampling = read_run(with_spans(here)).sampling
    rows = [json.loads(line) for line in (here / "train.jsonl").read_text().splitlines()]
    lines = [(row["vid"], *row["relevant_windows"][0], row["query"]) for row in rows]
    (here / "train.txt").write_text("".join(f"{vid} {start} {end}##{query}\n" for vid, start, end, query in lines))
    found, expected = (
        span_objective(load(path, here / "features", seen_as="snippets"), path, sampling).inside
        for path in (here / "train.txt", here / "train.jsonl")
    )
    assert len(found) == len(rows) and found[0][:6].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_the_upper_bound_learns_lives_of_objects(here: Path) -> None:
    path = make_rows_run(here, epochs=15)
    settings = ["training.objective=spans", "data.captions=spans-train.jsonl", "data.val_captions=spans-val.jsonl"]
    folder = train_run(path, here / "upper", settings, resume=False)
    assert max(row["val_match"] for row in read_metrics(folder)) > 75  # chance: 50


@pytest.mark.slow
def test_from_an_example_to_answers(here: Path) -> None:
    """A custom scorer is exported in every precision, passes the gates, and answers by the kernel graph."""
    from wsra.export.publish import ExportOptions, export_bundle
    from wsra.runtime.formats.features import read_features
    from wsra.runtime.grounding.grounder import Grounder

    names = ["training.scorer=bilinear:Scorer", "training.epochs=30"]
    checkpoint = train_run(make_run(here), here / "runs" / "a", names, resume=False)
    assert max(row["val_match"] for row in read_metrics(checkpoint)) > 70  # chance: 50
    with pytest.raises(ConfigError, match="give --scorer bilinear:Scorer"):
        export_bundle(checkpoint, here / "bundle")
    manifest = export_bundle(checkpoint, here / "bundle", ExportOptions(fp16=True, int8=True, scorer="bilinear:Scorer"))
    assert manifest.scorer == "custom" and manifest.presence.source == "captions"
    assert all(manifest.precisions[name]["passed"] for name in ("fp32", "fp16", "int8"))
    features = read_features(here / "features" / "val3.feat")
    with Grounder.open(here / "bundle", precision="fp32", provider="cpu", threads=1) as grounder:
        assert grounder.ran.kernel == "graph"
        answer = grounder.answer(features, "a black dog runs past")
    trained = load_checkpoint(checkpoint, scorer="bilinear:Scorer")
    text = load_encoder(trained.run.text.encoder, trained.run.text.pooling).encode(["a black dog runs past"])
    with torch.no_grad():
        keys = trained.scorer.keys(torch.from_numpy(features.rows(0, len(features)))).half().float()  # as they are stored
        expected = trained.scorer.logits(keys, text).numpy()
    np.testing.assert_allclose(answer.logits, expected, atol=5e-3)
    for kernel in ("numpy", "numba"):
        with pytest.raises(WsraError, match=f"the kernel {kernel} cannot run its custom scorer; choose the kernel graph or auto"):
            Grounder.open(here / "bundle", provider="cpu", kernel=kernel)


@pytest.mark.slow
def test_an_upper_bound_is_exported_only_if_asked_for(here: Path) -> None:
    with_spans(here)
    train_run(here / "run.toml", here / "upper", ["training.objective=spans"], resume=False)
    refused = wsra("export", "upper", "-o", "bundle")
    assert isinstance(refused.exception, ConfigError) and "--upper-bound" in str(refused.exception) and not (here / "bundle").exists()
    assert wsra("export", "upper", "-o", "bundle", "--upper-bound").exit_code == 0
