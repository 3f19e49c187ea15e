"""`wsra ground`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import (
    BundleOption,
    DecoderOption,
    DeviceOption,
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

NOT_FOUND = 3  # exit code with --exit-code


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
    device: DeviceOption = 0,
    decoder: DecoderOption = "cpu",
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START END", help="2026-11-23T14:00 2026-11-23T15:00, or of every day 22:00 06:00; local without a zone."),
    ] = None,
    daily: Annotated[tuple[str, str] | None, typer.Option(metavar="START END", help="22:00 06:00: only this time of every day.")] = None,
    camera: Annotated[list[str] | None, typer.Option("--camera", metavar="NAME", help="Only this camera; may be given again.")] = None,
    no_extract: Annotated[bool, typer.Option("--no-extract", help="Leave out videos that have no features yet.")] = False,
    per_video: Annotated[int | None, typer.Option("--per-video", min=1, help="Moments of one video per query.")] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option(
            "--false-alarms", metavar="N", help="Find what gives at most N false alarms an hour; default: a confidence above 50 %."
        ),
    ] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 0 if anything is found and with 3 if not.")] = False,
    ray: RayOption = None,
    report: Annotated[Path | None, typer.Option(metavar="X.html", help="Write a report with pictures, in one file.")] = None,
    clips: Annotated[Path | None, typer.Option(metavar="DIR", help="Write each moment as an MP4 with digests.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Encode clips to the frame instead of copying from a key frame.")] = False,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw the boxes into the clips, which encodes them.")] = False,
    playlist: Annotated[Path | None, typer.Option(metavar="X.m3u8|.edl|.csv", help="Write the moments as a list.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="X.png", help="Write a contact sheet of the best frames.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace report, list, picture, and clips of the same names.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the best frames in a terminal that can show pictures.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the moments that match a sentence."""
    from wsra.runtime.archive.request import Question, Request
    from wsra.runtime.archive.search import search
    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.terminal.console import progress_shown

    if false_alarms is not None and not false_alarms > 0:
        raise typer.BadParameter(f"--false-alarms is {false_alarms:g}; expected a number of moments per hour above 0")
    exports, exhibits = None, []
    if exact or boxes or overwrite or any(path is not None for path in (report, clips, playlist, picture)):
        from wsra.runtime.evidence.exports import Exports, check, export

        exports = Exports(report, clips, exact, boxes, playlist, picture, overwrite)
        with wrong_options():
            check(exports)
    if show:
        from wsra.runtime.evidence.terminal_pictures import check_terminal, terminal_pictures

        with wrong_options():
            check_terminal(as_json=as_json)
    bundle = bundle_or_stock(bundle)
    if rebuild == "auto":
        if provider != "engine":
            raise typer.BadParameter("--rebuild auto is for --provider engine")
        _rebuild(bundle, None if precision == "auto" else [precision], device)
    paths, sentences = paths_and_queries(inputs, queries)
    request = Request(
        paths=paths,
        question=Question(sentences, top_k=top_k, per_video=per_video, plan=plan, false_alarms=false_alarms),
        bundle=bundle,
        settings=RunSettings(precision, provider, threads, allow_fallback, kernel, device, decoder),
        between=between,
        ray=ray,
        daily=daily,
        cameras=tuple(camera) if camera else None,
        extract=not no_extract,
    )
    with progress_shown() as progress:
        found = search(request, progress=progress)
    if as_json:
        from wsra.runtime.archive.answer_json import answer_json

        results = [answer_json(result, found) for result in found.results]
        print_json(results if queries is not None else results[0])
    else:
        from wsra.runtime.archive.report import answer_view
        from wsra.runtime.terminal.display import stdout_console

        console = stdout_console()
        for result in found.results:
            console.print(answer_view(result, found, width=min(console.width, 100)))
    if exports is not None or show:  # after the answer, which is not lost where a disk is full
        from wsra.runtime.evidence.exhibits import exhibits_of

        exhibits = exhibits_of(found.results)
    if show:
        from wsra.runtime.terminal.display import stdout_console

        for picture_of_moment in terminal_pictures(exhibits):
            stdout_console().print(picture_of_moment)
    complete = True
    if exports is not None:
        with progress_shown() as progress:
            complete = export(exports, exhibits, found, false_alarms=false_alarms, command=["wsra", *sys.argv[1:]], progress=progress)
    if found.left_out or not complete:
        raise typer.Exit(1)
    if exit_code and not any(result.detections for result in found.results):
        raise typer.Exit(NOT_FOUND)


