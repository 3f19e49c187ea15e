"""Tiny real models: encoders of the same classes as the released ones, a trained checkpoint, a bundle. Also run by .ci/run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SNIPPETS_WIDTH = 98  # numbers of a made-up snippet

SENTENCES = (
    "a man in a yellow shirt walks past",
    "a woman with a bag",
    "the red car drives to the left",
    "a black dog runs past",
    "a child in blue stands still",
    "a white van leaves on the right",
    "a cyclist in green rides past",
    "a man wearing an orange top",
    "a woman dressed in purple enters the scene",
    "a black car drives past",
    "a man in black leaves",
    "a woman in white waits by the door",
    "the green van stops",
    "a small brown dog",
    "two men in blue walk to the left side",
    "a girl with a red umbrella crosses the yard slowly",
    "a motorcycle passes",
    "the yellow bus",
    "a man on a white bicycle rides to the right",
    "a boy in green shorts runs",
    "somebody in grey carries a large box",
    "a purple car parks in front of the house",
    "a cat",
    "a woman in an orange coat stands and talks",
)


def make_encoder(folder: Path, kind: str) -> Path:
    """A random BERT ("bert") or GPT-2 ("gpt2") of 2 layers with a tokenizer of the words of a few sentences, as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedTokenizerFast

    torch.manual_seed(0)
    if kind == "bert":
        # Not trained: the trainer breaks ties by chance, and every number of the bundle would differ from one run of the tests to the next.
        words, letters = sorted({word for sentence in SENTENCES for word in sentence.split()}), sorted(set("".join(SENTENCES)) - {" "})
        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys([*words, *letters]), *(f"##{letter}" for letter in letters)]
        tokenizer = Tokenizer(models.WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=64)
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        model = BertModel(BertConfig(vocab_size=300, max_position_embeddings=64, **size), add_pooling_layer=False)
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False
        )
        tokenizer.train_from_iterator(SENTENCES, trainer)
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", model_max_length=64)
        model = GPT2Model(GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=2, n_head=2))
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def make_run(folder: Path, *, kind: str = "bert", videos: int = 30, epochs: int = 2, width: int | None = None, key_width: int = 16) -> Path:
    """Captions, features and a run file over made-up events that are learnable: each sentence adds its own pattern to some snippets.

    `kind` is "bert" or "gpt2", tiny and random, or "minilm", the real one.
    """
    import numpy as np

    from wsra.runtime.backbones.common.protocol import backbone_id
    from wsra.runtime.formats.features import Features, write_features

    width = width or SNIPPETS_WIDTH
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(len(SENTENCES), width)).astype(np.float32)
    for split, first in (("train", 0), ("val", 1000)):
        rows = []
        for number in range(videos):
            name = f"{split}{number}"
            values = 0.1 * rng.normal(size=(int(rng.integers(12, 24)), width)).astype(np.float32)
            for place, sentence in zip((1, 7), rng.choice(len(SENTENCES), 2, replace=False), strict=True):
                values[place : place + 4] += patterns[sentence]
                rows.append({"qid": str(first + len(rows)), "query": SENTENCES[sentence], "vid": name, "duration": len(values)})
            starts = np.arange(len(values), dtype=np.float64)
            features = Features(values, np.stack([starts, starts + 1], 1), name, float(len(values)), backbone_id(1.0))
            write_features(folder / "features" / f"{name}.feat", features)
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return _run_file(folder, kind=kind, epochs=epochs, key_width=key_width)


def _run_file(folder: Path, *, kind: str, epochs: int, key_width: int) -> Path:
    encoder = kind if kind == "minilm" else make_encoder(folder / kind, kind)
    pooling = "all_blocks" if kind == "gpt2" else "mean"
    (folder / "run.toml").write_text(
        f'[data]\ncaptions = "train.jsonl"\nval_captions = "val.jsonl"\nfeatures = "features"\n'
        f'[text]\nencoder = "{encoder}"\npooling = "{pooling}"\n'
        f"[sampling]\nfirst = 1\nlast = 1\ndraws = 2\n"
        f"[training]\nepochs = {epochs}\nbatch = 8\nkey_width = {key_width}\nlearning_rate = 0.003\n"
    )
    return folder / "run.toml"


