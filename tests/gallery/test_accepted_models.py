"""Galleries that hold vectors of a rounded file of their network. Oracles: mean colors, and the gallery's card."""

import json

import numpy as np
import pytest
from PIL import Image

from passerby import Gallery, embed, enroll_shards, list_crops, load
from passerby.errors import GalleryError, WeightsError
from passerby.extraction.items import SourceOptions
from passerby.gallery.card import GalleryCard
from passerby.gallery.parquet import import_gallery
from passerby.gallery.reembed import reembed_gallery
from runtime.exported_files import METADATA, save_exported

ROUNDED = {**METADATA["certificate"], "interchangeable": False, "cosine_min": 0.93, "cosine_mean": 0.98}


@pytest.fixture
def files(tmp_path):
    """Files of one network in fp32 and, twice, in int8, and one of another network; and two crops."""
    for name, changes in {
        "fp32": {},
        "int8": {"precision": "int8", "certificate": ROUNDED},
        "again": {"precision": "int8", "certificate": {**ROUNDED, "images": 9}},
        "other": {"weights": "1" * 64},
    }.items():
        save_exported(tmp_path / f"{name}.onnx", **changes)
    (tmp_path / "crops").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "crops" / f"{number}.png")
    return tmp_path


def crops(files, number):
    return list_crops(files / "crops" / f"{number}.png", camera=f"c{number}")


@pytest.fixture
def people(files):
    """A gallery of the fp32 file with one sighting."""
    with Gallery(files / "people", model=files / "fp32.onnx", keep="crops") as gallery:
        gallery.enroll(crops(files, 0))
    return files / "people"


def read(people):
    with Gallery(people) as gallery:
        return gallery.store.card, gallery.store.count()


def test_a_rounded_file_is_refused_and_its_difference_is_named(files, people):
    before = read(people)
    message = r"model 0*.*, opened with .*int8, least cosine 0\.9300.*one network.*by rounding.*: accept_drift=True$"
    with pytest.raises(GalleryError, match=message):
        Gallery(people, model=files / "int8.onnx")
    assert read(people) == before


def test_an_accepted_file_stands_in_the_card_and_needs_no_second_consent(files, people):
    with Gallery(people, model=files / "int8.onnx", accept_drift=True, user="ada") as gallery:
        assert gallery.enroll(crops(files, 1)).new == 1
        entry = next(item for item in gallery.audit() if item.action == "accept")
        assert entry.user == "ada"
    card, count = read(people)
    assert count == 2
    (accepted,) = card.accepted
    rounding = accepted.rounding
    assert (rounding.network, rounding.precision, rounding.cosine_min, rounding.cosine_mean) == (
        METADATA["weights"], "int8", 0.93, 0.98,
    )  # fmt: skip
    assert json.loads(card.to_json())["format"] == 4
    assert GalleryCard.from_json(card.to_json(), "a card") == card
    with Gallery(people, model=files / "int8.onnx") as gallery:
        assert [hit.distance for hit in gallery.search(files / "crops" / "1.png")[0]] == pytest.approx(
            [0, distance(files)], abs=1e-6
        )
    assert read(people)[0] == card


def distance(files):
    """Cosine distance of the mean colors of both crops."""
    means = [np.asarray(Image.open(files / "crops" / f"{number}.png")).mean(axis=(0, 1)) for number in range(2)]
    a, b = (mean / np.linalg.norm(mean) for mean in means)
    return 1 - a @ b


@pytest.mark.parametrize(("name", "message"), [("other", "no meaning"), ("again", "accept_drift=True")])
def test_each_other_file_is_refused_again(files, people, name, message):
    Gallery(people, model=files / "int8.onnx", accept_drift=True).close()
    with pytest.raises(GalleryError, match=message):
        Gallery(people, model=files / f"{name}.onnx", accept_drift=name == "other")


def test_the_run_of_an_int8_gallery_is_refused_too(files):
    with Gallery(files / "rounded", model=files / "int8.onnx") as gallery:
        gallery.enroll(crops(files, 0))
    with Gallery(files / "rounded") as gallery:  # by its own file
        assert gallery.search(files / "crops" / "0.png")[0][0].distance == pytest.approx(0, abs=1e-6)
    with pytest.raises(GalleryError, match=r"int8.*accept_drift=True"):
        Gallery(files / "rounded", model=files / "fp32.onnx")
    with Gallery(files / "rounded", model=files / "fp32.onnx", accept_drift=True) as gallery:
        assert gallery.store.card.accepted[0].rounding is None


def test_exports_and_shards_follow_the_card(files, people):
    with Gallery(people) as gallery:
        gallery.export(files / "plain.parquet")
    embed(files / "crops" / "1.png", files / "int8.onnx", files / "shards", options=SourceOptions(camera="c1"))
    with pytest.raises(GalleryError, match="accept_drift=True"):
        enroll_shards(people, files / "shards")
    assert enroll_shards(people, files / "shards", accept_drift=True).new == 1
    card, _ = read(people)
    with Gallery(people) as gallery:
        gallery.export(files / "mixed.parquet")
    import_gallery(files / "copy", files / "mixed.parquet")
    assert read(files / "copy") == (card, 2)
    import_gallery(files / "first", files / "plain.parquet")
    with pytest.raises(GalleryError, match=r"mixed\.parquet: contains vectors of .*accepted weights .*int8"):
        import_gallery(files / "first", files / "mixed.parquet")
    assert read(files / "first")[1] == 1
    assert import_gallery(people, files / "plain.parquet").known == 1


def test_reembed_makes_all_vectors_those_of_one_model(files, people):
    with Gallery(people, model=files / "int8.onnx", accept_drift=True) as gallery:
        gallery.enroll(crops(files, 1))
    assert reembed_gallery(people, model=files / "fp32.onnx").sightings == 2
    assert read(people)[0].accepted == ()


def test_a_rounded_file_cannot_be_computed_in_another_precision(files):
    with pytest.raises(WeightsError, match=r"int8\.onnx: is stored in int8; precision bf16 needs a file in fp32"):
        load(files / "int8.onnx", runtime="openvino", precision="bf16")
