"""The vocabulary of a bundle: the words of the captions that a checkpoint learned from, counted and grouped."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.formats.vocabulary import VOCABULARY, Source, Vocabulary, read_vocabulary, write_vocabulary
from wsra.runtime.sentences.words import group_of, words_of
from wsra.train.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_TRAINING: Source = "training"
_VALIDATION: Source = "validation"


def vocabulary_of(sentences: Iterable[str], *, source: Source) -> Vocabulary:
    """Count the words of captions. A word of a group counts under its base form, every other word as it is written.

    Args:
        sentences: the captions, at least one.
        source: which captions they are.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("kinds", "colours", "garments", "actions", "others")}
    captions = 0
    for sentence in sentences:
        captions += 1
        for word in words_of(sentence):
            group, base = group_of(word) or ("others", word)
            counts[group][base] += 1
    ranked = {name: dict(sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))) for name, words in counts.items()}
    return Vocabulary(source, captions, **ranked)


def carry_vocabulary(checkpoint: Checkpoint, part: Path) -> None:
    """Write the vocabulary of a checkpoint into its bundle.

    It is that of the training captions: from `vocabulary.json` beside the weights if the checkpoint came without its captions (the stock
    checkpoint), otherwise from the captions themselves. If they are gone, the validation captions take their place, and the file says so.

    Args:
        checkpoint: the checkpoint.
        part: folder of the bundle.

    Raises:
        BundleError: the `vocabulary.json` beside the weights cannot be used.
        DataError: the captions cannot be used.
    """
    stored = checkpoint.folder / VOCABULARY
    if stored.is_file():
        read_vocabulary(stored)
        shutil.copyfile(stored, part / VOCABULARY)
        return
    captions, source = Path(checkpoint.run.data.captions), _TRAINING
    if not captions.is_file():
        logger.warning(f"{captions}: the training captions are gone; the bundle takes its vocabulary from the validation captions")
        captions, source = Path(checkpoint.run.data.val_captions), _VALIDATION
    write_vocabulary(part / VOCABULARY, vocabulary_of((caption.query for caption in read_captions(captions)), source=source))
