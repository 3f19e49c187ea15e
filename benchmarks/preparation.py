"""Difference between a resize inside an ONNX graph and OpenCV's, on frames of videos as encoders get them (448 rows, to 224 x 224).

python benchmarks/preparation.py data/footage/*.mp4
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.video.frames import Video

SIDE, ROWS, EVERY_S = 224, 448, 8
WAYS = (("linear", 1), ("cubic", 1), ("linear", 0))  # mode of Resize, antialias


def resize_graph(path: Path, height: int, width: int, mode: str, antialias: int) -> Path:
    """X (1, height, width, 3) uint8 -> y (1, 224, 224, 3) uint8."""
    node = helper.make_node
    nodes = [
        node("Cast", ["x"], ["values"], to=TensorProto.FLOAT),
        node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
        node("Resize", ["planes", "", "", "sizes"], ["small"], mode=mode, antialias=antialias),
        node("Round", ["small"], ["whole"]),
        node("Clip", ["whole", "black", "white"], ["bounded"]),
        node("Transpose", ["bounded"], ["turned"], perm=[0, 2, 3, 1]),
        node("Cast", ["turned"], ["y"], to=TensorProto.UINT8),
    ]
    weights = {"sizes": np.array([1, 3, SIDE, SIDE]), "black": np.float32(0), "white": np.float32(255)}
    graph = helper.make_graph(
        nodes,
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, height, width, 3])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save_model(model, str(path))
    return path


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    images: list[NDArray[np.uint8]] = []
    for path in parser.parse_args().videos:
        with Video(path, height_px=ROWS, frames_per_s=1.0) as video:
            images += [frame.image for number, frame in enumerate(video.frames()) if number % EVERY_S == 0]
    print(f"{len(images)} frames")
    print("| Resize | mean difference, grey levels | largest |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for mode, antialias in WAYS:
            differences = []
            for image in images:
                graph = resize_graph(Path(folder) / "resize.onnx", image.shape[0], image.shape[1], mode, antialias)
                inside = OrtBackend(graph, threads=1).infer({"x": image[None]})["y"][0]
                outside = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                differences.append(np.abs(inside.astype(int) - outside))
            largest = max(int(one.max()) for one in differences)
            mean = np.mean([one.mean() for one in differences])
            print(f"| {mode}{', antialias' if antialias else ''} | {mean:.2f} | {largest} |")


if __name__ == "__main__":
    main()
