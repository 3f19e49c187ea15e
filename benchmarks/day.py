"""One query, and eight, over hours of video whose keys are there: beside the product keys @ vector, FAISS and sqlite-vec, in one run.

    OPENBLAS_NUM_THREADS=2 python benchmarks/day.py [--hours 1 24 720] [--repeats 7] [--json OUT.json] [--plot OUT.svg]

Keys are random, 512 wide, one a second; theta lets 3 % of the snippets speak for the sentence. Everything takes turns, and a time is the
median. OPENBLAS_NUM_THREADS counts for the product and for the kernels; FAISS and sqlite-vec tell theirs. Peers: pip install faiss-cpu
sqlite-vec pysqlite3-binary (the last where Python's sqlite3 loads no extensions); what is not installed is said and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

THREADS = int(os.environ.setdefault("OPENBLAS_NUM_THREADS", "2"))  # before NumPy is loaded

import numpy as np  # noqa: E402

from wsra.runtime.features import Features, read_features, write_features  # noqa: E402
from wsra.runtime.ground import Grounder  # noqa: E402
from wsra.runtime.kernels.blocks import NumpyKernel  # noqa: E402
from wsra.runtime.kernels.fused import FusedKernel, fused_failure  # noqa: E402
from wsra.runtime.kernels.protocol import Kernel  # noqa: E402
from wsra.runtime.kernels.weights import Trained  # noqa: E402
from wsra.runtime.keys import Made  # noqa: E402
from wsra.runtime.score import SnippetScorer  # noqa: E402

WIDTH, TEXT, SHARE, QUERIES, MOST_PRODUCT_H = 512, 384, 0.97, 8, 48.0
Run = Callable[[], Any]


class RandomKeys:
    """A graph of keys that draws them."""

    provider, device = "random", "cpu"
    outputs = {"keys": SimpleNamespace(shape=("snippets", WIDTH))}  # noqa: RUF012

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def infer(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Keys of so many rows."""
        return {"keys": self._rng.standard_normal((len(feeds["features"]), WIDTH), dtype=np.float32)}


def kernels() -> dict[str, Kernel]:
    """Those that run here, by name."""
    rng = np.random.default_rng(1)
    draw: Callable[..., Any] = lambda *shape: rng.normal(size=shape).astype(np.float32) / WIDTH**0.5  # noqa: E731
    weights = Trained(draw(TEXT), 1.0, draw(WIDTH, TEXT), draw(WIDTH), draw(WIDTH), 0.0)
    made: dict[str, Kernel] = {"numpy": NumpyKernel(weights, threads=THREADS)}
    if fused_failure() is None:
        made["numba"] = FusedKernel(weights, threads=THREADS)
    return made


def grounder(kernel: Kernel, *, theta: float = 0.0, span_score: str = "additive") -> Grounder:
    """A grounder over kept keys."""
    manifest: Any = SimpleNamespace(theta=theta, span_score=span_score, plan="maximal", backbone="random", feature_width=1)
    graph: Any = RandomKeys()
    scorer = SnippetScorer(graph, kernel, made=Made("random", "fp32", "random"))
    encoder: Any = None
    return Grounder(manifest, encoder, scorer, bundle=Path("random"), precision="fp32")


def write_video(folder: Path, hours: float) -> Path:
    """A .feat of one number a snippet, with its keys beside it."""
    count, path = round(3600 * hours), folder / f"{hours:g}h.feat"
    starts = np.arange(count, dtype=np.float64)
    write_features(path, Features(np.zeros((count, 1), np.float16), np.stack([starts, starts + 1], 1), path.stem, float(count), "random"))
    grounder(kernels()["numpy"]).scorer.keys(read_features(path))
    return path


def sentences(count: int) -> Any:
    """Text vectors."""
    return np.random.default_rng(2).normal(size=(count, TEXT)).astype(np.float32)


def theta_for(path: Path) -> float:
    """Theta that lets 3 % of the snippets of the first hour speak for the first sentence."""
    kernel, keys = kernels()["numpy"], grounder(kernels()["numpy"]).scorer.keys(read_features(path))
    return float(np.quantile(kernel.logits(keys[:3600], sentences(1)), SHARE))


