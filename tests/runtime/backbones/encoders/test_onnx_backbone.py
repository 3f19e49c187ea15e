"""Encoders whose answer is known by hand, on real H.264 files: sampling, batches, pooling, regions, ids, and what does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("av", "cv2", "onnx", "onnxruntime"):
    pytest.importorskip(library)

from encoders import encoder, film, mean_colour, settings_of  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from graphs import save  # noqa: E402
from wsra.runtime.backbones.registry import BackboneChoice, load_backbone  # noqa: E402
from wsra.runtime.errors import BackboneError, BackendError, OutputError, WsraError  # noqa: E402
from wsra.runtime.extraction.batch import extract_batch, extract_features  # noqa: E402
from wsra.runtime.extraction.provenance import is_current, refuse_others  # noqa: E402
from wsra.runtime.formats.features import Features, read_features, write_features  # noqa: E402
from wsra.runtime.workers.processes import Processes  # noqa: E402

NEAR = 4.0  # grey levels that H.264 may be off
RED = (30, 30, 200)


def counter(image: np.ndarray, t: float) -> None:
    """Grey level 20 t, with the corner above left brighter by 40."""
    image[:] = int(20 * t)
    image[: image.shape[0] // 2, : image.shape[1] // 2] += 40


def stander(image: np.ndarray, t: float) -> None:
    """Somebody in red who walks in after 24 s and stands from 27 s on."""
    if t >= 24:
        x = min(330, int((t - 24) * 110))
        image[240:400, x : x + 60] = RED


@pytest.fixture(scope="module")
def rising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "rising.mp4", seconds=10.5, paint=counter, size=(160, 120))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "standing.mp4", seconds=50, paint=stander)


def test_the_middle_frame_of_every_snippet(tmp_path: Path, rising: Path) -> None:
    backbone = load_backbone(encoder(mean_colour(tmp_path / "e.onnx")))
    features = extract_features(rising, backbone=backbone)
    middles = 20 * np.append(np.arange(10) + 0.5, 10.0) + 10  # two frames a second are read: at 10.5 s there is none
    assert features.values.shape == (11, 3) and features.values.dtype == np.float32
    np.testing.assert_allclose(features.values, np.repeat(middles[:, None], 3, 1), atol=NEAR)
    assert features.backbone == backbone.id(1.0) and features.backbone.startswith("tiny-") and features.backbone.endswith("@1s")
    np.testing.assert_allclose(features.times_s[-1], [10, 10.5], atol=0.01)


def test_the_mean_over_several_frames_of_a_snippet(tmp_path: Path, rising: Path) -> None:
    path = encoder(mean_colour(tmp_path / "e.onnx"), sampling="uniform")
    table = json.loads(path.read_text()) | {"frames_per_snippet": 2}
    path.write_text(json.dumps(table))
    features = extract_features(rising, backbone=load_backbone(tmp_path / "e.onnx"), snippet_s=2.0)
    np.testing.assert_allclose(features.values[:5, 0], 40 * np.arange(5) + 30, atol=NEAR)  # frames at 0.5 and 1.5 s of each


@pytest.mark.parametrize("rows", ["dynamic", 1, 4, 16])
def test_batches_change_nothing(tmp_path: Path, rising: Path, rows: int | str) -> None:
    """11 snippets: calls of one row, full calls, and a last call that is partial and, where the size is fixed, filled up."""
    free = extract_features(rising, backbone=load_backbone(encoder(mean_colour(tmp_path / "free.onnx"))))
    graph = mean_colour(tmp_path / "e.onnx", shape=("n" if rows == "dynamic" else rows, 3, 8, 8))  # type: ignore[arg-type]
    backbone = load_backbone(encoder(graph, batch=rows))
    np.testing.assert_array_equal(extract_features(rising, backbone=backbone).values, free.values)


@pytest.mark.parametrize(("layout", "axes"), [("NCTHW", (3, 4)), ("NTCHW", (3, 4)), ("NTHWC", (2, 3))])
def test_clips_have_their_frames_in_order(tmp_path: Path, rising: Path, layout: str, axes: tuple[int, int]) -> None:
    """An encoder that gives the brightness of each of 4 frames: at 1/8, 3/8, 5/8 and 7/8 of a snippet."""
    sizes = {"N": "n", "C": 3, "T": 4, "H": 8, "W": 8}
    channels = layout.replace("H", "").replace("W", "").index("C")
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["z"], keepdims=0, name="mean"),
        helper.make_node("ReduceMean", ["z", "channels"], ["y"], keepdims=0, name="grey"),
    ]
    constants = {"axes": np.array(axes), "channels": np.array([channels])}
    graph = save(tmp_path / "e.onnx", nodes, {"x": [sizes[letter] for letter in layout]}, {"y": ["n", 4]}, constants)
    path = encoder(graph, frames=4, layout=layout, sampling="uniform", width=4)
    features = extract_features(rising, backbone=load_backbone(path))
    expected = 20 * (np.arange(10)[:, None] + [[0.125, 0.375, 0.625, 0.875]]) + 10
    np.testing.assert_allclose(features.values[:10], expected, atol=NEAR)
    assert features.values[10, 3] == pytest.approx(20 * 10.375 + 10, abs=NEAR)  # the last snippet is half as long: its last frame again


@pytest.mark.parametrize(("shape", "axis"), [((3,), 1), ((3, 2), 1), ((2, 3), 2), ((3, 2, 2), 1), ((2, 2, 3), 3), ((3, 2, 1, 2), 1)])
def test_outputs_are_averaged_over_all_but_rows_and_width(tmp_path: Path, rising: Path, shape: tuple[int, ...], axis: int) -> None:
    """The mean colour, spread over an output of any shape with numbers that cancel."""
    wide = [1] * len(shape)
    wide[axis - 1] = 3
    spread = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    others = tuple(n for n in range(1, len(shape) + 1) if n != axis)
    spread -= spread.mean(axis=others, keepdims=True)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0, name="mean"),
        helper.make_node("Reshape", ["m", "wide"], ["r"], name="shape"),
        helper.make_node("Add", ["r", "spread"], ["y"], name="spread_out"),
    ]
    constants = {"axes": np.array([2, 3]), "wide": np.array([-1, *wide]), "spread": spread}
    graph = save(tmp_path / "e.onnx", nodes, {"x": ["n", 3, 8, 8]}, {"y": ["n", *shape]}, constants)
    plain = extract_features(rising, backbone=load_backbone(encoder(mean_colour(tmp_path / "plain.onnx")))).values
    spread_out = extract_features(rising, backbone=load_backbone(encoder(graph, output_axis=axis))).values
    np.testing.assert_allclose(spread_out, plain, atol=1e-4)


def test_embeddings_get_length_one_before_they_are_pooled(tmp_path: Path) -> None:
    def paint(image: np.ndarray, t: float) -> None:
        image[:] = (200, 0, 0) if t % 1 < 0.5 else (0, 100, 0)

    path = encoder(mean_colour(tmp_path / "e.onnx"), normalise="l2", sampling="uniform")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"frames_per_snippet": 2}))
    video = film(tmp_path / "v.mp4", seconds=3, paint=paint, size=(160, 120))
    np.testing.assert_allclose(extract_features(video, backbone=load_backbone(path)).values, [[0.5, 0.5, 0.0]] * 3, atol=0.04)


def test_quarters_stand_after_the_whole(tmp_path: Path, rising: Path) -> None:
    backbone = load_backbone(encoder(mean_colour(tmp_path / "e.onnx")), regions="grid")
    values = extract_features(rising, backbone=backbone).values
    assert values.shape == (11, 15) and backbone.width == 15
    level = 20 * (np.arange(10) + 0.5)[:, None]
    np.testing.assert_allclose(values[:10].reshape(10, 5, 3)[..., 0], level + np.array([10, 40, 0, 0, 0]), atol=NEAR)


def test_who_stands_still_fills_a_slot_of_moving_regions_and_an_empty_slot_holds_the_whole(tmp_path: Path, standing: Path) -> None:
    backbone = load_backbone(encoder(mean_colour(tmp_path / "e.onnx")), regions="moving")
    assert backbone.id(1.0).endswith("@1s+moving") and backbone.width == 9
    slots = extract_features(standing, backbone=backbone).values.reshape(50, 3, 3)
    redness = slots[..., 2] - slots[..., 0]
    np.testing.assert_array_equal(slots[:24, 1], slots[:24, 0])  # nobody yet
    np.testing.assert_array_equal(slots[:, 2], slots[:, 0])  # never a second one
    assert redness[27:, 1].min() > 30 and redness[27:, 0].max() < 8  # 23 s of standing, seen in the slot and hardly in the whole


def test_a_clip_encoder_looks_at_one_region_through_all_its_frames(tmp_path: Path, standing: Path) -> None:
    graph = mean_colour(tmp_path / "e.onnx", shape=("n", 3, 4, 8, 8), axes=(2, 3, 4))
    backbone = load_backbone(encoder(graph, frames=4, layout="NCTHW", sampling="uniform"), regions="moving")
    slots = extract_features(standing, backbone=backbone).values.reshape(50, 3, 3)
    assert (slots[28:, 1, 2] - slots[28:, 1, 0]).min() > 30
    np.testing.assert_array_equal(slots[:24, 1], slots[:24, 0])


def test_ids_differ_where_features_do(tmp_path: Path) -> None:
    path = encoder(mean_colour(tmp_path / "a.onnx"))
    ids = {load_backbone(path, regions=regions).id(snippet_s) for regions in ("whole", "grid", "moving") for snippet_s in (1.0, 0.5)}  # type: ignore[arg-type]
    ids.add(load_backbone(encoder(mean_colour(tmp_path / "b.onnx"), size=(8, 8), scale=0.5)).id(1.0))
    assert len(ids) == 7 and load_backbone("motion").id(1.0) == "motion-3@1s"


def test_every_way_to_name_a_backbone(tmp_path: Path) -> None:
    path = encoder(mean_colour(tmp_path / "backbone.onnx"))
    assert {load_backbone(place).id(1.0) for place in (path, tmp_path / "backbone.onnx", tmp_path, str(tmp_path))} == {
        load_backbone(path).id(1.0)
    }
    for place in (tmp_path / "e.pt", "clip", tmp_path / "none"):
        with pytest.raises(BackboneError, match="not a backbone; expected motion, X.onnx next to X.json, or a folder"):
            load_backbone(place)
    with pytest.raises(BackboneError, match="--regions grid with the motion backbone"):
        load_backbone("motion", regions="grid")


def test_a_batch_in_processes_resumes_and_keeps_other_features_apart(tmp_path: Path, rising: Path) -> None:
    videos = [shutil.copy(rising, tmp_path / f"{name}.mp4") for name in "abc"]
    path = encoder(mean_colour(tmp_path / "e.onnx"))
    choice = BackboneChoice(str(path))
    done = list(extract_batch(videos, tmp_path / "out", backbone=choice, pool=Processes(2)))
    assert [(one.error, one.kept) for one in done] == [(None, False)] * 3
    first = read_features(done[0].feat)
    np.testing.assert_array_equal(first.values, extract_features(rising, backbone=load_backbone(path)).values)
    assert is_current(done[0].feat, videos[0], backbone=load_backbone(path).id(1.0))
    assert all(one.kept for one in extract_batch(videos, tmp_path / "out", backbone=choice))
    grid = BackboneChoice(str(path), "grid")
    (refused,) = extract_batch(videos[:1], tmp_path / "out", backbone=grid)
    assert refused.error is not None and "replace them with --overwrite" in refused.error and read_features(refused.feat).width == 3
    (again,) = extract_batch(videos[:1], tmp_path / "out", backbone=grid, overwrite=True)
    assert not again.kept and again.error is None and read_features(again.feat).width == 15
    write_features(done[1].feat, Features(first.values, first.times_s, "b", first.duration_s, "i3d", {"snippet_s": "1"}))
    with pytest.raises(OutputError, match="not from wsra extract"):
        refuse_others(done[1].feat, backbone="i3d")


def broken(folder: Path, kind: str) -> Path:
    """An encoder that cannot be used, one way each."""
    graph = mean_colour(folder / "e.onnx")
    changes: dict[str, Any] = {
        "digest": {"sha256": "0" * 64},
        "input": {"input": "pixels"},
        "output": {"output": "z"},
        "size": {"size": (16, 8)},
        "layout": {"layout": "NHWC"},
        "width": {"width": 4},
        "axis": {"output_axis": 2},
    }
    if kind in changes:
        return encoder(graph, **changes[kind])
    pixels = ["n", 3, 8, 8]
    if kind == "missing graph":
        path = encoder(graph)
        graph.unlink()
        return path
    if kind == "other graph":
        return encoder(graph).rename(folder / "other.json").with_suffix(".onnx")
    if kind == "no graph":
        graph.write_bytes(b"nothing")
    elif kind == "rows":
        mean_colour(graph, shape=(4, 3, 8, 8))
    elif kind == "clip":
        mean_colour(graph, shape=("n", 3, 4, 8, 8), axes=(2, 3, 4))
    elif kind == "two inputs":
        save(graph, [helper.make_node("Add", ["x", "w"], ["y"], name="add")], {"x": pixels, "w": pixels}, {"y": pixels})
    elif kind == "NaN":
        nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0), helper.make_node("Log", ["m"], ["y"])]
        save(graph, nodes, {"x": pixels}, {"y": ["n", 3]}, {"axes": np.array([2, 3])})
        return encoder(graph, mean=(300.0,) * 3)
    elif kind == "bytes":
        nodes = [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=0),
        ]
        save(graph, nodes, {"x": (TensorProto.UINT8, pixels)}, {"y": ["n", 3]}, {"axes": np.array([2, 3])})
        return encoder(graph, scale=0.5)
    elif kind == "hidden rows":  # its shapes promise any number of rows, and its numbers do not
        nodes = [
            helper.make_node("Reshape", ["x", "to"], ["z"], name="fixed"),
            helper.make_node("ReduceMean", ["z", "axes"], ["y"], keepdims=0),
        ]
        save(graph, nodes, {"x": pixels}, {"y": ["n", 3]}, {"to": np.array([2, 3, 8, 8]), "axes": np.array([2, 3])})
    return encoder(graph)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("digest", "e.onnx: not the graph that e.json describes (sha256 differs)"),
        ("missing graph", "its graph e.onnx is not in the same folder"),
        ("other graph", "its graph is e.onnx, not other.onnx"),
        ("no graph", "not an ONNX graph"),
        ("input", "the input is x; the JSON says pixels"),
        ("two inputs", "the input is x, w; the JSON says x: an encoder must have only that input"),
        ("output", "no output z; it has y"),
        ("size", "x is nx3x8x8; layout NCHW, size and frames of the JSON make nx3x16x8"),
        ("layout", "x is nx3x8x8; layout NHWC, size and frames of the JSON make nx8x8x3"),
        ("clip", "x is nx3x4x8x8; layout NCHW, size and frames of the JSON make nx3x8x8"),
        ("rows", 'takes 4 rows per call, and batch of the JSON is dynamic: set "batch": 4'),
        ("bytes", "x is uint8; then scale must be 1"),
        ("width", "y is (10, 3) for 10 rows; expected 10 on axis 0 and the width 4 on axis 1: set width and output_axis"),
        ("axis", "y is (10, 3) for 10 rows; expected 10 on axis 0 and the width 3 on axis 2"),
        ("NaN", "y holds NaN or infinite numbers; compare scale, mean and std"),
        ("hidden rows", "does not run on x (10, 3, 8, 8)"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, clip_file: Path, kind: str, message: str) -> None:
    short = film(tmp_path / "v.mp4", seconds=10, paint=counter, size=(160, 120))
    with pytest.raises(WsraError) as error:
        extract_features(short, backbone=load_backbone(broken(tmp_path, kind)))
    assert isinstance(error.value, BackboneError | BackendError)
    assert message in str(error.value) and "\n" not in str(error.value), str(error.value)


def test_a_batch_stops_before_it_begins_when_its_backbone_cannot_be_loaded(tmp_path: Path, rising: Path) -> None:
    for pool in (None, Processes(2)):
        with pytest.raises(BackboneError, match="sha256 differs"):
            list(
                extract_batch(
                    [rising, tmp_path / "b.mp4"], tmp_path / "o", backbone=BackboneChoice(str(broken(tmp_path, "digest"))), pool=pool
                )
            )
    assert not (tmp_path / "o").exists()


def test_settings_of_a_graph_in_bytes(tmp_path: Path, rising: Path) -> None:
    """An encoder with its own scaling takes uint8."""
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=0)]
    graph = save(tmp_path / "e.onnx", nodes, {"x": (TensorProto.UINT8, ["n", 3, 8, 8])}, {"y": ["n", 3]}, {"axes": np.array([2, 3])})
    floats = extract_features(rising, backbone=load_backbone(encoder(mean_colour(tmp_path / "f.onnx"))))
    np.testing.assert_allclose(extract_features(rising, backbone=load_backbone(encoder(graph))).values, floats.values, atol=1e-3)
    assert settings_of(graph).digest() != settings_of(tmp_path / "f.onnx").digest()
