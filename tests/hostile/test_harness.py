"""The harness itself: it notices every way to fail, a case is the same again, its table counts right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.log import Log
from hostile.outcomes import Kind, Verdict
from hostile.pool import Worker
from hostile.report import BEGIN, END, Group, table, write_report

EXPECTED = {
    "answer": Kind.OK,
    "refuse": Kind.REFUSED,
    "raise": Kind.TRACEBACK,
    "crash": Kind.CRASH,
    "exit": Kind.CRASH,
    "hang": Kind.HANG,
    "fill": Kind.MEMORY,
    "leave": Kind.LEFTOVER,
    "escape": Kind.OUTSIDE,
    "differ": Kind.UNNOTICED,
    "accept": Kind.LET_IN,
    "ramble": Kind.MESSAGE,
}


@pytest.fixture
def bad_worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worker]:
    limit_s = 3.0 if "hang" in request.node.name else 300.0
    worker = Worker(tmp_path / "materials", tmp_path / "work", readers="bad_readers", limit_s=limit_s)
    yield worker
    worker.close()


@pytest.mark.parametrize("deed", EXPECTED)
def test_every_way_to_fail_is_noticed(deed: str, bad_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAD_DEED", deed)
    (first, second) = list(bad_worker.run("bad", 0, [3, 4]))  # the second case shows that it goes on
    assert [number for number, _ in (first, second)] == [3, 4]
    assert first[1].kind == second[1].kind == EXPECTED[deed], first[1]


def test_a_case_is_the_same_again(bad_worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAD_DEED", raising=False)
    seen = [dict(bad_worker.run("bad", 7, [0, 1, 2], keep=tmp_path / name)) for name in ("one", "other")]
    assert {number: verdict.kind for number, verdict in seen[0].items()} == {number: verdict.kind for number, verdict in seen[1].items()}
    for number in (0, 1, 2):
        one, other = (tmp_path / name / f"bad-7-{number}" / "deed" for name in ("one", "other"))
        assert one.read_text() == other.read_text()


def test_the_log_goes_on_and_the_table_counts(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add("feat", 1, 0, [(0, Verdict(Kind.OK)), (1, Verdict(Kind.TRACEBACK, "x.py:3 f: ValueError: a", "cut"))])
    log.add("feat", 1, 250, [(250, Verdict(Kind.TRACEBACK, "x.py:3 f: ValueError: b", "cut"))])
    again = Log(tmp_path / "log.jsonl")
    assert again.has("feat", 1, 250) and not again.has("feat", 2, 250)
    (group,) = again.groups()
    assert group.kinds == Counter({Kind.OK: 1, Kind.TRACEBACK: 2})
    assert list(again.causes()) == ["feat, traceback: 2 like"]
    assert "| feat | 3 | 1 | 0 | 0 | 2 | 2 |" in table([group])


def test_the_report_keeps_what_stands_around_its_table(tmp_path: Path) -> None:
    report = tmp_path / "robustness.md"
    report.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_report(report, [Group("feat", Counter({Kind.REFUSED: 5}), {1})])
    text = report.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n") and "old" not in text
    assert "| feat | 5 | 0 | 5 | 0 | 0 |" in text
