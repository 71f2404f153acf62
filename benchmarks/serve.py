"""Load on the service: identify by image, with 1, 8 and 32 clients, beside two other services with the same model.

    python benchmarks/serve.py [--sightings 100000] [--seconds 20] [--clients 1 8 32] [--folder DIR]
    python benchmarks/serve.py --litserve ENVIRONMENT/bin/python
    python benchmarks/serve.py --requests 100000 [--minutes 20] [--vectors | --mixed]

The gallery has random vectors around 2,000 labels. Each client sends its next request when it has the reply to the
last: one JPEG of 64 x 128 pixels. All decode it, embed the image and its mirror image with onnxruntime, and compare
with 100,000 vectors; the services and the clients share the machine's cores.

`passerby serve` answers with calibrated probabilities of candidates, and has an audit log, access and limits. `plain`
is FastAPI with one session of onnxruntime and an exact FAISS index, without batching; it returns the label of the
nearest vector. `litserve` is LitServe with the same session and index in one worker and batches of up to 16; it takes
the image in base64, as a form cannot be sent to its worker. LitServe is not a dependency: make an environment for it
with `pip install litserve onnxruntime faiss-cpu pillow`.

Columns: requests per second, latency in milliseconds, processor time of the service in milliseconds per request, which
depends little on other programs of the machine, statuses other than 200, and the resident memory of the service with
its child processes after the first and after the last request. `--requests` sends that many requests to
`passerby serve` by 8 clients, or as many as the minutes allow, and prints its memory after each tenth of them;
`--vectors` sends vectors in place of images, `--mixed` one image in 16 requests and vectors else. There are
256 images or vectors, which are sent in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from passerby.gallery.embedding_model import load_model
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.runtime.model_manifest import model_folder
from passerby.types import FloatArray
from serve_programs import LITSERVE, PLAIN, SERVICE

LABELS = 2000
POOL = 256
"""Different requests."""


@dataclass(frozen=True)
class Service:
    """A service: its interpreter, its program and the program's arguments, and the requests that it takes."""

    name: str
    python: list[str]
    code: str
    arguments: list[str]
    make_request: Callable[[int], bytes]


@dataclass
class Load:
    """What the clients of one run received."""

    seconds: float
    latencies: list[float]
    statuses: Counter[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sightings", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--litserve", metavar="PYTHON")
    parser.add_argument("--requests", type=int)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--vectors", action="store_true")
    kinds.add_argument("--mixed", action="store_true")
    parser.add_argument("--minutes", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        make_gallery(folder, chosen.sightings)
        model = str(model_folder("default") / "model.onnx")
        request = make_vector if chosen.vectors else make_mixed if chosen.mixed else make_form
        ours = Service("passerby serve", [sys.executable], SERVICE, [str(folder / "gallery")], request)
        if chosen.requests is not None:
            watch_memory(ours, folder, chosen.requests, chosen.minutes)
            return
        services = [ours, Service("plain", [sys.executable], PLAIN, [str(folder), model], make_form)]
        if chosen.litserve is not None:
            services.append(Service("litserve", [chosen.litserve], LITSERVE, [str(folder), model], make_json))
        print("| service | clients | requests/s | p50 ms | p95 ms | p99 ms | CPU ms | other statuses | memory MB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |")
        for service in services:
            run(service, folder, chosen.clients, chosen.seconds)


def make_gallery(folder: Path, count: int) -> None:
    """Make the gallery and the file of its vectors, unless they exist."""
    if (folder / "vectors.npy").exists():
        return
    generator = np.random.default_rng(0)
    _, model = load_model("default", "cpu")
    centers = generator.standard_normal((LABELS, model.dimension))
    store = open_gallery(folder / "gallery", model=model, keep="vectors")
    parts: list[FloatArray] = []
    for start in range(0, count, 5000):
        rows = np.arange(start, min(start + 5000, count))
        vectors = centers[rows % LABELS] + 0.5 * generator.standard_normal((len(rows), model.dimension))
        parts.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))
        store.add(
            [
                Sighting(vector=v, camera=f"c{row % 8}", label=str(row % LABELS), id=str(row))
                for v, row in zip(parts[-1], rows.tolist(), strict=True)
            ]
        )
    store.close()
    np.save(folder / "vectors.npy", np.concatenate(parts))


