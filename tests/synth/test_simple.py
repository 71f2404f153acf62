"""The drawn data set: its layout, its determinism, and that it can be learnt."""

import re

import numpy as np
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.synth.simple import LOOKALIKES, people, write_simple

SETTINGS = {"identities": 9, "cameras": 3, "images": 3, "seed": 1}
NAME = re.compile(r"(\d{4})_c(\d+)s(\d+)_(\d{6})_(\d{2})\.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "simple"
    write_simple(folder, **SETTINGS)
    return folder


def listing(folder):
    """split -> [(person, camera)]."""
    found = {}
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        matches = [NAME.fullmatch(path.name) for path in sorted((folder / split).iterdir())]
        assert all(matches)
        found[split] = [(int(match[1]), int(match[2])) for match in matches]
    return found


def read(path):
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


def test_half_of_the_people_train_and_every_person_is_in_every_camera(folder):
    found = listing(folder)
    train = {person for person, _ in found["bounding_box_train"]}
    test = {person for person, _ in found["query"]}
    assert len(train) == 4
    assert len(test) == 5
    assert train | test == set(range(1, 10))
    assert len(found["bounding_box_train"]) == 4 * 3 * 3
    assert sorted(found["query"]) == sorted((person, camera) for person in test for camera in (1, 2, 3))


def test_the_gallery_holds_the_other_images_of_the_queries_people_and_distractors(folder):
    found = listing(folder)
    real = [pair for pair in found["bounding_box_test"] if pair[0] != 0]
    assert sorted(real) == sorted(found["query"] * 2)
    assert {camera for person, camera in found["bounding_box_test"] if person == 0} == {1, 2, 3}


def test_images_have_the_size_asked_for(tmp_path):
    write_simple(tmp_path / "small", identities=4, cameras=2, images=2, seed=0, size=(64, 32))
    shapes = {read(path).shape for path in (tmp_path / "small").glob("*/*.jpg")}
    assert shapes == {(64, 32, 3)}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(folder, tmp_path):
    write_simple(tmp_path / "again", **SETTINGS)
    write_simple(tmp_path / "other", **{**SETTINGS, "seed": 2})
    names = sorted(path.relative_to(folder) for path in folder.glob("*/*.jpg"))
    assert names == sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").glob("*/*.jpg"))
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    assert not any(
        (tmp_path / "other" / name).exists()
        and (folder / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
        for name in names
    )


def test_no_two_images_are_equal(folder):
    contents = [path.read_bytes() for path in folder.glob("*/*.jpg")]
    assert len(set(contents)) == len(contents)


def test_one_person_looks_more_like_himself_than_like_others(folder):
    """Mean colours of the body's upper and lower half within a camera: closer for the same person, on average."""
    looks, owners = [], []
    for path in sorted(folder.glob("bounding_box_train/*_c1*.jpg")):
        image = read(path)
        looks.append(np.concatenate([image[30:58, 22:42].mean((0, 1)), image[64:90, 22:42].mean((0, 1))]))
        owners.append(path.name[:4])
    distances = np.linalg.norm(np.array(looks)[:, None] - np.array(looks)[None], axis=-1)
    same = np.equal.outer(owners, owners)
    apart = distances[~same].mean()
    assert apart > 1.5 * distances[same & ~np.eye(len(same), dtype=bool)].mean()
    assert apart > 15


def test_cameras_differ_in_their_light(folder):
    means = [np.mean([read(path).mean((0, 1)) for path in folder.glob(f"*/*_c{camera}s*.jpg")], 0) for camera in (1, 2)]
    assert np.abs(means[0] - means[1]).max() > 5


def test_some_people_are_dressed_alike():
    crowd = people(200, seed=0)
    clothes = [(person.upper, person.lower) for person in crowd]
    assert 0.1 < 1 - len(set(clothes)) / len(clothes) < LOOKALIKES + 0.1
    assert len(set(crowd)) == len(crowd)


def test_progress_counts_every_image(tmp_path):
    told = []
    write_simple(tmp_path / "a", identities=4, cameras=2, images=2, seed=0, progress=lambda *step: told.append(step))
    assert told == [(done, 20) for done in range(1, 21)]
    assert len(list((tmp_path / "a").glob("*/*.jpg"))) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": 3}, "identities is 3, expected 4 to 9999"),
        ({"cameras": 1}, "cameras is 1, expected 2 to 99"),
        ({"images": 1}, "images is 1, expected 2 to 9999"),
        ({"seed": -1}, "seed is -1, expected 0"),
        ({"size": (16, 16)}, "height is 16, expected 32 to 2048"),
        ({"size": (32, 8)}, "width is 8, expected 16 to 2048"),
    ],
)
def test_numbers_out_of_range_are_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        write_simple(tmp_path / "a", **{**SETTINGS, **changes})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="is not an empty folder"):
        write_simple(tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simple(tmp_path / "a", **SETTINGS, progress=stop)
    assert list(tmp_path.iterdir()) == []
