"""What `wsra info` tells of a file is what it measured, whatever the file says of itself; a damaged one is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wsra.runtime.errors import WsraError
from wsra.runtime.formats.describe import describe
from wsra.runtime.formats.features import Features, write_features

pytestmark = pytest.mark.device


def test_metadata_do_not_replace_facts(make_features: Callable[..., Features], tmp_path: Path) -> None:
    features = make_features(7, 5)
    features.extra.update(kind="bundle", snippets="99", place="door")  # type: ignore[attr-defined]
    write_features(tmp_path / "a.feat", features)
    facts = describe(tmp_path / "a.feat")
    assert (facts["kind"], facts["snippets"], facts["place"]) == ("features", 7, "door")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "none.feat"])
def test_what_is_no_file_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(WsraError) as caught:
        describe(tmp_path / name)
    assert "\n" not in str(caught.value)
