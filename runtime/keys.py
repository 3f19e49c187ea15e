"""Keys of a video: computed once per video and bundle, float16, kept beside the features as `x.keys` and opened as a memory map.

Every answer comes from these stored numbers, also where they stay in memory, so that there is one truth. Shapes: T snippets, H key width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wsra.runtime.bundle import Bundle
from wsra.runtime.console import say
from wsra.runtime.errors import FeatureError, OutputError
from wsra.runtime.features import Features, mapped, state_of
from wsra.runtime.files import replacing, sha256_of

FORMAT, VERSION = "wsra.keys", "1"
MOST = 60_000.0  # float16 ends at 65,504; larger keys are kept in float32
_BEGIN = b'{"__metadata__": {"bundle": "'  # after eight bytes of length, as `_write` writes it
_PIECE = 16_384  # rows copied at a time

Array32 = NDArray[np.float32]
Chunks = Callable[[], Iterator[Array32]]


class _TooLargeError(Exception):
    """A key that float16 does not hold."""


@dataclass(frozen=True)
class Made:
    """What keys are made by.

    Attributes:
        bundle: digests of the checkpoint and of the graph.
        precision: of the graph.
        provider: what ran it.
    """

    bundle: str
    precision: str
    provider: str

    def metadata(self) -> dict[str, str]:
        """As it stands in the file."""
        return {"format": FORMAT, "version": VERSION, "bundle": self.bundle, "precision": self.precision, "provider": self.provider}


def made_by(bundle: Bundle, precision: str, provider: str) -> Made:
    """What the keys of an open bundle are made by."""
    manifest = bundle.manifest
    return Made(f"{manifest.checkpoint_sha256} {manifest.files[f'{precision}/keys.onnx']}", precision, provider)


def keys_in_memory(features: Features, chunks: Chunks) -> NDArray[Any]:
    """Keys (T, H), float16; float32 where one is larger than 60,000.

    Args:
        features: of the video.
        chunks: computes them, some rows at a time.

    Raises:
        FeatureError: a feature or a key is NaN or infinite.
    """
    try:
        return np.concatenate([_stored(chunk, np.float16, features) for chunk in chunks()])
    except _TooLargeError:
        return np.concatenate([_stored(chunk, np.float32, features) for chunk in chunks()])


def kept_keys(features: Features, chunks: Chunks, *, width: int, made: Made) -> NDArray[Any]:
    """As `keys_in_memory`, from `x.keys` beside the features, which is made where it is missing, stale or damaged.

    Args:
        features: read from a file, else the keys stay in memory.
        chunks: computes them, some rows at a time.
        width: H.
        made: what they are made by.

    Returns:
        (T, H), a memory map; in memory where it cannot be written, which is said.

    Raises:
        FeatureError: a feature or a key is NaN or infinite.
    """
    if features.path is None:
        return keys_in_memory(features, chunks)
    feat, path = features.path, features.path.with_suffix(".keys")
    if _is_foreign(path):
        say(f"WARNING: keys stay in memory: {path} is not of wsra; rename it, so that they can be kept there")
        return keys_in_memory(features, chunks)
    shape, stale = (len(features), width), None
    if path.exists():
        try:
            return _current(path, feat, shape, made)
        except FeatureError as err:
            stale = str(err)
    say(f"{path} is made again: {stale}" if stale else f"keys are kept in {path}")
    metadata = made.metadata() | _stat(feat) | {"features_sha256": sha256_of(feat)}
    if state_of(feat) != features.state:
        raise FeatureError(f"{feat}: was replaced while it was read; ask again")
    try:
        for dtype in (np.float16, np.float32):
            try:
                return _write(path, metadata, np.dtype(dtype), shape, (_stored(chunk, dtype, features) for chunk in chunks()))
            except _TooLargeError:
                say(f"{feat}: a key is larger than {MOST:g}; keys are kept in float32")
    except OutputError as err:
        say(f"WARNING: keys stay in memory: {err}")
    return keys_in_memory(features, chunks)


def _is_foreign(path: Path) -> bool:
    """Whether something stands there that wsra did not write, whole or cut off: it is never replaced."""
    if not path.is_file():
        return path.exists()
    with path.open("rb") as file:
        return not _BEGIN.startswith(file.read(8 + len(_BEGIN))[8:])


def _stat(feat: Path) -> dict[str, str]:
    """Of an unchanged file, so that it need not be read again to know it, as git's index does."""
    stat = feat.stat()
    return {"features_bytes": str(stat.st_size), "features_mtime_ns": str(stat.st_mtime_ns)}


def _current(path: Path, feat: Path, shape: tuple[int, int], made: Made) -> NDArray[Any]:
    """The stored keys.

    Raises:
        FeatureError: they are damaged or stale; the message says in what.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        values = mapped(path, "keys")
    except (SafetensorError, OSError, ValueError, KeyError) as err:
        raise FeatureError(f"it is damaged ({err})") from err
    for name, wanted in made.metadata().items():
        if metadata.get(name) != wanted:
            raise FeatureError(f"it is of another {name}")
    if values.shape != shape or values.dtype not in (np.float16, np.float32):
        raise FeatureError(f"it holds {values.dtype} {values.shape}, expected {shape}")
    stat = _stat(feat)
    if stat.items() <= metadata.items():
        return values
    digest = sha256_of(feat)
    if metadata.get("features_sha256") != digest:
        raise FeatureError("the features have changed")
    try:  # copied or touched: note the new time, so that it is not read again
        kept = made.metadata() | stat | {"features_sha256": digest}
        return _write(path, kept, values.dtype, shape, (values[start : start + _PIECE] for start in range(0, shape[0], _PIECE)))
    except OutputError:
        return values


def _stored(chunk: Array32, dtype: type[np.float16] | type[np.float32], features: Features) -> NDArray[Any]:
    """Rows as they are stored.

    Raises:
        FeatureError: a number is NaN or infinite.
        _TooLargeError: float16 does not hold one.
    """
    largest = float(np.abs(chunk).max(initial=0.0))
    if not np.isfinite(largest):
        raise FeatureError(
            f"{features.path or features.video}: its features give keys that are NaN or infinite; extract the video anew, or, where that is"
            " so of every video, run wsra verify"
        )
    if dtype is np.float16 and largest > MOST:
        raise _TooLargeError
    return chunk.astype(dtype)


def _write(
    path: Path, metadata: Mapping[str, str], dtype: np.dtype[Any], shape: tuple[int, int], rows: Iterator[NDArray[Any]]
) -> NDArray[Any]:
    """A safetensors file of one tensor, written as its rows come: a month of keys never stands in memory.

    Returns:
        The tensor, mapped before the file has its name: what another process writes there in the next moment is not it.

    Raises:
        OutputError: the place cannot be written.
    """
    tensor = {"dtype": {2: "F16", 4: "F32"}[dtype.itemsize], "shape": shape, "data_offsets": [0, shape[0] * shape[1] * dtype.itemsize]}
    header = json.dumps({"__metadata__": dict(metadata), "keys": tensor}, sort_keys=True).encode()
    header = header.ljust(-(-len(header) // 8) * 8)
    with replacing(path) as part:
        with part.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for piece in rows:
                file.write(np.ascontiguousarray(piece).data)
        return mapped(part, "keys")
