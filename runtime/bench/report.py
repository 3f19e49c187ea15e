"""What was measured, with its conditions: JSON for programs, a table for people."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from wsra.runtime.bench.asking import COPY, PRODUCT, blas_threads
from wsra.runtime.bench.stages import Measurement
from wsra.runtime.bench.timed_video import TimedVideo
from wsra.runtime.bench.timing import Times, ratio
from wsra.runtime.doctor.checks import version_of
from wsra.runtime.terminal.display import Group, RenderableType, Styled, clock, plain_table

_WHAT = {
    "decode": "the video opened, its frames",
    "features": "backbone, frames at hand",
    "extract": "both, as wsra extract runs",
    "keys": "all rows, into memory",
    "text": "{queries} to vectors",
    "open": ".feat file and kept keys",
    "scoring": "rows and {queries}",
    "selection": "spans, the best of them",
    "answer": "from text to selection",
}
_OF_FILM = ("decode", "features", "extract")
_IN_CACHE = 1 << 22  # bytes of keys in float32 below which reading them tells nothing of memory
_LIBRARIES = ("wsra", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "numba", "av")


def bench_json(measured: Measurement) -> dict[str, Any]:
    """The figures: milliseconds, 10^6 bytes, seconds of video; what a system does not tell is null."""
    scorer, manifest, device = measured.grounder.scorer, measured.grounder.manifest, measured.device
    return {
        "stages": {name: _stage(measured, name, measured.times[name]) for name in _WHAT if name in measured.times},
        "reading": {
            "product_ms": measured.times[PRODUCT].p50_ms,
            "product_rows": measured.reading.rows,
            "copy_ms": measured.times[COPY].p50_ms,
            "ratio_product": scoring_beside(measured, PRODUCT),
            "ratio_copy": scoring_beside(measured, COPY),
        },
        "memory": {"anonymous_mb": measured.memory.now_mb, "peak_mb": measured.memory.peak_mb},
        "source": str(measured.request.source),
        "video_s": None if measured.film is None else measured.film.seconds,
        "decoder": None if measured.film is None else measured.film.decoder,
        "waited": None if measured.film is None else measured.film.stages,
        "snippets": len(measured.features),
        "tracks": None if measured.features.tracks is None else len(measured.features.tracks),
        "duration_s": measured.features.duration_s,
        "repeated": measured.request.hours is not None,
        "queries": len(measured.request.queries),
        "plan": _plan(measured),
        "bundle": str(measured.grounder.bundle),
        "precision": measured.grounder.precision,
        "provider": scorer.provider,
        "device": scorer.device,
        "kernel": scorer.kernel.name,
        "widths": {"feature": measured.features.width, "key": measured.key_width, "text": manifest.text_width},
        "threads": threads_of(measured),
        "machine": {"cpu": device.cpu, "cores": device.cores, "memory_mb": device.memory_mb, "load": measured.load},
        "versions": _versions(),
    }


def scoring_beside(measured: Measurement, reading: str) -> float:
    """Scoring, spans and selection as a multiple of reading the keys once: the median of the rounds' ratios.

    Args:
        measured: what was measured.
        reading: "product" or "copy".
    """
    return ratio([measured.times["scoring"], measured.times["selection"]], measured.times[reading])


def threads_of(measured: Measurement) -> dict[str, int | None]:
    """Threads of ONNX Runtime (None: it decides), of the kernel (None: ONNX Runtime's) and of the product keys @ vector."""
    asked = measured.request.settings.threads
    kernel = None if measured.grounder.scorer.kernel.name == "graph" else asked or measured.device.cores
    return {"onnxruntime": asked or None, "kernel": kernel, "blas": blas_threads()}


def bench_view(measured: Measurement) -> RenderableType:
    """The conditions, the stages, the keys read once, and the memory."""
    table = plain_table()
    table.add_column("stage", style="bold")
    table.add_column("what")
    for heading in ("p50 ms", "p99 ms", "cold ms", "rounds"):
        table.add_column(heading, justify="right")
    asked = _sentences(measured)
    for name, what in _WHAT.items():
        if name in measured.times:
            times = measured.times[name]
            cells = [_ms(times.p50_ms), _ms(times.p99_ms), _ms(measured.cold_ms[name]), str(times.rounds)]
            table.add_row(name, what.format(queries=asked), *cells)
    lines = [
        "cold: the first time, in no round; p99 of few rounds is nearly the slowest",
        *_speeds(measured),
        *_readings(measured),
        _memory(measured),
    ]
    return Group(*(Styled(line, "dim") for line in _conditions(measured)), "", table, "", *lines)


def _stage(measured: Measurement, name: str, times: Times) -> dict[str, float]:
    figures = {"p50_ms": times.p50_ms, "p99_ms": times.p99_ms, "cold_ms": measured.cold_ms[name], "rounds": times.rounds}
    return figures | _speed(measured.film, times) if measured.film is not None and name in _OF_FILM else figures


def _speed(film: TimedVideo, times: Times) -> dict[str, float]:
    return {"frames_per_s": 1000 * film.frames / times.p50_ms, "times_real_time": 1000 * film.seconds / times.p50_ms}


def _speeds(measured: Measurement) -> list[str]:
    if measured.film is None:
        return []
    speeds = {name: _speed(measured.film, measured.times[name]) for name in _OF_FILM}
    lines = [f"{name}: {t['frames_per_s']:,.0f} frames a second, {t['times_real_time']:,.0f} times real time" for name, t in speeds.items()]
    return lines if measured.film.stages is None else [*lines, f"extract: {measured.film.stages}"]


def _conditions(measured: Measurement) -> list[str]:
    scorer, features, device = measured.grounder.scorer, measured.features, measured.device
    threads = {name: number if number is not None else "its choice" for name, number in threads_of(measured).items()}
    kernel = "as ONNX Runtime" if scorer.kernel.name == "graph" else threads["kernel"]
    rows = f"{len(features):,} snippets" if features.tracks is None else f"{len(features):,} rows of {len(features.tracks):,} objects"
    length = f"{rows}, {clock(features.duration_s)}{' by repetition' if measured.request.hours is not None else ''}"
    film = ""
    if measured.film is not None:
        film = f"; the first {measured.film.seconds:g} s, {measured.film.frames:,} frames, decoder {measured.film.decoder}"
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return [
        f"{measured.grounder.bundle}: {measured.grounder.precision}, {scorer.provider} on {scorer.device}, kernel {scorer.kernel.name}",
        f"{measured.request.source}: {length}, keys {measured.key_width} wide{film}; {_sentences(measured)}, plan {_plan(measured)}",
        f"{device.gpu.name + ', ' if device.gpu else ''}{device.cpu}, {device.cores} cores, load {measured.load:.1f}",
        f"threads: ONNX Runtime {threads['onnxruntime']}, kernel {kernel}, BLAS {threads['blas']}; {versions}",
    ]


def _readings(measured: Measurement) -> list[str]:
    rows, count = measured.reading.rows, len(measured.features)
    some = "" if rows == count else f", of {rows:,} of them, scaled"
    yardsticks = {
        PRODUCT: f"their product with a vector (BLAS, float32 in memory{some})",
        COPY: "a copy of their stored bytes, one thread",
    }
    lines = [
        f"  {what}: {_ms(measured.times[name].p50_ms)} ms; {scoring_beside(measured, name):.2f} times" for name, what in yardsticks.items()
    ]
    if 4 * count * measured.key_width < _IN_CACHE:
        lines.append("  these keys fit the cache, so that tells little: --hours 24 repeats the video to a day")
    return ["keys read once; scoring and selection beside it:", *lines]


def _memory(measured: Measurement) -> str:
    now, peak = measured.memory.now_mb, measured.memory.peak_mb
    if now is None or peak is None:
        return "anonymous memory: this system does not tell (Linux does, in /proc/self/smaps_rollup)"
    return f"anonymous memory: {now:.0f} MB after the first answer, at most {peak:.0f} MB until then"


def _plan(measured: Measurement) -> str:
    return measured.request.plan or measured.grounder.manifest.plan


def _sentences(measured: Measurement) -> str:
    count = len(measured.request.queries)
    return f"{count} sentence{'s' if count > 1 else ''}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:.3g}"


def _versions() -> Mapping[str, str]:
    found = {name: version for name in _LIBRARIES if (version := version_of(name))}
    return {"python": platform.python_version(), **found}
