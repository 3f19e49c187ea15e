"""A child process that runs cases one after the other; told by lines of JSON on stdin, telling by lines of JSON on stdout.

It imports wsra once, so that a light reader does hundreds of cases a second. What kills, hangs or fills it is seen by `pool.py`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import resource
import shutil
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

LIMIT_S, LIMIT_BYTES = 20, 2 << 30
_HARD_BYTES = 12 << 30  # of address space that is written: so that one case cannot take the machine down


def main() -> None:
    """Serve until stdin ends. Arguments: folder of the materials, folder to work in, module of the readers, seconds for a case."""
    materials, work, module, limit_s = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests / "support")]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_HARD_BYTES, _HARD_BYTES))
    told = os.fdopen(os.dup(1), "w", buffering=1)
    noise = (work / "noise.log").open("w")
    os.dup2(noise.fileno(), 1)
    os.dup2(noise.fileno(), 2)
    faulthandler.enable(noise)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from hostile.cases import Reader
    from hostile.materials import Materials

    known: dict[str, type[Reader]] = import_module(module).READERS
    readers: dict[str, tuple[Reader, Any]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        name = asked["reader"]
        if name not in readers:
            readers.clear()  # one at a time: what they hold open counts as memory
            reader = known[name](Materials(materials))
            readers[name] = reader, _clean(reader, work)
        reader, clean = readers[name]
        for number in asked["numbers"]:
            told.write(json.dumps({"start": number}) + "\n")
            faulthandler.dump_traceback_later(0.9 * limit_s, exit=False, file=noise)
            _forget_peak()
            verdict = _one(reader, clean, asked["seed"], number, work, Path(asked["keep"]) if asked.get("keep") else None)
            faulthandler.cancel_dump_traceback_later()
            told.write(json.dumps({"done": number, "peak": _peak_bytes(), **verdict}) + "\n")
            if noise.tell() > 1 << 24:
                noise.truncate(0)
        told.write(json.dumps({"idle": True}) + "\n")


def _clean(reader: Any, work: Path) -> Any:
    """The answer to the undamaged seed, which must come twice alike."""
    answers = []
    for _ in range(2):
        place = _fresh(work)
        reader.lay(place)
        answers.append(reader.read(place))
    if _plain(answers[0]) != _plain(answers[1]):
        raise AssertionError(f"{reader.name}: two answers to one seed differ")
    return answers[0]


def _plain(answer: Any) -> str:
    """A text that is the same for the same answer."""
    return json.dumps(answer, sort_keys=True, default=repr)


def _fresh(work: Path) -> Path:
    place = work / "case"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def _one(reader: Any, clean: Any, seed: int, number: int, work: Path, keep: Path | None) -> dict[str, str]:
    from hostile.cases import rng_of
    from hostile.outcomes import MESSAGE, Kind, told_of
    from wsra.runtime.errors import WsraError

    place = _fresh(work)
    reader.lay(place)
    damage = reader.damage(rng_of(reader.name, seed, number), place)
    if keep is not None:
        shutil.copytree(place, keep / f"{reader.name}-{seed}-{number}", dirs_exist_ok=True, symlinks=True)
    before, around = _names(place), _names(work, deep=False)
    answer, refusal = None, None
    try:
        answer = reader.read(place)
    except WsraError as err:
        refusal = str(err)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as err:
        return {"kind": Kind.TRACEBACK.value, "detail": told_of(err), "what": damage.what}
    kind, detail = Kind.REFUSED if refusal is not None else Kind.OK, refusal or ""
    more = sorted(_names(place) - before - reader.made(place))
    beside = sorted(_names(work, deep=False) - around)
    if more:
        kind, detail = Kind.LEFTOVER, ", ".join(more)
    elif beside:
        kind, detail = Kind.OUTSIDE, ", ".join(beside)
    elif refusal is not None:
        if len(refusal) > MESSAGE or "\n" in refusal:
            kind, detail = Kind.MESSAGE, f"{len(refusal)} letters: {refusal[:120]}"
    elif damage.expect == "refused":
        kind, detail = Kind.LET_IN, repr(answer)[:200]
    elif damage.expect == "same" and _plain(answer) != _plain(clean):
        kind, detail = Kind.UNNOTICED, _difference(clean, answer)
    for name in beside:
        with contextlib.suppress(OSError):
            (work / name).unlink()
    return {"kind": kind.value, "detail": detail, "what": damage.what}


def _difference(clean: Any, answer: Any) -> str:
    """Where two answers differ first."""
    if isinstance(clean, dict) and isinstance(answer, dict):
        names = [name for name in {**clean, **answer} if _plain(clean.get(name)) != _plain(answer.get(name))]
        return f"{names[0]}: " + _difference(clean.get(names[0]), answer.get(names[0]))
    return f"{repr(clean)[:60]} became {repr(answer)[:60]}"


def _names(folder: Path, *, deep: bool = True) -> set[str]:
    found = set()
    for entry in os.scandir(folder):
        found.add(entry.name)
        if deep and entry.is_dir(follow_symlinks=False):
            found |= {f"{entry.name}/{name}" for name in _names(Path(entry.path))}
    return found


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    main()
