"""`wsra convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import SnippetOption


def convert(
    source: Annotated[Path, typer.Argument(help="FILE.npy, .npz, .h5, .hdf5 or .pt with an array (snippets, width).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .feat file.")],
    snippet_s: SnippetOption,
    key: Annotated[str | None, typer.Option(help="Which array, where the file holds several.")] = None,
    video: Annotated[str | None, typer.Option(help="Name of the video; default the file's or the key's.")] = None,
    backbone: Annotated[str, typer.Option(help="What made the features.")] = "converted",
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Turn features of other tools into a .feat file."""
    from wsra.runtime.convert import array_from_file, features_from_array
    from wsra.runtime.features import write_features
    from wsra.runtime.files import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    array = array_from_file(source, key)
    features = features_from_array(array, video=video or key or source.stem, snippet_s=snippet_s, backbone=backbone)
    write_features(out, features)
    print(out)
