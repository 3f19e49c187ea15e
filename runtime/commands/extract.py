"""`wsra extract`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wsra.runtime.backends.settings import GraphSettings, Provider, decodes_on_nvidia
from wsra.runtime.commands.options import DecoderOption, DeviceOption, FallbackOption, JobsOption, RayOption, SnippetOption


def extract(
    videos: Annotated[list[Path], typer.Argument(help="Video files.", readable=False)],  # an unreadable one does not stop the others
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the .feat files.")],
    backbone: Annotated[str, typer.Option(help="motion, or an encoder: X.onnx next to X.json, or a folder with backbone.json.")] = "motion",
    detector: Annotated[
        str | None, typer.Option(help="An object detector: X.onnx next to X.json, or a folder with detector.json.", show_default=False)
    ] = None,
    regions: Annotated[
        Literal["whole", "grid", "moving", "tracks"],
        typer.Option(
            help="Input of an encoder: the whole frame; grid adds its quarters; moving adds what moves; tracks: best views of each object."
        ),
    ] = "whole",
    provider: Annotated[
        Provider, typer.Option(help="For an encoder or detector: cpu, cuda or tensorrt of ONNX Runtime, or engine: plans of wsra build.")
    ] = "cpu",
    allow_fallback: FallbackOption = False,
    device: DeviceOption = 0,
    snippet_s: SnippetOption = 1.0,
    jobs: JobsOption = 1,
    ray: RayOption = None,
    decoder: DecoderOption = "cpu",
    continued: Annotated[bool, typer.Option("--continue", help="Treat the files, in this order, as one recording of one camera.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace features of another backbone, snippet length or tool.")] = False,
) -> None:
    """Turn videos into .feat files; current ones are kept."""
    from wsra.runtime.backbones.registry import BackboneChoice
    from wsra.runtime.extraction.batch import extract_batch
    from wsra.runtime.terminal.console import print_message, progress_shown
    from wsra.runtime.terminal.streams import print_path
    from wsra.runtime.workers.pool import open_pool

    if detector is not None and (backbone, regions) != ("motion", "whole"):
        raise typer.BadParameter("--detector is a backbone of its own; leave out --backbone and --regions")
    if continued and detector is not None:
        raise typer.BadParameter("--continue does not work with detectors; leave it out: tracks are joined across files by position")
    if continued and (jobs > 1 or ray is not None):
        raise typer.BadParameter("--continue processes one file after the other; leave out --jobs and --ray")
    if ray is not None and jobs > 1:
        raise typer.BadParameter("--jobs is for this machine; leave it out: a cluster extracts one video per processor")
    failed = 0
    run = GraphSettings(provider, allow_fallback=allow_fallback, gpu=device)
    choice = BackboneChoice(detector or backbone, regions, run, detector=detector is not None)
    gpus = int(provider != "cpu" or decodes_on_nvidia(decoder))
    with ExitStack() as held:
        pool = held.enter_context(open_pool(ray, jobs=min(jobs, len(videos)), gpus=gpus))
        by_seconds = pool.place == "process"
        progress = held.enter_context(progress_shown())
        within = (lambda done, total: progress("seconds", done, total)) if by_seconds else None
        shared: dict[str, Any] = {"snippet_s": snippet_s, "decoder": decoder, "progress": within, "overwrite": overwrite}
        if continued:
            from wsra.runtime.extraction.continued import extract_recording

            batch = extract_recording(videos, out, backbone=choice, **shared)
        else:
            batch = extract_batch(videos, out, backbone=choice, pool=pool, **shared)
        if not by_seconds:
            progress("videos", 0, len(videos))
        for count, done in enumerate(batch, 1):
            if not by_seconds:
                progress("videos", count, len(videos))
            if done.error is not None:
                failed += 1
                print_message(f"wsra: {done.error}")
            else:
                print_path(done.feat)
                print_message(f"{done.video}: {'kept, already extracted' if done.kept else 'extracted'}")
                if done.stages is not None:
                    print_message(f"{done.video}: {done.stages}")
                if done.warning is not None:
                    print_message(f"WARNING: {done.video}: {done.warning}")
    if failed:
        raise typer.Exit(1)
