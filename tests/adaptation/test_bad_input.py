"""Bad input of `adapt`. Oracles: the messages, the rungs that are left, and the files on the disk."""

import errno
import os
import shutil

import pytest

from adaptation.drawn_site import adapt, draw_site
from passerby.adaptation.adapt_result import AdaptResult
from passerby.errors import DataError, WriteError


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return draw_site(tmp_path_factory.mktemp("site"), crops=2)


def explain_rungs(result):
    return {rung.name: rung.note for rung in result.rungs}


def test_one_camera_has_the_rungs_that_need_one(tiny_run, tmp_path):
    folder = draw_site(tmp_path / "site", people=70, crops=2)
    shutil.rmtree(folder / "south")
    result = adapt(tmp_path / "run", folder, tiny_run, passes=1)
    notes = explain_rungs(result)
    assert notes["links"] == "one camera: no links between cameras"
    assert all(rung.gain is not None for rung in result.rungs if rung.name != "links")


def test_links_of_low_probability_leave_the_other_rungs(tiny_run, tmp_path):
    """Each person is in one camera: all clusters would be single tracks."""
    folder = draw_site(tmp_path / "site", people=80, crops=2)
    for number in range(80):
        shutil.rmtree(folder / ("north" if number < 40 else "south") / f"t{number}")
    result = adapt(tmp_path / "run", folder, tiny_run, passes=2)
    rungs = {rung.name: rung for rung in result.rungs}
    assert rungs["links"].note == "no link between cameras has a probability of 0.5 or more"
    assert [entry["links"] for entry in rungs["finetune"].details["passes"]] == [0, 0]
    assert all(rungs[name].gain is not None for name in ("norms", "wccn", "kissme", "xqda", "lda"))


@pytest.mark.parametrize("file", ["model.safetensors", "last.safetensors"])
def test_a_full_disk_leaves_no_run(site, tiny_run, tmp_path, monkeypatch, file):
    """The disk is full when the run, or the checkpoint of a pass, is written; a repeated call ends well."""
    replace = os.replace

    def fail(source, target, **options):
        if str(target).endswith(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target, **options)

    monkeypatch.setattr("passerby.adaptation.ladder.ERRORS", -1e9)
    passes = int(file == "last.safetensors")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match="No space left on device"):
        adapt(tmp_path / "run", site, tiny_run, passes=passes)
    assert not [path.name for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name == "manifest.json"]
    monkeypatch.setattr(os, "replace", replace)
    assert isinstance(adapt(tmp_path / "run", site, tiny_run, passes=passes), AdaptResult)
    assert (tmp_path / "run" / "manifest.json").is_file()
    assert not (tmp_path / "run" / ".adapting").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"north/{n}.png" for n in range(19)], "19 crops, expected at least 20; collect more before you adapt"),
        ([f"{n}.png" for n in range(30)], "so that no camera is known; expected CAMERA/IMAGE or CAMERA/TRACK/IMAGE"),
        (
            [f"north/{n}.png" for n in range(30)],
            "30 crops of one and the same image; expected crops of different people",
        ),
        (
            [f"c{n}/1.png" for n in range(30)],
            "30 cameras for 30 crops, such as 'c0'; expected 5 crops of a camera or more",
        ),
    ],
)
def test_folders_from_which_nothing_can_be_learned_are_named(site, tiny_run, tmp_path, names, message):
    (crop, *_) = site.glob("north/*/*.png")
    for name in names:
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(crop, path)
    with pytest.raises(DataError, match=message):
        adapt(tmp_path / "run", tmp_path / "site", tiny_run)
    assert not (tmp_path / "run").exists()


def test_a_damaged_crop_is_named(site, tiny_run, tmp_path):
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "north" / "t0" / "0_0.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"0_0\.png: not an image that can be read"):
        adapt(tmp_path / "run", folder, tiny_run)
    assert not (tmp_path / "run").exists()
