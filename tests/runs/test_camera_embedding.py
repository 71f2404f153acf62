"""Embedding by camera. Oracle: a plain network whose batch norms have seen one camera, and the errors' texts."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.model.baselines.cbn import cbn
from passerby.model.convnext_ap import convnext_ap
from passerby.model.torch_encoder import TorchEncoder
from passerby.runs.camera_embedding import NOTE, embed_by_camera, require_cameras
from passerby.runs.evaluate_model import EvaluationOptions, evaluate_model
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(64, 32), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
MANIFEST = {"model": {"method": "cbn"}}


@pytest.fixture(scope="module")
def data():
    return load_data(SIMPLE)[0]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return cbn("test_resnet").eval()


def embedder(network):
    return Embedder(TorchEncoder(network, PREPROCESSING, device="cpu"), PREPROCESSING, MANIFEST)


def plain_network(network):
    plain = convnext_ap("test_resnet", attention=False, parts=0, refine=False, last_stride=1)
    plain.load_state_dict(network.state_dict())
    return plain


@pytest.mark.parametrize("flip", [False, True])
def test_vectors_are_those_of_a_network_that_has_seen_the_images_of_the_camera(data, network, flip):
    """A split without images stays empty, and the network keeps its statistics."""
    state = deepcopy(network.state_dict())
    query, gallery, none = embed_by_camera(
        embedder(network), [data.query, data.gallery, ()], flip=flip, batch=128, workers=0
    )
    assert none is None
    for camera in (0, 1):
        plain = plain_network(network)
        own = [sample for sample in (*data.query, *data.gallery) if sample.camera_id == camera]
        model = Embedder(TorchEncoder(plain, PREPROCESSING, device="cpu"), PREPROCESSING, {})
        (pixels,) = model.read_pixels(own, batch=len(own), workers=0)
        images = model.encoder.normalize(np.concatenate([pixels, pixels[:, :, ::-1]]) if flip else pixels)
        for norm in plain.modules():
            if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                norm.momentum = None
                norm.reset_running_stats()
        with torch.no_grad():
            plain.train()(images)
        plain.eval()
        for samples, found in ((data.query, query), (data.gallery, gallery)):
            rows = [index for index, sample in enumerate(samples) if sample.camera_id == camera]
            expected = model.embed([samples[index] for index in rows], flip=flip)
            np.testing.assert_allclose(found.vectors[rows], expected, atol=1e-4)
            assert found.person_ids[rows].tolist() == [samples[index].person_id for index in rows]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_small_batches_give_statistics_near_those_of_one_batch(data, network):
    """Means of batch means are exact in the first layer only; no batch has one image."""
    one, several = (
        embed_by_camera(embedder(network), [data.query], flip=False, batch=batch, workers=0)[0].vectors
        for batch in (128, 1)
    )
    assert (one * several).sum(axis=1).min() > 0.9
    assert not np.array_equal(one, several)


def test_evaluation_embeds_by_camera_and_names_it(data, network):
    options = EvaluationOptions(protocol=None, ap="step", flip=False, bootstrap=0)
    result = evaluate_model([embedder(network)], data, options)
    query, _ = embed_by_camera(embedder(network), [data.query, data.gallery], flip=False, batch=128, workers=0)
    np.testing.assert_array_equal(result.query.vectors, query.vectors)
    assert not np.allclose(result.query.vectors, embedder(network).embed(data.query, flip=False), atol=1e-3)
    assert NOTE in result.title
    assert result.to_dict()["method"] == NOTE
    other = Embedder(TorchEncoder(plain_network(network).eval(), PREPROCESSING, device="cpu"), PREPROCESSING, {})
    assert evaluate_model([other], data, options).to_dict()["method"] == ""


def test_a_camera_with_one_image_is_named(data, network):
    alone = replace(data.query[0], camera_id=7)
    with pytest.raises(DataError, match=rf"{alone.label}: the only image of camera 7; method cbn computes statistics"):
        embed_by_camera(embedder(network), [(alone, *data.query[1:])], flip=False, batch=128, workers=0)


def test_unknown_cameras_are_refused_for_this_method_only(data):
    unknown = replace(data, variant="cameras unknown")
    with pytest.raises(DataError, match="its cameras are unknown, and method cbn normalizes the images of each camera"):
        require_cameras("cbn", unknown)
    require_cameras("cbn", data)
    require_cameras("bdb", unknown)
