"""What was measured, with its conditions: JSON for programs, a table for people."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from wsra.runtime.bench.film import Film
from wsra.runtime.bench.reading import COPY, PRODUCT, blas_threads
from wsra.runtime.bench.stages import Found
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


def bench_json(found: Found) -> dict[str, Any]:
    """The figures: milliseconds, 10^6 bytes, seconds of video; what a system does not tell is null."""
    scorer, manifest = found.grounder.scorer, found.grounder.manifest
    return {
        "stages": {name: _stage(found, name, found.times[name]) for name in _WHAT if name in found.times},
        "reading": {
            "product_ms": found.times[PRODUCT].p50_ms,
            "product_rows": found.reading.rows,
            "copy_ms": found.times[COPY].p50_ms,
            "ratio_product": scoring_beside(found, PRODUCT),
            "ratio_copy": scoring_beside(found, COPY),
        },
        "memory": {"anonymous_mb": found.memory.now_mb, "peak_mb": found.memory.peak_mb},
        "source": str(found.wanted.source),
        "video_s": None if found.film is None else found.film.seconds,
        "snippets": len(found.features),
        "tracks": None if found.features.tracks is None else len(found.features.tracks),
        "duration_s": found.features.duration_s,
        "repeated": found.wanted.hours is not None,
        "queries": len(found.wanted.queries),
        "plan": _plan(found),
        "bundle": str(found.grounder.bundle),
        "precision": found.grounder.precision,
        "provider": scorer.provider,
        "device": scorer.device,
        "kernel": scorer.kernel.name,
        "widths": {"feature": found.features.width, "key": found.key_width, "text": manifest.text_width},
        "threads": threads_of(found),
        "machine": {"cpu": found.device.cpu, "cores": found.device.cores, "memory_mb": found.device.memory_mb, "load": found.load},
        "versions": _versions(),
    }


def scoring_beside(found: Found, reading: str) -> float:
    """Scoring, spans and selection as a multiple of reading the keys once: the median of the rounds' ratios.

    Args:
        found: what was measured.
        reading: "product" or "copy".
    """
    return ratio([found.times["scoring"], found.times["selection"]], found.times[reading])


def threads_of(found: Found) -> dict[str, int | None]:
    """Threads of ONNX Runtime (None: it decides), of the kernel (None: ONNX Runtime's) and of the product keys @ vector."""
    asked = found.wanted.threads
    kernel = None if found.grounder.scorer.kernel.name == "graph" else asked or found.device.cores
    return {"onnxruntime": asked or None, "kernel": kernel, "blas": blas_threads()}


def bench_view(found: Found) -> RenderableType:
    """The conditions, the stages, the keys read once, and the memory."""
    table = plain_table()
    table.add_column("stage", style="bold")
    table.add_column("what")
    for heading in ("p50 ms", "p99 ms", "cold ms", "rounds"):
        table.add_column(heading, justify="right")
    asked = _sentences(found)
    for name, what in _WHAT.items():
        if name in found.times:
            times = found.times[name]
            cells = [_ms(times.p50_ms), _ms(times.p99_ms), _ms(found.cold_ms[name]), str(times.rounds)]
            table.add_row(name, what.format(queries=asked), *cells)
    lines = [
        "cold: the first time, in no round; p99 of few rounds is nearly the slowest",
        *_speeds(found),
        *_readings(found),
        _memory(found),
    ]
    return Group(*(Styled(line, "dim") for line in _conditions(found)), "", table, "", *lines)


def _stage(found: Found, name: str, times: Times) -> dict[str, float]:
    told = {"p50_ms": times.p50_ms, "p99_ms": times.p99_ms, "cold_ms": found.cold_ms[name], "rounds": times.rounds}
    return told | _speed(found.film, times) if found.film is not None and name in _OF_FILM else told


def _speed(film: Film, times: Times) -> dict[str, float]:
    return {"frames_per_s": 1000 * film.frames / times.p50_ms, "times_real_time": 1000 * film.seconds / times.p50_ms}


def _speeds(found: Found) -> list[str]:
    if found.film is None:
        return []
    told = {name: _speed(found.film, found.times[name]) for name in _OF_FILM}
    return [f"{name}: {t['frames_per_s']:,.0f} frames a second, {t['times_real_time']:,.0f} times real time" for name, t in told.items()]


def _conditions(found: Found) -> list[str]:
    scorer, features, device = found.grounder.scorer, found.features, found.device
    threads = {name: number if number is not None else "its choice" for name, number in threads_of(found).items()}
    kernel = "as ONNX Runtime" if scorer.kernel.name == "graph" else threads["kernel"]
    rows = f"{len(features):,} snippets" if features.tracks is None else f"{len(features):,} rows of {len(features.tracks):,} objects"
    length = f"{rows}, {clock(features.duration_s)}{' by repetition' if found.wanted.hours is not None else ''}"
    film = "" if found.film is None else f"; the first {found.film.seconds:g} s, {found.film.frames:,} frames"
    versions = ", ".join(f"{name} {told}" for name, told in _versions().items())
    return [
        f"{found.grounder.bundle}: {found.grounder.precision}, {scorer.provider} on {scorer.device}, kernel {scorer.kernel.name}",
        f"{found.wanted.source}: {length}, keys {found.key_width} wide{film}; {_sentences(found)}, plan {_plan(found)}",
        f"{device.gpu.name + ', ' if device.gpu else ''}{device.cpu}, {device.cores} cores, load {found.load:.1f}",
        f"threads: ONNX Runtime {threads['onnxruntime']}, kernel {kernel}, BLAS {threads['blas']}; {versions}",
    ]


def _readings(found: Found) -> list[str]:
    rows, count = found.reading.rows, len(found.features)
    some = "" if rows == count else f", of {rows:,} of them, scaled"
    told = {
        PRODUCT: f"their product with a vector (BLAS, float32 in memory{some})",
        COPY: "a copy of their stored bytes, one thread",
    }
    lines = [f"  {what}: {_ms(found.times[name].p50_ms)} ms; {scoring_beside(found, name):.2f} times" for name, what in told.items()]
    if 4 * count * found.key_width < _IN_CACHE:
        lines.append("  these keys fit the cache, so that tells little: --hours 24 repeats the video to a day")
    return ["keys read once; scoring and selection beside it:", *lines]


def _memory(found: Found) -> str:
    now, peak = found.memory.now_mb, found.memory.peak_mb
    if now is None or peak is None:
        return "anonymous memory: this system does not tell (Linux does, in /proc/self/smaps_rollup)"
    return f"anonymous memory: {now:.0f} MB after the first answer, at most {peak:.0f} MB until then"


def _plan(found: Found) -> str:
    return found.wanted.plan or found.grounder.manifest.plan


def _sentences(found: Found) -> str:
    count = len(found.wanted.queries)
    return f"{count} sentence{'s' if count > 1 else ''}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 1000 else f"{milliseconds:.3g}"


def _versions() -> Mapping[str, str]:
    found = {name: told for name in _LIBRARIES if (told := version_of(name))}
    return {"python": platform.python_version(), **found}
