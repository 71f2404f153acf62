"""Wrong input of the commands of galleries. Oracle: the documented message, and what is left of the gallery."""

import json

import pytest

from conftest import SIMPLE
from passerby.errors import DataError
from programs import require_module


def test_unreadable_images_are_printed_and_the_exit_code_is_one(passerby, tiny_run, tmp_path, query):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jpg").write_bytes(query[0].path.read_bytes())
    for number in range(5):
        (tmp_path / "in" / f"bad{number}.jpg").write_bytes(b"")
    output = passerby("enroll", tmp_path / "g", "--images", tmp_path / "in", "--camera", "c", "--model", tiny_run)
    assert output.code == 1
    assert "1 new" in output.out
    assert "bad0.jpg: the file is empty" in output.out
    assert "and 2 more; --json lists them" in output.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("enroll", "g"), "enroll: expected one of --images, --data, --embeddings and --video"),
        (("enroll", "g", "--data", SIMPLE, "--camera", "c"), "enroll: --camera cannot be used with --data"),
        (
            ("enroll", "g", "--embeddings", ".", "--camera", "c"),
            "enroll: --camera cannot be used with --embeddings, which takes --bulk, --bulk-path",
        ),
        (
            ("enroll", "g", "--embeddings", ".", "--keep", "crops", "--no-flip"),
            "enroll: --keep, --flip cannot be used with --embeddings: the shards have the model and the settings of",
        ),
        (
            ("enroll", "g", "--images", ".", "--camera", "c", "--time", "noon"),
            "--time: timestamp 'noon'; expected seconds",
        ),
        (
            ("enroll", "g", "--video", "rtsp://host/1", "--camera", "c"),
            "rtsp://host/1: is an address, expected a video",
        ),
        (
            ("enroll", "g", "--images", ".", "--camera", "c", "--time", "1700000000000"),
            "--time: time is 1700000000000.0, expected seconds since 1970, in years 1 to 9999; if it is in "
            "milliseconds, give 1700000000.000",
        ),
        (("enroll", "g", "--video", "a.avi"), "enroll: --video needs --camera"),
        (("enroll", "g", "--video", "a.avi", "--label", "L"), "enroll: --label cannot be used with --video"),
        (
            ("enroll", "g", "--images", ".", "--boxes", "b.csv"),
            "enroll: --boxes cannot be used with --images, which takes",
        ),
        (
            ("enroll", "g", "--data", SIMPLE, "--every", "2", "--gap", "1"),
            "enroll: --every, --gap cannot be used with --data",
        ),
        (("enroll", "g", "--images", ".", "--split", "query"), "enroll: --split cannot be used with --images"),
        (("search", "g", "--image", "a.jpg"), "g: no gallery here; enroll images with a model to make one"),
        (("search", "g", "--image", "a.jpg", "--open", "a.gif"), "--open a.gif: expected a name that ends in .png"),
        (("search", "g", "--image", "a.jpg", "--since", "then"), "--since: timestamp 'then'"),
        (("search", "g", "--image", "a.jpg", "--open", "a.jpg"), "--open a.jpg: expected a name that ends in .png"),
        (("gallery", "stats", "g"), "g: no gallery"),
        (("gallery", "stats", "memory"), "memory: such a gallery is lost at the end of a command; name a folder"),
        (("enroll", "memory", "--images", ".", "--camera", "c"), "memory: such a gallery is lost at the end"),
        (("gallery", "stats", "ftp://x/y"), "ftp://x/y: unknown kind of gallery"),
        (("gallery", "import", "g", "no.parquet"), "no.parquet: cannot be read as an exported gallery"),
    ],
)
def test_error_messages(passerby, tmp_path, monkeypatch, words, error):
    monkeypatch.chdir(tmp_path)
    assert passerby(*words).error.startswith(error)
    assert not (tmp_path / "g").exists()


def test_removal_and_expiry_need_a_condition(passerby, people):
    assert "remove: no condition" in passerby("gallery", "remove", people, "--yes").error
    assert "erase: no condition" in passerby("gallery", "forget", people, "--yes").error
    assert "the gallery has no retention; give --days" in passerby("gallery", "expire", people).error


