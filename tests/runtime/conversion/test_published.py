"""Published features: small files of the layouts they come in, and the paper's context of proposals from its definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wsra.runtime.cli import app
from wsra.runtime.conversion.published import Published, convert_all, proposal_weights, with_context
from wsra.runtime.errors import ConfigError, FeatureError, OutputError, WsraError
from wsra.runtime.formats.features import read_features
from wsra.runtime.spans.sums import pooled_means
from wsra.runtime.spans.windows import Timeline, segment_windows

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)
SIX, FIVE = "1@N_2.avi", "3@N_4.mp4"


def hdf5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def segments(width: int) -> dict[str, np.ndarray]:
    arrays = {name: RNG.random((6, width)).astype(np.float32) for name in (SIX, FIVE)}
    arrays[FIVE][5] = 0.0
    return arrays


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stderr


def test_pooling_gives_the_proposal_beside_the_mean_over_all_proposals() -> None:
    """Section 4.1, computed directly: every proposal's mean, then the mean over proposals, concatenated."""
    for count in (6, 5):
        rows = RNG.random((count, 8)).astype(np.float32)
        runs = [(first, stop) for first in range(count) for stop in range(first + 1, count + 1)]
        pooled = np.array([rows[first:stop].mean(axis=0) for first, stop in runs])
        assert len(runs) == {6: 21, 5: 15}[count]
        expected = np.hstack([pooled, np.tile(pooled.mean(axis=0), (len(runs), 1))])
        got = pooled_means(with_context(rows), np.array(runs, float))
        np.testing.assert_allclose(got, expected, atol=1e-6)
        weights = proposal_weights(count)
        assert weights.sum() == pytest.approx(1) and weights[0] < weights[count // 2]  # segments in the middle weigh more
        np.testing.assert_allclose(weights @ rows, pooled.mean(axis=0), atol=1e-6)


def test_weights_by_hand() -> None:
    # Three segments: 6 runs. The first is whole in one, half in one, a third in one: (1 + 1/2 + 1/3) / 6.
    np.testing.assert_allclose(proposal_weights(3), np.array([11, 14, 11]) / 36)


def test_didemo_rgb_and_flow_together(tmp_path: Path) -> None:
    rgb, flow = segments(4096), segments(1024)
    messages = run(hdf5(tmp_path / "rgb.h5", rgb), "-o", tmp_path / "out", "--layout", "didemo", "--flow", hdf5(tmp_path / "flow.h5", flow))
    assert "2 videos written" in messages and "didemo:rgb.h5+flow.h5+context" in messages and "median snippet 5 s" in messages
    for name, count in ((SIX, 6), (FIVE, 5)):
        features = read_features(tmp_path / "out" / f"{name}.feat")
        assert (features.video, len(features), features.width, features.duration_s) == (name, count, 2 * (4096 + 1024), 5.0 * count)
        np.testing.assert_array_equal(features.values[:, :4096], rgb[name][:count])
        np.testing.assert_array_equal(features.values[:, 4096:5120], flow[name][:count])
        assert (features.values[:, 5120:] == features.values[0, 5120:]).all()
        # The 21 windows of the plan cover the segments they name.
        positions = Timeline(features.times_s).positions(segment_windows())
        np.testing.assert_array_equal(positions[6], [0, 2])


@pytest.mark.parametrize(("width", "more"), [(4096, []), (1024, ["--no-context"])])
def test_didemo_alone(tmp_path: Path, width: int, more: list[str]) -> None:
    arrays = segments(width)
    run(hdf5(tmp_path / "x.h5", arrays), "-o", tmp_path / "out", "--layout", "didemo", *more)
    features = read_features(tmp_path / "out" / f"{SIX}.feat")
    assert features.width == (width if more else 2 * width) and features.backbone == "didemo:x.h5" + ("" if more else "+context")


@pytest.mark.parametrize("kind", ["folder", "hdf5"])
def test_charades_i3d(tmp_path: Path, kind: str) -> None:
    arrays = {"AO8RW": RNG.random((33, 1024)).astype(np.float32), "Y6R7T": RNG.random((20, 1, 1, 1024)).astype(np.float32)}
    source = tmp_path / "i3d"
    if kind == "folder":
        source.mkdir()
        for name, array in arrays.items():
            np.save(source / f"{name}.npy", array)
    else:
        source = hdf5(tmp_path / "i3d.h5", arrays)
    (tmp_path / "charades.json").write_text(json.dumps({"AO8RW": {"duration": 33.67}, "Y6R7T": {"duration": 30.0}}))
    run(source, "-o", tmp_path / "out", "--layout", "charades-i3d", "--durations", tmp_path / "charades.json")
    for name, duration_s in (("AO8RW", 33.67), ("Y6R7T", 30.0)):
        features = read_features(tmp_path / "out" / f"{name}.feat")
        np.testing.assert_array_equal(features.values, arrays[name].reshape(-1, 1024))
        assert features.duration_s == pytest.approx(duration_s) and features.times_s[-1, 1] == pytest.approx(duration_s)
    run(source, "-o", tmp_path / "fixed", "--layout", "charades-i3d", "--snippet-s", 0.5)
    assert read_features(tmp_path / "fixed" / "AO8RW.feat").duration_s == 16.5


def test_activitynet_c3d(tmp_path: Path) -> None:
    array = RNG.random((50, 500)).astype(np.float32)
    source = hdf5(tmp_path / "c3d.h5", {"v_a/c3d_features": array})
    (tmp_path / "d.json").write_text('{"v_a": 82.5}')
    run(source, "-o", tmp_path / "out", "--layout", "activitynet-c3d", "--durations", tmp_path / "d.json")
    features = read_features(tmp_path / "out" / "v_a.feat")
    np.testing.assert_array_equal(features.values, array)
    assert features.duration_s == pytest.approx(82.5) and features.times_s[1, 0] == pytest.approx(1.65)


def published(source: Path, layout: str, **more: object) -> Published:
    settings: dict[str, object] = {"flow": None, "durations_s": {}, "snippet_s": None, **more}
    return Published(source, layout, **settings)  # type: ignore[arg-type]


def test_an_interrupted_conversion_goes_on_and_never_mixes(tmp_path: Path) -> None:
    source = hdf5(tmp_path / "rgb.h5", segments(16))
    out = tmp_path / "out"
    assert convert_all(published(source, "didemo"), out, overwrite=False).written == 2
    (out / f"{SIX}.feat").unlink()
    done = convert_all(published(source, "didemo"), out, overwrite=False)
    assert (done.written, done.kept) == (1, 1)
    with pytest.raises(OutputError, match="features from elsewhere"):
        convert_all(published(source, "didemo", context=False), out, overwrite=False)
    assert convert_all(published(source, "didemo", context=False), out, overwrite=True).written == 2


@pytest.mark.parametrize(
    ("layout", "more", "message"),
    [
        ("didemo", {"snippet_s": 1.0}, "leave --snippet-s and --durations out"),
        ("charades-i3d", {"flow": Path("x"), "snippet_s": 1.0}, "--flow is for --layout didemo"),
        ("charades-i3d", {}, "give either --durations or --snippet-s"),
        ("activitynet-c3d", {"snippet_s": 1.0, "durations_s": {"a": 1.0}}, "give either --durations or --snippet-s"),
    ],
)
def test_settings_that_do_not_fit(layout: str, more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        published(Path("x"), layout, **more)


def test_files_of_another_layout(tmp_path: Path) -> None:
    def told(source: Path, layout: str, **more: object) -> str:
        with pytest.raises(WsraError) as error:
            convert_all(published(source, layout, **more), tmp_path / "out", overwrite=False)
        assert "\n" not in str(error.value)
        return str(error.value)

    flat = hdf5(tmp_path / "flat.h5", {"a": np.ones((7, 4), np.float32)})
    assert "a is (7, 4); expected (6, D)" in told(flat, "didemo")
    assert "no data set a/c3d_features" in told(flat, "activitynet-c3d", snippet_s=1.0)
    assert "no duration of a" in told(flat, "charades-i3d", durations_s={"b": 3.0})
    grouped = hdf5(tmp_path / "grouped.h5", {"a/c3d_features": np.ones((7, 4), np.float32)})
    assert "no data set a;" in told(grouped, "charades-i3d", snippet_s=1.0)
    assert "only zeros" in told(hdf5(tmp_path / "zeros.h5", {"a": np.zeros((6, 4), np.float32)}), "didemo")
    rgb, flow = hdf5(tmp_path / "rgb.h5", segments(4)), hdf5(tmp_path / "flow.h5", {SIX: np.ones((6, 2))})
    assert f"no data set {FIVE}" in told(rgb, "didemo", flow=flow)
    (tmp_path / "damaged.h5").write_bytes(b"not HDF5")
    assert "not a readable HDF5 file" in told(tmp_path / "damaged.h5", "didemo")
    (tmp_path / "empty").mkdir()
    assert "no videos in it" in told(tmp_path / "empty", "charades-i3d", snippet_s=1.0)
    with pytest.raises(FeatureError, match="not a readable NumPy file"):
        (tmp_path / "empty" / "a.npy").write_bytes(b"x")
        convert_all(published(tmp_path / "empty", "charades-i3d", snippet_s=1.0), tmp_path / "o", overwrite=False)


def test_one_array_still_needs_the_length_of_a_snippet(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "a.npy"), "-o", str(tmp_path / "a.feat")])
    assert done.exit_code == 2 and "snippet-s is missing" in done.stderr
