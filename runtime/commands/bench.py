"""`wsra bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsra.runtime.commands.options import JsonOption, ProviderOption, ThreadsOption, print_json


def bench(
    inputs: Annotated[
        list[str], typer.Argument(metavar="[BUNDLE] X.feat|VIDEO", help="Bundle (else $WSRA_BUNDLE, ./bundle), features or a video.")
    ],
    queries: Annotated[Path | None, typer.Option(help="File with one query per line, asked together; default one sentence.")] = None,
    plan: Annotated[
        Literal["tracks", "maximal", "seconds", "relative", "segments"] | None,
        typer.Option(help="Candidate spans; default the bundle's."),
    ] = None,
    hours: Annotated[float | None, typer.Option(min=0.001, max=48, help="Repeat the snippets to so many hours.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of a VIDEO so many are decoded.")] = 30.0,
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8; auto is the fastest that wsra verify passed here.")] = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: Annotated[bool, typer.Option("--allow-fallback", help="Run on the CPU where the provider cannot be had.")] = False,
    threads: ThreadsOption = 0,
    kernel: Annotated[
        Literal["auto", "numba", "numpy", "graph"], typer.Option(help="What scores snippets; auto as for wsra ground.")
    ] = "auto",
    repeats: Annotated[int | None, typer.Option(min=1, help="Rounds; default as many as take some seconds, 5 to 100.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time every stage on this device, beside reading the keys once."""
    from wsra.runtime.archive.request import read_queries
    from wsra.runtime.bench.report import bench_json, bench_view
    from wsra.runtime.bench.stages import QUERY, Wanted, measure
    from wsra.runtime.formats.bundle import default_bundle

    if len(inputs) > 2:
        raise typer.BadParameter(f"got {len(inputs)} arguments; expected [BUNDLE] and one X.feat or VIDEO")
    wanted = Wanted(
        source=Path(inputs[-1]),
        queries=[QUERY] if queries is None else read_queries(queries),
        plan=plan,
        precision=precision,
        provider=provider,
        threads=threads,
        allow_fallback=allow_fallback,
        kernel=kernel,
        repeats=repeats,
        first_s=seconds,
        hours=hours,
    )
    found = measure(default_bundle(Path(inputs[0]) if len(inputs) == 2 else None), wanted)
    if as_json:
        print_json(bench_json(found))
    else:
        from wsra.runtime.terminal.display import stdout_console

        stdout_console().print(bench_view(found))
