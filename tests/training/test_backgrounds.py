"""Exchange of backgrounds on six rendered people. Oracles: the masks, NumPy, and hand-made images."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.errors import DataError
from passerby.model.image_batches import read_tensor
from passerby.synthesis.dataset import SynthSettings
from passerby.synthesis.write import synth
from passerby.training.backgrounds import (
    BackgroundExchange,
    fill_person,
    paste_person,
    read_person_masks,
    widen_mask,
)
from passerby.training.loader import LoaderSettings, TrainingLoader
from passerby.training.transforms import TransformSettings

SIZE = (64, 32)
PLAIN = TransformSettings(size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
SETTINGS = LoaderSettings(PLAIN, persons=2, images_per_person=4, cache="never", background=0.5, seed=3)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth") / "people"
    synth(folder, SynthSettings(identities=6, cameras=2, images=2, test=2, height=64, seed=4))
    (data,) = load_data(f"market1501:{folder}")
    parts = {row["file"]: row["mask"] for row in pyarrow.parquet.read_table(folder / "images.parquet").to_pylist()}
    masks = [
        np.asarray(Image.open(io.BytesIO(parts[f"bounding_box_train/{sample.path.name}"]))) for sample in data.train
    ]
    training_set = join_training([data])
    images = [read_tensor(sample, SIZE) for sample in training_set.samples]
    return SimpleNamespace(folder=folder, training_set=training_set, images=images, masks=np.stack(masks))


def test_masks_are_the_parts_of_the_person(rendered):
    """Oracle: classes 1 to 7 of docs/synth.md, unpacked by NumPy."""
    packed = read_person_masks(rendered.training_set.samples, size=SIZE)
    bits = np.unpackbits(packed.numpy(), axis=1).reshape(-1, *SIZE)
    np.testing.assert_array_equal(bits, np.isin(rendered.masks, [1, 2, 3, 4, 5, 6, 7]))
    assert 0.1 < bits.mean() < 0.7


def test_masks_are_scaled_to_the_size_of_the_images(rendered):
    packed = read_person_masks(rendered.training_set.samples, size=(32, 16))
    bits = np.unpackbits(packed.numpy(), axis=1).reshape(-1, 32, 16)
    person = np.isin(rendered.masks, range(1, 8))
    assert bits.mean() == pytest.approx(person.mean(), abs=0.01)


def test_a_person_is_replaced_by_the_background_around_it():
    """A horizontal ramp continues through the hole without overshooting; the background is unchanged."""
    image = torch.arange(0, 256, 8, dtype=torch.uint8).repeat(3, 48, 1)  # (3, 48, 32)
    person = torch.zeros(48, 32)
    person[10:40, 8:24] = 1
    damaged = image.where(person == 0, 255)
    filled = fill_person(damaged, person)
    assert torch.equal(filled[:, person == 0], image[:, person == 0].float())
    assert (filled[:, person == 1] > 0).all()
    assert (filled - image).abs().max() < 60


def test_an_image_that_is_a_person_everywhere_has_a_black_background():
    assert fill_person(torch.full((3, 16, 8), 200, dtype=torch.uint8), torch.ones(16, 8)).unique().tolist() == [0]


def test_widening_adds_two_pixels():
    person = torch.zeros(9, 9)
    person[4, 4] = 1
    assert torch.equal(widen_mask(person).nonzero().amin(0), torch.tensor([2, 2]))
    assert widen_mask(person).sum() == 25


def test_the_outline_of_a_pasted_person_is_soft_inside_only():
    """Hand-worked: a pixel of the edge has 6 of 9 neighbors inside, a corner 4 of 9."""
    person = torch.zeros(12, 12)
    person[3:9, 3:9] = 1
    pasted = paste_person(torch.full((3, 12, 12), 90, dtype=torch.uint8), person, torch.zeros(3, 12, 12))
    assert pasted.dtype == torch.uint8
    assert pasted[0, 4:8, 4:8].unique().tolist() == [90]
    assert pasted[0, 3, 3:9].tolist() == [40, 60, 60, 60, 60, 40]
    assert pasted[0][person == 0].unique().tolist() == [0]


def test_the_person_stays_and_the_background_is_of_another_image(rendered):
    exchange = BackgroundExchange(rendered.training_set.samples, 1.0, size=SIZE)
    backgrounds = [
        fill_person(image, widen_mask(torch.from_numpy(np.isin(mask, range(1, 8))).float())).round()
        for image, mask in zip(rendered.images, rendered.masks, strict=True)
    ]
    partners = set()
    for index, image in enumerate(rendered.images):
        result = exchange(index, rendered.images.__getitem__)
        person = torch.from_numpy(np.isin(rendered.masks[index], range(1, 8)))
        inside = 1 - widen_mask(1 - person.float())
        assert torch.equal(result[:, inside == 1], image[:, inside == 1])
        (other,) = [
            number
            for number, background in enumerate(backgrounds)
            if torch.equal(result[:, ~person].float(), background[:, ~person])
        ]
        partners.add(other)
    assert len(partners) > 3


def test_an_exchange_happens_as_often_as_its_probability(rendered):
    """Binomial(400, 0.25): six standard deviations around 100 are 48 to 152. An exchange returns a new tensor."""
    exchange = BackgroundExchange(rendered.training_set.samples, 0.25, size=SIZE)
    torch.manual_seed(0)
    unchanged = sum(exchange(0, rendered.images.__getitem__) is rendered.images[0] for _ in range(400))
    assert 48 < 400 - unchanged < 152


@pytest.mark.parametrize("changes", [{"workers": 2}, {"workers": 1, "cache": "always"}])
def test_workers_cache_and_a_resumed_epoch_change_no_bit(rendered, changes):
    expected = [batch.images for batch in TrainingLoader(rendered.training_set, SETTINGS).epoch(1)]
    loader = TrainingLoader(rendered.training_set, replace(SETTINGS, **changes))
    for start in (0, 1):
        images = [batch.images for batch in loader.epoch(1, start=start)]
        assert len(images) == len(expected) - start
        assert all(torch.equal(*pair) for pair in zip(images, expected[start:], strict=True))


def test_some_images_of_a_batch_have_another_background(rendered):
    off = TrainingLoader(rendered.training_set, replace(SETTINGS, background=0.0))
    batches = zip(TrainingLoader(rendered.training_set, SETTINGS).epoch(0), off.epoch(0), strict=True)
    pairs = [pair for batch, plain in batches for pair in zip(batch.images, plain.images, strict=True)]
    assert 0 < sum(torch.equal(*pair) for pair in pairs) < len(pairs)


def test_other_data_are_refused_with_the_setting_to_change(rendered, tmp_path):
    images = tmp_path / "photographs" / "train"
    images.mkdir(parents=True)
    sample = rendered.training_set.samples[0]
    copy = replace(sample, path=images / sample.path.name)
    with pytest.raises(DataError, match=r"photographs/images\.parquet: not a table .*set images\.background to 0"):
        read_person_masks([copy], size=SIZE)


def test_an_image_that_is_missing_in_the_table_is_named(rendered):
    sample = rendered.training_set.samples[0]
    with pytest.raises(DataError, match=r"images\.parquet: has no mask of 9999_c1\.jpg"):
        read_person_masks([replace(sample, path=sample.path.with_name("9999_c1.jpg"))], size=SIZE)
