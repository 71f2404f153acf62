"""Erasure from the shards of which a gallery was enrolled. Oracle: the ids and vectors in the shards after it."""

import logging
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import passerby
from gallery.people import MODEL, unit
from passerby.errors import GalleryError
from passerby.gallery import forget as module
from passerby.gallery.enrolled_shards import FILE
from passerby.gallery.filters import Filter
from passerby.gallery.forget import expire, forget
from passerby.gallery.shards import ShardModel, make_shard, read_shard
from passerby.gallery.sightings import Sighting, SightingInfo
from passerby.gallery.stores.opening import open_gallery

VECTORS = unit(np.random.default_rng(0), 6)


def write_shard(path, number):
    """A shard of three crops, the first of Ada."""
    path.parent.mkdir(parents=True, exist_ok=True)
    crops = [
        SightingInfo(id="", camera="door", source=f"{number}-{i}.jpg", label="Ada" if i == 0 else None)
        for i in range(3)
    ]
    vectors = VECTORS[3 * (number % 2) :][:3]
    path.write_bytes(make_shard(crops, vectors, ShardModel(MODEL, False, "fp32")))


@pytest.fixture
def job(tmp_path):
    """Two shards of three crops: one person in both."""
    for number in range(2):
        write_shard(tmp_path / "job" / "shards" / f"{number}.parquet", number)
    return tmp_path / "job"


@pytest.fixture
def store(job, tmp_path):
    passerby.enroll_shards(tmp_path / "people", job)
    store = open_gallery(tmp_path / "people")
    yield store
    store.close()


def sources(job):
    return [[info.source for info in read_shard(path).info] for path in sorted((job / "shards").iterdir())]


def test_erasing_names_the_shards_and_leaves_them(job, store, tmp_path, caplog):
    assert os.stat(tmp_path / "people" / FILE).st_mode & 0o777 == 0o600
    before = {path: path.read_bytes() for path in (job / "shards").iterdir()}
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Ada") == 2
    shards = sorted(before)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: holds 1 erased vector; delete it, or enroll the shards again and erase with rewrite_shards"
        for path in shards
    ]
    assert {path: path.read_bytes() for path in shards} == before


def test_shards_are_written_again_without_the_erased_vectors(job, store, caplog):
    with caplog.at_level(logging.WARNING):
        assert forget(store, sources=["1-0.jpg", "1-2.jpg"], rewrite_shards=True) == 2
    (message,) = [record.getMessage() for record in caplog.records]
    assert message == f"{job / 'shards' / '1.parquet'}: written again without 2 erased vectors; delete its copies"
    assert sources(job) == [["0-0.jpg", "0-1.jpg", "0-2.jpg"], ["1-1.jpg"]]
    shard = read_shard(job / "shards" / "1.parquet")
    np.testing.assert_allclose(shard.vectors, VECTORS[4:5], atol=1e-6)
    assert shard.model == ShardModel(MODEL, False, "fp32")
    assert passerby.enroll_shards(store.address, job).known == 4  # nothing comes back


@pytest.fixture
def between(monkeypatch):
    """Run functions, one in each round of an erasure, between its search of shards and the removal of rows."""
    steps = []
    monkeypatch.setattr(module, "clear_embedding_cache", lambda: steps and steps.pop(0)())
    return steps


@pytest.mark.parametrize("rewrite", [False, True])
@pytest.mark.parametrize("first", [True, False], ids=["with shards before", "with none before"])
def test_what_is_enrolled_during_an_erasure_is_erased_from_its_shards_too(
    tmp_path, job, between, caplog, first, rewrite
):
    """Two rounds of sightings that come late, and one whose crop is known and is embedded again in another job."""
    late = [tmp_path / f"late{number}" for number in (2, 3)]
    for number, folder in enumerate(late, start=2):
        write_shard(folder / "shards" / "0.parquet", number)
        between.append(lambda folder=folder: passerby.enroll_shards(tmp_path / "people", folder))
    write_shard(late[0] / "shards" / "1.parquet", 0)
    store = open_gallery(tmp_path / "people", model=MODEL, flip=False)
    if first:
        passerby.enroll_shards(tmp_path / "people", job)
    else:
        store.add([Sighting(vector=VECTORS[0], camera="door", source="0-0.jpg", label="Ada")])
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Ada", rewrite_shards=rewrite) == (4 if first else 3)
    assert store.count(Filter(labels=["Ada"])) == 0
    late_shards = [late[0] / "shards" / "0.parquet", late[0] / "shards" / "1.parquet", late[1] / "shards" / "0.parquet"]
    shards = [*(sorted((job / "shards").iterdir()) if first else []), *late_shards]
    assert sorted(message.partition(": ")[0] for message in caplog.messages) == sorted(map(str, shards))
    assert [info.source[-5:] for path in shards for info in read_shard(path).info if info.label == "Ada"] == (
        [] if rewrite else ["0.jpg"] * len(shards)
    )
    store.close()


