"""Which bundle `wsra ground` asks, and where the stock bundle lies; `wsra.export.stock` makes it."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from wsra.runtime.formats.bundle import default_bundle

NAME = "stock-3"  # counted up with its weights and with what a bundle holds


def stock_folder() -> Path:
    """Folder of the stock bundle of this version, below the user's cache folder ($XDG_CACHE_HOME or ~/.cache)."""
    return user_cache_path("wsra") / NAME


def own_bundle(given: Path | None) -> Path | None:
    """The user's bundle: the given one, else $WSRA_BUNDLE, else ./bundle; None where there is none of them, and the stock bundle serves."""
    chosen = default_bundle(given)
    return chosen if given is not None or os.environ.get("WSRA_BUNDLE") or chosen.exists() else None
