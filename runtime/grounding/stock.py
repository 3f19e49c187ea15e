"""The stock bundle: what `wsra ground` asks where no bundle is given. Its place in the cache; `wsra.export.stock` makes it."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path

NAME = "stock-2"  # counted up with its weights


def stock_folder() -> Path:
    """Folder of the stock bundle of this version, below the user's cache folder ($XDG_CACHE_HOME or ~/.cache)."""
    return user_cache_path("wsra") / NAME
