"""A few minutes of attacks, with a new seed each week; `python -m tests.hostile` does hours of it.

WSRA_HOSTILE_SEED sets the seed, WSRA_HOSTILE_SECONDS how long all of it takes (30; .ci/run takes 120).
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")

from hostile import commands, materials, paths
from hostile.materials import Materials
from hostile.outcomes import Verdict, told
from hostile.pool import Pool
from hostile.readers import READERS
from hostile.steps import Bench

SHARES = {"readers": 0.5, "kills": 0.15, "pairs": 0.15, "full": 0.08, "paths": 0.12}
PIECE = 40
FEW = 60  # attacks of a kind, if the time is enough
ONE_IN = 12  # of strange paths and streams, each week others
PATIENCE_S = 300.0  # for a case here, where other tests keep the cores busy; the tables are made with less


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (paths, commands):
        monkeypatch.setattr(module, "LIMIT_S", PATIENCE_S)


@pytest.fixture(scope="module")
def seed() -> int:
    year, week, _ = date.today().isocalendar()
    return int(os.environ.get("WSRA_HOSTILE_SEED", 100 * year + week))


@pytest.fixture(scope="module")
def made(rows_bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Materials:
    if not (rows_bundle_folder.parent / "run.toml").is_file():
        pytest.skip("WSRA_TEST_ROWS_BUNDLE names a bundle without its checkpoint")
    folder = tmp_path_factory.mktemp("hostile") / "materials"
    shutil.copytree(rows_bundle_folder.parent, folder)
    return materials.make(folder)


@pytest.fixture
def shown(seed: int, capsys: pytest.CaptureFixture[str]) -> Callable[[str, list[Verdict]], None]:
    """Print what was done; fail where something failed."""

    def show(name: str, verdicts: list[Verdict]) -> None:
        kinds = told(Counter(verdict.kind for verdict in verdicts))
        with capsys.disabled():
            print(f"\n{name}, WSRA_HOSTILE_SEED={seed}: {kinds}")
        failed = [f"{verdict.kind.value}: {verdict.what} -> {verdict.detail}" for verdict in verdicts if verdict.failed]
        assert not failed, f"WSRA_HOSTILE_SEED={seed}:\n" + "\n".join(failed)

    return show


def until(name: str) -> Callable[[], bool]:
    """Whether the share of the time is over, which begins when that is asked first: then all servers stand."""
    whole = SHARES[name] * float(os.environ.get("WSRA_HOSTILE_SECONDS", "30"))
    began: list[float] = []

    def over() -> bool:
        began.append(time.monotonic())
        return began[-1] > began[0] + whole

    return over


@pytest.mark.slow
def test_damaged_files(made: Materials, seed: int, tmp_path: Path, shown: Callable[[str, list[Verdict]], None]) -> None:
    def pieces() -> Iterator[tuple[str, int, range]]:
        for first in range(0, 2_000, PIECE):
            for name, reader in READERS.items():
                count = max(1, round(PIECE * reader.weight))
                yield name, seed, range(first // PIECE * count, (first // PIECE + 1) * count)

    verdicts = []
    with Pool(made.folder, tmp_path, 2, PATIENCE_S) as pool:
        for (name, _, _), found in pool.run(list(pieces()), stop=until("readers")):
            verdicts += [Verdict(v.kind, v.detail, f"--reader {name!r} --seed {seed} --case {number}: {v.what}") for number, v in found]
    shown("damaged files", verdicts)


@pytest.fixture(scope="module")
def bench(made: Materials, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ExitStack() as held:
        yield Bench(
            made, tmp_path_factory.mktemp("bench"), held, seed=seed, part=lambda number: number % ONE_IN == seed % ONE_IN, slow=False
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kills", "pairs", "full", "paths"])
def test_attacks(kind: str, bench: Bench, shown: Callable[[str, list[Verdict]], None]) -> None:
    found = bench.attacks(kind, FEW, stop=until(kind))
    verdicts = [Verdict(v.kind, v.detail, f"{group}: {v.what}") for group, _, several in found for _, v in several]
    assert verdicts
    shown(kind, verdicts)
