"""`wsra export --stock`: the bundle of the scorer that comes with wsra, for questions before anybody has trained anything."""

from __future__ import annotations

from pathlib import Path

from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.formats.bundle import Manifest
from wsra.runtime.progress import Progress, unseen

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
    return export_bundle(CHECKPOINT, out, options, progress=progress)
