"""Whatever is raised about a file is one line that names it; errors of wsra and missing libraries pass."""

from __future__ import annotations

import pytest

from wsra.runtime.errors import DataError, FeatureError, VideoError
from wsra.runtime.files.boundary import one_file

pytestmark = pytest.mark.device


@pytest.mark.parametrize(
    "raised",
    [
        AttributeError("no width"),
        OverflowError("date\nvalue"),
        MemoryError(),
        RecursionError("deep"),
        ValueError(),
        KeyError("a"),
        AssertionError(),
    ],
)
def test_what_libraries_raise_is_one_line(raised: Exception) -> None:
    message = rf"^a\.mp4: cannot be used \({type(raised).__name__}.*\); is the file damaged\? WSRA_DEBUG=1 shows"
    with pytest.raises(VideoError, match=message) as caught, one_file("a.mp4", VideoError):
        raise raised
    assert caught.value.__cause__ is raised and "\n" not in str(caught.value)


def test_a_disk_that_fails_is_said_as_such() -> None:
    with (
        pytest.raises(FeatureError, match=r"^a\.feat: cannot be read to its end \(Input/output error\); was it deleted"),
        one_file("a.feat", FeatureError),
    ):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("raised", [DataError("of another file"), ModuleNotFoundError("av"), KeyboardInterrupt(), SystemExit(143)])
def test_what_is_not_about_the_file_passes(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as caught, one_file("a.feat", FeatureError):
        raise raised
    assert caught.value is raised


def test_everything_passes_while_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSRA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError), one_file("a.feat", FeatureError):
        _ = 1 / 0
