"""Sentences to vectors at query time: the tokenizer and the exported encoder, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from wsra.runtime.backends.protocol import Backend
from wsra.runtime.errors import BundleError, QueryError

_SHOWN = 60  # characters of a sentence in a message


class QueryEncoder:
    """Tokenizer and encoder graph.

    Args (constructor):
        tokenizer: tokenizer.json of the bundle.
        backend: graph input_ids, attention_mask (Q, L) int64 -> text (Q, Dt).
        max_tokens: longest sentence the encoder takes.

    Raises:
        BundleError: the tokenizer cannot be read.
    """

    def __init__(self, tokenizer: Path, backend: Backend, *, max_tokens: int) -> None:
        self._path = tokenizer
        with _as_bundle_error(f"{tokenizer}: cannot be read"):
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.backend = backend
        self._max_tokens = max_tokens

    def token_ids(self, sentence: str) -> list[int]:
        """Token ids of one sentence, special tokens included.

        Raises:
            QueryError: the sentence is empty or longer than the encoder takes.
            BundleError: the tokenizer cannot take it apart.
        """
        if not sentence.strip():
            raise QueryError("the query is empty; expected a sentence, for example 'man in yellow shirt'")
        if not sentence.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in sentence):
            raise QueryError(f"the query {sentence[:_SHOWN]!r} is not valid UTF-8; expected text")
        with _as_bundle_error(f"{self._path}: does not work on {sentence[:_SHOWN]!r}"):
            ids: list[int] = self._tokenizer.encode(sentence).ids
        if len(ids) > self._max_tokens:
            shown = sentence[:_SHOWN] + "..." * (len(sentence) > _SHOWN)
            raise QueryError(f"the query {shown!r} has {len(ids)} tokens; the text encoder takes {self._max_tokens}: shorten it")
        return ids

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Encode sentences one by one, so that a vector never depends on what it is asked together with.

        Returns:
            (Q, Dt) float32.

        Raises:
            QueryError: a sentence cannot be encoded.
            BundleError: the tokenizer cannot take it apart.
        """
        rows = []
        for sentence in sentences:
            ids = np.array([self.token_ids(sentence)], np.int64)
            rows.append(self.backend.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})["text"][0])
        return np.stack(rows)


@contextmanager
def _as_bundle_error(what: str) -> Iterator[None]:
    """A tokenizer that is wrong raises bare Exception or, where its Rust code panics, PanicException, which is no Exception."""
    try:
        yield
    except BaseException as err:
        if not isinstance(err, Exception) and type(err).__name__ != "PanicException":
            raise
        raise BundleError(f"{what} ({err}); copy or export the bundle again") from err
