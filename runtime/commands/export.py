"""`wsra export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from wsra.export.publish import ExportOptions

RegionsOption = Literal["whole", "grid", "moving", "tracks"]


def export(
    checkpoint: Annotated[Path | None, typer.Argument(help="A checkpoint; default the newest under runs/.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The bundle, or the folder of the model; default ./bundle, ./backbone or ./detector."),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also export FP16.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Also export INT8; some products stay in FP16.")] = False,
    calib: Annotated[Path | None, typer.Option(help="Captions to calibrate INT8 on, as JSON lines; needs --features.")] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of the .feat files of these captions.")] = None,
    ranges: Annotated[Literal["minmax", "percentile"], typer.Option(help="How INT8 ranges are measured.")] = "minmax",
    engine: Annotated[bool, typer.Option("--engine", help="Also compile the graphs with the installed TensorRT or TensorRT-RTX.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(help="A folder with backbone.json, to put into the bundle; or a CLIP or SigLIP model, to export as one."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="A folder with detector.json, to put into the bundle; or an RT-DETR or D-FINE model, to export as one."),
    ] = None,
    zero_shot: Annotated[
        str | None,
        typer.Option("--zero-shot", help="Export a CLIP or SigLIP, by name or folder, as a bundle without training."),
    ] = None,
    regions: Annotated[
        RegionsOption,
        typer.Option(help="What a zero-shot bundle sees: the frame, also its quarters, also what moves, or the best views of each object."),
    ] = "whole",
    stock: Annotated[bool, typer.Option("--stock", help="Export the scorer that comes with wsra as a bundle without training.")] = False,
    scorer: Annotated[str, typer.Option(help="module:name of a checkpoint's scorer that is not wsra's own; runs its code.")] = "wsra",
    upper_bound: Annotated[bool, typer.Option("--upper-bound", help="Accept a checkpoint that was trained with spans.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a bundle of another checkpoint.")] = False,
) -> None:
    """Export a checkpoint as a bundle, a model as a bundle without training, or a backbone or detector as a folder."""
    if not int8 and (calib, features, ranges) != (None, None, "minmax"):
        raise typer.BadParameter("--calib, --features and --ranges are for --int8")
    if zero_shot is None and regions != "whole":
        raise typer.BadParameter("--regions is for --zero-shot; a checkpoint has the regions of its features")
    if detector is not None and (backbone is not None or zero_shot is not None):
        raise typer.BadParameter("--detector is a backbone of its own; leave out --backbone and --zero-shot")
    if zero_shot is not None and (checkpoint is not None or backbone is not None):
        raise typer.BadParameter("--zero-shot needs no checkpoint and brings its own backbone")
    if stock and (checkpoint, backbone, zero_shot, detector) != (None, None, None, None):
        raise typer.BadParameter("--stock needs no checkpoint, --backbone, --detector or --zero-shot")
    if (stock or zero_shot is not None) and (scorer != "wsra" or upper_bound):
        raise typer.BadParameter("--scorer and --upper-bound are for a checkpoint")
    from wsra.export.detector import detector_folder
    from wsra.export.encoder import encoder_folder
    from wsra.export.precisions import Calibration
    from wsra.export.publish import ExportOptions
    from wsra.runtime.terminal.streams import print_path

    options = ExportOptions(fp16, int8, Calibration(calib, features, ranges), engine, overwrite, upper_bound, scorer)
    encoder_to_carry = encoder_folder(backbone) if backbone is not None else None
    detector_to_carry = detector_folder(detector) if detector is not None else None
    if stock or zero_shot is not None:
        place = out or Path("bundle")
        _export_untrained(zero_shot, place, options, regions)
    elif backbone is not None and encoder_to_carry is None:
        _refuse_training_data("backbone", backbone, checkpoint, calib)
        place = out or Path("backbone")
        _export_backbone(backbone, place, options)
    elif detector is not None and detector_to_carry is None:
        _refuse_training_data("detector", detector, checkpoint, calib)
        place = out or Path("detector")
        _export_detector(detector, place, options)
    else:
        place = out or Path("bundle")
        _export_checkpoint(checkpoint, place, options, encoder_to_carry, detector_to_carry)
    print_path(place)


def _export_checkpoint(checkpoint: Path | None, out: Path, options: ExportOptions, encoder: Path | None, detector: Path | None) -> None:
    """A trained checkpoint as a bundle, which may carry the encoder or detector behind its features."""
    from wsra.export.publish import export_bundle, newest_checkpoint
    from wsra.runtime.terminal.console import print_message, progress_shown

    source = checkpoint or newest_checkpoint(Path("runs"))
    print_message(f"checkpoint {source}")
    with progress_shown() as progress:
        export_bundle(source, out, options, encoder=encoder, detector=detector, progress=progress)


def _export_untrained(zero_shot: str | None, out: Path, options: ExportOptions, regions: RegionsOption) -> None:
    """A CLIP or SigLIP model as a bundle, or the stock scorer where no model is given."""
    from wsra.runtime.terminal.console import progress_shown

    if zero_shot is None:
        from wsra.export.stock import export_stock

        with progress_shown() as progress:
            export_stock(out, options, progress)
    else:
        from wsra.export.zeroshot import export_zero_shot

        with progress_shown() as progress:
            export_zero_shot(zero_shot, out, options, regions=regions, progress=progress)


def _export_backbone(model: str, out: Path, options: ExportOptions) -> None:
    """The image encoder of a CLIP or SigLIP model as a folder for `wsra extract --backbone`."""
    from wsra.export.encoder import export_encoder
    from wsra.runtime.terminal.console import progress_shown

    with progress_shown() as progress:
        export_encoder(
            model, out, fp16=options.fp16, int8=options.int8, engine=options.engine, overwrite=options.overwrite, progress=progress
        )


def _export_detector(model: str, out: Path, options: ExportOptions) -> None:
    """An RT-DETR or D-FINE model as a folder for `wsra extract --detector`."""
    from wsra.export.detector import export_detector
    from wsra.runtime.terminal.console import progress_shown

    with progress_shown() as progress:
        export_detector(
            model, out, fp16=options.fp16, int8=options.int8, engine=options.engine, overwrite=options.overwrite, progress=progress
        )


def _refuse_training_data(kind: str, given: str, checkpoint: Path | None, calib: Path | None) -> None:
    """Refuse a checkpoint or captions beside a model: a bundle carries only an exported folder."""
    if checkpoint is not None or calib is not None:
        raise typer.BadParameter(f"{given} has no {kind}.json; export it first: wsra export --{kind} {given} [--fp16] -o DIR")
