"""The command line: parse, import lazily, call the library, print. Data on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wsra.runtime.errors import EXTRA_OF, MissingExtraError, WsraError
from wsra.runtime.stdout import claim_stdout

app = typer.Typer(
    name="wsra",
    help="Find, in hours of surveillance video, the moments that match a sentence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

BundleOption = Annotated[Path | None, typer.Option("--bundle", "-b", help="The bundle; default $WSRA_BUNDLE, else ./bundle.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
SnippetOption = Annotated[float, typer.Option("--snippet-s", min=0.04, max=60.0, help="Length of a snippet in seconds.")]
ProviderOption = Annotated[
    Literal["auto", "cpu", "cuda", "tensorrt", "engine"],
    typer.Option(help="cpu, cuda or tensorrt of ONNX Runtime, or engine: plans of wsra build."),
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads of ONNX Runtime on the CPU; 0 lets it decide.")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes.")]


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 1."""
    claim_stdout()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that unfinished files are removed
    try:
        app()
    except WsraError as err:
        told: WsraError = err
    except ModuleNotFoundError as err:
        library = (err.name or "").split(".")[0]
        if library not in EXTRA_OF:
            raise
        told = MissingExtraError(library, EXTRA_OF[library], "this command")
    else:
        return
    print(f"wsra: {told}", file=sys.stderr)
    sys.exit(1)


def _print_json(value: Any) -> None:
    print(json.dumps(value))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="An empty or new folder.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=24, help="Training clips; validation and test clips are added.")] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the captions.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    jobs: JobsOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Render scenes, extract, train from captions, export, ground, and compare with the controls."""
    try:
        from wsra.export.demo import run_demo
        from wsra.export.demo_report import show_demo
    except ModuleNotFoundError as err:
        raise MissingExtraError(str(err.name), "demo", "wsra demo") from err

    report = run_demo(out, clips=clips, epochs=epochs, seed=seed, jobs=jobs)
    if as_json:
        _print_json(report)
    else:
        show_demo(report, out)


