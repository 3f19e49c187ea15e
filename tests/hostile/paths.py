"""Strange paths at the command line: pipes, devices, folders and links where files are expected, files that may not be read, odd names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostile.commands import Commands, Ended
from hostile.kills import hidden
from hostile.materials import Materials
from hostile.outcomes import Kind, Verdict

LIMIT_S = 20
X = "{}"  # stands for the strange path


@dataclass(frozen=True)
class Strange:
    """One case.

    Attributes:
        what: in one line.
        lay: puts everything into an empty folder.
        argv: the command.
        check: what is wrong after it, beyond what is wrong with any command.
        codes: exit codes that are right.
        powerless: run without root's rights over the files of others.
    """

    what: str
    lay: Callable[[Path], None]
    argv: Sequence[str]
    check: Callable[[Path, Ended], str | None]
    codes: tuple[int, ...] = (1,)
    powerless: bool = False


def _pipe(place: Path, name: str) -> None:
    os.mkfifo(place / name)


def _folder(place: Path, name: str) -> None:
    (place / name).mkdir()
    (place / name / "precious").write_text("precious")


def _file(place: Path, name: str) -> None:
    (place / name).write_text("precious")


def _link(target: str, place: Path, name: str) -> None:
    (place / name).symlink_to(target)


def _link_to_file(place: Path, name: str) -> None:
    _file(place, "victim")
    (place / name).symlink_to("victim")


def _link_to_folder(place: Path, name: str) -> None:
    _folder(place, "victims")
    (place / name).symlink_to("victims")


def _closed(place: Path, name: str) -> None:
    _file(place, name)
    (place / name).chmod(0)


def _locked(place: Path, name: str) -> None:
    _file(place, "file")
    (place / "locked").mkdir()
    (place / "locked").chmod(0o555)


def _nothing(place: Path, name: str) -> None:
    pass


KINDS: dict[str, Callable[[Path, str], None]] = {
    "pipe": _pipe,
    "folder": _folder,
    "empty file": lambda place, name: (place / name).touch(),
    "nothing": _nothing,
    "link to nothing": partial(_link, "missing"),
    "link to itself": lambda place, name: (place / name).symlink_to(name),
    "link to /dev/zero": partial(_link, "/dev/zero"),
    "link to /dev/urandom": partial(_link, "/dev/urandom"),
    "link to /dev/null": partial(_link, "/dev/null"),
    "file of mode 000": _closed,
}
DEVICES = ("/dev/zero", "/dev/urandom", "/dev/null", "/dev/full", "/proc/self/mem", "/proc/kmsg", "x" * 300, "a/" * 3000)


def inputs(m: Materials) -> dict[str, tuple[str, list[str]]]:
    """What reads a file: a name for the case, the name of the file, the command."""
    bundle = ["-b", str(m.bundle), "--kernel", "numpy", "--precision", "fp32"]
    spans, predictions = str(m.folder / "spans.jsonl"), str(m.folder / "predictions.jsonl")
    train = ["train", str(m.folder / "run.toml"), "--set"]
    convert = ["--snippet-s", "1", "-o", "out.feat"]
    return {
        "info": ("x", ["info", X]),
        "ground a .feat": ("x.feat", ["ground", X, m.sentence, *bundle]),
        "ground a video": ("x.mp4", ["ground", X, m.sentence, *bundle]),
        "ground --queries": ("x.txt", ["ground", str(m.feat), "--queries", X, *bundle]),
        "ground -b": ("x", ["ground", str(m.feat), m.sentence, "-b", X]),
        "extract": ("x.mp4", ["extract", X, "-o", "out"]),
        "extract --backbone X.onnx": ("x.onnx", ["extract", str(m.films / "plain.mp4"), "-o", "out", "--backbone", X]),
        "extract --backbone X.json": ("x.json", ["extract", str(m.films / "plain.mp4"), "-o", "out", "--backbone", X]),
        "convert .npy": ("x.npy", ["convert", X, *convert]),
        "convert .npz": ("x.npz", ["convert", X, *convert]),
        "convert .h5": ("x.h5", ["convert", X, *convert]),
        "convert .pt": ("x.pt", ["convert", X, *convert]),
        "convert --durations": ("x.json", ["convert", "in", "-o", "out", "--layout", "charades-i3d", "--durations", X]),
        "evaluate PREDICTIONS": ("x.jsonl", ["evaluate", X, spans, "--protocol", "spans"]),
        "evaluate ANNOTATIONS": ("x.jsonl", ["evaluate", predictions, X, "--protocol", "spans"]),
        "evaluate --durations": ("x.json", ["evaluate", predictions, spans, "--protocol", "charades", "--durations", X]),
        "evaluate --prior-from": ("x.jsonl", ["evaluate", predictions, spans, "--protocol", "spans", "--prior-from", X]),
        "train": ("x.toml", ["train", X, "--out", "run"]),
        "train, captions": ("x.jsonl", [*train, f'data.captions="{X}"', "--out", "run"]),
        "export": ("x", ["export", X, "-o", "out"]),
        "export --calib": ("x.jsonl", ["export", str(m.checkpoint), "-o", "out", "--int8", "--calib", X, "--features", str(m.features)]),
        "verify": ("x", ["verify", X]),
        "verify --data": ("x.jsonl", ["verify", str(m.bundle), "--data", X, "--features", str(m.features)]),
        "doctor": ("x", ["doctor", X]),
        "bench": ("x.feat", ["bench", str(m.slim), X]),
    }


def outputs(m: Materials) -> dict[str, list[str]]:
    """What writes a file or folder: a name for the case, the command."""
    film = str(m.films / "plain.mp4")
    evaluate = ["evaluate", str(m.folder / "predictions.jsonl"), str(m.folder / "spans.jsonl"), "--protocol", "spans"]
    return {
        "extract -o": ["extract", film, "-o", X, "--overwrite"],
        "extract into NAME.feat": ["extract", film, "-o", ".", "--overwrite"],
        "convert -o": ["convert", "a.npy", "-o", X, "--snippet-s", "1", "--overwrite"],
        "convert --layout -o": ["convert", "in", "-o", X, "--layout", "charades-i3d", "--snippet-s", "1", "--overwrite"],
        "evaluate --predictions-out": [*evaluate, "--predictions-out", X, "--overwrite"],
        "export -o": ["export", str(m.checkpoint), "-o", X, "--overwrite"],
        "train --out": ["train", str(m.folder / "run.toml"), "--out", X],
        "ground that makes keys": ["ground", "v.feat", m.sentence, "-b", str(m.bundle), "--kernel", "numpy"],
    }


TARGETS: dict[str, Callable[[Path, str], None]] = {
    "folder": _folder,
    "file": _file,
    "pipe": _pipe,
    "link to a file": _link_to_file,
    "link to a folder": _link_to_folder,
    "link to nothing": partial(_link, "missing"),
    "link to /dev/full": partial(_link, "/dev/full"),
}
PLACES = ("/dev/full", "/dev/null", "file/below", "locked/x", "..", ".", "/", "", "x" * 300)
ODD_NAMES = (
    "new\nline",
    "-x",
    "--overwrite",
    "[red]x[bold]",
    "\u202etxt.exe",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "a b",
    "*",
    "?x",
    "http:x",
    "file:x",
    "concat:a|b",
    "x%03d",
    "a|b",
    "back\\slash",
    "'quote\"",
    "$(id)",
    "é",
    "\u0435\u0301",
    "字",
    "😀",
    ".hidden",
    "x.feat",
    "tab\there",
)


def cases(m: Materials) -> Iterator[tuple[str, Strange]]:
    """All cases, each with the name of its group."""
    for name, (file, argv) in inputs(m).items():
        for kind, make in KINDS.items():
            closed = kind == "file of mode 000"
            codes: tuple[int, ...] = (0, 1, 2) if name == "doctor" else (1, 2) if closed and name != "extract" else (1,)
            lay = partial(_lay, m, make, file)
            yield "strange inputs", Strange(f"{name}: {kind}", lay, _given(argv, file), _untouched, codes, powerless=closed)
        for device in DEVICES:
            codes = (0, 1, 2) if name == "doctor" else (1, 2)
            lay = partial(_lay, m, _nothing, file)
            yield "strange inputs", Strange(f"{name}: {device[:20]}", lay, _given(argv, device), _untouched, codes)
    for name, argv in outputs(m).items():
        fixed = X not in " ".join(argv)
        file = {"extract into NAME.feat": "plain.feat", "ground that makes keys": "v.keys"}.get(name, "x")
        for kind, make in TARGETS.items():
            lay = partial(_lay, m, make, file)
            yield "strange outputs", Strange(f"{name}: {kind}", lay, _given(argv, file), partial(_kept, kind), (0, 1))
        for where in () if fixed else PLACES:
            if (name, where) in (("extract -o", "."), ("extract -o", ".."), ("extract -o", "/"), ("convert --layout -o", "/")):
                continue  # rightly written there
            yield (
                "strange outputs",
                Strange(
                    f"{name}: {where[:20]!r}",
                    partial(_lay, m, _locked, file),
                    _given(argv, where),
                    partial(_kept, where),
                    (0, 1, 2),
                    powerless=where == "locked/x",
                ),
            )
    for odd in ODD_NAMES:
        yield "odd names", _film_named(m, odd)
        yield "odd names", _feat_named(m, odd)


def run(case: Strange, commands: Commands, work: Path) -> Verdict:
    """Run one case."""
    place = work / "case"
    _remove(place)
    place.mkdir(parents=True)
    case.lay(place)
    ended = commands.run(case.argv, place, limit_s=LIMIT_S, powerless=case.powerless)
    if not ended.permitted:
        return Verdict(Kind.SKIPPED, "", case.what)
    verdict = ended.fault(case.codes) or Verdict(Kind.OK if ended.code == 0 else Kind.REFUSED, ended.err.strip()[-160:])
    if not verdict.failed and (wrong := case.check(place, ended)):
        verdict = Verdict(Kind.LOST, wrong)
    if not verdict.failed and (left := hidden(place)) and ".hidden" not in case.what:
        verdict = Verdict(Kind.LEFTOVER, ", ".join(left))
    if not verdict.failed and (raw := _raw_letters(ended.err)):
        verdict = Verdict(Kind.MESSAGE, f"{raw} on stderr")
    if not verdict.failed and len(ended.err.strip().rpartition("\n")[2]) > 2_100:
        verdict = Verdict(Kind.MESSAGE, f"a line of {len(ended.err)} letters")
    _remove(place)
    return Verdict(verdict.kind, verdict.detail, case.what)


def _remove(place: Path) -> None:
    if (place / "locked").is_dir():
        (place / "locked").chmod(0o755)
    shutil.rmtree(place, ignore_errors=True)


def _raw_letters(text: str) -> str:
    """Control characters and those that turn the direction of text."""
    found = {
        letter for letter in text if (ord(letter) < 32 and letter not in "\n\t\r") or letter in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"
    }
    return ", ".join(sorted(map(repr, found)))


def _given(argv: Sequence[str], path: str) -> list[str]:
    return [word.replace(X, path) for word in argv]


def _lay(m: Materials, make: Callable[[Path, str], None], name: str, place: Path) -> None:
    import numpy as np

    np.save(place / "a.npy", np.zeros((10, 4), np.float32))
    (place / "in").mkdir()
    np.save(place / "in" / "v.npy", np.zeros((10, 4), np.float32))
    shutil.copy2(m.feat, place / "v.feat")
    make(place, name)


def _untouched(place: Path, ended: Ended) -> str | None:
    for path in (place / name for name in ("x", "x.feat", "x.mp4", "x.npy", "x.json", "x.jsonl", "x.toml")):
        if path.is_dir() and not (path / "precious").is_file():
            return f"what is in the folder {path.name} is gone"
    return None


def _kept(kind: str, place: Path, ended: Ended) -> str | None:
    """A folder and what links lead to are never lost; a plain file may be replaced, as --overwrite says."""
    there = [place / name for name in ("x", "plain.feat", "v.keys")]
    if kind == "folder" and not any((path / "precious").is_file() for path in there):
        return "what is in the folder is gone"
    if kind == "pipe" and not any(path.is_fifo() for path in there):
        return "the pipe is gone"
    if kind == "link to a file" and (place / "victim").read_text() != "precious":
        return "the file behind the link was written"
    if kind == "link to a folder" and not (place / "victims" / "precious").is_file():
        return "what is in the folder behind the link is gone"
    return None


def _film_named(m: Materials, name: str) -> Strange:
    file = f"{name}.mp4"

    def lay(place: Path) -> None:
        shutil.copy2(m.films / "plain.mp4", place / file)

    def check(place: Path, ended: Ended) -> str | None:
        return None if (place / "out" / f"{name}.feat").is_file() else f"no {name!r}.feat came out: {ended.err[-120:]}"

    return Strange(f"extract a film named {file!r}", lay, ["extract", "-o", "out", "--", file], check, (0,))


def _feat_named(m: Materials, name: str) -> Strange:
    file = f"{name}.feat"

    def lay(place: Path) -> None:
        shutil.copy2(m.feat, place / file)

    def check(place: Path, ended: Ended) -> str | None:
        return None if '"found": true' in ended.out else f"{name!r} was not answered: {ended.err[-120:]}"

    argv = ["ground", "-b", str(m.bundle), "--kernel", "numpy", "--precision", "fp32", "--json", "--false-alarms", "inf"]
    argv += ["--", file, m.sentence]
    return Strange(f"ground a .feat named {file!r}", lay, argv, check, (0,))