def own_runs(path: Path) -> Iterator[tuple[str, Run]]:
    """What wsra does: the curve alone, and whole answers from a file of features that is opened anew."""
    theta, one, several = theta_for(path), sentences(1), sentences(QUERIES)
    names = [str(number) for number in range(QUERIES)]
    for name, kernel in kernels().items():
        ground = grounder(kernel, theta=theta)
        yield f"{name}: snippet curve", lambda k=kernel, g=ground: k.logits(g.scorer.keys(read_features(path)), one)
        for plan in ("maximal", "seconds"):
            yield (
                f"{name}: answer, {plan}",
                lambda g=ground, p=plan: g.answers_to_vectors(read_features(path), names[:1], one, plan=p),
            )
        yield f"{name}: {QUERIES} answers at once", lambda g=ground: g.answers_to_vectors(read_features(path), names, several)
        yield (
            f"{name}: {QUERIES} answers, one by one",
            lambda g=ground: [g.answers_to_vectors(read_features(path), names[:1], row[None]) for row in several],
        )


def product_runs(path: Path) -> Iterator[tuple[str, Run]]:
    """The product of keys in memory with a vector, and the peers over the same keys."""
    keys = np.asarray(grounder(kernels()["numpy"]).scorer.keys(read_features(path)), np.float32)
    vector = np.random.default_rng(3).normal(size=WIDTH).astype(np.float32)
    yield "keys @ vector", lambda: keys @ vector
    if find_spec("faiss"):
        faiss: Any = import_module("faiss")
        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(WIDTH)
        flat.add(keys)
        yield "FAISS flat, 1 thread", lambda: flat.search(vector[None], 5)
        shards = faiss.IndexShards(WIDTH, True, True)
        halves = [faiss.IndexFlatIP(WIDTH) for _ in range(2)]
        for half in halves:
            shards.add_shard(half)
        shards.add(keys)
        yield "FAISS flat, 2 threads by shards", lambda held=halves: shards.search(vector[None], 5)
    else:
        print("faiss is not installed: left out", file=sys.stderr)
    database = open_sqlite(keys)
    if database is not None:
        ask = "select rowid, distance from v where embedding match ? and k = 5"
        yield "sqlite-vec, 1 thread", lambda: database.execute(ask, [vector.tobytes()]).fetchall()


def open_sqlite(keys: Any) -> Any:
    """A database in memory with the keys, or None where sqlite-vec cannot run."""
    library = next((name for name in ("pysqlite3", "sqlite3") if find_spec(name)), "sqlite3")
    database: Any = import_module(library).connect(":memory:")
    if not find_spec("sqlite_vec") or not hasattr(database, "enable_load_extension"):
        print("sqlite-vec is not installed, or sqlite3 loads no extensions: left out", file=sys.stderr)
        return None
    database.enable_load_extension(True)
    import_module("sqlite_vec").load(database)
    database.execute(f"create virtual table v using vec0(embedding float[{keys.shape[1]}])")
    with database:
        database.executemany("insert into v(rowid, embedding) values (?, ?)", ((i, row.tobytes()) for i, row in enumerate(keys)))
    return database