@app.command()
def extract(
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the .feat files.")],
    backbone: Annotated[str, typer.Option(help="motion, or an encoder: X.onnx beside X.json, or a folder with backbone.json.")] = "motion",
    regions: Annotated[
        Literal["whole", "grid", "moving"], typer.Option(help="What an encoder sees of a frame: grid adds its quarters, moving what moves.")
    ] = "whole",
    provider: Annotated[Literal["cpu", "cuda", "tensorrt"], typer.Option(help="Of ONNX Runtime, for an encoder.")] = "cpu",
    snippet_s: SnippetOption = 1.0,
    jobs: JobsOption = 1,
    decoder: Annotated[str, typer.Option(help="cpu, or hardware that FFmpeg knows: cuda, qsv, vaapi, videotoolbox, ...")] = "cpu",
    continued: Annotated[bool, typer.Option("--continue", help="The files, in this order, are one recording of one camera.")] = False,
) -> None:
    """Turn videos into .feat files; those that are current are kept."""
    from wsra.runtime.backbone import BackboneChoice
    from wsra.runtime.console import progress, say
    from wsra.runtime.extract import extract_batch

    if continued and (jobs > 1 or backbone != "motion"):
        raise typer.BadParameter("--continue is for the motion backbone, and takes one file after the other; leave out --jobs")
    choice, failed = BackboneChoice(backbone, regions, provider), 0
    by_seconds = jobs == 1 or len(videos) == 1
    with progress("seconds" if by_seconds else "videos", None if by_seconds else len(videos)) as bar:
        task = bar.task_ids[0]
        within = (lambda done, total: bar.update(task, completed=done, total=total)) if by_seconds else None
        if continued:
            from wsra.runtime.recording import extract_recording

            batch = extract_recording(videos, out, snippet_s=snippet_s, decoder=decoder, progress=within)
        else:
            batch = extract_batch(videos, out, backbone=choice, snippet_s=snippet_s, jobs=jobs, decoder=decoder, progress=within)
        for done in batch:
            if not by_seconds:
                bar.advance(task)
            if done.error is not None:
                failed += 1
                print(f"wsra: {done.error}", file=sys.stderr)
            else:
                print(done.feat)
                say(f"{done.video}: {'kept, already extracted' if done.kept else 'extracted'}")
                if done.warning is not None:
                    say(f"WARNING: {done.video}: {done.warning}")
    if failed:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="FILE.npy, .npz, .h5, .hdf5 or .pt with an array (snippets, width).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .feat file.")],
    snippet_s: SnippetOption,
    key: Annotated[str | None, typer.Option(help="Which array, where the file holds several.")] = None,
    video: Annotated[str | None, typer.Option(help="Name of the video; default the file's or the key's.")] = None,
    backbone: Annotated[str, typer.Option(help="What made the features.")] = "converted",
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Turn features of other tools into a .feat file."""
    from wsra.runtime.convert import array_from_file, features_from_array
    from wsra.runtime.features import write_features
    from wsra.runtime.files import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    array = array_from_file(source, key)
    features = features_from_array(array, video=video or key or source.stem, snippet_s=snippet_s, backbone=backbone)
    write_features(out, features)
    print(out)


@app.command()
def info(path: Annotated[Path, typer.Argument(help="X.feat, a checkpoint or a bundle.")], as_json: JsonOption = False) -> None:
    """Say what a file or folder holds."""
    from wsra.runtime.info import describe, info_table

    facts = describe(path)
    if as_json:
        _print_json(facts)
    else:
        from rich.console import Console

        Console().print(info_table(facts))


@app.command()
def train(
    run: Annotated[Path, typer.Argument(help="RUN.toml.")],
    out: Annotated[Path | None, typer.Option(help="The checkpoint; default runs/NAME of the run file.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, over the run file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the checkpoint stands.")] = False,
) -> None:
    """Train a scorer from captions without times."""
    from wsra.train.command import train_run

    print(train_run(run, out or Path("runs") / run.stem, settings or [], resume=resume))


@app.command()
def export(
    checkpoint: Annotated[Path | None, typer.Argument(help="A checkpoint; default the newest under runs/.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The bundle, default ./bundle; of --backbone ./backbone.")] = None,
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
    zero_shot: Annotated[
        str | None, typer.Option("--zero-shot", help="A CLIP or SigLIP by name or folder, as a bundle without training.")
    ] = None,
    regions: Annotated[
        Literal["whole", "grid", "moving"],
        typer.Option(help="What a zero-shot bundle sees: grid adds quarters, moving what moves."),
    ] = "whole",
    overwrite: Annotated[bool, typer.Option(help="Replace a bundle of another checkpoint.")] = False,
) -> None:
    """Export a checkpoint to ONNX, or a model of two towers; a precision that disagrees with PyTorch is set aside."""
    if not int8 and (calib, features, ranges) != (None, None, "minmax"):
        raise typer.BadParameter("--calib, --features and --ranges are for --int8")
    if zero_shot is None and regions != "whole":
        raise typer.BadParameter("--regions is for --zero-shot; a checkpoint has those of its features")
    if zero_shot is not None and (checkpoint is not None or backbone is not None):
        raise typer.BadParameter("--zero-shot needs no checkpoint and brings its own backbone")
    from wsra.export.encoder import export_encoder
    from wsra.export.pack import Calibration, Wanted, export_bundle, newest_checkpoint
    from wsra.export.zeroshot import export_zero_shot
    from wsra.runtime.console import say

    wanted = Wanted(fp16=fp16, int8=int8, calibration=Calibration(calib, features, ranges), engine=engine, overwrite=overwrite)
    carried = Path(backbone) if backbone is not None and (Path(backbone) / "backbone.json").is_file() else None
    if backbone is not None and carried is None:
        if checkpoint is not None or int8 or engine:
            raise typer.BadParameter(f"{backbone} has no backbone.json; make one first: wsra export --backbone {backbone} [--fp16] -o DIR")
        place = out or Path("backbone")
        export_encoder(backbone, place, fp16=fp16, overwrite=overwrite, say=say)
    elif zero_shot is not None:
        place = out or Path("bundle")
        export_zero_shot(zero_shot, place, wanted, regions=regions, say=say)
    else:
        place, source = out or Path("bundle"), checkpoint or newest_checkpoint(Path("runs"))
        say(f"checkpoint {source}")
        export_bundle(source, place, wanted, encoder=carried, say=say)
    print(place)


@app.command()
def verify(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle; default $WSRA_BUNDLE, else ./bundle.")] = None,
    precision: Annotated[str, typer.Option(help="auto (all), fp32, fp16 or int8.")] = "auto",
    provider: ProviderOption = "auto",
    data: Annotated[Path | None, typer.Option(help="Labelled queries, as JSON lines with relevant_windows; give --features, too.")] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of the .feat files of their videos.")] = None,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check on this device every way to run a bundle: its tensors, and the moments it finds."""
    from wsra.export.verify import verify_bundle
    from wsra.runtime.bundle import default_bundle
    from wsra.runtime.console import say

    entries = verify_bundle(
        default_bundle(bundle), precision=precision, provider=provider, data=data, features=features, threads=threads, say=say
    )
    if as_json:
        _print_json({"precisions": entries})
    else:
        from rich.console import Console

        from wsra.export.verify_report import verify_table

        Console().print(verify_table(entries))
    if not all(entry["passed"] for entry in entries.values()):
        raise typer.Exit(1)


