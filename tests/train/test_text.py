from __future__ import annotations

from pathlib import Path

import torch

from tiny import make_encoder
from wsra.train.text import load_encoder


def test_word_vectors_are_averaged_without_running_the_encoder(tmp_path: Path) -> None:
    folder = str(make_encoder(tmp_path / "encoder", "bert"))
    encoder = load_encoder(folder, "words")
    encoder.model.encoder.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(AssertionError("a block ran")))
    short, long = "a black dog", "a woman with a bag walks past"
    found = encoder.encode([short, long])
    table = encoder.model.get_input_embeddings().weight
    for row, sentence in zip(found, (short, long), strict=True):
        ids = torch.tensor(encoder.tokenizer(sentence)["input_ids"])
        torch.testing.assert_close(row, table[ids].mean(dim=0))
    assert encoder.digest() != load_encoder(folder, "mean").digest()  # cached apart
