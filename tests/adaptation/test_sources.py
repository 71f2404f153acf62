"""Crops of galleries and videos. Oracles: what was enrolled, the boxes of a drawn video, and messages."""

import json

import numpy as np
import pytest
from PIL import Image

import passerby
from passerby.adaptation.site_gallery import list_gallery_crops
from passerby.adaptation.site_videos import CROPS_PER_TRACK, list_video_crops
from passerby.adaptation.sources import Source
from passerby.errors import DataError
from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.reviewing.answers import Answer
from passerby.video.boxes import make_detections
from video.walkers import COLORS, boxes_of

MODEL = GalleryModel(architecture="", weights="", preprocessing={}, dimension=2)


def make_store(keep="crops"):
    return SqliteStore(None, GalleryCard(MODEL, keep=keep), user="ada")


def make_sighting(number, **values):
    pixels = np.full((8, 4, 3), 20 * number, np.uint8)
    return Sighting(**{"vector": [0.6, 0.8], "camera": "north", "id": f"s{number}", "crop": pixels, **values})


def test_sightings_are_crops_with_tracks_and_links():
    store = make_store()
    spans = [(0, 5), (4, 9), (20, 30)]
    tracks = [{"track.start": start, "track.end": end} for start, end in spans]
    store.add([make_sighting(number, attributes=track) for number, track in enumerate(tracks)])
    store.add([make_sighting(3, attributes={"track": "7"}, label="Ada"), make_sighting(4, camera="south")])
    store.answers.add([Answer("s3", "s4", "same"), Answer("s0", "s2", "unknown")])
    crops, links = list_gallery_crops(store, where="people", labels=False)
    assert [(crop.name, crop.camera, crop.track, crop.person) for crop in crops] == [
        ("s0", "north", None, None),
        ("s1", "north", None, None),
        ("s2", "north", None, None),
        ("s3", "north", "7", None),
        ("s4", "south", None, None),
    ]
    assert crops[2].image.shape == (8, 4, 3)
    assert [(link.first, link.second, link.same) for link in links] == [("s0", "s1", False), ("s3", "s4", True)]
    labeled, _ = list_gallery_crops(store, where="people", labels=True)
    assert [crop.person for crop in labeled] == [None, None, None, "Ada", None]


@pytest.mark.parametrize(
    ("keep", "labels", "message"),
    [
        ("vectors", False, "people: keeps no crops; adapting needs the crops"),
        ("thumbnails", False, "people: keeps thumbnails, by which mAP on CUHK01 is 2.0 points lower"),
        ("crops", True, "people: no sighting has a label; label some, or leave labels out"),
    ],
)
def test_galleries_without_what_is_needed_are_refused(keep, labels, message):
    store = make_store(keep)
    store.add([make_sighting(1)])
    with pytest.raises(DataError, match=message):
        list_gallery_crops(store, where="people", labels=labels)


def test_an_empty_gallery_is_refused():
    with pytest.raises(DataError, match="people: holds no crops"):
        list_gallery_crops(make_store(), where="people", labels=False)


def test_a_gallery_is_adapted_with_its_own_model(tiny_run, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(path)
    with passerby.Gallery(tmp_path / "people", model=tiny_run, keep="crops") as gallery:
        gallery.enroll(passerby.list_crops(tmp_path / "images", camera="north"))
    result = passerby.adapt(tmp_path / "run", gallery=tmp_path / "people", device="cpu")
    assert (result.crops, result.cameras, result.helped) == (24, 1, False)


def test_crops_of_a_video_are_of_their_tracks(walkers):
    """Oracle: each figure has one color."""
    boxes = iter(boxes_of(range(40)).values())
    crops, links = list_video_crops(
        [(walkers, "door")],
        detector=lambda _pixels: next(boxes),
    )
    assert len(crops) == 2 * CROPS_PER_TRACK
    color_of = {}
    for crop in crops:
        middle = crop.image[crop.image.shape[0] // 2, crop.image.shape[1] // 2]
        color = min(COLORS.values(), key=lambda color: np.abs(middle.astype(int) - color).sum())
        assert color_of.setdefault(crop.track, color) == color
        assert crop.camera == "door"
    assert len(color_of) == len(set(color_of.values())) == 2
    (link,) = links
    tracks = {crop.name: crop.track for crop in crops}
    assert not link.same
    assert {tracks[link.first], tracks[link.second]} == set(color_of)


def test_a_video_without_people_is_refused(walkers):
    with pytest.raises(DataError, match="no person was tracked in 1 of them"):
        list_video_crops(
            [(walkers, "door")],
            detector=lambda _: make_detections(np.empty((0, 4)), np.empty(0)),
        )


def test_all_videos_are_opened_before_people_are_detected(walkers, tmp_path):
    def detect(_pixels):
        raise AssertionError("the second video is missing")

    with pytest.raises(DataError, match=r"missing\.avi"):
        list_video_crops([(walkers, "door"), (tmp_path / "missing.avi", "yard")], detector=detect)


def test_a_warning_names_frames_that_are_too_few_to_track_by(walkers, caplog):
    """Oracle: the drawn video has 10 frames per second; every second one is enough."""
    with pytest.raises(DataError, match="no person was tracked"):  # in 10 frames
        list_video_crops([(walkers, "door")], detector=lambda _: make_detections(np.empty((0, 4))), every=4)
    warned = list(caplog.records)
    with pytest.raises(DataError, match="no person was tracked"):
        list_video_crops([(walkers, "door")], detector=lambda _: make_detections(np.empty((0, 4))), every=2)
    assert caplog.records == warned
    (record,) = warned
    assert "every=4 uses 2.5 frames per second; below 5 " in record.getMessage()
    assert record.getMessage().endswith("use every=2")


def test_the_run_of_a_gallery_is_in_its_list(tmp_path):
    """Oracle: the ids of the sightings. A gallery on a server has no folder for the list."""
    (tmp_path / "people").mkdir()
    for address in (tmp_path / "people", "milvus://localhost/people", None):
        Source(None if address else "folder:x", address, None, None, 1, False, None).record(
            tmp_path / "run", ["s2", "s1"]
        )
    listed = json.loads((tmp_path / "people" / "adapted-runs.json").read_text())
    assert listed == {"runs": [{"run": str(tmp_path / "run"), "ids": ["s1", "s2"]}]}
