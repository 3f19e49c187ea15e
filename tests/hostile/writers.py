"""Everything that wsra writes: a command, what lies there before, and how the result is told from another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hostile.commands import Commands, Ended
from hostile.materials import PLACES, Materials

Signature = Any


@dataclass(frozen=True)
class Writer:
    """One command that writes.

    Attributes:
        name: in tables.
        lay: puts the inputs, and what stood there before, into an empty folder.
        argv: the command, relative to that folder.
        target: file or folder that it writes.
        signature: of what it writes, given the target; equal where the content is.
        again: the command after an interruption, where that differs.
        present: whether there must be something at the target at every instant.
        slow: whether it takes seconds.
    """

    name: str
    lay: Callable[[Path], None]
    argv: Sequence[str]
    target: str
    signature: Callable[[Path], Signature]
    again: Callable[[Path], Sequence[str]] | None = None
    present: bool = False
    slow: bool = False


def writers(materials: Materials) -> list[Writer]:
    """All of them."""
    m = materials
    bundle = ["-b", str(m.bundle), "--kernel", "numpy", "--precision", "fp32", "--json"]
    export = ["export", str(m.checkpoint), "-o", "bundle"]
    train = ["train", str(m.folder / "run.toml"), "--out", "run", "--set", "training.epochs=2", *places(m)]

    def film(place: Path) -> None:
        shutil.copy2(m.films / "plain.mp4", place / "v.mp4")
        shutil.copy2(m.films / "plain.mkv", place / "w.mkv")

    def feat(place: Path) -> None:
        shutil.copy2(m.feat, place / "v.feat")

    def array(place: Path) -> None:
        import numpy as np

        np.save(place / "a.npy", np.arange(40, dtype=np.float32).reshape(10, 4))

    def array_and_old(place: Path) -> None:
        array(place)
        shutil.copy2(m.feat, place / "a.feat")

    def published(place: Path) -> None:
        import numpy as np

        (place / "in").mkdir()
        for number in range(3):
            np.save(place / "in" / f"v{number}.npy", np.full((10, 4), number, np.float32))

    def predictions(place: Path) -> None:
        (place / "p.jsonl").write_text("old\n")

    def exported(source: Path) -> Callable[[Path], None]:
        def lay(place: Path) -> None:
            shutil.copytree(source, place / "bundle")

        return lay

    def train_again(place: Path) -> list[str]:
        return [*train, "--resume"] if (place / "run" / "last.safetensors").is_file() else train

    layout = ["convert", "in", "-o", "out", "--layout", "charades-i3d", "--snippet-s", "1"]
    evaluate = ["evaluate", str(m.bundle), str(m.folder / "spans.jsonl"), "--protocol", "spans", "--features", str(m.features)]
    evaluate += ["--precision", "fp32", "--predictions-out", "p.jsonl", "--overwrite", "--json"]
    return [
        Writer("extract", film, ["extract", "v.mp4", "w.mkv", "-o", "out"], "out", folder_bytes),
        Writer("extract --continue", film, ["extract", "v.mp4", "w.mkv", "-o", "out", "--continue"], "out", folder_bytes),
        Writer("ground that makes keys", feat, ["ground", "v.feat", m.sentence, *bundle], "v.keys", file_bytes),
        Writer("ground of a video", film, ["ground", "v.mp4", m.sentence, *bundle], "v.feat", file_bytes),
        Writer("convert", array, ["convert", "a.npy", "-o", "a.feat", "--snippet-s", "1"], "a.feat", file_bytes),
        Writer(
            "convert --overwrite",
            array_and_old,
            ["convert", "a.npy", "-o", "a.feat", "--snippet-s", "1", "--overwrite"],
            "a.feat",
            file_bytes,
            present=True,
        ),
        Writer("convert --layout", published, layout, "out", folder_bytes),
        Writer("evaluate --predictions-out", predictions, evaluate, "p.jsonl", file_bytes, present=True, slow=True),
        Writer("train", lambda place: None, train, "run", folder_bytes, again=train_again, slow=True),
        Writer("export", lambda place: None, export, "bundle", bundle_content, slow=True),
        Writer("export that adds", exported(m.plain_bundle), [*export, "--fp16"], "bundle", bundle_content, present=True, slow=True),
        Writer("export --overwrite", exported(m.other_bundle), [*export, "--overwrite"], "bundle", bundle_content, present=True, slow=True),
        Writer("verify", exported(m.bundle), ["verify", "bundle", "--provider", "cpu"], "bundle", bundle_content, present=True, slow=True),
    ]


def file_bytes(path: Path) -> Signature:
    """Digest of a file; None where there is none."""
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def folder_bytes(path: Path) -> Signature:
    """Digests of the files of a folder that are not hidden; None where there is none."""
    if not path.is_dir():
        return None
    return {str(p.relative_to(path)): file_bytes(p) for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")}


def bundle_content(path: Path) -> Signature:
    """Digests of what a sealed bundle holds, each compared with its file; None where there is no bundle."""
    from wsra.runtime.errors import WsraError
    from wsra.runtime.formats.bundle import open_bundle

    if not (path / "manifest.json").is_file():
        return None
    try:
        manifest = open_bundle(path).manifest
    except WsraError as err:
        return f"damaged: {err}"
    return {"files": manifest.files, "passed": {name: entry["passed"] for name, entry in manifest.precisions.items()}}


def prepare(materials: Materials, commands: Commands | None) -> None:
    """Make what the writers start from: annotations, and by the commands bundles of FP32 alone of two checkpoints."""
    _write_spans(materials)
    if commands is None:
        return
    if not (materials.other / "model.safetensors").is_file():
        argv = [
            "train",
            str(materials.folder / "run.toml"),
            "--out",
            str(materials.other),
            "--set",
            "training.epochs=1",
            "--set",
            "training.seed=5",
        ]
        _made(commands.run([*argv, *places(materials)], materials.folder, limit_s=600))
    for checkpoint, bundle in ((materials.checkpoint, materials.plain_bundle), (materials.other, materials.other_bundle)):
        if not (bundle / "manifest.json").is_file():
            _made(commands.run(["export", checkpoint, "-o", bundle], materials.folder, limit_s=600))


def places(materials: Materials) -> list[str]:
    """Options of `wsra train` that name the materials from any folder."""
    return [word for name, place in PLACES.items() for word in ("--set", f'data.{name}="{materials.folder / place}"')]


def _made(ended: Ended) -> None:
    if ended.code != 0:
        raise RuntimeError(f"the materials cannot be made: {ended.err}")


def _write_spans(materials: Materials) -> None:
    """Annotations of some of the videos of the materials, for `evaluate`."""
    rows = [
        {"qid": str(n), "query": materials.sentence, "vid": f"val{n}", "duration": 12.0, "relevant_windows": [[1.0, 5.0]]} for n in range(3)
    ]
    (materials.folder / "spans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"qid": row["qid"], "pred_relevant_windows": [[0.0, 5.0, 1.0]]} for row in rows]
    (materials.folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
