"""Golden data of a bundle, which a stranger may have written and sealed: what does not fit is one line, wherever it is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from wsra.runtime.backends.routes import Route
from wsra.runtime.device import this_device
from wsra.runtime.errors import BundleError
from wsra.runtime.formats.bundle import GOLDEN, open_bundle
from wsra.runtime.verification.golden import read_golden, write_golden
from wsra.runtime.verification.route_check import gate_route

pytestmark = pytest.mark.device

Tensors = dict[str, np.ndarray]
Change = Callable[[Tensors, dict[str, str]], object]


def told(**values: Any) -> Change:
    return lambda _, metadata: metadata.update(golden=json.dumps({**json.loads(metadata["golden"]), **values}))


def without_cases(graph: str) -> Change:
    return lambda tensors, _: [tensors.pop(name) for name in list(tensors) if name.startswith(f"edge/{graph}/")]


DAMAGED: dict[str, Change] = {
    "nothing told": lambda _, metadata: metadata.pop("golden"),
    "a list told": lambda _, metadata: metadata.update(golden="[]"),
    "nested 50,000 deep": lambda _, metadata: metadata.update(golden="[" * 50_000),
    "cut JSON": lambda _, metadata: metadata.update(golden=metadata["golden"][:-9]),
    "sentences that are numbers": told(sentences=[1, 2, 3]),
    "sentences that are text": told(sentences="abc"),
    "no sentences": told(sentences=[], calibration_sentences=[]),
    "fewer names than videos": told(videos=["a"]),
    "snippets of words": told(snippet_s="long"),
    "snippets of nothing": told(snippet_s=0.0),
    "snippets of NaN": told(snippet_s=float("nan")),
    "snippets of 1e300 s": told(snippet_s=1e300),
    "no features": lambda tensors, _: tensors.pop("check/features"),
    "lengths of no rows": lambda tensors, _: tensors.update({"check/lengths": np.array([], np.int64)}),
    "lengths below 0": lambda tensors, _: tensors["check/lengths"].__setitem__(0, -1),
    "lengths of more rows": lambda tensors, _: tensors["check/lengths"].__setitem__(0, 1 << 40),
    "pairs of floats": lambda tensors, _: tensors.update({"check/pairs": tensors["check/pairs"].astype(np.float32)}),
    "pairs of three": lambda tensors, _: tensors.update({"check/pairs": np.zeros((4, 3), np.int64)}),
    "a pair of no sentence": lambda tensors, _: tensors["check/pairs"].__setitem__((0, 0), 10**9),
    "a pair of no video": lambda tensors, _: tensors["check/pairs"].__setitem__((0, 1), -1),
    "fewer moments than pairs": lambda tensors, _: tensors.update({"check/moments": tensors["check/moments"][:-1]}),
    "no case of the scorer": without_cases("scorer"),
    "no case of the text": without_cases("text"),
    "a case without a number": lambda tensors, _: tensors.update({"edge/text/x/ids": np.zeros(1)}),
    "a case with one part more": lambda tensors, _: tensors.update({"edge/text/0/a/b": np.zeros(1)}),
}


@pytest.fixture
def golden_file(bundle_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / GOLDEN
    path.write_bytes((bundle_folder / GOLDEN).read_bytes())
    return path


def rewrite(path: Path, change: Change) -> None:
    with safe_open(path, framework="numpy") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors, metadata)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_golden_data_that_do_not_fit(change: Change, golden_file: Path) -> None:
    rewrite(golden_file, change)
    with pytest.raises(BundleError, match=r"golden\.safetensors.*copy or export the bundle again") as caught:
        read_golden(golden_file)
    assert "\n" not in str(caught.value)


def test_golden_data_come_back_as_they_were_written(golden_file: Path) -> None:
    golden = read_golden(golden_file)
    write_golden(golden_file.with_name("again"), golden)
    again = read_golden(golden_file.with_name("again"))
    assert again.sentences == golden.sentences and again.edges.keys() == golden.edges.keys()
    np.testing.assert_array_equal(again.pairs, golden.pairs)


@pytest.mark.parametrize("graph", ["text", "keys", "scorer", "words"])
def test_cases_that_fit_no_graph_are_one_line(graph: str, bundle_folder: Path, golden_file: Path) -> None:
    """Verifying, a graph or a kernel is fed with them."""
    golden = read_golden(golden_file)
    case = golden.edges[graph][0]
    case.feeds.update({name: np.zeros((3, 1, 2), array.dtype) for name, array in case.feeds.items()})
    case.expected.update({name: np.zeros(7, np.float32) for name in case.expected})
    bundle, route = open_bundle(bundle_folder), Route("fp32", "cpu")
    try:
        report = gate_route(bundle, this_device(), route, golden)
    except BundleError as err:
        assert "golden.safetensors: cannot be used" in str(err) and "\n" not in str(err)
    else:
        assert not report.passed and "\n" not in (report.reason or "")
