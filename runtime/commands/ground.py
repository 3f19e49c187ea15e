"""`wsra ground`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import BundleOption, JsonOption, ProviderOption, RayOption, ThreadsOption, print_json


def ground(
    inputs: Annotated[list[str], typer.Argument(help='VIDEO, X.feat or folder, one or more, then the "QUERY".', show_default=False)],
    bundle: BundleOption = None,
    queries: Annotated[Path | None, typer.Option(help="File with one query per line, instead of QUERY.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Moments per query; changes no span.")] = 5,
    plan: Annotated[
        Literal["tracks", "maximal", "seconds", "relative", "segments"] | None,
        typer.Option(help="Candidate spans; default the bundle's."),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8; auto is the fastest that wsra verify passed here.")] = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: Annotated[bool, typer.Option("--allow-fallback", help="Run on the CPU where the provider cannot be had.")] = False,
    rebuild: Annotated[Literal["auto", "never"], typer.Option(help="With --provider engine: auto builds what does not fit.")] = "never",
    threads: ThreadsOption = 0,
    kernel: Annotated[
        Literal["auto", "numba", "numpy", "graph"],
        typer.Option(help="What scores snippets; auto is numba (extra fast) for weeks of video, numpy for less, on a GPU the graph."),
    ] = "auto",
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START END", help="2026-11-23T14:00 2026-11-23T15:00, or of every day 22:00 06:00; local without a zone."),
    ] = None,
    per_video: Annotated[int | None, typer.Option("--per-video", min=1, help="Moments of one video per query.")] = None,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the moments that match a sentence."""
    from wsra.runtime.archive.request import Request
    from wsra.runtime.archive.search import search
    from wsra.runtime.commands.stock import bundle_or_stock

    bundle = bundle_or_stock(bundle)
    if rebuild == "auto":
        if provider != "engine":
            raise typer.BadParameter("--rebuild auto is for --provider engine")
        _rebuild(bundle, None if precision == "auto" else [precision])
    request = Request(
        inputs=inputs,
        queries=queries,
        bundle=bundle,
        top_k=top_k,
        plan=plan,
        precision=precision,
        provider=provider,
        threads=threads,
        allow_fallback=allow_fallback,
        between=between,
        per_video=per_video,
        kernel=kernel,
        ray=ray,
    )
    found = search(request)
    if as_json:
        from wsra.runtime.archive.answer_json import answer_json

        results = [answer_json(result.query, result.sightings, found.grounder) for result in found.results]
        print_json(results if queries is not None else results[0])
    else:
        from wsra.runtime.archive.report import answer_view
        from wsra.runtime.terminal.display import stdout_console

        console = stdout_console()
        for result in found.results:
            console.print(answer_view(result, width=min(console.width, 100)))
    if found.left_out:
        raise typer.Exit(1)


def _rebuild(folder: Path, precisions: list[str] | None) -> None:
    """Build and verify engines that do not fit; without a GPU there is nothing to build for."""
    from wsra.export.tensorrt.build import build_bundle
    from wsra.runtime.device import find_gpu
    from wsra.runtime.terminal.console import progress_shown
    from wsra.runtime.verification.verify import verify_bundle

    if find_gpu() is not None:
        with progress_shown() as progress:
            build_bundle(folder, precisions, progress=progress)
        verify_bundle(folder, provider="engine")
