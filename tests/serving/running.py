"""Services in processes of their own on 127.0.0.1, and galleries for them."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gallery.people import MODEL, people
from passerby.gallery.stores.opening import open_gallery

LIMITS = """
import sys
from passerby.serving.server import serve
from passerby.serving.settings import ServeSettings
serve(sys.argv[1], port=0, settings=ServeSettings(**eval(sys.argv[2])), started=lambda a: print(a, flush=True))
"""


def make_gallery(folder, count=40, **settings):
    """A gallery of random vectors, which has no model of its own; return its sightings."""
    store = open_gallery(folder, model=MODEL, **settings)
    sightings = people(count)
    store.add(sightings)
    store.close()
    return sightings


def start(where, *options, limits=None, log=None):
    """Start a service; return its process and its address."""
    words = ["-m", "passerby", "serve", str(where), "--port", "0", *map(str, options)]
    if limits is not None:
        words = ["-c", LIMITS, str(where), repr(limits)]
    return start_words(words, log=log)


def start_words(words, *, log=None):
    """Start a process of Python that prints the address of its service; return both."""
    path = [str(Path(__file__).parents[2] / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if log is None else log,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
    )
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    if found is None:
        process.kill()
        process.communicate()
        raise AssertionError(f"the service did not start: {line!r}")
    return process, found[0]


def stop(process, *, with_signal=signal.SIGTERM):
    """Stop a service by its own process id, and return its exit status."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        return process.wait(60)
    finally:
        process.kill()
        process.stdout.close()


@contextmanager
def running(where, *options, limits=None, log=None):
    """A running service; yields its address."""
    process, address = start(where, *options, limits=limits, log=log)
    try:
        yield address
    finally:
        stop(process)


def vector(seed=0):
    """A random unit vector of the gallery's width, as JSON."""
    values = np.random.default_rng(seed).standard_normal(MODEL.dimension)
    return (values / np.linalg.norm(values)).tolist()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}
