"""Galleries with a model. Oracle: the model's embeddings and `passerby.rank`."""

import dataclasses
import json
import shutil
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from conftest import SIMPLE, logged
from data.layouts import png
from passerby import Gallery, load, load_data, rank
from passerby.data.images import decode_image
from passerby.errors import DataError, GalleryError, NoGalleryError
from passerby.gallery import enrollment
from passerby.gallery.card import GalleryCard
from passerby.gallery.crops import Crop, list_crops, list_data_crops
from passerby.gallery.filters import Filter
from passerby.gallery.results import LabelConflict
from passerby.gallery.stored_crops import encode_stored_crop
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import Calibration
from passerby.types import Embeddings


@pytest.fixture(scope="module")
def data():
    return load_data(SIMPLE)[0]


@pytest.fixture(scope="module")
def filled(tiny_run, tmp_path_factory):
    """The gallery split of the synthetic people in a folder."""
    where = tmp_path_factory.mktemp("galleries") / "people"
    with Gallery(where, model=tiny_run, user="test") as gallery:
        crops = list_data_crops(SIMPLE)
        assert gallery.enroll(crops, batch=10).new == len(crops)
    return where


def test_search_equals_rank(filled, tiny_run, data):
    model = load(tiny_run)

    def embedded(samples):
        vectors = model.embed(samples)
        return Embeddings(vectors, np.array([s.person_id for s in samples]), np.array([s.camera_id for s in samples]))

    query, enrolled = embedded(data.query[:5]), embedded(data.gallery)
    found = rank(query, enrolled, top=5, drop_same_camera=False)
    with Gallery(filled) as gallery:
        hits = gallery.search(list(data.query[:5]), top=5)
        for line, distances in zip(hits, found.distances, strict=True):
            assert [hit.distance for hit in line] == pytest.approx(distances.tolist(), abs=1e-6)
        (elsewhere,) = gallery.search(data.query[0].path, where=Filter(not_cameras=["c1"]))
        assert {hit.camera for hit in elsewhere} == {"c2"}


def test_a_batch_has_at_least_one_crop(filled):
    with Gallery(filled) as gallery, pytest.raises(DataError, match="batch: got 0, expected at least 1 image"):
        gallery.enroll(list_data_crops(SIMPLE), batch=0)


def test_enrolling_again_adds_nothing(filled):
    crops = list_data_crops(SIMPLE)
    with Gallery(filled) as gallery:
        again = gallery.enroll([*crops, crops[0]])
        assert (again.new, again.known) == (0, len(crops) + 1)


def test_unreadable_images_are_reported_and_the_others_are_enrolled(tiny_run, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((40, 20, 3), 90, np.uint8)).save(tmp_path / name)
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xffgarbage")
    steps = []
    with Gallery("memory", model=tiny_run) as gallery:
        done = gallery.enroll(
            list_crops(tmp_path, camera="c"), batch=2, progress=lambda _task, *step: steps.append(step)
        )
    assert (done.new, done.known) == (2, 0)
    ((source, why),) = done.unreadable
    assert source == str(tmp_path / "c.jpg")
    assert "a damaged or truncated JPEG" in why
    assert steps == [(2, 3), (3, 3)]


@pytest.mark.parametrize("keep", ["vectors", "thumbnails", "crops"])
def test_an_image_enters_whatever_is_kept_of_it_and_one_that_cannot_be_read_keeps_no_other_out(
    tiny_run, tmp_path, keep
):
    """A damaged checksum in a chunk without pixels, 41 megapixels in one color, and 90 megapixels, above the limit."""
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((40, 20, 3), 90, np.uint8)).save(tmp_path / name)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[:-12] + struct.pack(">I4s", 0, b"tEXt") + bytes(4) + whole[-12:])
    Image.new("P", (6400, 6400)).save(tmp_path / "large.png")
    (tmp_path / "larger.png").write_bytes(png(9000, 10_000))
    with Gallery("memory", model=tiny_run, keep=keep) as gallery:
        crops = list_crops(tmp_path, camera="c")
        for repeat in range(2):
            result = gallery.enroll(crops)
            ((source, reason),) = result.unreadable
            assert Path(source).name == "larger.png"
            assert "90,000,000 pixels, expected at most 89,000,000" in reason
            assert (result.new, result.known)[repeat] == 4
        for (sighting,) in gallery.store.walk(batch=1):
            assert (sighting.crop is None) == (keep == "vectors")


