"""What the tests of the page in a browser share; imports nothing before it is needed, for a device has no browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium for the tests of one file, since Playwright runs an event loop in their thread that others could not share."""
    from browsers import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture(scope="package")
def bundle(rows_bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from watched import sure_bundle

    return sure_bundle(rows_bundle_folder, tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="package")
def archive(bundle: Any, clip_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from watched import write_watched

    return write_watched(tmp_path_factory.mktemp("archive") / "yard", bundle, clip_file)


@pytest.fixture(scope="module")
def address(archive: Path, bundle: Any) -> Iterator[str]:
    from pages import page_over

    with page_over([archive], bundle.folder) as (_, client):
        yield str(client.base_url)
