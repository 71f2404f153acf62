"""Processes of `embed.py`: each loads one alternative, and measures what the lines on its stdin name."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (1, 32)
SIDE = 1024
LARGE = (256, 128)
Work = Callable[[str, int, int], object]
"""Compute N images in batches of B: (kind, N, B)."""


def main() -> None:
    """Print what was loaded, then (processor ms, clock ms) of an image for each line."""
    job = json.loads(sys.argv[1])
    output, sys.stdout = sys.stdout, sys.stderr  # peers print
    if "write" in job:
        _write_peer(job["write"], Path(job["folder"]))
        return
    about, work = _open_peer(job) if "peer" in job else _open_onnx(job) if "onnx" in job else _open_model(job)
    print(json.dumps(about), file=output, flush=True)
    counts = {1: 8, 32: 32} if job["large"] else {1: 32, 32: 64}
    for line in sys.stdin:
        kind, size = line.split()
        value = None
        if kind in about["kinds"]:
            work(kind, int(size), int(size))
            value = _timed(lambda k=kind, b=int(size): work(k, counts[b], b), counts[int(size)])  # type: ignore[misc]
        print(json.dumps(value), file=output, flush=True)


def _timed(work: Callable[[], object], images: int) -> tuple[float, float]:
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return 1000 * (time.process_time() - processor) / images, 1000 * (time.perf_counter() - clock) / images


def _bounds(count: int, batch: int) -> list[slice]:
    return [slice(start, start + batch) for start in range(0, count, batch)]


def _write_files(folder: Path, size: tuple[int, int], count: int = 64) -> list[Path]:
    """Write JPEG files of smooth noise, as large as the network's images."""
    from PIL import Image

    images = folder / "images"
    images.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    files = []
    for number in range(count):
        small = generator.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        files.append(images / f"{size[0]}-{os.getpid()}-{number}.jpg")
        Image.fromarray(small).resize(size[::-1]).save(files[-1], quality=90)
    return files


def _open_model(job: Mapping[str, Any]) -> tuple[dict[str, Any], Work]:
    """Load a model of Passerby, and its runtime alone."""
    import passerby

    run, runtime, precision = Path(job["model"]), job["runtime"], job["precision"]
    if precision == "int8":
        embedder = passerby.load(run / "int8.xml")
    else:
        embedder = passerby.load(run, runtime=runtime, precision=precision)
    files = _write_files(Path(job["folder"]), embedder.preprocessing.size)
    pixels = next(embedder.read_pixels(files, batch=64))
    flip = job.get("flip", False)
    together = flip and not job["passes"]  # one call for an image and its mirror image
    chosen = {size: getattr(embedder.encoder, "runtime_of", lambda _: runtime)(size) for size in {2, *SIZES}}
    bare: dict[int, Callable[[Any], object]] = {}
    for size, name in chosen.items():
        if name == "torch":
            bare[size] = embedder.network
        elif name == "onnx":
            bare[size] = _open_session(run / "model.onnx", "images", job["threads"])
        else:
            file = run / ("int8.xml" if precision == "int8" else "model.onnx")
            bare[size] = _compile(file, size, embedder.preprocessing.size, job["threads"], precision)
    ready = pixels
    if flip:  # image, mirror image, image, ...
        ready = np.stack([pixels, pixels[:, :, ::-1]], axis=1).reshape(-1, *pixels.shape[1:])
    if runtime == "torch":
        ready = embedder.encoder.normalize(ready)  # type: ignore[attr-defined]

    def work(kind: str, count: int, batch: int) -> object:
        if kind == "files":
            return embedder.embed(files[:count], batch=batch, flip=flip)
        size = 2 if together and batch == 1 else batch
        parts = _bounds(count * (1 + flip), size)
        if runtime != "torch":
            return [bare[size](ready[part]) for part in parts]
        import torch

        with torch.inference_mode():
            return [bare[size](ready[part]) for part in parts]

    about: dict[str, Any] = {"flops": job["flops"], "name": str(embedder.encoder), "kinds": ["bare", "files"]}
    if precision != "int8" and runtime != "auto":
        about["gflops"] = _measure_rate(runtime, precision, job["threads"], Path(job["folder"]))
    return about, work


