"""Shared fixtures: one thread, a private cache of synthetic people, and a network small enough to train."""

import contextlib
import logging
import os
import shutil
from collections import Counter

import pytest
from filelock import FileLock
from hypothesis import settings

from passerby.runs.run_plots import plot_evaluation as PLOT_EVALUATION
from programs import require_module

settings.register_profile("passerby", deadline=None)  # time is measured in benchmarks/; a slow machine is not a failure
settings.load_profile("passerby")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PASSERBY_EMBEDDING_CACHE"] = "off"  # every test computes; tests of the cache turn it on

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
    "optimizer.name=adamw",
    "schedule.epochs=3",
    "schedule.warmup_epochs=1",
    "schedule.lr_init=1e-5",
    "schedule.lr_max=1e-3",
    "training.precision=fp32",
    "training.threads=1",
    "evaluation.bootstrap=50",
)
"""A run that trains in seconds: 3 epochs of 4 x 2 synthetic people, with dropped paths and erasing (random numbers)."""

STAGED = (
    "model.refine=true",
    "stages=[{name: stripes, epochs: 1, warmup_epochs: 0, refine: false},"
    "{name: parts, epochs: 1, warmup_epochs: 0, train: [refinement]},"
    "{name: together, epochs: 1, warmup_epochs: 0, lr_max: 1e-4}]",
)
"""The tiny recipe in three stages."""


def once_per_run(tmp_path_factory, name, make):
    """Return a path that `make(path)` creates once per test run; all workers read it."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent  # shared by the workers of one run
    path, finished = root / name, root / f"{name}.finished"
    with FileLock(root / f"{name}.lock"):
        if not finished.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
            finished.touch()
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Use one cache of synthetic people per test run, apart from the user's cache."""
    before = os.environ.get("PASSERBY_CACHE")
    os.environ["PASSERBY_CACHE"] = str(once_per_run(tmp_path_factory, "cache", lambda path: path.mkdir()))
    yield
    os.environ.pop("PASSERBY_CACHE")
    if before is not None:
        os.environ["PASSERBY_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _no_plots():
    """Leave out the CMC curve and rank lists of runs, which take 5 of 6 s of a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("passerby.runs.run_plots.plot_evaluation", lambda _result, _out: None)
        yield


@pytest.fixture
def plots(_no_plots, monkeypatch):
    """Plot the evaluations of runs."""
    monkeypatch.setattr("passerby.runs.run_plots.plot_evaluation", PLOT_EVALUATION)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of the tiny recipe, trained once per test run; tests read it and do not write to it."""
    from passerby.runs.train import train

    return once_per_run(tmp_path_factory, "tiny", lambda path: train(tiny_recipe(), SIMPLE, path, device="cpu"))


@pytest.fixture
def workspace(tmp_path_factory, tmp_path, monkeypatch):
    """A copy of the folder in which examples run, as the working directory.

    It holds `people/` (24 synthetic people in Market-1501's layout), `runs/m` (a run trained on them), `crops/north`
    and `crops/south` (crops by camera), `a.jpg` and `b.jpg` (one person in two cameras), `c.jpg` (another person),
    `osnet.pth` (a checkpoint of Torchreid with random weights) and, with OpenCV, `door.avi` (a drawn video of two
    people).
    """
    template = once_per_run(tmp_path_factory, "workspace", _make_workspace)
    copy = tmp_path / "workspace"
    shutil.copytree(template, copy)
    monkeypatch.chdir(copy)
    return copy


def _make_workspace(root):
    from passerby.data.datasets import load_data
    from passerby.runs.train import train

    (data,) = load_data(SIMPLE)
    shutil.copytree(data.root, root / "people")
    for sample in (*data.query, *data.gallery):
        folder = root / "crops" / ("north", "south")[sample.camera_id]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, folder)
    first = data.query[0]
    others = [sample for sample in data.gallery if sample.camera_id != first.camera_id]
    shutil.copy(first.path, root / "a.jpg")
    shutil.copy(next(s.path for s in others if s.person_id == first.person_id), root / "b.jpg")
    shutil.copy(next(s.path for s in others if s.person_id not in (0, first.person_id)), root / "c.jpg")
    from importers.peer_files import peer_state, write

    write(peer_state("torchreid", "osnet_x0_25"), root / "osnet.pth")
    with contextlib.suppress(ImportError):
        from video.walkers import draw

        draw(root / "door.avi")
    with contextlib.chdir(root):
        train(tiny_recipe(), "market1501:people", "runs/m", device="cpu")


@pytest.fixture(scope="session")
def walkers(tmp_path_factory):
    """A drawn video of two people whose boxes are known; see `video.walkers`."""
    require_module("cv2")
    from video.walkers import draw

    path = tmp_path_factory.mktemp("video") / "walk.avi"
    draw(path)
    return path


@contextlib.contextmanager
def logged(name="passerby"):
    """Collect the messages, INFO and above, that a logger and its children receive."""
    messages, handler, logger = [], logging.Handler(), logging.getLogger(name)
    handler.emit = lambda record: messages.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def tiny_recipe(*more):
    """The tiny recipe, with further overrides."""
    from passerby.recipe import load_recipe

    return load_recipe("convnext-ap", overrides=[*TINY, *more])


def pytest_terminal_summary(terminalreporter):
    """Print the ten slowest test files: seconds of their tests and fixtures, summed over the workers."""
    seconds = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("slowest files")
    for file, total in seconds.most_common(10):
        terminalreporter.write_line(f"{total:7.1f} s  {file}")
