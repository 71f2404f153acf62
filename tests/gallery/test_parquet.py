"""Export and import. Oracle: the sightings that were added."""

import dataclasses
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gallery.people import MODEL, NOW, OTHER, D, encoded_image, people
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.parquet import CARD_KEY, export_gallery, import_gallery, import_sightings, read_card
from passerby.gallery.results import EnrollResult
from passerby.gallery.stores.opening import open_gallery

WRITES_MISSING_LISTS = int(pa.__version__.split(".")[0]) >= 26
"""Whether this PyArrow writes a missing list of fixed size to Parquet; 22 refuses it, 26 writes it."""


@pytest.fixture
def store():
    store = open_gallery("memory", model=MODEL, user="test", clock=lambda: NOW)
    sightings = people(30)
    store.add([*sightings[:-1], dataclasses.replace(sightings[-1], crop=encoded_image(), id="pictured")])
    return store


def contents(store):
    return {
        sighting.id: (
            sighting.vector.tobytes(),
            sighting.crop,
            {f.name: getattr(sighting, f.name) for f in dataclasses.fields(sighting)[:8]},
        )
        for rows in store.walk()
        for sighting in rows
    }


def test_export_and_import_keep_every_bit(store, address, tmp_path):
    steps = []
    assert export_gallery(store, tmp_path / "g.parquet", progress=lambda _task, *step: steps.append(step)) == 30
    assert steps[-1] == (30, 30)
    other = open_gallery(address, model=MODEL, user="test", clock=lambda: NOW + 9)
    assert import_sightings(other, tmp_path / "g.parquet") == EnrollResult(30, 0)
    assert {name: item[0] for name, item in contents(other).items()} == {
        name: item[0] for name, item in contents(store).items()
    }
    assert [item[2] for item in contents(other).values()] == [item[2] for item in contents(store).values()]
    assert import_sightings(other, tmp_path / "g.parquet") == EnrollResult(0, 30)
    assert [item.action for item in store.audit()][-1] == "export"
    assert "import" in [item.action for item in other.audit()]
    other.close()


def test_an_export_is_filtered_and_contains_the_card(store, tmp_path):
    count = export_gallery(store, tmp_path / "g.parquet", where=Filter(cameras=["cam1"]))
    assert count == store.count(Filter(cameras=["cam1"])) > 0
    assert read_card(tmp_path / "g.parquet") == store.card


