"""Text and JSON that a user names: what is refused, in one line, before it costs time or memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.files.reading import DEPTH, json_value, lines_of, read_bytes, read_json, read_text

HINT = "expected a test"


def value(text: str) -> object:
    return json_value(text, place="here", error=DataError, hint=HINT)


def test_text_with_and_without_a_mark_and_any_line_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\xc3\xa9")
    assert read_text(path, error=DataError, hint=HINT) == "a\nb\nc\n\u00e9"
    assert list(lines_of("a\u2028b\n\nc")) == ["a\u2028b", "", "c"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: None])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"a\.json: cannot be read \(.*\); expected a test"):
        read_json(tmp_path / "a.json", error=ConfigError, hint=HINT)


def test_a_null_in_the_name_is_one_line() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_text(Path("a\0b"), error=DataError, hint=HINT)


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    with pytest.raises(DataError, match="larger than 16 MiB"):
        read_text(path, error=DataError, hint=HINT)
    with pytest.raises(DataError, match="larger than 1 MiB"):
        read_bytes(path, error=DataError, hint=HINT, most=1 << 20)


def test_what_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc\xff")
    with pytest.raises(DataError, match="byte 3 is not UTF-8"):
        read_text(tmp_path / "a", error=DataError, hint=HINT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 50_000, "nested more than 64 deep"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested more than 64 deep"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), "nested more than 64 deep"),
        ("9" * 5_000, "an integer of 5000 digits"),
        ('["\\ud800"]', "half a surrogate pair"),
        ('{"a": 1,\n "b"}', "here, line 2: not JSON"),
        ("", "here, line 1: not JSON"),
    ],
)
def test_json_that_nothing_can_use(text: str, why: str) -> None:
    with pytest.raises(DataError, match=why) as caught:
        value(text)
    assert str(caught.value).endswith(HINT)


def test_json_at_the_limits_is_taken() -> None:
    assert value("[" * DEPTH + "]" * DEPTH)
    assert value(f"[{','.join(['[]'] * 1000)}]") == [[]] * 1000
    assert value("9" * 308) == int("9" * 308)
    assert value('"\\ud83d\\ude00 \\u00e9"') == "\U0001f600 \u00e9"
    assert value('"' + "[" * 100 + '"') == "[" * 100
