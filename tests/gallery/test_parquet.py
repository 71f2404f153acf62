"""Moving a gallery through a file. Oracle: the sightings that were put in."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gallery.people import MODEL, NOW, OTHER, people, picture
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.parquet import export_gallery, import_sightings, read_card
from passerby.gallery.results import EnrollResult
from passerby.gallery.stores.opening import open_gallery


@pytest.fixture
def store():
    store = open_gallery("memory", model=MODEL, user="test", clock=lambda: NOW)
    everybody = people(30)
    store.add([*everybody[:-1], dataclasses.replace(everybody[-1], crop=picture(), id="pictured")])
    return store


def whole(store):
    return {
        each.id: (
            each.vector.tobytes(),
            each.crop,
            {f.name: getattr(each, f.name) for f in dataclasses.fields(each)[:8]},
        )
        for rows in store.walk()
        for each in rows
    }


def test_everything_arrives_bit_by_bit(store, address, tmp_path):
    steps = []
    assert export_gallery(store, tmp_path / "g.parquet", progress=lambda _task, *step: steps.append(step)) == 30
    assert steps[-1] == (30, 30)
    other = open_gallery(address, model=MODEL, user="test", clock=lambda: NOW + 9)
    assert import_sightings(other, tmp_path / "g.parquet") == EnrollResult(30, 0)
    assert {name: each[0] for name, each in whole(other).items()} == {
        name: each[0] for name, each in whole(store).items()
    }
    assert [each[2] for each in whole(other).values()] == [each[2] for each in whole(store).values()]
    assert import_sightings(other, tmp_path / "g.parquet") == EnrollResult(0, 30)
    assert [each.action for each in store.audit()][-1] == "export"
    assert "import" in [each.action for each in other.audit()]
    other.close()


def test_a_filter_leaves_the_others_out_and_the_card_goes_along(store, tmp_path):
    count = export_gallery(store, tmp_path / "g.parquet", where=Filter(cameras=["cam1"]))
    assert count == store.count(Filter(cameras=["cam1"])) > 0
    assert read_card(tmp_path / "g.parquet") == store.card


def test_what_is_refused_leaves_everything_as_it_was(store, tmp_path):
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
    assert sorted(each.name for each in tmp_path.iterdir()) == ["g.parquet", "other.parquet"]