@app.command()
def build(
    source: Annotated[Path | None, typer.Argument(help="A bundle, or X.onnx; default $WSRA_BUNDLE, else ./bundle.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="fp32, fp16 or int8; default all that passed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The plan, for X.onnx; default X.plan.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="For X.onnx: NAME=MIN:OPT:MAX[,NAME=...], shapes as 1x3x224x224; one or more.")
    ] = None,
    rebuild: Annotated[Literal["auto", "never"], typer.Option(help="auto builds what does not fit; never refuses instead.")] = "auto",
    workspace_mb: Annotated[
        int | None, typer.Option("--workspace-mb", min=1, help="Memory for trying kernels, in MiB; default half of what is free.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing plan of X.onnx.")] = False,
) -> None:
    """Compile TensorRT engines for this device, and verify them where there is a GPU."""
    from wsra.export.build import build_bundle, build_onnx, profile_from_text
    from wsra.export.verify import verify_bundle
    from wsra.runtime.bundle import default_bundle
    from wsra.runtime.console import say
    from wsra.runtime.device import find_gpu

    if source is not None and source.suffix == ".onnx":
        if precision or rebuild != "auto":
            raise typer.BadParameter("--precision and --rebuild are for a bundle; the precision of X.onnx is the graph's")
        plan = out or source.with_suffix(".plan")
        profiles = [profile_from_text(text) for text in profile or []]
        build_onnx(source, plan, profiles, workspace_mb=workspace_mb, overwrite=overwrite, say=say)
        print(plan)
        return
    if out is not None or profile or overwrite:
        raise typer.BadParameter("--out, --profile and --overwrite are for X.onnx; a bundle has its own profiles and folders")
    folder = default_bundle(source)
    for engines in build_bundle(folder, precision, rebuild=rebuild, workspace_mb=workspace_mb, say=say):
        print(engines)
    if find_gpu() is None:
        say("not verified: there is no GPU to run engines on")
        return
    failed = [name for name, entry in verify_bundle(folder, provider="engine", say=say).items() if not entry["passed"]]
    if failed:
        raise typer.Exit(1)


@app.command()
def doctor(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle to look at, too; default $WSRA_BUNDLE, else ./bundle.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine has, what stops grounding on it, and what to do."""
    from wsra.runtime.doctor import can_ground, doctor_json, doctor_table, examine

    checks = examine(bundle)
    if as_json:
        _print_json(doctor_json(checks))
    else:
        from rich.console import Console

        Console().print(doctor_table(checks))
    if not can_ground(checks):
        raise typer.Exit(1)


@app.command()
def ground(
    inputs: Annotated[list[str], typer.Argument(help='VIDEO, X.feat or folder, one or more, then the "QUERY".', show_default=False)],
    bundle: BundleOption = None,
    queries: Annotated[Path | None, typer.Option(help="File with one query per line, instead of QUERY.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Moments per query; changes no span.")] = 5,
    plan: Annotated[
        Literal["maximal", "seconds", "relative", "segments"] | None,
        typer.Option(help="Candidate spans; default the bundle's."),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8; auto is the fastest that wsra verify passed here.")] = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: Annotated[bool, typer.Option("--allow-fallback", help="Run on the CPU where the provider cannot be had.")] = False,
    rebuild: Annotated[Literal["auto", "never"], typer.Option(help="With --provider engine: auto builds what does not fit.")] = "never",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the moments that match a sentence."""
    from wsra.runtime.search import Request, search

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
    )
    found = search(request)
    if as_json:
        from wsra.runtime.report import answer_json

        results = [answer_json(result.query, result.moments, found.grounder) for result in found.results]
        _print_json(results if queries is not None else results[0])
        return
    from rich.console import Console

    from wsra.runtime.report import answer_view

    for result in found.results:
        Console().print(answer_view(result.query, result.answers, found.durations_s, result.moments))


def _rebuild(bundle: Path | None, precisions: list[str] | None) -> None:
    """Build and verify engines that do not fit; without a GPU there is nothing to build for."""
    from wsra.export.build import build_bundle
    from wsra.export.verify import verify_bundle
    from wsra.runtime.bundle import default_bundle
    from wsra.runtime.console import say
    from wsra.runtime.device import find_gpu

    folder = default_bundle(bundle)
    if find_gpu() is not None:
        build_bundle(folder, precisions, say=say)
        verify_bundle(folder, provider="engine", say=say)


if __name__ == "__main__":
    main()