def _open_session(path: Path, name: str, threads: int) -> Callable[[Any], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {name: batch})


def _compile(path: Path, batch: int, size: tuple[int, int], threads: int, precision: str) -> Callable[[Any], object]:
    from passerby.runtime.networks import open_openvino

    core = open_openvino()
    model = core.read_model(str(path))
    model.reshape([batch, *size, 3])
    hint = "bf16" if precision == "bf16" else "f32"
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    compiled: Callable[[Any], object] = core.compile_model(model, "CPU", settings)
    return compiled


def _measure_rate(runtime: str, precision: str, threads: int, folder: Path) -> float:
    """Return GFLOP of a matrix product in a second of the processor."""
    values: Any = np.ones((SIDE, SIDE), np.float32)
    if runtime == "torch":
        import torch

        values = torch.from_numpy(values)

        def product() -> object:
            return values @ values
    else:
        from passerby.runtime.networks import load_network

        path = _write_product(folder / f"product-{os.getpid()}.onnx")
        network = load_network(path, runtime=runtime, precision=precision, threads=threads)  # type: ignore[arg-type]

        def product() -> object:
            return network(values)

    product()
    milliseconds = min(_timed(product, 1)[0] for _ in range(10))
    return 2 * SIDE**3 / milliseconds / 1e6


def _write_product(path: Path) -> Path:
    """Write an ONNX file that multiplies its input by a constant matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (SIDE, SIDE)) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.ones((SIDE, SIDE), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "product", values[:1], values[1:], [weight]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _write_peer(name: str, folder: Path) -> None:
    """Write random weights of Torchreid's network, and its ONNX file as its users export it."""
    import torch
    from torchreid.reid import models

    torch.manual_seed(0)
    network = models.build_model(name, num_classes=1, pretrained=False).eval()
    torch.save({"state_dict": network.state_dict()}, folder / f"{name}.pth")
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, *LARGE),),
        str(folder / f"{name}.onnx"),
        input_names=["x"],
        dynamic_axes={"x": {0: "b"}},
        dynamo=False,
    )


def _open_peer(job: Mapping[str, Any]) -> tuple[dict[str, Any], Work]:
    """Load Torchreid's FeatureExtractor."""
    import torch
    from torchreid.reid.utils.feature_extractor import FeatureExtractor

    name, folder = job["peer"], Path(job["folder"])
    torch.set_num_threads(job["threads"])
    extractor = FeatureExtractor(model_name=name, model_path=str(folder / f"{name}.pth"), device="cpu")
    files = [str(file) for file in _write_files(folder, LARGE)]
    pixels = torch.rand(64, 3, *LARGE)

    def work(kind: str, count: int, batch: int) -> object:
        if kind == "files":
            return [extractor(files[part]) for part in _bounds(count, batch)]
        with torch.inference_mode():
            return [extractor.model(pixels[part]) for part in _bounds(count, batch)]

    return {"name": name, "kinds": ["bare", "files"]}, work


def _open_onnx(job: Mapping[str, Any]) -> tuple[dict[str, Any], Work]:
    """Run a network that was exported by hand by onnxruntime alone."""
    session = _open_session(Path(job["onnx"]), "x", job["threads"])
    pixels = np.random.default_rng(0).random((64, 3, *LARGE), dtype=np.float32)

    def work(_kind: str, count: int, batch: int) -> object:
        return [session(pixels[part]) for part in _bounds(count, batch)]

    about = {"name": Path(job["onnx"]).name, "kinds": ["bare"], "flops": job["flops"]}
    about["gflops"] = _measure_rate("onnx", "fp32", job["threads"], Path(job["folder"]))
    return about, work


if __name__ == "__main__":
    main()