@contextmanager
def wrong_options() -> Iterator[None]:
    """Within the block, a `ConfigError` is about options, so it ends with exit code 2 as any wrong option."""
    from wsra.runtime.errors import ConfigError

    try:
        yield
    except ConfigError as err:
        raise typer.BadParameter(str(err)) from err


def _rebuild(folder: Path, precisions: list[str] | None, gpu: int) -> None:
    """Build and verify engines that do not fit; without a GPU there is nothing to build for."""
    from wsra.export.tensorrt.build import build_bundle
    from wsra.runtime.device import find_gpu
    from wsra.runtime.terminal.console import progress_shown
    from wsra.runtime.verification.verify import verify_bundle

    if find_gpu(index=gpu) is not None:
        with progress_shown() as progress:
            build_bundle(folder, precisions, progress=progress, gpu=gpu)
        verify_bundle(folder, provider="engine", gpu=gpu)


def bundle_or_stock(given: Path | None) -> Path:
    """The user's bundle, or else the stock one, which is made where it is missing; a message says so.

    Raises:
        BundleError: it cannot be made here.
        WsraError: making it failed.
    """
    from wsra.runtime.grounding.stock import own_bundle, stock_folder
    from wsra.runtime.terminal.console import print_message

    bundle = own_bundle(given)
    if bundle is None:
        bundle = stock_folder()
        _make_stock(bundle)
        print_message(f"using the stock bundle, {bundle}; choose another one with -b")
    return bundle


def _make_stock(folder: Path) -> None:
    """Make the stock bundle where it is missing.

    Raises:
        BundleError: it cannot be made here.
        WsraError: making it failed.
    """
    from wsra.runtime.errors import BundleError
    from wsra.runtime.formats.bundle import MANIFEST
    from wsra.runtime.terminal.console import progress_shown

    if (folder / MANIFEST).is_file():
        return
    try:
        from wsra.export.stock import make_stock
    except ModuleNotFoundError as err:
        raise BundleError(
            f"no bundle is given, and the stock bundle is not here: making it needs {err.name} (pip install 'wsra[demo]'); or make it on a"
            " workstation with wsra export --stock -o DIR, copy DIR here and give it with -b"
        ) from err
    with progress_shown() as progress:
        make_stock(folder, progress)


def paths_and_queries(inputs: Sequence[str], queries: Path | None) -> tuple[list[Path], tuple[str, ...]]:
    """Separate the inputs from the sentences.

    Args:
        inputs: of the command line: files and folders, and the query last unless `queries` is given.
        queries: file with one query per line.

    Raises:
        QueryError: there is no sentence, or its file cannot be read.
    """
    from wsra.runtime.archive.request import read_queries
    from wsra.runtime.errors import QueryError

    if queries is not None:
        return [Path(name) for name in inputs], tuple(read_queries(queries))
    if len(inputs) < 2:
        raise QueryError(f'got only {inputs[0]!r}; expected a video or .feat file and a sentence: wsra ground VIDEO "QUERY"')
    if (kind := _path_kind(inputs[-1])) is not None:
        raise QueryError(f'the last argument {inputs[-1]!r} is a {kind}; expected a sentence there: wsra ground VIDEO "QUERY"')
    return [Path(name) for name in inputs[:-1]], (inputs[-1],)


def _path_kind(name: str) -> str | None:
    """What lies at a path that is no sentence; a folder only where its name has a slash, because a folder may be named by a word."""
    try:
        return "file" if Path(name).is_file() else "folder" if "/" in name and Path(name).is_dir() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a null in it
        return None
