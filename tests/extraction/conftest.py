"""A source and its finished job."""

import shutil
from pathlib import Path

import pytest

import passerby
from extraction.jobs import BY_CAMERA, FAST


@pytest.fixture(scope="session")
def crops(tmp_path_factory):
    """Crops of synthetic people in a folder for each of two cameras, and a damaged file."""
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    folder = tmp_path_factory.mktemp("source") / "crops"
    for sample in (*data.query, *data.gallery):
        camera = folder / ("north", "south")[sample.camera_id]
        camera.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, camera)
    (folder / "north" / "0000_broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


@pytest.fixture(scope="session")
def job(crops, tmp_path_factory):
    """The folder of a finished job."""
    out = tmp_path_factory.mktemp("job") / "shards"
    result = passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    readable = len([*crops.rglob("*.jpg")]) - 1
    assert (result.embedded, result.failures, result.shards) == (readable, 1, -(-(readable + 1) // 10))
    assert [Path(source).name for source, _ in result.unreadable] == ["0000_broken.jpg"]
    return out
