"""Processes that are killed with -9 at random moments. Oracle: the calls that were acknowledged, written to a file."""

import multiprocessing
import random
import sqlite3
import time

import numpy as np
import pytest

from gallery.people import MODEL, NOW, D, encoded_image, unit
from passerby.gallery.filters import Filter
from passerby.gallery.forget import forget
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery

BATCH, WORKERS, KILLS = 5, 3, 15
CROP = encoded_image(1, size=(16, 32))


def batch(worker, number):
    """The sightings of one `add`, made anew wherever they are needed."""
    vectors = unit(np.random.default_rng((worker, number)), BATCH)
    return [
        Sighting(
            vector=vector,
            camera=f"cam{worker}",
            time=NOW + number,
            label=f"w{worker}b{number}",
            source=f"{worker}/{number}/{i}.png",
            crop=CROP,
        )
        for i, vector in enumerate(vectors)
    ]


def enroll(folder, worker, acknowledged):
    """Enroll batch after batch from where an earlier process stopped, and log what was acknowledged."""
    store = open_gallery(folder, model=MODEL, keep="crops", user=f"worker {worker}")
    start = len(acknowledged.read_text().split()) if acknowledged.exists() else 0
    with acknowledged.open("a") as file:
        for number in range(start, 10_000):
            store.add(batch(worker, number))
            file.write(f"{number}\n")
            file.flush()


def come_and_go(folder, acknowledged):
    """Enroll a batch and forget it, again and again."""
    store = open_gallery(folder, model=MODEL, keep="crops")
    start = len(acknowledged.read_text().split()) if acknowledged.exists() else 0
    with acknowledged.open("a") as file:
        for number in range(start, 10_000):
            store.add(batch(99, number))
            forget(store, label=f"w99b{number}")
            file.write(f"{number}\n")
            file.flush()


@pytest.fixture(scope="module")
def processes():
    """Processes that start with everything imported, so that there is time to kill many."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["passerby.gallery.stores.sqlite", "gallery.people"])
    return context


def test_kill_9_loses_nothing_acknowledged_and_leaves_no_partial_batch(processes, tmp_path):
    """Three processes enroll and are killed fifteen times, while this one reads."""
    folder, moments, kills = tmp_path / "gallery", random.Random(0), 0
    acknowledged = [tmp_path / f"{worker}.txt" for worker in range(WORKERS)]
    reader = open_gallery(folder, model=MODEL, keep="crops", user="reader")
    running = {}
    while kills < KILLS or min(map(count_acknowledged, acknowledged)) < 3:
        for worker in range(WORKERS):
            if worker not in running or not running[worker].is_alive():
                arguments = folder, worker, acknowledged[worker]
                running[worker] = processes.Process(target=enroll, args=arguments, daemon=True)
                running[worker].start()
        time.sleep(moments.random() * 0.1)
        see_whole_batches(reader)
        if kills < KILLS + 50 and sum(map(count_acknowledged, acknowledged)) > kills:
            victim = running.pop(moments.randrange(WORKERS))
            assert victim.is_alive()
            victim.kill()
            victim.join()
            kills += 1
    for sighting in running.values():
        sighting.kill()
        sighting.join()
    store = open_gallery(folder)
    stored = {sighting.id: sighting for some in store.walk() for sighting in some}
    for worker, log in enumerate(acknowledged):
        numbers = range(count_acknowledged(log) + 1)  # the last one may be there without having been acknowledged
        for number in numbers:
            found = [stored.pop(sighting.id, None) for sighting in batch(worker, number)]
            if number < count_acknowledged(log) or any(found):
                expected = [(sighting.vector.tobytes(), CROP, sighting.label) for sighting in batch(worker, number)]
                assert [(sighting.vector.tobytes(), sighting.crop, sighting.label) for sighting in found] == expected
    assert stored == {}
    enrolled = sum(entry.counts["sightings"] for entry in store.audit() if entry.action == "enroll")
    assert enrolled == store.count()
    for sighting in (store, reader):
        sighting.close()
    assert is_intact(folder)


def test_kill_9_while_forgetting_leaves_no_trace(processes, tmp_path):
    """After reopening, a label is in the files only if its sightings are in the gallery."""
    folder, log, moments = tmp_path / "gallery", tmp_path / "told.txt", random.Random(1)
    for _ in range(8):
        process = processes.Process(target=come_and_go, args=(folder, log), daemon=True)
        before = count_acknowledged(log)
        process.start()
        while count_acknowledged(log) < before + 2:
            time.sleep(0.005)
            assert process.is_alive()
        time.sleep(moments.random() * 0.1)
        process.kill()
        process.join()
        store = open_gallery(folder)
        number = count_acknowledged(log)
        files = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
        for item in range(number + 1):
            left = store.count(Filter(labels=[f"w99b{item}"]))
            assert left in ({0} if item < number else {0, BATCH})
            assert (batch(99, item)[0].vector.tobytes() in files) == (left == BATCH)
        store.close()
    assert is_intact(folder)


def see_whole_batches(reader):
    """A reader sees whole batches only, and hits can be read."""
    assert reader.count() % BATCH == 0
    hits = reader.search(np.ones(D, np.float32), top=50)[0]
    for hit, sighting in zip(hits, reader.get([hit.id for hit in hits]), strict=True):
        expected = 1 - sighting.vector.astype(float).sum() / D**0.5
        assert (sighting.label, pytest.approx(expected, abs=1e-6)) == (hit.label, hit.distance)
        assert sighting.crop == CROP


def count_acknowledged(log):
    return log.read_text().count("\n") if log.exists() else 0


def is_intact(folder):
    connection = sqlite3.connect(folder / "gallery.sqlite")
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
