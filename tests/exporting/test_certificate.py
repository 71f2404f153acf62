"""Certificates. Oracles: encoders whose vectors are known, and `passerby.score` on the same vectors."""

from dataclasses import replace

import numpy as np
import pytest

import passerby
from conftest import SIMPLE
from passerby.data.images import read_image
from passerby.errors import DataError, ExportError
from passerby.exporting.accuracy_check import Accuracy, AccuracyCheck, Difference, check_accuracy, load_check_data
from passerby.exporting.calibration_crops import CROPS, CalibrationCrops, list_calibration_images, synthetic_spec
from passerby.exporting.certificate import certify
from passerby.exporting.exported_encoder import BATCHES
from passerby.exporting.metadata import public_manifest
from passerby.progress import no_progress

SIZE = (16, 8)
OPTIONS = {"precision": "fp32", "flip": False, "data": None, "min_cosine": None, "max_loss": 0.5, "report": no_progress}


def exact(pixels):
    """The pixels as vectors."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32) - 128
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def tilted(cosine):
    """An encoder whose vectors have this cosine to those of `exact`."""

    def encode(pixels):
        vectors = exact(pixels)
        aside = np.roll(vectors, 1, axis=1)
        aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        return (cosine * vectors + np.sqrt(1 - cosine**2) * aside).astype(np.float32)

    return encode


def stripes(pixels):
    """Mean colors of four stripes, without the mean of the image."""
    colors = pixels.astype(np.float32).reshape(len(pixels), 4, -1, 3).mean(axis=2)
    vectors = (colors - colors.mean(axis=1, keepdims=True)).reshape(len(pixels), -1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stripes_lost(pixels):
    """The same vector for all images, in the width of `stripes`."""
    return np.tile(np.eye(1, 12, dtype=np.float32), (len(pixels), 1))


def nothing(pixels):
    """The same vector for all images."""
    return np.tile(np.eye(1, pixels[0].size, dtype=np.float32), (len(pixels), 1))


@pytest.fixture
def crops():
    pixels = np.random.default_rng(0).integers(0, 256, (80, *SIZE, 3), dtype=np.uint8)
    return CalibrationCrops(pixels, "noise")


@pytest.fixture(scope="module")
def data():
    return load_check_data(SIMPLE)


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999), ("fp16", 0.998)])
def test_a_cosine_below_the_tolerance_of_its_precision_is_refused(precision, least, crops):
    passed = certify(exact, tilted(least + 2e-4), crops, **OPTIONS | {"precision": precision})
    assert passed.cosine_min == pytest.approx(least + 2e-4, abs=1e-5)
    assert passed.cosine_mean == pytest.approx(least + 2e-4, abs=1e-5)
    assert (passed.images, passed.accuracy, passed.check) == (80, "by cosine", None)
    assert passed.interchangeable == (precision == "fp32")
    with pytest.raises(ExportError, match=rf"least cosine .* 80 crops of noise\), expected at least {least}"):
        certify(exact, tilted(least - 2e-4), crops, **OPTIONS | {"precision": precision})


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_looser_tolerance_verifies_nothing(precision, crops):
    certificate = certify(exact, tilted(0.99), crops, **OPTIONS | {"precision": precision, "min_cosine": 0.9})
    assert (certificate.accuracy, certificate.interchangeable) == ("not verified", False)


@pytest.mark.parametrize(
    ("precision", "checked", "synthetic", "accuracy"),
    [
        ("int8", False, False, "not verified"),
        ("int8", True, True, "not verified"),
        ("int8", True, False, "measured"),
        ("fp16", False, False, "by cosine"),
        ("fp16", True, True, "measured"),
    ],
)
def test_int8_is_verified_by_real_people_only(precision, checked, synthetic, accuracy, crops, data):
    people = data if synthetic else replace(data, name="site", root=data.root / "site")
    options = OPTIONS | {"precision": precision, "data": people if checked else None}
    certificate = certify(exact, tilted(0.9999), crops, **options)
    assert (certificate.accuracy, certificate.check is not None) == (accuracy, checked)
    assert not certificate.interchangeable


@pytest.mark.parametrize("factor", [1.01, 0.0, np.nan])
def test_vectors_that_are_not_of_unit_length_are_refused(factor, crops):
    with pytest.raises(ExportError, match=r"a vector has length .*, expected 1; no file was written"):
        certify(exact, lambda pixels: exact(pixels) * np.float32(factor), crops, **OPTIONS | {"precision": "int8"})


def test_the_file_is_compared_at_every_batch_size(crops):
    sizes = []
    certify(exact, lambda pixels: [sizes.append(len(pixels)), exact(pixels)][1], crops, **OPTIONS)
    assert sizes == [*BATCHES, 80 - sum(BATCHES)]


def test_accuracy_is_that_of_score(data):
    check = check_accuracy(exact, nothing, data, size=SIZE, flip=True, report=no_progress)
    for encode, accuracy in ((exact, check.before), (nothing, check.after)):
        query, gallery = (
            passerby.Embeddings(
                encode(np.stack([read_image(sample, size=SIZE) for sample in samples])),
                [sample.person_id for sample in samples],
                [sample.camera_id for sample in samples],
            )
            for samples in (data.query, data.gallery)
        )
        scores = passerby.score(query, gallery)
        assert (accuracy.rank1, accuracy.mAP) == pytest.approx((scores.rank1, scores.mAP))
    assert check.mAP.difference == pytest.approx(check.after.mAP - check.before.mAP)
    assert check.rank1.difference == pytest.approx(check.after.rank1 - check.before.rank1)
    assert check.mAP.interval[0] < check.mAP.difference < check.mAP.interval[1]
    assert (check.queries, check.gallery, check.flip) == (24, len(data.gallery), True)


def test_a_loss_of_accuracy_beyond_the_tolerance_is_refused(crops, data):
    """Oracle: the difference that `check_accuracy` finds."""
    options = OPTIONS | {"precision": "int8", "data": data}
    check = check_accuracy(stripes, stripes_lost, data, size=SIZE, flip=False, report=no_progress)
    loss = -100 * check.mAP.difference
    assert loss > 5
    with pytest.raises(
        ExportError,
        match=rf"int8: Rank-1 / mAP on synth .* before, .* after .*a loss of {loss:.4g} points, expected at most 0\.5;",
    ):
        certify(stripes, stripes_lost, crops, **options)
    assert certify(stripes, stripes_lost, crops, **options | {"max_loss": 100}).check.mAP.difference < 0


def test_a_check_needs_one_data_set():
    with pytest.raises(DataError, match=r"check: got 2 data sets, expected one"):
        load_check_data(f"{SIMPLE}+{SIMPLE.replace('seed=0', 'seed=1')}")


def test_the_calibration_images_of_a_data_set_are_its_training_images(monkeypatch):
    (data,) = passerby.load_data(SIMPLE)
    assert list_calibration_images(SIMPLE, size=SIZE, seed=0) == [*data.train]
    monkeypatch.setattr("passerby.exporting.calibration_crops.CROPS", 5)
    chosen = list_calibration_images(SIMPLE, size=SIZE, seed=0)
    assert len(chosen) == 5
    assert set(chosen) <= set(data.train)
    assert chosen != list_calibration_images(SIMPLE, size=SIZE, seed=1)


def test_rendered_people_have_the_height_of_the_models_images():
    assert synthetic_spec((2000, 1000), 7).endswith("seed=7,height=1024")
    assert synthetic_spec((8, 4), 7).endswith("height=16")
    assert CROPS <= 64 * 2 * 2


def test_a_public_manifest_has_no_path_of_the_machine():
    private = {
        "data": "market1501:/home/ana/people?camera=none+folder:/srv/b",
        "data_absolute": ["/home/ana/people"],
        "data_from_run": ["../people"],
        "recipe": {"model": {"weights": "/home/ana/m.safetensors"}, "stages": ["/home/ana"]},
        "seed": 0,
    }
    public = {
        "data": "market1501:people?camera=none+folder:b",
        "recipe": {"model": {"weights": "m.safetensors"}, "stages": ["ana"]},
        "seed": 0,
    }
    assert public_manifest(private) == public


def test_a_small_fall_is_not_printed_as_minus_zero():
    side = Accuracy(rank1=0.5, mAP=0.4)
    falls = Difference(-0.00001, (-0.00004, -0.00002))
    check = AccuracyCheck("people", "f", "market", 4, 8, True, side, side, falls, falls)
    assert str(check).endswith("(mAP +0.00 points [+0.00 to +0.00])")
