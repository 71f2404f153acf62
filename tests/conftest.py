"""What every test shares: one thread, a cache of its own for drawn people, and a network small enough to train."""

import os

import pytest
from hypothesis import settings

settings.register_profile("passerby", deadline=None)  # time is measured in benchmarks/; a busy machine is no failure
settings.load_profile("passerby")
os.environ.setdefault("OMP_NUM_THREADS", "1")

SIMPLE = "synth:identities=24,cameras=2,images=2,seed=0"
TINY = (
    "model.pretrained=false",
    "model.backbone=test_convnext",
    "model.parts=2",
    "model.part_dim=16",
    "model.refine=false",
    "model.drop_path=0.2",
    "images.size=[64, 32]",
    "batches.persons=4",
    "batches.images=2",
    "batches.workers=0",
    "optimiser.name=adamw",
    "schedule.epochs=3",
    "schedule.warmup_epochs=1",
    "schedule.lr_init=1e-5",
    "schedule.lr_max=1e-3",
    "training.precision=fp32",
    "training.threads=1",
    "evaluation.bootstrap=50",
)
"""A whole run in seconds: 3 epochs of 4 x 2 drawn people, with dropped paths and erasing, so that chance matters."""

STAGED = (
    "model.refine=true",
    "stages=[{name: stripes, epochs: 1, warmup_epochs: 0, refine: false},"
    "{name: parts, epochs: 1, warmup_epochs: 0, train: [refinement]},"
    "{name: together, epochs: 1, warmup_epochs: 0, lr_max: 1e-4}]",
)
"""The tiny recipe in three stages."""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Drawn people are rendered once for all tests (and their processes), away from the user's cache."""
    before = os.environ.get("PASSERBY_CACHE")
    os.environ["PASSERBY_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("PASSERBY_CACHE")
    if before is not None:
        os.environ["PASSERBY_CACHE"] = before


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of the tiny recipe, made once; tests read it and do not write to it."""
    from passerby.runs.train import train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_recipe(), SIMPLE, out, device="cpu")
    return out


@pytest.fixture(scope="session")
def walkers(tmp_path_factory):
    """A drawn video of two people whose boxes are known; see `video.walkers`."""
    pytest.importorskip(
        "cv2", reason="OpenCV is not there or lacks a library: apt install libgl1", exc_type=ImportError
    )
    from video.walkers import draw

    path = tmp_path_factory.mktemp("video") / "walk.avi"
    draw(path)
    return path


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave out rank lists and CMC curves, most of a tiny run's time, where a test looks at something else."""
    monkeypatch.setattr("passerby.runs.evaluate.draw_evaluation", lambda _result, _out: None)


def tiny_recipe(*more):
    """The tiny recipe, with further overrides."""
    from passerby.recipe import load_recipe

    return load_recipe("convnext-ap", overrides=[*TINY, *more])
