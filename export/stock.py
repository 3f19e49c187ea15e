"""`wsra export --stock`: the bundle of the scorer that comes with wsra, for questions before anybody has trained anything."""

from __future__ import annotations

import logging
from pathlib import Path

from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.formats.bundle import Manifest
from wsra.runtime.progress import Progress, unseen
from wsra.train.text import minilm_folder

logger = logging.getLogger(__name__)

CHECKPOINT = Path(__file__).parent / "stock_checkpoint"  # with the validation captions and features that calibrate it: docs/stock.md


def export_stock(out: Path, options: ExportOptions, progress: Progress = unseen) -> Manifest:
    """Export the stock bundle.

    Args:
        out: folder for the bundle.
        options: what the bundle holds besides FP32.
        progress: see `wsra.export.publish.publish`.

    Raises:
        MissingExtraError: the text encoder is not installed.
        WsraError: see `wsra.export.publish.publish`.
    """
    return export_bundle(CHECKPOINT, out, options, captions_of="rendered scenes", progress=progress)


def make_stock(folder: Path, progress: Progress = unseen) -> None:
    """Export the stock bundle into the user's cache.

    Args:
        folder: see `wsra.runtime.grounding.stock.stock_folder`.
        progress: as of `export_stock`.

    Raises:
        MissingExtraError, WsraError: as of `export_stock`.
    """
    minilm_folder()  # where it is missing, nothing is written
    logger.info(f"making the stock bundle in {folder}; this is done once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    export_stock(folder, ExportOptions(), progress)
