"""Rendered data sets: layout, determinism, and a table that agrees with the images."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.synthesis.dataset import SynthSettings, take
from passerby.synthesis.solids import PARTS
from passerby.synthesis.write import write_people
from synthesis.files import contents

SETTINGS = SynthSettings(identities=9, cameras=3, images=3, seed=1, height=64)
NAME = re.compile(r"(\d{4,})_c(\d+)s1_(\d{6})_01\.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "people"
    write_people(folder, SETTINGS, workers=0)
    return folder


def listing(folder):
    """split -> [(person, camera)]."""
    found = {}
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        matches = [NAME.fullmatch(path.name) for path in sorted((folder / split).iterdir())]
        assert all(matches)
        found[split] = [(int(match[1]), int(match[2])) for match in matches]
    return found


def test_half_of_the_people_train_and_every_person_is_in_every_camera(folder):
    found = listing(folder)
    train = {person for person, _ in found["bounding_box_train"]}
    test = {person for person, _ in found["query"]}
    assert (len(train), len(test), train | test) == (4, 5, set(range(1, 10)))
    assert len(found["bounding_box_train"]) == 4 * 3 * 3
    assert sorted(found["query"]) == sorted((person, camera) for person in test for camera in (1, 2, 3))


def test_the_gallery_holds_the_other_images_of_the_queries_people_and_distractors(folder):
    found = listing(folder)
    real = [pair for pair in found["bounding_box_test"] if pair[0] != 0]
    assert sorted(real) == sorted(found["query"] * 2)
    assert {camera for person, camera in found["bounding_box_test"] if person == 0} == {1, 2, 3}


def test_views_and_test_choose_cameras_and_people(tmp_path):
    settings = SynthSettings(identities=4, cameras=5, images=2, views=2, test=0, height=32)
    write_people(tmp_path / "a", settings, workers=0)
    found = listing(tmp_path / "a")
    assert (len(found["bounding_box_train"]), found["query"], found["bounding_box_test"]) == (16, [], [])
    assert settings.total == 16
    cameras = {person: {camera for who, camera in found["bounding_box_train"] if who == person} for person in (1, 2, 3)}
    assert [len(each) for each in cameras.values()] == [2, 2, 2]
    assert len(set.union(*cameras.values())) > 2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(folder, tmp_path):
    few = SynthSettings(identities=2, cameras=2, images=2, height=32)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_people(tmp_path / name, SynthSettings(**{**vars(few), "seed": seed}), workers=0)
    a, b, c = (list(contents(tmp_path / name).values()) for name in "abc")
    assert a == b
    assert not set(a) & set(c)
    assert len(set(a)) == len(a)


def test_the_table_knows_every_image(folder):
    """Oracle: the files, and each photograph taken once more."""
    table = pyarrow.parquet.read_table(folder / "images.parquet").to_pylist()
    assert sorted(row["file"] for row in table) == sorted(contents(folder))
    assert len(table) == SETTINGS.total
    for row in table:
        assert (folder / row["file"]).stat().st_size == row["bytes"]
        match = NAME.fullmatch(Path(row["file"]).name)
        assert (int(match[1]), int(match[2]), int(match[3])) == (row["person_id"], row["camera_id"], row["shot"])
    row = next(row for row in table if row["person_id"])
    again = take(SETTINGS, row["person_id"] - 1, row["camera_id"] - 1, row["shot"])
    assert (row["facing"], row["hidden"], row["phase"]) == (again.facing, again.hidden, again.pose.phase)
    (folder.parent / "mask.png").write_bytes(row["mask"])
    mask = np.asarray(Image.open(folder.parent / "mask.png"))
    np.testing.assert_array_equal(mask, again.mask)
    shares = [row[f"seen_{part.replace('-', '_')}"] for part in PARTS]
    np.testing.assert_allclose(shares, [(mask == part).mean() for part in range(len(PARTS))])
    assert row["person_top_kind"]
    assert len(row["person_top_color"]) == 3


def test_one_person_looks_more_like_himself_than_like_others(tmp_path):
    """Mean colors of the true upper and lower body within a camera: closer for the same person, on average."""
    settings = SynthSettings(identities=12, cameras=2, images=4, height=64, lookalikes=0)
    looks, owners = [], []
    for person in range(12):
        for shot in range(4):
            shown = take(settings, person, 0, shot)
            parts = [shown.pixels[shown.mask == PARTS.index(part)] for part in ("upper", "lower")]
            if all(len(part) > 20 for part in parts):
                looks.append(np.concatenate([part.mean(axis=0) for part in parts]))
                owners.append(person)
    distances = np.linalg.norm(np.array(looks)[:, None] - np.array(looks)[None], axis=-1)
    same = np.equal.outer(owners, owners)
    apart = distances[~same].mean()
    assert apart > 1.5 * distances[same & ~np.eye(len(same), dtype=bool)].mean()
    assert apart > 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": 0}, "synth: identities is 0, expected 2 to 99999"),
        ({"cameras": 1}, "synth: cameras is 1, expected 2 to 999"),
        ({"images": 1}, "synth: images is 1, expected 2 to 999"),
        ({"seed": -1}, "synth: seed is -1, expected 0"),
        ({"height": 15}, "synth: height is 15, expected 16 to 1024"),
        ({"lookalikes": 101}, "synth: lookalikes is 101, expected 0 to 100"),
        ({"views": 4}, r"synth: views is 4, expected 2 to 3 \(the cameras\), or 0 for all"),
        ({"views": 1}, "synth: views is 1"),
        ({"test": 25}, r"synth: test is 25, expected at most 24 \(the identities\)"),
    ],
)
def test_numbers_out_of_range_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        SynthSettings(**changes)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, folder):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"holds something else already.*name another folder or delete it"):
        write_people(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="holds something else"):
        write_people(folder, SynthSettings(identities=2))
    write_people(folder, SETTINGS)  # the very same is there already
