"""Images per second of `passerby embed` beside the bare runtime, and beside plain Ray with onnxruntime.

    python benchmarks/embed_job.py [--images 2000] [--repeats 3] [--folder DIR]

All read the same JPEG files of rendered people (64 x 128 pixels), embed them and their mirror images with the ONNX file
of the default model in fp32 on one thread of the runtime, and all but `bare` write Parquet files:
    bare        onnxruntime alone, on pixels in memory, in batches of 64
    passerby    `passerby embed`: decoding ahead in threads, shards with ids, claims and a manifest
    ray         `passerby embed --engine ray` on a cluster of this machine with one core
    plain ray   Ray Data: Pillow, onnxruntime and `write_parquet` in a pool of one actor, on such a cluster
Each runs in a fresh process on all images and on a quarter of them; the difference leaves out the start of Python, Ray
and the model. Medians over --repeats pairs in turns. Processor time is that of all processes of the alternative.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import passerby
from passerby.runtime.model_manifest import model_folder

_BARE = """
import sys, numpy as np, passerby
paths, out, model = sys.argv[1:]
embedder = passerby.load(model, threads=1, runtime="onnx")
from pathlib import Path
files = sorted(Path(paths).iterdir())
pixels = np.concatenate([*embedder.read_pixels(files)])
for _ in range(4):  # the pixels are read once
    for start in range(0, len(pixels), 64):
        embedder.embed(pixels[start:start + 64], batch=64)
"""
_PASSERBY = """
import sys, passerby
paths, out, model = sys.argv[1:]
settings = passerby.EmbedSettings(runtime="onnx", batch=64, shard_size=256)
passerby.embed(paths, model, out, options=passerby.SourceOptions("a"), settings=settings)
"""
_RAY = """
import sys, passerby, ray
paths, out, model = sys.argv[1:]
ray.init(num_cpus=1, log_to_driver=False, include_dashboard=False, configure_logging=False)
settings = passerby.EmbedSettings(runtime="onnx", batch=64, shard_size=256)
passerby.embed(paths, model, out, options=passerby.SourceOptions("a"), settings=settings, engine="ray")
"""
_PLAIN = """
import sys, io, numpy as np, ray
paths, out, model = sys.argv[1:]
ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, configure_logging=False)
class Model:
    def __init__(self):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options)
    def __call__(self, batch):
        from PIL import Image
        images = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in batch["bytes"]])
        (name,) = [taken.name for taken in self.session.get_inputs()]
        (both,) = self.session.run(None, {name: np.concatenate([images, images[:, :, ::-1]])})
        total = both[:len(images)] + both[len(images):]
        return {"path": batch["path"], "vector": total / np.linalg.norm(total, axis=1, keepdims=True)}
from pathlib import Path
blocks = max(1, len([*Path(paths).iterdir()]) // 256)
table = ray.data.read_binary_files(paths, include_paths=True, override_num_blocks=blocks)
pool = ray.data.ActorPoolStrategy(size=1)
table.map_batches(Model, batch_size=64, num_cpus=0.5, compute=pool).write_parquet(out)
"""
PROGRAMS = {"bare": _BARE, "passerby": _PASSERBY, "ray": _RAY, "plain ray": _PLAIN}
REPEATS_OF_BARE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        sizes = (chosen.images // 4, chosen.images)
        sources = [make_crops(folder, count) for count in sizes]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
        for turn in range(chosen.repeats):
            for name in PROGRAMS:
                small, large = (run(name, source, folder / f"out-{turn}") for source in sources)
                count = (sizes[1] - sizes[0]) * (REPEATS_OF_BARE if name == "bare" else 1)
                times[name].append(tuple(1000 * (b - a) / count for a, b in zip(small, large, strict=True)))
    print("| | clock ms an image | processor ms an image | processor / bare |\n| --- | ---: | ---: | ---: |")
    medians = {name: [statistics.median(side) for side in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (clock, processor) in medians.items():
        print(f"| {name} | {clock:.2f} | {processor:.2f} | {processor / medians['bare'][1]:.2f} |")
    print(json.dumps(times))


def make_crops(folder: Path, count: int) -> Path:
    """Return a folder of rendered crops, made if it is not there."""
    crops = folder / f"crops-{count}"
    if not crops.is_dir():
        people = folder / "people"
        passerby.synth(people, passerby.SynthSettings(identities=800, cameras=2, images=2, seed=7))
        crops.mkdir()
        for path in sorted(people.rglob("*_c*.jpg"))[:count]:
            shutil.copy(path, crops)
    assert len([*crops.iterdir()]) == count
    return crops


def run(name: str, source: Path, out: Path) -> tuple[float, float]:
    """Run an alternative; returns its time and the processor time of its processes, in seconds."""
    shutil.rmtree(out, ignore_errors=True)
    model = str(model_folder("default") / "model.onnx") if name == "plain ray" else "default"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PASSERBY_CACHE": str(out.parent / "cache")}
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-c", PROGRAMS[name], str(source), str(out), model],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    used: dict[int, float] = {}
    while process.poll() is None:
        try:
            for part in (process, *process.children(recursive=True)):
                times = part.cpu_times()
                used[part.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return time.perf_counter() - started, sum(used.values())


if __name__ == "__main__":
    main()
