"""Reductions learned in closed form. Oracles: the Mahalanobis distance by its definition, scikit-learn's PCA."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from conftest import SIMPLE, tiny_recipe
from passerby.errors import DataError, RecipeError
from passerby.metric.covariance import pair_covariances
from passerby.metric.kissme import kissme_map
from passerby.metric.learn import learn_reductions, principal_axes
from passerby.model.baselines.hpm import hpm
from passerby.model.convnext_ap import convnext_ap
from passerby.model.embed import load
from passerby.recipe import load_recipe
from passerby.runs.train import resume, train
from passerby.training.log import read_log

LOMO = "synth:identities=40,cameras=2,images=2,seed=0"


@settings(max_examples=20)
@given(st.integers(3, 12), st.integers(2, 12), st.integers(1, 12), st.integers(0, 9))
def test_axes_are_those_of_scikit_learn(count, channels, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, channels))
    vectors -= vectors.mean(axis=0)
    width = min(width, count - 1, channels)
    axes = principal_axes(vectors, width)
    assert axes.shape == (width, channels)
    assert axes @ axes.T == pytest.approx(np.eye(width), abs=1e-8)
    expected = PCA(width).fit(vectors).explained_variance_
    assert (vectors @ axes.T).var(axis=0, ddof=1) == pytest.approx(expected, rel=1e-6)


def pooled_and_identities(parts, channels):
    generator = np.random.default_rng(1)
    identities = np.repeat(np.arange(10), 4)
    centers = generator.normal(size=(10, parts, channels))
    return centers[identities] + 0.3 * generator.normal(size=(40, parts, channels)), identities


def test_a_network_compares_by_the_metric_of_each_part():
    network = convnext_ap("test_convnext", attention=False, parts=2, part_dim=80, refine=False).eval()
    pooled, identities = pooled_and_identities(2, network.backbone.channels)
    learn_reductions(network, pooled.astype(np.float32), identities, method="kissme", ridge=0.5)
    for part, neck in enumerate(network.part_necks):
        vectors = pooled[:, part].astype(np.float32).astype(np.float64)
        with torch.no_grad():
            reduced = neck(torch.from_numpy(vectors).float())[0].double().numpy()
        axes = principal_axes(vectors - vectors.mean(axis=0), 80)
        projected = (vectors - vectors.mean(axis=0)) @ axes.T
        root = kissme_map(pair_covariances(projected, identities), ridge=0.5)
        for i, j in ((0, 1), (0, 39), (7, 20)):
            difference = projected[i] - projected[j]
            expected = difference @ root @ root @ difference
            assert ((reduced[i] - reduced[j]) ** 2).sum() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert reduced.mean(axis=0) == pytest.approx(np.zeros(80), abs=1e-4)


def test_a_network_without_linear_reductions_is_refused():
    network = convnext_ap("test_convnext", attention=False, parts=0, refine=False)
    with pytest.raises(RecipeError, match=r"metric: its embedding has a vector of the whole map.*use a network whose"):
        learn_reductions(network, np.zeros((4, 0, 64), np.float32), np.arange(4), method="xqda", ridge=1.0)


def test_images_that_are_all_equal_are_refused():
    network = hpm("resnet18", part_dim=8)
    with pytest.raises(DataError, match="the pooled vectors of all training images are equal"):
        learn_reductions(network, np.ones((4, 15, 512), np.float32), np.array([0, 0, 1, 1]), method="xqda", ridge=1.0)


def test_a_run_with_a_metric_trains_no_network_and_is_evaluated_again_when_resumed(tmp_path):
    recipe = tiny_recipe("metric.method=kissme", "evaluation.bootstrap=0", "evaluation.calibration=null")
    (result,) = train(recipe, SIMPLE, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert load(tmp_path / "run", device="cpu", runtime="torch").network.identities == 0
    (record,) = read_log(tmp_path / "run" / "log.jsonl")
    assert (record["metric"], record["images"]) == ("kissme", 48)
    (resumed,) = resume(tmp_path / "run", device="cpu")
    assert resumed.scores.mAP == pytest.approx(result.scores.mAP)


def test_the_rows_of_the_table_name_their_features():
    for name, method in (("lomo-xqda", "xqda"), ("lomo-kissme", "kissme"), ("default-xqda", "xqda")):
        recipe = load_recipe(name)
        assert recipe.metric.method == method
        assert recipe.model.method == ("lomo" if name.startswith("lomo") else "convnext_ap")


def test_a_metric_on_lomo_ranks_rendered_people_above_chance(tmp_path):
    recipe = load_recipe("lomo-xqda", overrides=["evaluation.bootstrap=0", "evaluation.calibration=null"])
    (result,) = train(recipe, LOMO, tmp_path / "run", device="cpu")
    assert result.scores.mAP > 0.4  # the first of 20 people in 44 images by chance: below 0.2


def test_stages_and_a_metric_are_refused_together():
    with pytest.raises(RecipeError, match="metric: it is learned in closed form, so there are no stages"):
        load_recipe("lab-atto-rpp", overrides=["metric.method=xqda"])
    with pytest.raises(RecipeError, match=r"metric\.method"):
        load_recipe("lomo-xqda", overrides=["metric.method=mahalanobis"])