def test_a_live_source_that_gives_no_frame_leaves_no_new_gallery(passerby, tmp_path, monkeypatch):
    """The end by Ctrl-C returns a result without sightings; the end by an error has none."""
    require_module("cv2")
    from passerby.video.track_sightings import EnrollVideoResult
    from passerby.video.tracks import VideoCounts

    live = ("--live", "--video", "7", "--camera", "door", "--json")
    none = EnrollVideoResult(new=0, known=0, counts=VideoCounts())
    monkeypatch.setattr("passerby.video.enroll_live.enroll_live", lambda *_, **__: none)
    output = passerby("enroll", tmp_path / "people", *live)
    assert (output.code, json.loads(output.out)["sightings"]) == (0, 0)
    assert "no sighting was added, so that the new gallery was deleted" in " ".join(output.err.split())
    assert not (tmp_path / "people").exists()

    def fail(*_, **__):
        raise DataError("the camera failed")

    monkeypatch.setattr("passerby.video.enroll_live.enroll_live", fail)
    assert passerby("enroll", tmp_path / "people", *live).error == "the camera failed"
    assert not (tmp_path / "people").exists()


def test_a_filter_by_time_that_can_match_nothing_is_an_error(passerby, people, query):
    """No sighting of the gallery has a time."""
    image = ("--image", query[0].path)
    expected = "no sighting has a time, so that none would be selected; leave the filter out, or enroll with times"
    assert passerby("search", people, *image, "--since", "2026-01-01").error == f"--since: {expected}"
    assert passerby("identify", people, *image, "--until", "2026-01-01").error == f"--until: {expected}"
    error = passerby("cluster", people, "--since", "100", "--until", "20", "--threshold", "0.1").error
    assert error == "--since and --until: got 100 and 20 s since 1970, expected the first before the second"


def test_a_filter_by_a_time_without_sightings_is_a_warning_with_the_stored_times(passerby, people, query):
    """One sighting has a time. The result is an empty list, and the exit code 0."""
    image = ("--image", query[0].path)
    passerby("enroll", people, "--images", query[0].path, "--camera", "c1", "--time", "2026-11-01T08:00")
    stored = "those of the gallery are of 2026-11-01 08:00:00 to 2026-11-01 08:00:00 UTC"
    for command in (("search", people, *image), ("cluster", people, "--threshold", "0.1")):
        output = passerby(*command, "--since", "2026-11-02", "--json")
        assert output.code == 0
        assert f"--since: no sighting was seen in this time; {stored}" in " ".join(output.err.split())
    assert json.loads(passerby("search", people, *image, "--until", "2026-11-01", "--json").out)[0]["hits"] == []
    found = passerby("search", people, *image, "--since", "2026-11-01", "--until", "2026-11-02")
    assert found.err == ""


def test_a_camera_or_label_that_no_sighting_has_is_an_error(passerby, people, query, tmp_path):
    image = ("--image", query[0].path)
    expected = "camera 'nort': no sighting has it; cameras of the gallery: c1, c2"
    assert passerby("search", people, *image, "--camera", "nort").error == expected
    assert passerby("search", people, *image, "--not-camera", "nort").error == expected
    assert passerby("identify", people, *image, "--camera", "c1", "--camera", "nort").error == expected
    assert passerby("cluster", people, "--camera", "nort", "--threshold", "0.1").error == expected
    assert passerby("gallery", "remove", people, "--camera", "nort", "--yes").error == expected
    assert passerby("search", people, *image, "--label", "Nobody").error == "label 'Nobody': no sighting has it"
    assert passerby("gallery", "export", people, "--out", tmp_path / "x.parquet", "--camera", "nort").error == expected
    refused = passerby("gallery", "export", people, "--out", tmp_path / "x.csv").error
    assert "x.csv: an export is a Parquet file; name it .parquet" in refused
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


def test_input_that_cannot_be_read_makes_no_gallery(passerby, tiny_run, tmp_path):
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "a.jpg").write_bytes(b"")
    words = ("--images", tmp_path / "crops", "--camera", "c", "--model", tiny_run)
    assert "no readable image among 1: " in passerby("enroll", tmp_path / "people", *words).error
    data = tmp_path / "data"
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (data / folder).mkdir(parents=True)
        (data / folder / "0001_c1s1_000001_01.jpg").write_bytes(b"")
    words = ("--data", f"market1501:{data}", "--model", tiny_run)
    assert "no readable image among 1: " in passerby("enroll", tmp_path / "people", *words).error
    assert not (tmp_path / "people").exists()


def test_a_gallery_is_not_made_in_a_folder_of_other_files(passerby, tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    error = passerby("enroll", tmp_path, "--data", SIMPLE, "--model", tiny_run).error
    assert error == f"{tmp_path}: holds other files, such as notes.txt; a new gallery needs a new or empty folder"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_misspelled_kind_of_gallery_is_suggested(passerby):
    assert "did you mean 'milvus'?" in passerby("gallery", "stats", "milvis://host/x").error
