"""Keys of a video: computed once per video and bundle, float16, kept next to the features as `x.keys` and opened as a memory map.

Every answer comes from these stored numbers, also where they stay in memory, so that there is one truth. Stored keys are compared with
their digests once for every state of the file, which is noted (`Digests`); damaged or stale ones are made again.
Shapes: T snippets, H key width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError, OutputError
from wsra.runtime.files.digests import Digests
from wsra.runtime.files.tensors import Pieces, TensorFile, state_of, write_tensors
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import Features

logger = logging.getLogger(__name__)

FORMAT, VERSION = "wsra.keys", "2"
MOST = 60_000.0  # float16 ends at 65,504; larger keys are kept in float32
_BEGINS = (b'{"__metadata__":{"bundle":"', b'{"__metadata__": {"bundle": "')  # after eight bytes of length; the second is of wsra 0.1.0

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


class KeyStore:
    """The keys that are stored next to features.

    Args (constructor):
        width: H.
        made: what the keys are made by.
    """

    def __init__(self, *, width: int, made: Made) -> None:
        self._width, self._made = width, made
        self._digests: dict[Path, Digests] = {}

    def keys(self, features: Features, chunks: Chunks) -> NDArray[Any]:
        """As `keys_in_memory`, from `x.keys` next to the features, which is made where it is missing, stale or damaged.

        Args:
            features: read from a file, else the keys stay in memory.
            chunks: computes them, some rows at a time.

        Returns:
            (T, H), a memory map; in memory, after a warning, where it cannot be written.

        Raises:
            FeatureError: a feature or a key is NaN or infinite, or the features are damaged.
        """
        if features.file is None:
            return keys_in_memory(features, chunks)
        feat, path = features.file.path, features.file.path.with_suffix(".keys")
        foreign = _foreign(path)
        if foreign is not None:
            logger.warning(f"keys stay in memory: {path} {foreign}; rename it, so that they can be kept there")
            return keys_in_memory(features, chunks)
        made_of = features.file.digest or self._of(feat.parent).of(feat.name)
        stale = None
        if path.exists():
            try:
                return self._current(path, made_of, len(features))
            except FeatureError as err:
                stale = str(err).removeprefix(f"{path}: ")
        logger.info(f"{path} is made again: {stale}" if stale else f"keys are kept in {path}")
        if state_of(feat) != features.file.state:
            raise FeatureError(f"{feat}: was replaced while it was read; ask again")
        try:
            for dtype in (np.float16, np.float32):
                try:
                    return self._write(path, made_of, Pieces(np.dtype(dtype), (len(features), self._width), _all(chunks, dtype, features)))
                except _TooLargeError:
                    logger.info(f"{feat}: a key is larger than {MOST:g}; keys are kept in float32")
        except OutputError as err:
            logger.warning(f"keys stay in memory: {err}")
        return keys_in_memory(features, chunks)

    def kept(self, feat: TensorFile) -> NDArray[Any] | None:
        """The stored keys of a .feat file whose head has been read, if they are current; None sends the caller to `keys`.

        Args:
            feat: the file; it may have been replaced since.
        """
        path, (count, _) = feat.path.with_suffix(".keys"), feat.kind("features")[1]
        try:
            if state_of(feat.path) != feat.state:
                return None
            return self._current(path, feat.digest or self._of(feat.path.parent).of(feat.path.name), count)
        except (FeatureError, OSError):
            return None

    def _of(self, folder: Path) -> Digests:
        if folder not in self._digests:
            self._digests[folder] = Digests(folder, trust=True)
        return self._digests[folder]

    def _current(self, path: Path, made_of: str, count: int) -> NDArray[Any]:
        """The stored keys.

        Raises:
            FeatureError: they are damaged or stale; the message says in what.
        """
        file, digests = TensorFile(path), self._of(path.parent)
        for name, wanted in self._made.metadata().items():
            if file.metadata.get(name) != wanted:
                raise FeatureError(f"it is of another {name}")
        if file.metadata.get("features") != made_of:
            raise FeatureError("the features have changed")
        if file.names != {"keys"} or file.digest is None:
            raise FeatureError("it lacks keys or digests")
        dtype, shape = file.kind("keys")
        if shape != (count, self._width) or dtype not in (np.float16, np.float32):
            raise FeatureError(f"it holds {dtype} {shape}, expected {(count, self._width)}")
        keys = file.map("keys")
        if digests.cached(path.name) != file.digest:
            file.check("keys", keys, finite=True)
            if state_of(path) == file.state:
                digests.store(path.name, file.digest)
        return keys

    def _write(self, path: Path, made_of: str, keys: Pieces) -> NDArray[Any]:
        """Write keys as their rows come: a month of them never stands in memory.

        Returns:
            The keys, mapped before the file has its name: what another process puts there in the next moment is not it.

        Raises:
            OutputError: the place cannot be written.
            FeatureError, _TooLargeError: as of `_stored`.
        """
        with replacing(path) as part:
            write_tensors(part, {"keys": keys}, self._made.metadata() | {"features": made_of}, digests=True)
            return TensorFile(part).map("keys")


def _foreign(path: Path) -> str | None:
    """Why what stands there is never replaced: wsra did not write it, whole or cut off, or it cannot be read; else None."""
    if not path.is_file():
        return "is not of wsra" if path.exists() else None
    try:
        with path.open("rb") as file:
            begin = file.read(8 + max(map(len, _BEGINS)))
    except OSError as err:
        return f"cannot be read ({err.strerror})"
    if not begin or begin[8:].startswith(_BEGINS):
        return None
    return "is not of wsra"


def _all(chunks: Chunks, dtype: type[np.float16] | type[np.float32], features: Features) -> Iterator[NDArray[Any]]:
    return (_stored(chunk, dtype, features) for chunk in chunks())


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
