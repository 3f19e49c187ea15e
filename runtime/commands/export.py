"""`wsra export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    checkpoint: Annotated[Path | None, typer.Argument(help="A checkpoint; default the newest under runs/.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The bundle, default ./bundle; of --backbone ./backbone, of --detector ./detector.")
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also half precision.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Also INT8, mixed with half precision.")] = False,
    calib: Annotated[Path | None, typer.Option(help="Captions to calibrate INT8 on, as JSON lines; give --features, too.")] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of the .feat files of these captions.")] = None,
    ranges: Annotated[Literal["minmax", "percentile"], typer.Option(help="How INT8 ranges are read.")] = "minmax",
    engine: Annotated[bool, typer.Option("--engine", help="Also compile with the installed TensorRT or TensorRT-RTX.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(help="A folder with backbone.json, for the bundle to carry; or a CLIP or SigLIP, to make one of."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="A folder with detector.json, for the bundle to carry; or an RT-DETR or D-FINE, to make one of."),
    ] = None,
    zero_shot: Annotated[
        str | None, typer.Option("--zero-shot", help="A CLIP or SigLIP by name or folder, as a bundle without training.")
    ] = None,
    regions: Annotated[
        Literal["whole", "grid", "moving", "tracks"],
        typer.Option(help="What a zero-shot bundle sees: grid adds quarters, moving what moves; tracks: the best views of each."),
    ] = "whole",
    stock: Annotated[bool, typer.Option("--stock", help="The scorer that comes with wsra, as a bundle without training.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a bundle of another checkpoint.")] = False,
) -> None:
    """Export a checkpoint to ONNX, or a model of two towers; a precision that disagrees with PyTorch is set aside."""
    if not int8 and (calib, features, ranges) != (None, None, "minmax"):
        raise typer.BadParameter("--calib, --features and --ranges are for --int8")
    if zero_shot is None and regions != "whole":
        raise typer.BadParameter("--regions is for --zero-shot; a checkpoint has those of its features")
    if detector is not None and (backbone is not None or zero_shot is not None):
        raise typer.BadParameter("--detector is a backbone of its own; leave out --backbone and --zero-shot")
    if zero_shot is not None and (checkpoint is not None or backbone is not None):
        raise typer.BadParameter("--zero-shot needs no checkpoint and brings its own backbone")
    if stock and (checkpoint, backbone, zero_shot, detector) != (None, None, None, None):
        raise typer.BadParameter("--stock needs no checkpoint, --backbone, --detector or --zero-shot")
    from wsra.export.detector import export_detector
    from wsra.export.encoder import export_encoder
    from wsra.export.precisions import Calibration
    from wsra.export.publish import Wanted, export_bundle, newest_checkpoint
    from wsra.export.zeroshot import export_zero_shot
    from wsra.runtime.terminal.console import print_message, progress_shown
    from wsra.runtime.terminal.streams import print_path

    wanted = Wanted(fp16=fp16, int8=int8, calibration=Calibration(calib, features, ranges), engine=engine, overwrite=overwrite)
    carried = Path(backbone) if backbone is not None and (Path(backbone) / "backbone.json").is_file() else None
    detecting = Path(detector) if detector is not None and (Path(detector) / "detector.json").is_file() else None
    if detector is not None and detecting is None:
        if engine:
            raise typer.BadParameter("--engine is for bundles and encoders; a detector runs with wsra extract --provider tensorrt")
        if checkpoint is not None or calib is not None:
            raise typer.BadParameter(f"{detector} has no detector.json; make one first: wsra export --detector {detector} [--fp16] -o DIR")
        place = out or Path("detector")
        export_detector(detector, place, fp16=fp16, int8=int8, overwrite=overwrite)
    elif backbone is not None and carried is None:
        if checkpoint is not None or calib is not None:
            raise typer.BadParameter(f"{backbone} has no backbone.json; make one first: wsra export --backbone {backbone} [--fp16] -o DIR")
        place = out or Path("backbone")
        with progress_shown() as progress:
            export_encoder(backbone, place, fp16=fp16, int8=int8, engine=engine, overwrite=overwrite, progress=progress)
    elif stock:
        from wsra.export.stock import export_stock

        place = out or Path("bundle")
        with progress_shown() as progress:
            export_stock(place, wanted, progress)
    elif zero_shot is not None:
        place = out or Path("bundle")
        with progress_shown() as progress:
            export_zero_shot(zero_shot, place, wanted, regions=regions, progress=progress)
    else:
        place, source = out or Path("bundle"), checkpoint or newest_checkpoint(Path("runs"))
        print_message(f"checkpoint {source}")
        with progress_shown() as progress:
            export_bundle(source, place, wanted, encoder=carried, detector=detecting, progress=progress)
    print_path(place)
