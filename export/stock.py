"""`wsra export --stock`: the bundle of the scorer that comes with wsra, for questions before anybody has trained anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wsra.export.publish import ExportOptions, export_bundle
from wsra.runtime.formats.bundle import Manifest

CHECKPOINT = Path(__file__).parent / "stock_checkpoint"  # with the validation captions and features that calibrate it: docs/stock.md


def export_stock(out: Path, options: ExportOptions, *, say: Callable[[str], None] = print) -> Manifest:
    """Export the stock bundle.

    Args:
        out: folder for the bundle.
        options: what the bundle holds besides FP32.
        say: called with a line about each step.

    Raises:
        MissingExtraError: the text encoder is not installed.
        WsraError: see `wsra.export.publish.publish`.
    """
    return export_bundle(CHECKPOINT, out, options, say=say)
