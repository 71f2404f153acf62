"""Time of an embedding by runtime, precision, batch size and threads, bare and from JPEG files.

    python benchmarks/embed.py [--threads 1 2] [--models default convnext_tiny] [--peer PYTHON] [--turns 5]
        [--folder FOLDER] [--flip] [--avx2]

Models: the default model (128 x 64), ConvNeXt-Tiny with attention and six parts at 256 x 128 and, with `--peer`,
OSNet x1.0 and x0.25 at 256 x 128 (all but the first with random weights), without the mirror image. Every alternative
is a process of its own; they compute in turns, and the tables have medians. Times are of the processor, so that other
work on the machine counts less. "bare" is the runtime alone on batches that are ready in memory; "files" is
`Embedder.embed` from JPEG files of the network's size to vectors. The ratio of both is taken in the same turn, of the
processor's times and of the clock's.

`--peer` is the Python of an environment with torchreid: its FeatureExtractor reads the same files, onnxruntime
computes the same OSNet exported by hand, and Passerby the same weights imported.

The roofline is 2 x multiply-adds of an image / rate of a matrix product of 1024 x 1024 in the same runtime and
precision; the last column is that time / measured bare time at batch 32. `--folder` keeps the models for another
call.

`--flip` measures an image with its mirror image: at batch 1 in one call for two images, at batch 32 in two calls; the
first row makes two calls at both. `--avx2` holds torch, MKL and oneDNN, which OpenVINO has its own copy of, to AVX2;
onnxruntime's kernels cannot be held.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from embed_programs import SIZES
from measure import machine

ALTERNATIVES = (
    ("eager", "torch", "fp32"),
    ("onnxruntime", "onnx", "fp32"),
    ("OpenVINO", "openvino", "fp32"),
    ("OpenVINO bf16", "openvino", "bf16"),
    ("OpenVINO int8", "openvino", "int8"),
    ("auto", "auto", "fp32"),
)
TWO_PASSES = ("eager, two passes", "torch", "fp32")
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
OSNETS = ("osnet_x1_0", "osnet_x0_25")
PROGRAMS = Path(__file__).with_name("embed_programs.py")
_Job = tuple[str, dict[str, Any]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--models", nargs="*", choices=("default", "convnext_tiny"), default=["default", "convnext_tiny"]
    )
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--avx2", action="store_true")
    options = parser.parse_args()
    if options.flip and options.peer:
        parser.error("--flip: the peers embed no mirror image; leave out --peer")
    if options.avx2:
        os.environ |= AVX2
    print(machine(), *(["held to AVX2"] if options.avx2 else []), flush=True)
    with nullcontext(options.folder) if options.folder else TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(exist_ok=True)
        tables = {
            model: _list_runtimes(model, folder, flip=options.flip, avx2=options.avx2) for model in options.models
        }
        if options.peer:
            tables |= {model: _list_osnet(model, folder, options.peer) for model in OSNETS}
        for threads in options.threads:
            for model, jobs in tables.items():
                results = _measure_all(jobs, folder, threads, options.turns)
                _print(f"{model}, {threads} thread{'s' if threads > 1 else ''}", results)


def _list_runtimes(model: str, folder: Path, *, flip: bool, avx2: bool) -> dict[str, _Job]:
    run = folder / model
    if not run.is_dir():
        _write_model(model, run)
    common = {"model": str(run), "flops": 2 * _count(run) * (2 if flip else 1), "large": model != "default"}
    return {
        title: (
            sys.executable,
            {**common, "runtime": runtime, "precision": precision, "flip": flip, "passes": title == TWO_PASSES[0]},
        )
        for title, runtime, precision in ([TWO_PASSES] if flip else []) + [*ALTERNATIVES]
        if (precision != "int8" or model == "default")  # random weights have no ranges that int8 keeps
        and not (precision == "bf16" and (avx2 or not _has_bf16()))
    }


@cache
def _has_bf16() -> bool:
    """Return whether OpenVINO has bf16 on this processor; print a line if not."""
    from passerby.runtime.networks import open_openvino

    if "BF16" in open_openvino().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return True
    print("this processor has no bf16: that row is left out")
    return False


def _list_osnet(model: str, folder: Path, peer: Path) -> dict[str, _Job]:
    """Let Torchreid write random weights and an ONNX file, and import the weights."""
    import passerby

    run, file = folder / model, folder / f"{model}.onnx"
    if not run.is_dir():
        subprocess.run([peer, PROGRAMS, json.dumps({"write": model, "folder": str(folder)})], check=True)
        passerby.import_model(folder / f"{model}.pth", run)
        passerby.export_model(run, run / "model.onnx")
    flops = 2 * _count(run)
    return {
        "Torchreid FeatureExtractor": (str(peer), {"peer": model, "large": True}),
        "onnxruntime, exported by hand": (sys.executable, {"onnx": str(file), "large": True, "flops": flops}),
        **{
            f"Passerby, {runtime}": (
                sys.executable,
                {"model": str(run), "runtime": runtime, "precision": "fp32", "flops": flops, "large": True},
            )
            for runtime in ("onnx", "auto")
        },
    }


def _write_model(name: str, run: Path) -> None:
    """Write a run with ONNX and int8 files."""
    import passerby
    from passerby.runtime.model_manifest import DEFAULT_MODEL

    if name == "default":
        shutil.copytree(DEFAULT_MODEL, run)
        passerby.export_model(run, run / "int8.xml", to="openvino", precision="int8", min_cosine=0.0)
    else:
        _write_tiny(run)
        passerby.export_model(run, run / "model.onnx", min_cosine=0.99)


def _write_tiny(run: Path) -> None:
    import torch

    import passerby
    from passerby.model.weights import save_model

    torch.manual_seed(0)
    settings = {"backbone": "convnext_tiny", "attention": True, "parts": 6, "refine": True}
    network = passerby.convnext_ap(**settings)  # type: ignore[arg-type]
    manifest = json.loads((Path(passerby.__file__).parent / "shipped" / "manifest.json").read_text())
    manifest |= {"model": {"method": "convnext_ap", **settings}, "identities": 0}
    manifest["preprocessing"] |= {"size": [256, 128]}
    run.mkdir()
    save_model(run, network, manifest)


def _count(run: Path) -> int:
    """Return the multiply-adds of an image."""
    import passerby

    embedder = passerby.load(run, runtime="torch", device="cpu")
    info = passerby.model_info(embedder.network, size=embedder.preprocessing.size)
    return info.multiply_adds["total"] - info.multiply_adds["classifiers"]


def _measure_all(jobs: Mapping[str, _Job], folder: Path, threads: int, turns: int) -> dict[str, dict[str, Any]]:
    """Start a process for each alternative, and measure in turns."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    processes = {}
    for title, (python, job) in jobs.items():
        words = [python, str(PROGRAMS), json.dumps({**job, "threads": threads, "folder": str(folder)})]
        processes[title] = subprocess.Popen(
            words, env=os.environ | counts, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    times: dict[str, dict[str, list[Any]]] = {title: {} for title in jobs}
    try:
        for title, process in processes.items():
            assert process.stdout is not None
            times[title]["about"] = [json.loads(process.stdout.readline())]
        for _ in range(turns):
            for size in SIZES:
                for title, process in processes.items():
                    for kind in ("bare", "files"):
                        assert process.stdin is not None
                        assert process.stdout is not None
                        process.stdin.write(f"{kind} {size}\n")
                        process.stdin.flush()
                        times[title].setdefault(f"{kind} {size}", []).append(json.loads(process.stdout.readline()))
    finally:
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    return {title: _summarize(runs) for title, runs in times.items()}


def _summarize(runs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return medians: milliseconds of the processor, and ratios of files to bare by processor and by clock."""
    result: dict[str, Any] = dict(runs["about"][0])
    for size in SIZES:
        for kind in ("bare", "files"):
            result[f"{kind} {size}"] = _median(value[0] for value in runs[f"{kind} {size}"] if value is not None)
        pairs = [
            (files, bare) for files, bare in zip(runs[f"files {size}"], runs[f"bare {size}"], strict=True) if files
        ]
        for number, clock in enumerate(("processor", "clock")):
            result[f"{clock} {size}"] = _median(files[number] / bare[number] for files, bare in pairs)
    return result


def _median(values: Iterable[float]) -> float | None:
    several = [*values]
    return statistics.median(several) if several else None


def _print(title: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one table in Markdown."""
    first = next(iter(results.values()))
    print(f"\n**{title}**\n")
    columns = ["bare ms, 1", "32", "first / this, 1", "32", "files ms, 1", "32", "files / bare, 1", "32"]
    columns += ["by the clock, 1", "32", "GFLOP/s", "of the roofline"]
    print(f"| | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for name, row in results.items():
        cells = [_format(row[f"bare {size}"], 2) for size in SIZES]
        cells += [_format(first[f"bare {size}"] / row[f"bare {size}"], 2) for size in SIZES]
        cells += [_format(row[f"files {size}"], 2) for size in SIZES]
        cells += [_format(row[f"{clock} {size}"], 2) for clock in ("processor", "clock") for size in SIZES]
        rate, flops = row.get("gflops"), row.get("flops")
        reached = rate and flops and (flops / rate / 1e6) / row["bare 32"]
        print(f"| {name} | {' | '.join([*cells, _format(rate, 0), _format(reached, 2)])} |", flush=True)


def _format(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
