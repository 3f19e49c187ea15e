"""`wsra ground`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import (
    BundleOption,
    FallbackOption,
    JsonOption,
    KernelOption,
    PlanOption,
    PrecisionOption,
    ProviderOption,
    QueriesOption,
    RayOption,
    ThreadsOption,
    print_json,
)


def ground(
    inputs: Annotated[list[str], typer.Argument(help='VIDEO, X.feat or folder, one or more, then the "QUERY".', show_default=False)],
    bundle: BundleOption = None,
    queries: QueriesOption = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Moments per query; changes no span.")] = 5,
    plan: PlanOption = None,
    precision: PrecisionOption = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: FallbackOption = False,
    rebuild: Annotated[Literal["auto", "never"], typer.Option(help="With --provider engine: auto builds what does not fit.")] = "never",
    threads: ThreadsOption = 0,
    kernel: KernelOption = "auto",
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START END", help="2026-11-23T14:00 2026-11-23T15:00, or of every day 22:00 06:00; local without a zone."),
    ] = None,
    per_video: Annotated[int | None, typer.Option("--per-video", min=1, help="Moments of one video per query.")] = None,
    ray: RayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the moments that match a sentence."""
    from wsra.runtime.archive.request import Question, Request, paths_and_queries
    from wsra.runtime.archive.search import search
    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.commands.stock import bundle_or_stock
    from wsra.runtime.terminal.console import progress_shown

    bundle = bundle_or_stock(bundle)
    if rebuild == "auto":
        if provider != "engine":
            raise typer.BadParameter("--rebuild auto is for --provider engine")
        _rebuild(bundle, None if precision == "auto" else [precision])
    paths, sentences = paths_and_queries(inputs, queries)
    request = Request(
        paths=paths,
        question=Question(sentences, top_k=top_k, per_video=per_video, plan=plan),
        bundle=bundle,
        settings=RunSettings(precision, provider, threads, allow_fallback, kernel),
        between=between,
        ray=ray,
    )
    with progress_shown() as progress:
        found = search(request, progress=progress)
    if as_json:
        from wsra.runtime.archive.answer_json import answer_json

        results = [answer_json(result.query, result.detections, found.ran) for result in found.results]
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