def make_rows_run(
    folder: Path, *, kind: str = "bert", videos: int = 30, epochs: int = 2, width: int | None = None, key_width: int = 16
) -> Path:
    """As `make_run`, over rows of made-up objects: of the tracks of a video two are what its sentences say, the others are nothing.

    Lives overlap, and they begin and end within a second. In the first video of each split nothing moves. Spans of all sentences are in
    spans-train.jsonl and spans-val.jsonl.
    """
    import numpy as np
    from objects import object_features

    from wsra.runtime.backbones.common.protocol import backbone_id
    from wsra.runtime.backbones.tracking.describe import WIDTH
    from wsra.runtime.formats.features import write_features

    width = width or WIDTH
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(len(SENTENCES), width))
    for split, first in (("train", 0), ("val", 1000)):
        rows = []
        for number in range(videos):
            name, count = f"{split}{number}", int(rng.integers(3, 6)) if number else 0
            starts, lengths = np.sort(rng.uniform(0, 20, count)), rng.uniform(1.5, 7, count)
            lives_s = [(float(start), float(start + length)) for start, length in zip(starts, lengths, strict=True)]
            values = 0.1 * rng.normal(size=(count, width))
            for place, sentence in enumerate(rng.choice(len(SENTENCES), 2, replace=False)):
                track = (number + place) % count if count else None
                if track is not None:
                    values[track] += patterns[sentence]
                span = lives_s[track] if track is not None else (2.0, 5.0)
                row = {"qid": str(first + len(rows)), "query": SENTENCES[sentence], "vid": name, "duration": 30.0}
                rows.append({**row, "relevant_windows": [span]})
            features = object_features(
                lives_s, values=values, duration_s=30.0, video=name, backbone=backbone_id(1.0), seed=number, width=width
            )
            write_features(folder / "features" / f"{name}.feat", features)
        for place, left_out in ((f"{split}.jsonl", "relevant_windows"), (f"spans-{split}.jsonl", None)):
            written = ({key: value for key, value in row.items() if key != left_out} for row in rows)
            (folder / place).write_text("".join(json.dumps(row) + "\n" for row in written))
    return _run_file(folder, kind=kind, epochs=epochs, key_width=key_width)


def make_checkpoint(folder: Path, *, kind: str = "bert", epochs: int = 2) -> Path:
    """A trained checkpoint."""
    from wsra.train.command import train_run

    return train_run(make_run(folder, kind=kind, epochs=epochs), folder / "runs" / "tiny", [], resume=False)


def make_bundle(folder: Path, *, kind: str = "bert") -> Path:
    """An exported bundle in all precisions; over GPT-2 without INT8, which is too coarse for vectors of random blocks, all nearly alike."""
    from wsra.export.precisions import Calibration
    from wsra.export.publish import ExportOptions, export_bundle

    checkpoint = make_checkpoint(folder, kind=kind, epochs=40)
    calibration = Calibration(folder / "train.jsonl", folder / "features")
    export_bundle(checkpoint, folder / "bundle", ExportOptions(fp16=True, int8=kind != "gpt2", calibration=calibration))
    return folder / "bundle"


def make_rows_bundle(folder: Path, *, kind: str = "bert", epochs: int = 40) -> Path:
    """As `make_bundle`, of `make_rows_run`: its features are rows of objects, its candidates their lives."""
    from wsra.export.precisions import Calibration
    from wsra.export.publish import ExportOptions, export_bundle
    from wsra.train.command import train_run

    checkpoint = train_run(make_rows_run(folder, kind=kind, epochs=epochs), folder / "runs" / "tiny", [], resume=False)
    calibration = Calibration(folder / "train.jsonl", folder / "features")
    export_bundle(checkpoint, folder / "bundle", ExportOptions(fp16=True, int8=True, calibration=calibration))
    return folder / "bundle"


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1]) / "snippets"))
    print(make_rows_bundle(Path(sys.argv[1]) / "rows"))