@contextmanager
def running(service: Service, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a service, wait until it answers, and stop it at the end; yields its address and its process."""
    script = folder / f"run_{service.name.replace(' ', '_')}.py"
    script.write_text(service.code, encoding="utf-8")
    with script.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            [*service.python, str(script), *service.arguments], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError(f"{service.name} does not start; see {script.with_suffix('.log')}")
        end = time.monotonic() + 600
        while True:
            try:
                load = asyncio.run(send_load(address, 1, 1.0, service.make_request))
            except (OSError, asyncio.IncompleteReadError):
                load = Load(0.0, [], Counter())
            if load.statuses[200]:
                break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{service.name} does not answer; see {script.with_suffix('.log')}")
            time.sleep(0.5)
        asyncio.run(send_load(address, 1, 3.0, service.make_request))  # the index is made by the first search
        yield address, psutil.Process(process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def read_memory(process: psutil.Process) -> float:
    """Return the resident memory of a process and its children, MB."""
    return float(sum(part.memory_info().rss for part in (process, *process.children(recursive=True))) / 1e6)


def read_processor_time(process: psutil.Process) -> float:
    """Return the processor time of a process and its children, seconds."""
    times = (part.cpu_times() for part in (process, *process.children(recursive=True)))
    return float(sum(time.user + time.system for time in times))


def run(service: Service, folder: Path, clients: list[int], seconds: float) -> None:
    """Load a service and print a row for each number of clients."""
    with running(service, folder) as (address, process):
        before = read_memory(process)
        for count in clients:
            used = read_processor_time(process)
            load = asyncio.run(send_load(address, count, seconds, service.make_request))
            used = 1000 * (read_processor_time(process) - used) / len(load.latencies)
            p50, p95, p99 = 1000 * np.percentile(load.latencies, [50, 95, 99])
            others = {status: number for status, number in load.statuses.items() if status != 200}
            print(
                f"| {service.name} | {count} | {len(load.latencies) / load.seconds:.1f} | {p50:.0f} | {p95:.0f} | "
                f"{p99:.0f} | {used:.1f} | {others or 'none'} | {before:.0f} to {read_memory(process):.0f} |",
                flush=True,
            )


def watch_memory(service: Service, folder: Path, requests: int, minutes: float) -> None:
    """Send requests by 8 clients and print the memory after each tenth of them."""
    with running(service, folder) as (address, process):
        sent, statuses, end = 0, Counter[int](), time.monotonic() + 60 * minutes
        print(f"{0:>9,} requests  {read_memory(process):.0f} MB", flush=True)
        for _ in range(10):
            target = sent + requests // 10
            while sent < target and time.monotonic() < end:
                load = asyncio.run(send_load(address, 8, 10.0, service.make_request, count=target - sent))
                sent += len(load.latencies)
                statuses += load.statuses
            print(f"{sent:>9,} requests  {read_memory(process):.0f} MB  {dict(statuses)}", flush=True)


async def send_load(
    address: str, clients: int, seconds: float, make_request: Callable[[int], bytes], *, count: int | None = None
) -> Load:
    """Send requests from several clients for some seconds, at most `count`."""
    load = Load(0.0, [], Counter())
    requests = [make_request(number) for number in range(POOL)]
    started = time.perf_counter()
    await asyncio.gather(*(send(address, requests, n, started + seconds, load, count) for n in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def send(address: str, requests: list[bytes], first: int, end: float, load: Load, count: int | None) -> None:
    """Send requests over one connection until `end`, from the given one on."""
    order = cycle(requests[first:] + requests[:first])
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    while time.perf_counter() < end and (count is None or len(load.latencies) < count):
        begun = time.perf_counter()
        writer.write(next(order))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        load.latencies.append(time.perf_counter() - begun)
        load.statuses[int(head.split(b" ")[1])] += 1
    writer.close()


def make_image(seed: int) -> bytes:
    """Return a JPEG of 64 x 128 pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((64, 128), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


@cache
def make_form(seed: int) -> bytes:
    """Return the bytes of a request with a form."""
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n' + make_image(seed)
    return make_request("multipart/form-data; boundary=x", part + b"\r\n--x--\r\n")


@cache
def make_json(seed: int) -> bytes:
    """Return the bytes of a request with base64."""
    body = json.dumps({"image": base64.b64encode(make_image(seed)).decode()})
    return make_request("application/json", body.encode())


@cache
def read_width() -> int:
    """Return the width of the default model's embeddings."""
    return load_model("default", "cpu")[1].dimension


@cache
def make_vector(seed: int) -> bytes:
    """Return the bytes of a request with a vector."""
    vector = np.random.default_rng(seed).standard_normal(read_width())
    return make_request("application/json", json.dumps({"vectors": [vector.tolist()]}).encode())


def make_mixed(number: int) -> bytes:
    """Return the bytes of a request: one image in 16, vectors else."""
    return make_vector(number) if number % 16 else make_form(number)


def make_request(kind: str, body: bytes) -> bytes:
    """Return the bytes of a request."""
    head = f"POST /v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    main()