def test_thumbnail_of_a_file_follows_the_rules_of_decoding():
    """16 bits keep the high byte, alpha is composited over white; a plain conversion makes them white and black."""
    for image, value in (
        (Image.fromarray(np.full((128, 64), 0x3C00, np.uint16)), 0x3C),
        (Image.new("RGBA", (64, 128), (0, 0, 0, 0)), 255),
    ):
        buffer = BytesIO()
        image.save(buffer, "PNG")
        thumbnail = encode_stored_crop(buffer.getvalue(), "thumbnails", name="crop")
        assert np.abs(decode_image(thumbnail, "thumbnail").astype(int) - value).max() <= 2


def test_the_first_label_of_a_batch_stays_and_others_are_reported(tiny_run, data):
    crops = [Crop(image=data.gallery[0], camera="c", label=label) for label in ("Ada", "Bob", None, "Ada")]
    with Gallery("memory", model=tiny_run) as gallery:
        result = gallery.enroll(crops)
        assert (result.new, result.known) == (1, 3)
        assert result.conflicts == (LabelConflict(crops[0].source, "Ada", "Bob"),)
        ((sighting,),) = gallery.store.walk()
    assert sighting.label == "Ada"


def test_the_crop_of_a_sample_in_a_container_is_stored_as_png(tiny_run, monkeypatch, data):
    pixels = np.full((40, 20, 3), 90, np.uint8)
    monkeypatch.setattr("passerby.gallery.enrollment.read_image", lambda _sample: pixels)
    crop = Crop(image=dataclasses.replace(data.query[0], key="detected/1"), camera="c")
    assert crop.source.endswith("::detected/1")
    with Gallery("memory", model=tiny_run, keep="crops") as gallery:
        assert gallery.enroll([crop]).new == 1
        ((sighting,),) = gallery.store.walk()
    assert sighting.crop[:4] == b"\x89PNG"


def test_identify_returns_a_label_or_unknown(filled, tiny_run, data):
    """The tiny network separates little; the test is that probabilities follow the settings."""
    known = next(sighting for sighting in data.gallery if sighting.person_id)
    with Gallery(filled) as gallery:
        (sure,) = gallery.identify(known.path, unknown=0.01, at_least=0.0)
        assert sure.label == sure.candidates[0].label
        assert sure.candidates[0].hit.distance == pytest.approx(0, abs=1e-5)  # the very image
        (doubtful,) = gallery.identify([known.path], unknown=0.99, at_least=1.0)
        assert doubtful.label is None
        assert doubtful.candidates[0].probability < sure.candidates[0].probability
        assert doubtful.probability + sum(sighting.probability for sighting in doubtful.candidates) <= 1 + 1e-9


def test_identify_and_cluster_need_a_calibration(tiny_run, tmp_path, data):
    bare = tmp_path / "run"
    shutil.copytree(tiny_run, bare)
    (bare / "calibration.json").unlink(missing_ok=True)
    with Gallery("memory", model=bare) as gallery:
        gallery.enroll([Crop(image=data.gallery[0], camera="c", label="A")])
        with pytest.raises(GalleryError, match=r"its model is not calibrated.*run `passerby calibrate .*run`"):
            gallery.identify(data.gallery[0].path)
        with pytest.raises(GalleryError, match="its model is not calibrated"):
            gallery.cluster()
        assert len(gallery.cluster(threshold=0.1).clusters) == 1
    (bare / "calibration.json").write_text("{")
    with pytest.raises(GalleryError, match=r"calibration\.json: cannot be read"):
        Gallery("memory", model=bare)


def test_every_sighting_is_in_one_cluster(filled):
    with Gallery(filled) as gallery:
        result = gallery.cluster(threshold=0.05)
        ids = [sighting.id for cluster in result.clusters for sighting in cluster]
        assert len(ids) == len(set(ids)) == gallery.store.count()
        assert [len(cluster) for cluster in result.clusters] == sorted(map(len, result.clusters), reverse=True)
        assert 0 < result.b_cubed_recall <= 1
        assert json.dumps(result.to_dict()).count('"id"') == len(ids)
        nothing = gallery.cluster(where=Filter(cameras=["nowhere"]), threshold=0.05)
        assert (nothing.clusters, nothing.b_cubed_precision, nothing.b_cubed_recall) == ((), None, None)


def test_a_gallery_records_its_model(tiny_run, tmp_path, data):
    moved = tmp_path / "run"
    shutil.copytree(tiny_run, moved)
    where = tmp_path / "g"
    with pytest.raises(NoGalleryError, match="no gallery here; enroll images with a model to make one"):
        Gallery(where)
    Gallery(where, model=moved).close()
    manifest = json.loads((moved / "manifest.json").read_text())
    (moved / "manifest.json").write_text(json.dumps({**manifest, "note": "nothing that changes a vector"}))
    with Gallery(where) as gallery:
        assert gallery.search(data.query[0]) == [[]]
    other = {**manifest["model"], "attention": not manifest["model"]["attention"]}  # the same weights fit
    (moved / "manifest.json").write_text(json.dumps({**manifest, "model": other}))
    with Gallery(where) as gallery, pytest.raises(GalleryError, match=r"contains vectors of .*, opened with model"):
        gallery.search(data.query[0])
    shutil.rmtree(moved)
    with Gallery(where) as gallery, pytest.raises(GalleryError, match=r"its model .*run is missing"):
        gallery.search(data.query[0])
    with Gallery(where, model=tiny_run) as gallery:
        assert gallery.search(data.query[0]) == [[]]


