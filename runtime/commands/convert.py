"""`wsra convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(help="FILE.npy, .npz, .h5, .hdf5 or .pt with an array (snippets, width); or the source of --layout.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .feat file; with --layout a folder.")],
    snippet_s: Annotated[float | None, typer.Option("--snippet-s", min=0.04, max=60.0, help="Length of a snippet in seconds.")] = None,
    key: Annotated[str | None, typer.Option(help="Name of the array, if the file holds several.")] = None,
    video: Annotated[str | None, typer.Option(help="Name of the video; default: the key or the file name.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Id of the backbone; default: converted, or layout and file names.")] = None,
    layout: Annotated[
        Literal["didemo", "charades-i3d", "activitynet-c3d"] | None, typer.Option(help="Published features of many videos.")
    ] = None,
    flow: Annotated[Path | None, typer.Option(help="With --layout didemo: HDF5 file of flow features, appended to RGB.")] = None,
    context: Annotated[bool, typer.Option(help="With --layout didemo: append the mean over all proposals, as the paper does.")] = True,
    durations: Annotated[Path | None, typer.Option(help="With --layout: JSON with the durations of the videos.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Turn features of other tools into .feat files."""
    from wsra.runtime.terminal.streams import print_path

    if layout is not None:
        from wsra.runtime.conversion.published import Published, convert_all
        from wsra.runtime.formats.annotation_formats import read_durations
        from wsra.runtime.terminal.console import print_message, progress_shown

        if key is not None or video is not None:
            raise typer.BadParameter("--key and --video are for a single array; leave them out with --layout")
        durations_s = read_durations(durations) if durations is not None else {}
        published = Published(source, layout, flow, durations_s, snippet_s, context, backbone)
        with progress_shown() as progress:
            done = convert_all(published, out, overwrite=overwrite, progress=progress)
        lengths = "" if done.snippet_s is None else f"; median snippet {done.snippet_s:.4g} s"
        print_message(f"{done.written} videos written, {done.kept} kept{lengths}; backbone {published.made_by}")
        print_path(out)
        return
    from wsra.runtime.conversion.convert import array_from_file, features_from_array
    from wsra.runtime.files.writing import refuse_existing
    from wsra.runtime.formats.features import write_features

    if snippet_s is None:
        raise typer.BadParameter("--snippet-s is missing; give the length of a snippet, which an array does not contain")
    if flow is not None or durations is not None:
        raise typer.BadParameter("--flow and --durations need --layout")
    refuse_existing(out, overwrite=overwrite)
    array = array_from_file(source, key)
    features = features_from_array(array, video=video or key or source.stem, snippet_s=snippet_s, backbone=backbone or "converted")
    write_features(out, features)
    print_path(out)
