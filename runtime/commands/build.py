"""`wsra build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import DeviceOption


def build(
    source: Annotated[
        Path | None, typer.Argument(help="A bundle, a folder of an encoder or a detector, or X.onnx; default $WSRA_BUNDLE, else ./bundle.")
    ] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16 or int8; default all that passed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The plan, for X.onnx; default X.plan.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="For X.onnx: NAME=MIN:OPT:MAX[,NAME=...], shapes as 1x3x224x224; one or more.")
    ] = None,
    rebuild: Annotated[Literal["auto", "never"], typer.Option(help="auto builds what does not fit; never refuses instead.")] = "auto",
    workspace_mb: Annotated[
        int | None, typer.Option("--workspace-mb", min=1, help="Memory for trying kernels, in MiB; default half of what is free.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing plan of X.onnx, or plans that fit of a folder.")] = False,
    device: DeviceOption = 0,
) -> None:
    """Compile TensorRT engines for this device, and verify them where there is a GPU."""
    from wsra.export.tensorrt.build import build_bundle, build_onnx, profile_from_text
    from wsra.export.tensorrt.folders import build_folder
    from wsra.runtime.backbones.registry import holds_graph
    from wsra.runtime.formats.bundle import MANIFEST, default_bundle
    from wsra.runtime.terminal.console import progress_shown
    from wsra.runtime.terminal.streams import print_path

    if source is not None and source.suffix == ".onnx":
        if precision or rebuild != "auto":
            raise typer.BadParameter("--precision and --rebuild are for a bundle; the precision of X.onnx is the graph's")
        plan = out or source.with_suffix(".plan")
        profiles = [profile_from_text(text) for text in profile or []]
        with progress_shown() as progress:
            build_onnx(source, plan, profiles, workspace_mb=workspace_mb, overwrite=overwrite, progress=progress, gpu=device)
        print_path(plan)
        return
    if source is not None and not (source / MANIFEST).is_file() and holds_graph(source):
        if precision or out is not None or profile or rebuild != "auto":
            raise typer.BadParameter(
                "an encoder or a detector is built in all its precisions; only --workspace-mb, --device and --overwrite apply"
            )
        with progress_shown() as progress:
            for plan in build_folder(source, keep_fitting=not overwrite, workspace_mb=workspace_mb, progress=progress, gpu=device):
                print_path(plan)
        _verify(source, device, of_bundle=False)
        return
    if out is not None or profile or overwrite:
        raise typer.BadParameter("--out, --profile and --overwrite are for X.onnx; a bundle has its own profiles and folders")
    folder = default_bundle(source)
    with progress_shown() as progress:
        built = build_bundle(folder, precision, rebuild=rebuild, workspace_mb=workspace_mb, progress=progress, gpu=device)
    for engines in built:
        print_path(engines)
    _verify(folder, device, of_bundle=True)


def _verify(folder: Path, gpu: int, *, of_bundle: bool) -> None:
    """Verify what was built, where there is a GPU.

    Raises:
        Exit: an engine differs.
    """
    from wsra.runtime.commands.verify import check_pictures
    from wsra.runtime.device import find_gpu
    from wsra.runtime.terminal.console import print_message
    from wsra.runtime.verification.verify import verify_bundle

    if find_gpu(index=gpu) is None:
        print_message("not verified: there is no GPU to run engines on")
        return
    reports = verify_bundle(folder, provider="engine", gpu=gpu) if of_bundle else {}
    pictures = check_pictures(folder, provider="engine", gpu=gpu)
    reasons = {name: report.reason for name, report in reports.items()} | {name: report.reason for name, report in pictures.items()}
    failed = {name: reason for name, reason in reasons.items() if reason is not None}
    for name, reason in failed.items():
        print_message(f"{name} did not pass: {reason}")
    if failed:
        raise typer.Exit(1)
