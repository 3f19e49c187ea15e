"""Text from files, sentences and libraries cannot move the cursor, hide, turn the order of what is shown, or be taken for markup."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
import unicodedata
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Detection
from wsra.runtime.archive.report import answer_view
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.backends.settings import RunInfo
from wsra.runtime.doctor.checks import Check
from wsra.runtime.doctor.doctor import doctor_table
from wsra.runtime.formats.describe import describe, info_table
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.spans.moments import Moment
from wsra.runtime.terminal.console import LOGGER, log_warnings, messages_indented, messages_shown, print_message, visible
from wsra.runtime.terminal.display import Styled, plain_table, stdout_console

pytestmark = pytest.mark.device
ROOT = Path(__file__).parents[3]
EVIL = "\x1b]0;owned\x07\u202egnp.\x9b31m[/red][bold]x\u200by"
SEEN = r"\x1b]0;owned\x07\u202egnp.\x9b31m[/red][bold]x\u200by"
# Format characters that have a glyph or shape their neighbours: signs around Arabic and Kaithi numbers, hieroglyphs; and the two joiners.
DRAWN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440), 0x200C, 0x200D}


def shown(*renderables: object) -> str:
    console = stdout_console()
    console.width = 300
    with console.capture() as capture:
        for renderable in renderables:
            console.print(renderable)
    return capture.get()


def test_whatever_unicode_does_not_draw_is_escaped() -> None:
    hidden = [code for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") and code not in DRAWN]
    assert len(hidden) > 2000
    assert all(visible(chr(code)).isascii() and visible(chr(code)).isprintable() for code in hidden)
    assert visible("a\u3164\u115f\U000e0041\u034f") == r"a\u3164\u115f\U000e0041\u034f"  # fillers, tags, a joiner without a glyph
    assert visible("a\tb\r\nc") == r"a\tb\r\nc"


ORDINARY = ["größer als 1,70 m", "سيارة حمراء", "می\u200cخواهم", "क्\u200dष", "👩\u200d🚀 ❤️\u200d🔥", "一只猫", "a\\x1b[b]"]  # noqa: RUF001


@pytest.mark.parametrize("text", ORDINARY)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


def test_a_joiner_between_latin_letters_is_a_disguise() -> None:
    assert visible("vi\u200ddeo\u200c.mp4") == r"vi\u200ddeo\u200c.mp4"


def test_a_message_is_one_visible_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_message(f"left out: {EVIL}\nsecond\u2028third")
    with messages_shown():
        LOGGER.info(f"left out: {EVIL}\nsecond\u2028third")
    assert capsys.readouterr().err == f"left out: {SEEN} second third\n" * 2


def test_messages_are_printed_while_they_are_shown_and_at_no_other_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, also where something else has a handler on the root logger, and the settings of a caller are left as they were."""
    part, root = logging.getLogger("wsra.runtime.part"), logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(root)
    try:
        LOGGER.setLevel(logging.ERROR)
        with messages_shown(), messages_shown():
            part.debug("detail")
            part.info("%d of %d", 1, 2)
            with messages_indented():
                part.warning("100 %")
        assert capsys.readouterr().err == "1 of 2\n    WARNING: 100 %\n"
        assert (LOGGER.level, LOGGER.propagate) == (logging.ERROR, True)
    finally:
        LOGGER.setLevel(logging.NOTSET)
        logging.getLogger().removeHandler(root)
    part.warning("nobody listens")
    assert capsys.readouterr() == ("", "")