def test_a_sighting_that_no_longer_matches_when_rows_are_removed_stays(store, between):
    ada = store.find_ids(Filter(labels=["Ada"]))
    between.append(lambda: store.relabel(Filter(ids=ada[:1]), "Grace"))
    assert forget(store, label="Ada") == 1
    assert store.stored_labels(ada) == {ada[0]: "Grace"}


def test_an_erasure_ends_although_matching_sightings_keep_coming(store, monkeypatch, caplog):
    numbers = iter(range(100))

    def add():
        store.add([Sighting(vector=VECTORS[0], camera="door", source=f"live-{next(numbers)}.jpg", label="Eve")])

    add()
    monkeypatch.setattr(module, "clear_embedding_cache", add)
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Eve") == 10
    assert caplog.messages == [f"{store.address}: 1 matching sighting came during the erasure; erase again"]


def test_expiry_names_the_shards(job, store, caplog):
    with caplog.at_level(logging.WARNING):
        assert expire(store, days=0, clock=lambda: 1e11) == 6
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "holds 3 erased vectors; delete it"
    ] * 2


def test_a_damaged_shard_is_named_and_does_not_prevent_the_erasure(job, store, caplog):
    path = job / "shards" / "0.parquet"
    path.write_bytes(b"PAR1")
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Ada", rewrite_shards=True) == 2
    damaged, rewritten = [record.getMessage() for record in caplog.records]
    assert damaged.startswith(f"{path}: ")
    assert damaged.endswith("; it may hold erased vectors")
    assert rewritten.startswith(f"{job / 'shards' / '1.parquet'}: written again")
    assert store.count() == 4


def test_a_shard_whose_rows_cannot_be_read_is_named_with_its_ids(job, store, caplog):
    """Its column of ids is whole, that of the vectors is not."""
    path = job / "shards" / "0.parquet"
    content = bytearray(path.read_bytes())
    vectors = pq.ParquetFile(path).metadata.row_group(0).column(6)
    assert vectors.path_in_schema.startswith("vector.")
    start = vectors.dictionary_page_offset or vectors.data_page_offset
    content[start : start + vectors.total_compressed_size] = bytes(vectors.total_compressed_size)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Ada", rewrite_shards=True) == 2
    assert caplog.messages[0].startswith(f"{path}: not a whole shard (")
    assert caplog.messages[0].endswith("; delete it: `passerby embed` computes it again; it holds 1 erased vector")
    assert [info.source for info in read_shard(job / "shards" / "1.parquet").info] == ["1-1.jpg", "1-2.jpg"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_private_shard_stays_private_and_drafts_of_ended_processes_are_deleted(job, store, mode):
    path = job / "shards" / "0.parquet"
    path.chmod(mode)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.with_name(f".0.parquet.{ended.pid}.part").write_bytes(path.read_bytes())  # of a killed `passerby embed`
    forget(store, label="Ada", rewrite_shards=True)
    assert [item.name for item in sorted(path.parent.iterdir())] == ["0.parquet", "1.parquet"]
    assert (os.stat(path).st_mode & 0o077 == 0) == (mode == 0o600)


def test_a_job_that_was_deleted_is_left_out(job, store, caplog):
    for shard in (job / "shards").iterdir():
        shard.unlink()
    with caplog.at_level(logging.WARNING):
        assert forget(store, label="Ada", rewrite_shards=True) == 2
    assert caplog.records == []


def test_a_list_that_cannot_be_read_is_named(store, tmp_path):
    (tmp_path / "people" / FILE).write_text("{}")
    with pytest.raises(
        GalleryError, match=r"enrolled-shards\.json: cannot be read .* or delete it if no shard is left"
    ):
        forget(store, label="Ada")
    assert store.count() == 6


def test_bulk_insertion_needs_a_gallery_on_a_server_and_its_storage(job, tmp_path):
    with pytest.raises(GalleryError) as caught:
        passerby.enroll_shards(tmp_path / "new", job, bulk="/srv")
    assert str(caught.value) == (
        f"bulk: got '/srv' for {tmp_path / 'new'}; expected a gallery on a Milvus server. Leave it out: a gallery in a "
        "folder takes shards directly"
    )
    with pytest.raises(GalleryError) as caught:
        passerby.enroll_shards(tmp_path / "new", job, bulk_path="/srv")
    assert str(caught.value) == ("bulk_path: got '/srv' without bulk; give the storage that the server reads, too")
    assert not (tmp_path / "new").exists()
