"""Do memory, open files and memory maps stay constant over 100,000 queries on 200 files in one process?

    python benchmarks/soak.py [--queries 100000] [--files 200] [--bundle BUNDLE] --json soak.json
    python benchmarks/soak.py --read soak.json --table [--plot docs/pictures/soak.svg]

Each query has a new sentence and opens its .feat and .keys files again, as `wsra ground` does. Every hundredth query is refused. Every
thousandth is a whole `wsra ground` over all files, which opens and closes the bundle; before it, the keys of one file are removed, so that
they are made again. Without --bundle, a tiny bundle is made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

EVERY, REFUSED, WHOLE = 500, 100, 1_000  # queries between two samples, two refusals, and two whole `wsra ground`
WARM = 0.1  # share of the queries that counts as warm-up
SNIPPETS = 600
FIGURES = {
    "anonymous_mb": "anonymous memory, MB",
    "resident_mb": "resident memory, MB",
    "files": "open files",
    "maps": "memory maps",
    "threads": "threads",
}
Row = dict[str, float]


def fill(folder: Path, files: int, backbone: str, width: int) -> list[Path]:
    """Write files of ten minutes each."""
    import numpy as np

    from wsra.runtime.formats.features import Features, write_features

    starts, rng = np.arange(SNIPPETS, dtype=np.float64), np.random.default_rng(0)
    paths = [folder / f"cam{number:03d}.feat" for number in range(files)]
    for path in paths:
        values = rng.normal(size=(SNIPPETS, width)).astype(np.float16)
        write_features(path, Features(values, np.stack([starts, starts + 1], 1), path.stem, float(SNIPPETS), backbone))
    return paths


def look(done: int) -> Row:
    """Memory, open files and maps of this process."""
    from wsra.runtime.bench.memory import anonymous_mb

    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {
        "queries": done,
        "anonymous_mb": anonymous_mb() or 0.0,
        "resident_mb": int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6,
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "maps": Path("/proc/self/maps").read_bytes().count(b"\n"),
        "threads": int(status.split("Threads:")[1].split()[0]),
    }


def measured(bundle: Path, queries: int, files: int) -> dict[str, Any]:
    """Run the queries and sample the process."""
    sentences = _support().SENTENCES
    from wsra.runtime.archive.request import Question, Request
    from wsra.runtime.archive.search import search
    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.errors import QueryError
    from wsra.runtime.formats.features import read_features
    from wsra.runtime.grounding.grounder import Grounder

    rows, refused, wholes, began = [], 0, 0, time.monotonic()
    settings = RunSettings("fp32", "cpu", threads=1, kernel="numpy")
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as nowhere:
        stderr, sys.stderr = sys.stderr, nowhere
        try:
            with Grounder.open(bundle, precision="fp32", provider="cpu", threads=1, kernel="numpy", keep_keys=True) as grounder:
                paths = fill(Path(name), files, grounder.manifest.backbone, grounder.manifest.feature_width)
                for number in range(queries):
                    sentence = f"{sentences[number % len(sentences)]} {number}"
                    if number % WHOLE == WHOLE - 1:
                        paths[wholes % files].with_suffix(".keys").unlink(missing_ok=True)
                        request = Request([Path(name)], Question((sentence,)), bundle, settings)
                        wholes += len(search(request).results)
                    elif number % REFUSED == REFUSED - 1:
                        try:
                            grounder.answer(read_features(paths[number % files]), "a " * 5_000)
                        except QueryError:
                            refused += 1
                    else:
                        grounder.answer(read_features(paths[number % files]), sentence)
                    if (number + 1) % EVERY == 0:
                        rows.append(look(number + 1))
        finally:
            sys.stderr = stderr
    return {"files": files, "refused": refused, "whole": wholes, "seconds": time.monotonic() - began, "rows": rows}


def growth(rows: list[Row], figure: str) -> tuple[float, float, float]:
    """Value after the warm-up, value at the end, and growth per 100,000 queries by a line through all samples after the warm-up."""
    import numpy as np

    later = rows[int(WARM * len(rows)) :]
    slope = np.polyfit([row["queries"] for row in later], [row[figure] for row in later], 1)[0] if len(later) > 1 else 0.0
    return later[0][figure], later[-1][figure], float(slope) * 100_000


def table(found: dict[str, Any]) -> str:
    """A Markdown table."""
    rows, count = found["rows"], int(found["rows"][-1]["queries"])
    summary = f"{count:,} queries over {found['files']} files of {SNIPPETS} snippets in {found['seconds']:,.0f} s"
    of_them = f"{found['refused']:,} of them refused, {found['whole']:,} a whole `wsra ground` over all files"
    lines = [f"{summary}; {of_them}", "", f"| | after {WARM:.0%} | at the end | growth in 100,000 queries |", "|---|---:|---:|---:|"]
    for figure, label in FIGURES.items():
        first, last, slope = growth(rows, figure)
        lines.append(f"| {label} | {first:,.1f} | {last:,.1f} | {slope:+.2f} |")
    return "\n".join(lines)


def plot(found: dict[str, Any], out: Path) -> None:
    """Plot memory and handles over queries."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "wsra", "svg.fonttype": "none"}  # equal figures give equal bytes; text stays text
    from matplotlib import pyplot

    figure, (memory, handles) = pyplot.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    for axes, names in ((memory, ("anonymous_mb", "resident_mb")), (handles, ("files", "maps", "threads"))):
        for name in names:
            axes.plot([row["queries"] for row in found["rows"]], [row[name] for row in found["rows"]], label=FIGURES[name])
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="lower right")
    memory.set_ylabel("MB")
    handles.set(xlabel="queries", ylabel="count")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--read", type=Path, help="read earlier measurements from this file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", action="store_true", help="print a Markdown table")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # must be set before NumPy is loaded
    with tempfile.TemporaryDirectory() as name:
        if given.read:
            found = json.loads(given.read.read_text())
        else:
            bundle = given.bundle or _support().make_bundle(Path(name))
            found = measured(bundle, given.queries, given.files)
    if given.json:
        given.json.write_text(json.dumps(found) + "\n")
    if given.plot:
        plot(found, given.plot)
    if given.table or not (given.json or given.plot):
        print(table(found))
    return 0


def _support() -> Any:
    """The tests' tiny models."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    return import_module("tiny")


if __name__ == "__main__":
    sys.exit(main())
