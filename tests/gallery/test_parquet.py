"""Export and import. Oracle: the sightings that were added."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gallery.people import MODEL, NOW, OTHER, encoded_image, people
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.parquet import export_gallery, import_sightings, read_card
from passerby.gallery.results import EnrollResult
from passerby.gallery.stores.opening import open_gallery


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