def in_turns(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Median milliseconds of each; one round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                taken[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in taken.items()}


def anonymous_mb(path: Path, queries: int) -> float:
    """Anonymous memory at the end of a process that answers, as the kernel counts it."""
    line = f"{queries} answers"
    run = subprocess.run(
        [sys.executable, __file__, "--memory-of", str(path), "--memory-queries", str(queries)], capture_output=True, text=True, check=True
    )
    found = re.search(rf"{line}: ([\d.]+) MB", run.stdout)
    if found is None:
        raise RuntimeError(run.stdout + run.stderr)
    return float(found[1])


def tell_memory(path: Path, queries: int) -> None:
    """What the child of `anonymous_mb` does; answers are held while it is measured."""
    name, kernel = list(kernels().items())[-1]
    features = read_features(path)
    held = [
        grounder(kernel, theta=theta_for(path)).answers_to_vectors(
            features, [str(i) for i in range(queries)], sentences(queries), plan=plan
        )
        for plan in ("maximal", "seconds")
    ]
    rollup = Path("/proc/self/smaps_rollup").read_text()
    kb = int(re.findall(r"Anonymous:\s+(\d+) kB", rollup)[0])
    print(f"{queries} answers: {kb / 1000:.1f} MB ({name}, {sum(len(a.moments) for answers in held for a in answers)} moments)")


def plot(rows: list[dict[str, Any]], out: Path) -> None:
    """Time against hours as SVG, both axes logarithmic."""
    points = {name: [(row["hours"], row["ms"][name]) for row in rows if name in row["ms"]] for name in rows[-1]["ms"] | rows[0]["ms"]}
    values = [ms for line in points.values() for _, ms in line]
    low, high = np.log10(min(values)), np.log10(max(values))
    first, last = np.log10(rows[0]["hours"]), np.log10(rows[-1]["hours"])
    across = lambda hours: 60 + 380 * (np.log10(hours) - first) / max(last - first, 1e-9)  # noqa: E731
    up = lambda ms: 380 - 340 * (np.log10(ms) - low) / max(high - low, 1e-9)  # noqa: E731
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="820" height="430" font-family="sans-serif" font-size="11">']
    for row in rows:
        parts.append(f'<text x="{across(row["hours"]):.0f}" y="405" text-anchor="middle">{row["hours"]:g} h</text>')
    for power in range(int(np.ceil(low)), int(np.floor(high)) + 1):
        parts.append(f'<text x="50" y="{up(10.0**power):.0f}" text-anchor="end">{10.0**power:g} ms</text>')
        parts.append(f'<path d="M60 {up(10.0**power):.0f}H440" stroke="#ddd"/>')
    for number, (name, line) in enumerate(points.items()):
        colour, path = f"hsl({number * 47 % 360} 65% 42%)", "L".join(f"{across(h):.1f} {up(ms):.1f}" for h, ms in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(h):.1f}" cy="{up(ms):.1f}" r="3" fill="{colour}"/>' for h, ms in line]
        parts.append(f'<text x="460" y="{40 + 18 * number}" fill="{colour}">{name}</text>')
    out.write_text("\n".join([*parts, "</svg>\n"]))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: milliseconds, and their ratio to the product where that was measured."""
    lines = ["| | " + " | ".join(f"{row['hours']:g} h" for row in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in rows[0]["ms"] | rows[-1]["ms"]:
        cells = []
        for row in rows:
            base, ms = row["ms"].get("keys @ vector"), row["ms"].get(name)
            cells.append("" if ms is None else f"{ms:.1f} ms" + (f" ({ms / base:.2f})" if base else ""))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for queries in (1, QUERIES):
        cells = [f"{row['memory_mb'][str(queries)]:.0f} MB" for row in rows]
        lines.append(f"| anonymous memory, {queries} queries | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="*", default=[1.0, 24.0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pooled", action="store_true", help="also the paper's score of all windows, which takes seconds")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory-queries", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_of:
        tell_memory(given.memory_of, given.memory_queries)
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for hours in given.hours:
            path = write_video(Path(folder), hours)
            runs = dict(own_runs(path))
            if hours <= MOST_PRODUCT_H:  # keys in float32 in memory
                runs |= dict(product_runs(path))
            if given.pooled:
                name, kernel = list(kernels().items())[-1]
                paper = grounder(kernel, span_score="pooled")
                runs[f"{name}: the paper's score of all windows"] = lambda p=path, g=paper: g.answers_to_vectors(
                    read_features(p), ["0"], sentences(1), plan="seconds"
                )
            memory = {str(queries): anonymous_mb(path, queries) for queries in (1, QUERIES)}
            ms = in_turns(runs, given.repeats)
            rows.append({"hours": hours, "threads": THREADS, "repeats": given.repeats, "ms": ms, "memory_mb": memory})
            path.with_suffix(".keys").unlink()
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.plot:
        plot(rows, given.plot)
    print(f"{THREADS} threads, medians of {given.repeats}; in brackets beside keys @ vector\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
