"""Rendered data sets: layout, determinism, resuming, and a table that agrees with the images."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from passerby.errors import DataError
from passerby.synth import dataset
from passerby.synth.dataset import SynthSettings, take, write_people
from passerby.synth.solids import PARTS

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


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


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


def test_two_processes_render_what_one_does(folder, tmp_path):
    """17 people are two shards, and the distractors a third."""
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    write_people(tmp_path / "one", settings, workers=0)
    write_people(tmp_path / "two", settings, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


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
    assert len(row["person_top_colour"]) == 3


def test_an_interrupted_rendering_goes_on_where_it_stopped(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    write_people(tmp_path / "whole", settings, workers=0)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / ".a.part" / "shards" / "00000.parquet").is_file()
    rendered = []
    real = dataset._render_shard
    monkeypatch.setattr(dataset, "_render_shard", lambda *args: rendered.append(args[-1]) or real(*args))
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda *step: told.append(step))
    assert rendered == [1, 2]
    assert told[-1] == (settings.total, settings.total)
    assert not (tmp_path / ".a.part").exists()
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_shard_whose_image_is_gone_or_cut_off_is_rendered_again(tmp_path):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    first, second, *_ = sorted((tmp_path / ".a.part").rglob("*.jpg"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    write_people(tmp_path / "a", settings, workers=0)
    write_people(tmp_path / "whole", settings, workers=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_draft_of_other_settings_is_not_mixed_in(tmp_path):
    draft = tmp_path / ".a.part"
    draft.mkdir()
    (draft / "synth.json").write_text(json.dumps({"identities": 7}))
    (draft / "old.jpg").touch()
    write_people(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)
    assert not list((tmp_path / "a").rglob("old.jpg"))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """kill -9 of the process that renders with two others; they share its group, which is empty soon after."""
    words = "from pathlib import Path; from passerby.synth.dataset import *\nif __name__ == '__main__': write_people"
    text = f"{words}(Path({str(tmp_path / 'a')!r}), SynthSettings(identities=5000, cameras=2, images=2), workers=2)"
    (tmp_path / "run.py").write_text(text)
    parent = subprocess.Popen([sys.executable, tmp_path / "run.py"], start_new_session=True)
    until(lambda: list(tmp_path.glob(".a.part/shards/*.parquet")))
    parent.kill()
    parent.wait()
    until(lambda: not alive(parent.pid))


def until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(group):
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_renderers_people_are_not_mixed_in(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    monkeypatch.setattr(dataset, "renderer", lambda: "another")
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda *step: told.append(step))
    assert told[0][0] == 64  # from the first shard on
    monkeypatch.undo()
    with pytest.raises(DataError, match="or people of another version's renderer"):
        write_people(tmp_path / "a", settings, workers=0)


def test_a_record_that_cannot_be_read_is_something_else(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "synth.json").write_text("{cut")
    with pytest.raises(DataError, match="holds something else already"):
        write_people(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)


def _ask(folder, settings):
    write_people(folder, settings, workers=0)


def test_two_who_ask_at_once_get_one_rendering(tmp_path):
    settings = SynthSettings(identities=4, cameras=2, images=2, height=16)
    context = multiprocessing.get_context("spawn")
    asking = [context.Process(target=_ask, args=(tmp_path / "a", settings)) for _ in range(2)]
    for process in asking:
        process.start()
    for process in asking:
        process.join()
    assert [process.exitcode for process in asking] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert len(contents(tmp_path / "a")) == settings.total


def test_a_full_disk_is_said_and_what_was_rendered_stays(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    real = dataset._render_shard

    def full(part, settings, shard):
        if shard == 1:
            raise OSError(28, "No space left on device")
        return real(part, settings, shard)

    monkeypatch.setattr(dataset, "_render_shard", full)
    with pytest.raises(
        DataError, match=r"a: not written \(No space left on device\); what was rendered is in .*goes on"
    ):
        write_people(tmp_path / "a", settings, workers=0)
    monkeypatch.setattr(dataset, "_render_shard", real)
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda *step: told.append(step))
    assert told[0][0] > 64  # the first shard's 64 images were not rendered again


def test_one_person_looks_more_like_himself_than_like_others(tmp_path):
    """Mean colours of the true upper and lower body within a camera: closer for the same person, on average."""
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