def test_an_unknown_model_folder_raises(tmp_path, data):
    from gallery.people import MODEL
    from passerby.gallery.stores.opening import open_gallery

    open_gallery(tmp_path / "g", model=MODEL).close()
    with Gallery(tmp_path / "g") as gallery, pytest.raises(GalleryError, match="its model's folder is unknown"):
        gallery.search(data.query[0])


def test_the_verbs_of_the_command_line_are_methods(tiny_run, tmp_path, data):
    """Oracle: the counts of enrolled crops, and the file."""
    crops = list_data_crops(SIMPLE)
    with Gallery(tmp_path / "people", model=tiny_run) as gallery:
        gallery.enroll(crops)
        (hit,) = gallery.search(data.query[0].path, top=1)[0]
        assert gallery.label("Ada", where=Filter(ids=[hit.id])) == 1
        assert gallery.search(data.query[0].path, top=1)[0][0].label == "Ada"
        assert gallery.export(tmp_path / "ada.parquet", where=Filter(labels=["Ada"])) == 1
        assert (tmp_path / "ada.parquet").is_file()
        assert gallery.forget(label="Ada") == 1
        in_first = sum(sighting.camera == "c1" for sighting in crops) - (hit.camera == "c1")
        assert gallery.remove(where=Filter(cameras=["c1"])) == in_first
        left = gallery.stats().sightings
        assert left == len(crops) - 1 - in_first
        assert gallery.expire() == 0
        assert gallery.expire(days=0) == left


@pytest.mark.parametrize("keep", ["vectors", "thumbnails", "crops"])
def test_enrollment_decodes_each_image_once(tiny_run, monkeypatch, data, keep):
    """Once for vector and thumbnail. A file that is kept is decoded once more by the store, as files of others are."""
    decoded, loaded = [], []
    decode, load_pixels = enrollment.decode_image, ImageFile.ImageFile.load
    monkeypatch.setattr(enrollment, "decode_image", lambda *args: decoded.append(args[1]) or decode(*args))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: loaded.append(image) or load_pixels(image))
    crops = list_data_crops(SIMPLE)[:7]
    with Gallery("memory", model=tiny_run, keep=keep) as gallery:
        gallery.enroll(crops)
    assert sorted(decoded) == sorted(str(crop.image.path) for crop in crops)
    assert loaded == []


def test_a_calibration_is_parsed_again_only_when_its_file_changes(tiny_run, tmp_path, monkeypatch, data):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    parsed, parse = [], Calibration.from_dict.__func__
    monkeypatch.setattr(
        Calibration, "from_dict", classmethod(lambda cls, tree: parsed.append(tree["method"]) or parse(cls, tree))
    )
    with Gallery("memory", model=run) as gallery:
        gallery.enroll([Crop(image=data.gallery[0], camera="c", label="A")])
        parsed.clear()
        for _ in range(3):
            gallery.identify(data.gallery[0].path)
        first = len(parsed)  # the calibration contains one of normalized distances
        content = json.loads((run / "calibration.json").read_text())
        content["log_ratios"] = [ratio / 2 for ratio in content["log_ratios"]]
        (run / "calibration.json").write_text(json.dumps(content))
        gallery.identify(data.gallery[0].path)
        assert 0 < first <= 2
        assert len(parsed) == 2 * first
        assert gallery.calibration.log_ratios.tolist() == content["log_ratios"]


