"""Synthetic data sets: layout, determinism, table. Oracles: the settings, the files, the images rendered again."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.synthesis.dataset import SynthSettings, render_image
from passerby.synthesis.solids import PARTS
from passerby.synthesis.write import synth
from synthesis.files import contents

SETTINGS = SynthSettings(identities=9, cameras=3, images=3, seed=1, height=64)
NAME = re.compile(r"(\d{4,})_c(\d+)s1_(\d{6})_01\.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "data"
    synth(folder, SETTINGS, workers=0)
    return folder


def listing(folder):
    """split -> [(person, camera)]."""
    pairs = {}
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        matches = [NAME.fullmatch(path.name) for path in sorted((folder / split).iterdir())]
        assert all(matches)
        pairs[split] = [(int(match[1]), int(match[2])) for match in matches]
    return pairs


def test_half_of_the_identities_train_and_each_is_in_every_camera(folder):
    pairs = listing(folder)
    train = {person for person, _ in pairs["bounding_box_train"]}
    test = {person for person, _ in pairs["query"]}
    assert (len(train), len(test), train | test) == (4, 5, set(range(1, 10)))
    assert len(pairs["bounding_box_train"]) == 4 * 3 * 3
    assert sorted(pairs["query"]) == sorted((person, camera) for person in test for camera in (1, 2, 3))


def test_the_gallery_has_the_other_images_of_the_query_identities_and_distractors(folder):
    pairs = listing(folder)
    real = [pair for pair in pairs["bounding_box_test"] if pair[0] != 0]
    assert sorted(real) == sorted(pairs["query"] * 2)
    assert {camera for person, camera in pairs["bounding_box_test"] if person == 0} == {1, 2, 3}


def test_views_and_test_set_the_cameras_and_the_test_identities(tmp_path):
    settings = SynthSettings(identities=4, cameras=5, images=2, views=2, test=0, height=32)
    synth(tmp_path / "a", settings, workers=0)
    pairs = listing(tmp_path / "a")
    assert (len(pairs["bounding_box_train"]), pairs["query"], pairs["bounding_box_test"]) == (16, [], [])
    assert settings.total == 16
    cameras = {
        person: {camera for other, camera in pairs["bounding_box_train"] if other == person} for person in (1, 2, 3)
    }
    assert [len(views) for views in cameras.values()] == [2, 2, 2]
    assert len(set.union(*cameras.values())) > 2


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(folder, tmp_path):
    few = SynthSettings(identities=2, cameras=2, images=2, height=32)
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synth(tmp_path / name, SynthSettings(**{**vars(few), "seed": seed}), workers=0)
    a, b, c = (list(contents(tmp_path / name).values()) for name in "abc")
    assert a == b
    assert not set(a) & set(c)
    assert len(set(a)) == len(a)


def test_the_table_describes_every_image(folder):
    """Oracle: the files, and an image rendered again."""
    table = pyarrow.parquet.read_table(folder / "images.parquet").to_pylist()
    assert sorted(row["file"] for row in table) == sorted(contents(folder))
    assert len(table) == SETTINGS.total
    for row in table:
        assert (folder / row["file"]).stat().st_size == row["bytes"]
        match = NAME.fullmatch(Path(row["file"]).name)
        assert (int(match[1]), int(match[2]), int(match[3])) == (row["person_id"], row["camera_id"], row["shot"])
    row = next(row for row in table if row["person_id"])
    again = render_image(SETTINGS, row["person_id"] - 1, row["camera_id"] - 1, row["shot"])
    assert (row["facing"], row["hidden"], row["phase"]) == (again.facing, again.hidden, again.pose.phase)
    (folder.parent / "mask.png").write_bytes(row["mask"])
    mask = np.asarray(Image.open(folder.parent / "mask.png"))
    np.testing.assert_array_equal(mask, again.mask)
    fractions = [row[f"seen_{part.replace('-', '_')}"] for part in PARTS]
    np.testing.assert_allclose(fractions, [(mask == part).mean() for part in range(len(PARTS))])
    assert row["person_top_kind"]
    assert len(row["person_top_color"]) == 3


def test_images_of_an_identity_are_more_similar_than_images_of_others(tmp_path):
    """Oracle: mean colors of the masked upper and lower body within a camera, nearer for one identity on average."""
    settings = SynthSettings(identities=12, cameras=2, images=4, height=64, lookalikes=0)
    colors, identities = [], []
    for person in range(12):
        for shot in range(4):
            image = render_image(settings, person, 0, shot)
            parts = [image.pixels[image.mask == PARTS.index(part)] for part in ("upper", "lower")]
            if all(len(part) > 20 for part in parts):
                colors.append(np.concatenate([part.mean(axis=0) for part in parts]))
                identities.append(person)
    distances = np.linalg.norm(np.array(colors)[:, None] - np.array(colors)[None], axis=-1)
    same = np.equal.outer(identities, identities)
    apart = distances[~same].mean()
    assert apart > 1.5 * distances[same & ~np.eye(len(same), dtype=bool)].mean()
    assert apart > 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": 0}, "identities: got 0, expected 2 to 99999"),
        ({"cameras": 1}, "cameras: got 1, expected 2 to 999"),
        ({"images": 1}, "images: got 1, expected 2 to 999"),
        ({"seed": -1}, "seed: got -1, expected 0"),
        ({"height": 15}, "height: got 15, expected 16 to 1024"),
        ({"lookalikes": 101}, "lookalikes: got 101, expected 0 to 100"),
        ({"views": 4}, r"views: got 4, expected 2 to 3 \(the cameras\), or 0 for all"),
        ({"views": 1}, "views: got 1"),
        ({"test": 25}, r"test: got 25, expected at most 24 \(the identities\)"),
    ],
)
def test_a_setting_out_of_its_range_is_named(changes, message):
    with pytest.raises(DataError, match=message):
        SynthSettings(**changes)


def test_a_folder_with_other_content_is_unchanged(tmp_path, folder):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"holds other files.*name another folder or delete this one"):
        synth(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="holds other files"):
        synth(folder, SynthSettings(identities=2))
    synth(folder, SETTINGS)  # already rendered