def test_the_library_prints_nothing_by_itself() -> None:
    """Python prints warnings that no handler takes; a Python caller who attaches none sees nothing."""
    code = "import logging, wsra.runtime; logging.getLogger('wsra.runtime.part').warning('nobody listens')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_a_warning_of_a_library_is_a_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    log_warnings()
    with messages_shown(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(EVIL, stacklevel=1)
    output = capsys.readouterr().err
    assert output.startswith(f"WARNING: {SEEN} (UserWarning of ") and output.count("\n") == 1


def test_the_console_shows_strings_as_they_are_wherever_they_stand() -> None:
    table = plain_table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(Styled(EVIL, "red"))
    table.add_row(f"{EVIL}\n1")
    output = shown(table, EVIL, Styled(EVIL, "bold"), ":smile: 12 'x'")
    assert output.count(SEEN) == 6 and rf"{SEEN}\n1" in output and ":smile: 12 'x'" in output
    assert output.replace("\n", "").isprintable()


def test_info_of_features_with_markup_in_a_name(tmp_path: Path) -> None:
    times = np.array([[0.0, 1.0]])
    features = Features(np.ones((1, 2), np.float32), times, EVIL, 1.0, EVIL, {"[/red]": EVIL})
    write_features(tmp_path / "x.feat", features)
    output = shown(info_table(describe(tmp_path / "x.feat")))
    assert "[/red]" in output and output.count(SEEN) == 3 and output.replace("\n", "").isprintable()


def test_an_answer_with_an_evil_sentence_video_and_camera() -> None:
    moment = Moment(video=EVIL, start_s=0.0, end_s=1.0, score=1.0, presence=0.0, confidence=1.0, false_alarms_per_hour=0.1)
    found = SearchResults(RunInfo(Path("b"), "fp32", "cpu", "cpu", "numpy"), [], [], 1.0, "captions")
    output = shown(answer_view(Result(EVIL, [replace(_detection(moment), camera=EVIL)], []), found, width=80))
    assert output.count(SEEN) == 3 and output.replace("\n", "").isprintable()


def _detection(moment: Moment) -> Detection:
    return Detection(moment, None, None, None)


def test_doctor_on_what_a_library_says() -> None:
    output = shown(doctor_table([Check(EVIL, "fatal", EVIL, EVIL)]))
    assert output.count(SEEN) == 3 and f"→ {SEEN}" in output


def test_a_label_of_the_progress_bar_is_visible(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from wsra.runtime.terminal.bar import drawn

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with drawn() as progress:
        progress("[/red]", 0, 2)
        progress(EVIL, 1, 2)
    output = capsys.readouterr().err
    assert SEEN in output and "\u202e" not in output and "\x07" not in output


MAY_USE_RICH = {"runtime/terminal/display.py", "runtime/terminal/bar.py", "runtime/archive/report.py"}
MAY_PRINT = {"runtime/terminal/streams.py", "runtime/terminal/console.py", "runtime/commands/options.py"}
COMMAND_LINE = ("runtime/cli.py", "runtime/commands/", "runtime/terminal/")  # all else logs, reports progress and returns what is shown
SHOWS = {"print_message", "print_path", "stdout_console", "show_messages", "messages_shown", "progress_shown"}
MAY_SHOW = {}


@pytest.mark.parametrize("package", ["runtime", "calib", "train", "export"])
def test_nothing_else_prints_or_uses_rich(package: str) -> None:
    """A `Console` of Rich reads markup, a `Text` is not made visible, and so is what `print` gets. Only the command line shows anything."""
    for path in sorted((ROOT / package).rglob("*.py")):
        name, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if not name.startswith(COMMAND_LINE) and any(module.startswith("wsra.runtime.terminal") for module in modules):
                shows = {alias.name for alias in getattr(node, "names", [])} & SHOWS
                assert shows <= MAY_SHOW.get(name, set()), f"{name} imports {shows}; log it, take a Progress, or return what is shown"
            if any(module.split(".")[0] == "rich" for module in modules):
                assert name in MAY_USE_RICH, f"{name} imports {modules}; take wsra.runtime.terminal.display"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert name in MAY_PRINT, f"{name}, line {node.lineno}, prints; log it, or take print_message, print_path or print_json"
            if isinstance(node, ast.Attribute) and node.attr == "write":
                assert ast.unparse(node.value) not in ("sys.stderr", "sys.stdout"), f"{name}, line {node.lineno}: log it"