def test_a_gallery_in_memory_leaves_nothing_on_the_disk(tiny_run, tmp_path, monkeypatch):
    for name in ("TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Gallery("memory", model=tiny_run, keep="crops") as gallery:
        gallery.enroll(list_data_crops(SIMPLE))
        gallery.forget(label="1")
        gallery.store.compact()
        assert list(tmp_path.iterdir()) == []
        stats = gallery.stats()
        assert (stats.address, stats.store, stats.bytes) == ("memory", "memory", 0)
        with Gallery("memory", model=tiny_run) as other:
            assert other.stats().sightings == 0


def test_results_have_a_short_repr_and_are_json_serializable(filled, data):
    with Gallery(filled) as gallery:
        ((hit, *_),) = gallery.search(data.query[0].path, top=2)
        (identified,) = gallery.identify(data.query[0].path)
        results = [hit, identified, gallery.cluster(threshold=0.1), gallery.stats(), gallery.audit()[0]]
        results += [*gallery.store.get([hit.id]), gallery.enroll(list_data_crops(SIMPLE)[:1])]
    for result in results:
        assert "\n" not in repr(result)
        assert "array(" not in repr(result)
        assert len(repr(result)) < 400
        assert len(json.loads(json.dumps(result.to_dict()))) >= 3
    assert hit.to_dict()["distance"] == hit.distance


def test_enrolling_and_searching_import_no_package_of_an_extra(tiny_run, data):
    """A new process. torch is part of the installation still."""
    image = str(data.gallery[0].path)
    code = f"""
import sys
from passerby.gallery.crops import list_crops
from passerby.gallery.gallery import Gallery
with Gallery("memory", model={str(tiny_run)!r}) as gallery:
    gallery.enroll(list_crops({image!r}, camera="north", label="Ada"))
    [[hit]] = gallery.search({image!r})
    [result] = gallery.identify({image!r})
    assert hit.label == result.label == "Ada", result
extras = {{"numba", "scipy", "sklearn", "pyarrow", "matplotlib", "h5py", "loky", "cv2", "supervision", "pymilvus"}}
sys.exit(", ".join(extras & set(sys.modules)) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_gallery_is_addressed_by_text_or_path(filled):
    with (
        Gallery(filled) as gallery,
        pytest.raises(GalleryError, match="where: got SqliteStore, expected text or a path"),
    ):
        open_gallery(gallery.store)


def test_identify_without_labels_is_unknown_with_a_warning(tiny_run, data, tmp_path):
    crop = list_crops(data.gallery[0].path, camera="north")
    with Gallery(tmp_path / "g", model=tiny_run) as gallery, logged() as lines:
        gallery.enroll(crop)
        assert gallery.identify(data.query[0].path)[0].label is None
    assert lines == [f"{tmp_path / 'g'}: no sighting that is searched has a label, so that every image is unknown"]


def test_a_gallery_without_the_mirror_image_keeps_its_choice(tiny_run, tmp_path, data):
    """Oracle: the model's embeddings with and without the mirror image."""
    where, (query, *_) = tmp_path / "g", data.query
    expected = {flip: load(tiny_run).embed(query, flip=flip) for flip in (True, False)}
    assert not np.allclose(expected[True], expected[False], atol=1e-4)
    with Gallery(where, model=tiny_run, flip=False) as gallery:
        gallery.enroll(list_crops(query.path, camera="c1"))
        (sighting,) = next(gallery.store.walk())
        np.testing.assert_allclose(sighting.vector, expected[False][0], atol=1e-6)
    with Gallery(where) as gallery:  # loads the model itself
        assert not gallery.stats().card.flip
        [[hit]] = gallery.search(query)
        assert hit.distance == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(gallery.embedder.embed(query), expected[False], atol=1e-6)
    with pytest.raises(GalleryError, match=r"vectors without the mirror image, opened for vectors with the mirror im"):
        Gallery(where, flip=True)
    with Gallery(where, model=tiny_run) as gallery:
        assert gallery.search(query)[0][0].distance == pytest.approx(0, abs=1e-6)


def test_the_other_kind_is_not_imported(tiny_run, tmp_path, data):
    pytest.importorskip("pyarrow")
    from passerby.gallery.parquet import import_sightings

    with Gallery("memory", model=tiny_run, flip=False) as gallery:
        gallery.enroll(list_crops(data.query[0].path, camera="c1"))
        gallery.export(tmp_path / "plain.parquet")
    with Gallery("memory", model=tiny_run) as gallery:
        with pytest.raises(GalleryError, match=r"without the mirror image, the gallery those of .*, with the mirror"):
            import_sightings(gallery.store, tmp_path / "plain.parquet")
        assert gallery.stats().sightings == 0


def test_a_card_without_the_field_averages_the_mirror_image(tiny_run):
    """Cards of earlier versions have format 2. Oracle: their JSON."""
    with Gallery("memory", model=tiny_run) as gallery:
        card = gallery.store.card
    tree = json.loads(card.to_json())
    assert (tree["format"], "flip" in tree, GalleryCard.from_json(card.to_json(), "g")) == (2, False, card)
    plain = dataclasses.replace(card, flip=False)
    assert json.loads(plain.to_json())["format"] == 3  # refused by earlier versions
    assert GalleryCard.from_json(plain.to_json(), "g") == plain
    with pytest.raises(GalleryError, match="flip: got 'no', expected true or false"):
        dataclasses.replace(card, flip="no")
