"""One query and eight over hours of video with cached keys, beside the product keys @ vector, FAISS and sqlite-vec, in one run.

    python benchmarks/day.py [--hours 1 24 720] [--repeats 7] [--threads 2] [--bundle BUNDLE] [--pooled] --json day.json
    python benchmarks/day.py --read day.json --table [--plot docs/pictures/day.svg]

Keys are random, one per second, as wide as the bundle's (512 if no bundle is given and one is made); theta is such that 3 % of the first
hour match the sentence. Also measured are cameras whose rows are tracked objects: a quiet one (somebody in 1 % of the seconds), an ordinary
one (10 %) and a busy one (5.5 rows per second). Runs are interleaved, and times are medians. --threads sets the threads of the product
(OPENBLAS_NUM_THREADS) and of the kernels; FAISS and sqlite-vec choose their own. The product and the peers hold the keys in memory in
float32, up to two days of them. Memory is the peak of anonymous memory in the smaps_rollup of a `wsra ground` process. To install the
peers: pip install faiss-cpu sqlite-vec pysqlite3-binary (the last if Python's sqlite3 loads no extensions). A peer that is not installed
is reported and skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsra.runtime.grounding.grounder import Grounder

MOST_PRODUCT_H, OF_24_H = 48.0, 24.0
PRODUCT = "keys @ vector"
# These lines lie on or between the others.
NOT_DRAWN = (": snippet curve", ": answer, maximal", ": answer, seconds", "one by one", "camera")
Work = Callable[[], object]
Row = dict[str, Any]


def own_work(bundle: Path, video: Path, threads: int, *, pooled: bool) -> Iterator[tuple[str, Work]]:
    """Time wsra: the curve alone, and whole answers from a .feat file that is opened each time."""
    from made import SENTENCES

    from wsra.runtime.formats.features import read_features
    from wsra.runtime.grounding.grounder import Grounder
    from wsra.runtime.kernels.choose import kernels_on_cpu

    def answer(grounder: Grounder, text: NDArray[Any], plan: Any = "peaks") -> None:
        grounder.answers_to_vectors(read_features(video), SENTENCES[: len(text)], text, plan=plan)

    def one_by_one(grounder: Grounder, text: NDArray[Any]) -> None:
        for row in text:
            answer(grounder, row[None])

    def curve(grounder: Grounder, text: NDArray[Any]) -> None:
        grounder.scorer.kernel.logits(grounder.scorer.keys(read_features(video)), text)

    for kernel in kernels_on_cpu():
        grounder = Grounder.open(bundle, precision="fp32", provider="cpu", threads=threads, kernel=kernel, keep_keys=True)
        text = grounder.encoder.encode(SENTENCES)
        yield f"{kernel}: snippet curve", partial(curve, grounder, text[:1])
        yield f"{kernel}: answer", partial(answer, grounder, text[:1])
        yield f"{kernel}: answer, maximal", partial(answer, grounder, text[:1], "maximal")
        yield f"{kernel}: answer, seconds", partial(answer, grounder, text[:1], "seconds")
        yield f"{kernel}: {len(text)} answers at once", partial(answer, grounder, text)
        yield f"{kernel}: {len(text)} answers, one by one", partial(one_by_one, grounder, text)
        if pooled:
            paper = replace(grounder.manifest, span_score="pooled")
            other = Grounder(paper, grounder.encoder, grounder.scorer, bundle=bundle, precision="fp32")
            yield f"{kernel}: the paper's score of all windows", partial(answer, other, text[:1], "seconds")


def cameras(bundle: Path, folder: Path, hours: float, threads: int) -> Iterator[tuple[str, Work]]:
    """Time answers from rows of tracked objects, and measure the size of their keys."""
    from made import CAMERAS, SENTENCES, made_camera

    from wsra.runtime.formats.features import read_features
    from wsra.runtime.grounding.grounder import Grounder
    from wsra.runtime.kernels.choose import kernels_on_cpu

    def answer(grounder: Grounder, video: Path, text: NDArray[Any]) -> None:
        grounder.answers_to_vectors(read_features(video), SENTENCES[:1], text)

    for name, rows in CAMERAS.items():
        video = folder / f"{name}.feat"
        made_camera(bundle, video, hours, rows)
        for kernel in kernels_on_cpu():
            grounder = Grounder.open(bundle, precision="fp32", provider="cpu", threads=threads, kernel=kernel, keep_keys=True)
            yield f"{kernel}: answer, {name} camera", partial(answer, grounder, video, grounder.encoder.encode(SENTENCES[:1]))


def peers(bundle: Path, video: Path) -> Iterator[tuple[str, Work]]:
    """Time the product of keys in memory with a vector, and the peers on the same keys."""
    import numpy as np

    from wsra.runtime.formats.features import read_features
    from wsra.runtime.grounding.grounder import Grounder

    keys = np.array(Grounder.open(bundle, precision="fp32", provider="cpu", keep_keys=True).scorer.keys(read_features(video)), np.float32)
    vector = np.asarray(np.random.default_rng(3).normal(size=keys.shape[1]), np.float32)
    yield PRODUCT, lambda: keys @ vector
    if find_spec("faiss"):
        faiss: Any = import_module("faiss")
        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(keys.shape[1])
        flat.add(keys)
        yield "FAISS flat, 1 thread", lambda: flat.search(vector[None], 5)
        shards = faiss.IndexShards(keys.shape[1], True, True)
        halves = [faiss.IndexFlatIP(keys.shape[1]) for _ in range(2)]
        for half in halves:
            shards.add_shard(half)
        shards.add(keys)
        yield "FAISS flat, 2 threads by shards", partial(search_shards, shards, vector, halves)
    else:
        print("faiss is not installed; skipped", file=sys.stderr)
    database = open_sqlite(keys)
    if database is not None:
        ask = "select rowid, distance from v where embedding match ? and k = 5"
        yield "sqlite-vec, 1 thread", lambda: database.execute(ask, [vector.tobytes()]).fetchall()


def search_shards(shards: Any, vector: NDArray[Any], held: object) -> None:
    """Search; what the shards only point to is held."""
    shards.search(vector[None], 5)


def open_sqlite(keys: NDArray[Any]) -> Any:
    """An in-memory database with the keys, or None if sqlite-vec cannot run."""
    library = next((name for name in ("pysqlite3", "sqlite3") if find_spec(name)), "sqlite3")
    database: Any = import_module(library).connect(":memory:")
    if not find_spec("sqlite_vec") or not hasattr(database, "enable_load_extension"):
        print("sqlite-vec is not installed, or sqlite3 loads no extensions; skipped", file=sys.stderr)
        return None
    database.enable_load_extension(True)
    import_module("sqlite_vec").load(database)
    database.execute(f"create virtual table v using vec0(embedding float[{keys.shape[1]}])")
    with database:
        database.executemany("insert into v(rowid, embedding) values (?, ?)", ((i, row.tobytes()) for i, row in enumerate(keys)))
    return database


def memory_mb(bundle: Path, video: Path, queries: int, threads: int) -> float:
    """Peak anonymous memory of a `wsra ground` process, sampled every 5 ms."""
    from made import SENTENCES

    from wsra.runtime.bench.memory import anonymous_mb

    queries_file = video.with_suffix(".txt")
    queries_file.write_text("\n".join(SENTENCES[:queries]))
    command = [sys.executable, "-m", "wsra.runtime.cli", "ground", str(video), "--queries", str(queries_file), "-b", str(bundle)]
    process = subprocess.Popen([*command, "--threads", str(threads), "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0.0
    while process.poll() is None:
        most = max(most, anonymous_mb(Path(f"/proc/{process.pid}/smaps_rollup")) or 0.0)
        time.sleep(0.005)
    if process.returncode or not most:
        raise SystemExit(f"{command} ended with {process.returncode}, its memory was {most} MB")
    return most


def measured(given: argparse.Namespace) -> list[Row]:
    """Measure one row per length."""
    from made import CAMERAS, SENTENCES, made_bundle, made_video, of_lives, tuned

    from wsra.runtime.bench.timing import in_turns, one_stage

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, bundle = given.bundle or made_bundle(folder / "made"), None
        for hours in sorted(given.hours):
            video = folder / f"{hours:g}h.feat"
            made_video(source, video, round(3600 * hours))
            if bundle is None:
                bundle = tuned(source, video, folder / "tuned")
                lives = of_lives(bundle, folder / "lives")
            work = dict(own_work(bundle, video, given.threads, pooled=given.pooled))
            work |= dict(cameras(lives, folder, hours, given.threads))
            if hours <= MOST_PRODUCT_H:
                work |= dict(peers(bundle, video))
            runs = [one_stage(way, do) for way, do in work.items()]
            load = os.getloadavg()[0]
            in_turns(runs, rounds=1)
            ms = {way: times.p50_ms for way, times in in_turns(runs, rounds=given.repeats).items()}
            memory = {str(queries): memory_mb(bundle, video, queries, given.threads) for queries in (1, len(SENTENCES))}
            kept = {name: (folder / f"{name}.keys").stat().st_size / 1e6 for name in CAMERAS}
            kept["a row a second"] = video.with_suffix(".keys").stat().st_size / 1e6
            row = {"hours": hours, "threads": given.threads, "repeats": given.repeats, "load": load, "ms": ms}
            rows.append({**row, "memory_mb": memory, "keys_mb": kept})
            for path in (video, *(folder / f"{name}.feat" for name in CAMERAS)):
                path.unlink()
                path.with_suffix(".keys").unlink()
    return rows


def plot(rows: list[Row], out: Path) -> None:
    """Plot time against hours of video, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "wsra", "svg.fonttype": "none"}  # equal figures give equal bytes; text stays text
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for way in [way for way in ways(rows) if not way.endswith(NOT_DRAWN)]:
        line = [(row["hours"], row["ms"][way]) for row in rows if way in row["ms"]]
        axes.plot(*zip(*line, strict=True), marker="o", label=way, linestyle="-" if way.startswith(("numba", "numpy")) else "--")
    axes.set(xscale="log", yscale="log", xlabel="hours of video", ylabel="milliseconds")
    axes.set_xticks([row["hours"] for row in rows], [f"{row['hours']:g}" for row in rows], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def ways(rows: list[Row]) -> list[str]:
    """Every method that was timed, in order."""
    return list(dict.fromkeys(way for row in rows for way in row["ms"]))


def table(rows: list[Row]) -> str:
    """A Markdown table: milliseconds, with their ratio to the product if measured; time per hour; memory."""
    lines = ["| | " + " | ".join(f"{row['hours']:g} h" for row in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for way in ways(rows):
        cells = []
        for row in rows:
            base, ms = row["ms"].get(PRODUCT), row["ms"].get(way)
            cells.append("" if ms is None else f"{ms:,.1f} ms" + (f" ({ms / base:.2f})" if base else ""))
        lines.append(f"| {way} | {' | '.join(cells)} |")
    day = next((row for row in rows if row["hours"] == OF_24_H), None)
    for way in [way for way in ways(rows) if way.endswith(": answer")] if day else []:
        shares = [row["ms"][way] / row["hours"] / (day["ms"][way] / OF_24_H) for row in rows] if day else []
        lines.append(f"| {way}, time per hour, of that of 24 h | {' | '.join(f'{share:.2f}' for share in shares)} |")
    for queries in rows[0]["memory_mb"]:
        cells = [f"{row['memory_mb'][queries]:.0f} MB" for row in rows]
        lines.append(f"| anonymous memory of wsra ground, queries: {queries} | {' | '.join(cells)} |")
    for camera in rows[0]["keys_mb"]:
        cells = [f"{row['keys_mb'][camera]:,.1f} MB" for row in rows]
        lines.append(f"| keys, {camera} | {' | '.join(cells)} |")
    loads = ", ".join(f"{row['load']:.1f}" for row in rows)
    conditions = f"{rows[0]['threads']} threads, medians of {rows[0]['repeats']}, load {loads}"
    return f"{conditions}; in brackets, the ratio to {PRODUCT}\n\n" + "\n".join(lines)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="*", default=[1.0, 24.0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--pooled", action="store_true", help="also time the paper's score of all windows, which takes seconds")
    parser.add_argument("--read", type=Path, help="read earlier measurements from this file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", action="store_true", help="print a Markdown table")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(given.threads)  # must be set before NumPy is loaded
    rows = json.loads(given.read.read_text()) if given.read else measured(given)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.plot:
        plot(rows, given.plot)
    if given.table or not (given.json or given.plot):
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
