"""Oracle: the cosine of embeddings made one by one, sorted."""

import numpy as np
import pytest
import torch

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.runs.assemble import training_loader, training_state
from passerby.training.graph_sampling import find_similar_identities

ALONE = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def people():
    return join_training(load_data(SIMPLE))


@pytest.mark.parametrize("cache", ["always", "never"])
def test_neighbors_are_sorted_and_exclude_the_identity_itself(people, cache):
    recipe = tiny_recipe("batches.alike=2", f"batches.cache={cache}")
    network, _ = training_state(recipe, people.identities, ALONE)
    loader = training_loader(recipe, people, ALONE)
    network.train()
    near = find_similar_identities(network, loader, 3, process=ALONE, precision=None)

    assert network.training
    assert near.shape == (people.identities, min(4, people.identities - 1))
    network.eval()
    with torch.no_grad():
        rows = torch.cat([network(each[None]).embedding for batch in loader.identity_images(3) for each in batch])
    cosines = (rows @ rows.T).fill_diagonal_(-2)
    expected = cosines.sort(dim=1, descending=True).values[:, : near.shape[1]]
    torch.testing.assert_close(cosines.gather(1, torch.from_numpy(near)), expected, rtol=0, atol=1e-5)


def test_identity_images_are_one_image_per_identity_without_augmentation(people):
    """Oracle: the loader's own training batch, without augmentation."""
    plain = ("images.flip=0", "images.pad=0", "images.erasing=null", "images.jitter=null", "batches.images=64")
    loader = training_loader(tiny_recipe(*plain), people, ALONE)
    shown = {}
    for batch in loader.epoch(0):
        shown |= dict(zip(batch.indices.tolist(), batch.images, strict=True))
    images = torch.cat(list(loader.identity_images(0, batch=5)))
    indices = loader.sampler.draw_one_per_identity(0)
    assert np.array_equal(people.labels[indices], np.arange(people.identities))
    for image, index in zip(images, indices.tolist(), strict=True):
        assert torch.equal(image, shown[index])
