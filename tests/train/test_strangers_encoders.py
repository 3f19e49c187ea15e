"""An encoder that somebody else made: its code is never run, and what is wrong with it is one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny import SENTENCES, make_encoder, make_run
from towers import make_towers
from wsra.runtime.errors import ConfigError
from wsra.train.text import cached_vectors, load_encoder
from wsra.train.towers import load_towers, preparation_of

CODE = """
from pathlib import Path
Path({mark!r}).touch()
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
class Config(BertConfig): pass
class Model(BertModel): config_class = Config
class Tokenizer(PreTrainedTokenizerFast): pass
"""


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return make_encoder(tmp_path / "encoder", "bert")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_code(encoder: Path, mark: Path, *, known: bool) -> None:
    """Let it bring a model, a configuration and a tokenizer of its own."""
    (encoder / "own.py").write_text(CODE.format(mark=str(mark)))
    classes = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    change(encoder / "config.json", auto_map=classes, model_type="bert" if known else "own")
    change(encoder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "own.Tokenizer"]}, tokenizer_class="Tokenizer")


def test_code_that_comes_with_an_encoder_is_never_run(encoder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with_code(encoder, mark, known=False)
    with pytest.raises(ConfigError, match="needs code of its own, which is never run; choose a model that transformers knows"):
        load_encoder(str(encoder), "mean")
    with_code(encoder, mark, known=True)
    load_encoder(str(encoder), "mean")  # by the classes of transformers
    assert not mark.exists()


def test_nobody_is_asked_whether_to_run_it(tmp_path: Path) -> None:
    """A "y" on standard input was enough."""
    run, mark = make_run(tmp_path, videos=4), tmp_path / "mark"
    with_code(tmp_path / "bert", mark, known=False)
    command = [sys.executable, "-m", "wsra.runtime.cli", "train", str(run), "--out", str(tmp_path / "out")]
    home = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")}
    found = subprocess.run(command, input="y\n" * 20, capture_output=True, text=True, timeout=600, env=home)
    assert found.returncode == 1 and "[y/N]" not in found.stdout + found.stderr
    assert found.stderr.splitlines()[-1].startswith("wsra: encoder") and "needs code of its own" in found.stderr
    assert not mark.exists()


@pytest.mark.parametrize("damage", ["cut weights", "cut tokenizer", "cut config", "width", "quantised", "deep", "pipe"])
def test_a_damaged_encoder_is_one_line(encoder: Path, damage: str) -> None:
    weights, config = encoder / "model.safetensors", encoder / "config.json"
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "cut tokenizer":
        (encoder / "tokenizer.json").write_bytes((encoder / "tokenizer.json").read_bytes()[:-1000])
    elif damage == "cut config":
        config.write_bytes(config.read_bytes()[:-100])
    elif damage == "width":
        change(config, hidden_size=48)
    elif damage == "quantised":
        change(config, quantization_config={"quant_method": "gptq", "bits": 4})
    elif damage == "deep":
        (encoder / "sentence_bert_config.json").write_text("[" * 50_000)
    else:
        os.mkfifo(encoder / "sentence_bert_config.json")
    with pytest.raises(ConfigError) as error:
        load_encoder(str(encoder), "mean")
    assert "\n" not in str(error.value)


def test_weights_that_are_missing_are_not_made_up(encoder: Path) -> None:
    weights = load_file(encoder / "model.safetensors")
    gone = next(name for name in sorted(weights) if "attention" in name)
    save_file({name: value for name, value in weights.items() if name != gone}, encoder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=f"lacks 1 of its weights .the first: .*{gone}.; copy or download it again"):
        load_encoder(str(encoder), "mean")


def test_vectors_of_an_encoder_without_a_pooler_are_kept(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pooler was made anew by chance, so no run found the vectors of another."""
    first, second = (load_encoder(str(encoder), "mean") for _ in range(2))
    assert first.digest() == second.digest()
    vectors = cached_vectors(first, SENTENCES, tmp_path / "cache")
    monkeypatch.setattr(type(second), "encode", lambda *_: pytest.fail("encoded again"))
    assert torch.equal(cached_vectors(second, SENTENCES, tmp_path / "cache"), vectors)


@pytest.mark.parametrize("damage", ["cut", "foreign", "width", "NaN", "no names", "fewer names"])
def test_a_damaged_cache_of_vectors_is_made_again(encoder: Path, tmp_path: Path, damage: str) -> None:
    loaded = load_encoder(str(encoder), "mean")
    vectors = cached_vectors(loaded, SENTENCES, tmp_path)
    (path,) = tmp_path.glob("text-*.safetensors")
    names = {"sentences": json.dumps(SENTENCES)}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        path.write_text("mine")
    else:
        changed = {"width": vectors[:, 1:], "NaN": vectors * torch.nan}.get(damage, vectors)
        metadata = {"no names": {}, "fewer names": {"sentences": "[]"}}.get(damage, names)
        save_file({"vectors": changed.contiguous()}, path, metadata)
    assert torch.equal(cached_vectors(loaded, SENTENCES, tmp_path), vectors)


@pytest.mark.parametrize(
    "table",
    [
        {"image_mean": [0.5, 0.5], "image_std": [0.5] * 3, "size": 32},
        {"image_mean": [0.5] * 3, "image_std": [0.5], "size": 32},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": "x", "width": 4}},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": []},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": float("inf"), "width": 4}},
    ],
)
def test_how_images_are_prepared_is_read_with_care(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"preprocessor_config.json has a missing or wrong value .*; expected size, image_mean"):
        preparation_of(table, "m")


def test_towers_that_are_none(tmp_path: Path) -> None:
    folder = make_towers(tmp_path / "clip", "clip")
    (folder / "preprocessor_config.json").write_text("[" * 50_000)
    with pytest.raises(ConfigError, match="save the model's processor in its folder again"):
        load_towers(str(folder))
    (folder / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"no preprocessor_config.json"):
        load_towers(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_towers(str(folder))
