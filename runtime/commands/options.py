"""Options that several commands take, what all of them do first, and how JSON is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wsra.runtime.backends.settings import KernelName, ProviderName
from wsra.runtime.terminal.console import messages_shown

BundleOption = Annotated[
    Path | None, typer.Option("--bundle", "-b", help="The bundle; default $WSRA_BUNDLE, else ./bundle, else the stock one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
SnippetOption = Annotated[float, typer.Option("--snippet-s", min=0.04, max=60.0, help="Length of a snippet in seconds.")]
QueriesOption = Annotated[Path | None, typer.Option(help="File with one query per line, instead of a single sentence.")]
PlanOption = Annotated[
    Literal["tracks", "peaks", "maximal", "seconds", "relative", "segments"] | None,
    typer.Option(help="Candidate spans; default the bundle's. wsra evaluate draws those of chance from them, too."),
]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32, fp16 or int8; auto is the fastest that wsra verify passed here.")]
ProviderOption = Annotated[
    ProviderName,
    typer.Option(help="cpu, cuda or tensorrt of ONNX Runtime, or engine: plans of wsra build."),
]
ThreadsOption = Annotated[int, typer.Option(min=0, max=1024, help="Threads of ONNX Runtime on the CPU; 0 lets it decide.")]
FallbackOption = Annotated[bool, typer.Option("--allow-fallback", help="Run on the CPU where the provider is not available.")]
KernelOption = Annotated[
    KernelName,
    typer.Option(
        help="What scores snippets; auto is numba (extra fast) for weeks of video, numpy for less; the graph where it was faster."
    ),
]
DeviceOption = Annotated[int, typer.Option("--device", metavar="N", min=0, help="Number of the GPU, from 0, among the visible ones.")]
DecoderOption = Annotated[
    str, typer.Option("--decoder", metavar="D", help="Of videos: cpu, gstreamer, or hardware known to FFmpeg: cuda, qsv, vaapi, ...")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes.")]
RayOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Ray cluster: HOST:PORT of its head, auto (RAY_ADDRESS, or the one of this machine), or local."),
]


def begin(context: typer.Context) -> None:
    """What every command does first: it shows what the library reports, until it ends."""
    context.with_resource(messages_shown())


def print_json(value: Any) -> None:
    """Print a result on stdout."""
    print(json.dumps(value))