def test_failed_exports_and_imports_change_nothing(store, tmp_path):
    path = tmp_path / "g.parquet"
    export_gallery(store, path)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"g\.parquet: the file exists"):
        export_gallery(store, path)
    assert path.read_bytes() == before
    with pytest.raises(GalleryError, match=r"not written \(No such file"):
        export_gallery(store, tmp_path / "nowhere" / "g.parquet")
    other = open_gallery("memory", model=OTHER)
    with pytest.raises(GalleryError, match=r"contains vectors of model aaaa.*, the gallery those of model cccc"):
        import_sightings(other, path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(GalleryError, match="a Parquet file, but not an exported gallery"):
        import_sightings(store, tmp_path / "other.parquet")
    path.write_bytes(before[:100])
    with pytest.raises(GalleryError, match="cannot be read as an exported gallery"):
        read_card(path)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["g.parquet", "other.parquet"]


def replace_column(table, name, values, kind=None):
    index = table.schema.get_field_index(name)
    return table.set_column(index, pa.field(name, kind or table.schema.field(name).type), pa.array(values, kind))


def set_value(name, value, row=5):
    def change(table):
        column = table.column(name)
        return replace_column(
            table, name, [*column.to_pylist()[:row], value, *column.to_pylist()[row + 1 :]], column.type
        )

    return change


def double_vectors(table):
    vectors = [vector * 2 for vector in table.column("vector").to_pylist()]
    return replace_column(table, "vector", vectors, pa.list_(pa.float32(), 2 * D))


def ragged_vectors(table):
    vectors = [vector * (1 + index % 2) for index, vector in enumerate(table.column("vector").to_pylist())]
    return replace_column(table, "vector", vectors, pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["camera"]), r"columns differ .*: camera missing \(expected string\)"),
        (lambda table: table.append_column("x", [[1] * len(table)]), r"columns differ .*: x int64 \(expected None\)"),
        (
            lambda table: replace_column(table, "time", ["noon"] * len(table), pa.string()),
            "time string .expected double",
        ),
        (double_vectors, r"vector fixed_size_list<\w+: float>\[48\] \(expected fixed_size_list<\w+: float>\[24\]\)"),
        (ragged_vectors, r"vector list<\w+: float> \(expected"),
        *([(set_value("vector", None), "a vector is missing")] if WRITES_MISSING_LISTS else []),
        (set_value("vector", [0.5] * D), r"row 6 cannot be imported \(.*vector has length"),
        (set_value("camera", None), r"row 6 cannot be imported \(.*camera is None"),
        (set_value("label", "Al\0ice"), r"row 6 cannot be imported \(.*label is"),
        (set_value("time", 1.7e12), r"row 6 cannot be imported \(.*time is"),
        (set_value("attributes", "[1, 2]"), r"row 6 cannot be imported \(.*attributes are"),
        (set_value("attributes", "{"), r"row 6 cannot be imported \("),
        (set_value("attributes", None), r"row 6 cannot be imported \("),
        (set_value("crop", b"no image"), r"row 6 cannot be imported \(crop: crop of 8 bytes cannot be stored"),
        (
            lambda table: pa.concat_tables([table, table.slice(3, 1)]),
            r"row 32 cannot be imported \(the id .* is there twice",
        ),
        (lambda table: table.replace_schema_metadata({CARD_KEY: b"\xff\xfe"}), "the gallery's card cannot be read"),
        (lambda table: table.replace_schema_metadata({CARD_KEY: b"[" * 10**5}), "the gallery's card cannot be read"),
    ],
)
def test_a_file_with_one_wrong_value_is_not_imported_at_all(store, tmp_path, change, message):
    path = tmp_path / "g.parquet"
    export_gallery(store, path)
    pq.write_table(change(pq.read_table(path)), path)
    other = open_gallery("memory", model=MODEL)
    with pytest.raises(GalleryError, match=message):
        import_sightings(other, path)
    assert other.count() == 0
    with pytest.raises(GalleryError, match=message):
        import_gallery(tmp_path / "new", path)
    assert not (tmp_path / "new").exists()


def test_text_that_is_not_utf8_is_not_imported(store, tmp_path):
    path = tmp_path / "g.parquet"
    export_gallery(store, path)
    path.write_bytes(path.read_bytes().replace(b"cam1", b"\xff\xfe\xfd1"))
    with pytest.raises(GalleryError, match=r"row 1 cannot be imported \(.*utf-8"):
        import_sightings(open_gallery("memory", model=MODEL), path)


KILLED = """
import os, pathlib, signal, sys
sys.path[:0] = sys.argv[2:]
from gallery.people import MODEL, people
from passerby.gallery import parquet
from passerby.gallery.stores.opening import open_gallery
store = open_gallery("memory", model=MODEL)
store.add(people(30))
to_batch = parquet._to_batch
def die(*arguments):
    batch = to_batch(*arguments)
    writer = sys._getframe(1).f_locals["writer"]
    writer.write_batch(batch)
    sys._getframe(1).f_locals["file"].flush()
    os.kill(os.getpid(), signal.SIGKILL)
parquet._to_batch = die
parquet.export_gallery(store, sys.argv[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
def test_an_export_that_is_killed_leaves_no_vector(tmp_path):
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "g.parquet"), tests], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_private(store, tmp_path):
    assert export_gallery(store, tmp_path / "g.parquet") == 30
    assert import_sightings(open_gallery("memory", model=MODEL), tmp_path / "g.parquet").new == 30
    assert [path.name for path in tmp_path.iterdir()] == ["g.parquet"]
    assert stat.S_IMODE((tmp_path / "g.parquet").stat().st_mode) == 0o600
