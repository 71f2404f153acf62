"""Galleries on the command line. Oracle: the same calls from Python, and the written files."""

import contextlib
import io
import json
import shutil
import sqlite3

import numpy as np
import pytest
from PIL import Image

from conftest import SIMPLE
from passerby import load_data
from passerby.cli.main import main
from programs import require_module
from runtime.exported_files import METADATA, save_exported
from runtime.small_networks import save_constant
from video.walkers import corners_of


def test_enroll_search_identify_cluster(passerby, people, query, tmp_path):
    again = passerby("enroll", people, "--data", SIMPLE)
    assert " 0 new, " in again.out
    image = query[0].path
    printed = json.loads(passerby("search", people, "--image", image, "--top", 3, "--not-camera", "c1", "--json").out)
    assert len(printed[0]["hits"]) == 3
    assert {hit["camera"] for hit in printed[0]["hits"]} == {"c2"}
    table = passerby("search", people, "--image", image, "--open", tmp_path / "rank.png")
    assert str(tmp_path / "rank.png") in table.out
    with Image.open(tmp_path / "rank.png") as page:
        assert page.size[0] > 1000
    who = passerby("identify", people, "--image", image, "--image", query[1].path, "--open", tmp_path / "who.png")
    assert len(who.out.splitlines()) == 3
    assert "%" in who.out
    assert json.loads(passerby("identify", people, "--image", image, "--json").out)[0]["candidates"]
    groups = passerby("cluster", people, "--threshold", "0.01", "--open", tmp_path / "groups.png")
    assert " clusters in " in groups.out
    assert "B-cubed precision " in groups.out
    assert (tmp_path / "groups.png").is_file()
    tree = json.loads(passerby("cluster", people, "--threshold", "0.01", "--json").out)
    assert 0 < tree["b_cubed_recall"] <= 1


def test_dims_of_a_run_are_calibrated_enrolled_and_kept(passerby, tiny_run, query, tmp_path):
    run, where = tmp_path / "run", tmp_path / "narrow"
    shutil.copytree(tiny_run, run)
    first = ("enroll", where, "--data", SIMPLE, "--model", run, "--dims", "8")
    refused = passerby(*first)
    assert (refused.code, where.exists()) == (1, False)
    assert f"--dims: the model {run} has no projection; fit one with `passerby calibrate {run} --dims 8`" in refused.err
    calibrated = passerby("calibrate", run, "--dims", "8", "--device", "cpu")
    assert f"{run / 'calibration-8.json'}: logistic, fitted to" in calibrated.out
    assert passerby(*first).code == 0
    assert " 0 new, " in passerby("enroll", where, "--data", SIMPLE).out
    wrong = passerby("enroll", where, "--data", SIMPLE, "--dims", "16")
    assert "--dims: contains vectors of 8 dimensions, opened for 16" in wrong.err
    model = json.loads(passerby("gallery", "stats", where, "--json").out)["card"]["model"]
    assert (model["dimension"], model["projection"]["width"], model["projection"]["data"]) == (8, 32, SIMPLE)
    assert passerby("identify", where, "--image", query[0].path).code == 0


def test_an_int8_file_is_accepted_on_request(passerby, tmp_path, query):
    save_exported(tmp_path / "m.onnx")
    rounded = {**METADATA["certificate"], "interchangeable": False, "cosine_min": 0.93, "cosine_mean": 0.98}
    save_exported(tmp_path / "int8.onnx", precision="int8", certificate=rounded)
    where, image = tmp_path / "people", query[0].path
    passerby("enroll", where, "--images", image, "--camera", "north", "--model", tmp_path / "m.onnx")
    words = ["search", where, "--image", image, "--model", tmp_path / "int8.onnx"]
    assert passerby(*words).error.endswith("accept the difference, which the gallery then records: --accept-drift")
    assert passerby(*words, "--accept-drift").code == 0
    assert "int8, least cosine 0.9300" in " ".join(passerby("gallery", "stats", where).out.split())
    assert passerby(*words).code == 0


def test_labels_can_be_set_and_removed_later(passerby, people, query):
    hits = json.loads(passerby("search", people, "--image", query[0].path, "--top", "2", "--json").out)[0]["hits"]
    words = [word for hit in hits for word in ("--id", hit["id"])]
    assert "2 sightings labeled\n" in passerby("gallery", "label", people, "Ada", *words, "--yes").out
    again = json.loads(passerby("search", people, "--image", query[0].path, "--top", "3", "--json").out)[0]["hits"]
    assert [hit["label"] == "Ada" for hit in again] == [True, True, False]
    assert "2 sightings unlabeled" in passerby("gallery", "label", people, "--label", "Ada", "--yes").out
    missing = passerby("gallery", "label", people, "B", "--label", "Ada", "--yes").error
    assert missing == "nothing matched --label Ada; no sighting was changed"
    assert "label as 'B': no condition" in passerby("gallery", "label", people, "B", "--yes").error


def test_stats_audit_forget_expire_export_import(passerby, people, tmp_path):
    count = json.loads(passerby("gallery", "stats", people, "--json").out)["sightings"]
    assert f"{count:,}" in passerby("gallery", "stats", people).out
    label = json.loads(passerby("search", people, "--image", load_data(SIMPLE)[0].query[0].path, "--json").out)[0][
        "hits"
    ][0]["label"]
    forgotten = passerby("gallery", "forget", people, "--label", label, "--yes")
    assert "sightings erased" in forgotten.out
    for words in (("forget", "--label", label), ("remove", "--label", label), ("forget", "--id", "x")):
        error = passerby("gallery", words[0], people, *words[1:], "--yes").error
        assert error == f"nothing matched {words[1]} {words[2]}; no sighting was changed"
    assert passerby("gallery", "expire", people, "--days", "9", "--yes").out == "0 sightings erased\n"
    assert "sightings removed" in passerby("gallery", "remove", people, "--camera", "c1", "--yes").out
    out = tmp_path / "g.parquet"
    assert str(out) in passerby("gallery", "export", people, "--out", out).out
    left = json.loads(passerby("gallery", "stats", people, "--json").out)["sightings"]
    assert 0 < left < count
    assert f"{left:,} new, 0 known" in passerby("gallery", "import", tmp_path / "copy", out).out
    assert f"0 new, {left:,} known" in passerby("gallery", "import", tmp_path / "copy", out).out
    assert f"{left:,} sightings erased" in passerby("gallery", "expire", people, "--days", 0, "--yes").out
    audit = passerby("gallery", "audit", people).out
    for word in ("create", "enroll", "search", "forget", "remove", "export", "expire"):
        assert word in audit
    assert json.loads(passerby("gallery", "audit", people, "--json").out)[0]["action"] == "create"


def test_keep_is_a_setting_of_a_new_gallery_and_upgrade_finds_nothing_to_convert(passerby, tiny_run, query, tmp_path):
    words = ("--images", query[0].path, "--camera", "c", "--model", tiny_run)
    assert "1 new, 0 known" in passerby("enroll", tmp_path / "g", *words, "--keep", "vectors").out
    stats = json.loads(passerby("gallery", "stats", tmp_path / "g", "--json").out)
    assert (stats["card"]["keep"], stats["store"]) == ("vectors", "sqlite")
    error = passerby("enroll", tmp_path / "g", *words, "--keep", "crops").error
    assert "keep is 'vectors' in the gallery, opened with 'crops'" in error
    assert passerby("gallery", "upgrade", tmp_path / "g").out == f"{tmp_path / 'g'}: up to date\n"
    database = tmp_path / "g" / "gallery.sqlite"
    assert passerby("gallery", "upgrade", database).error == (
        f"{database}: the database of a gallery; name its folder, {tmp_path / 'g'}"
    )
    server = passerby("gallery", "upgrade", "milvus://127.0.0.1/g").error
    assert server.startswith("milvus://127.0.0.1/g: a gallery on a server cannot be converted in place; export it")


def test_default_model_makes_a_gallery(passerby, query, tmp_path):
    output = passerby("enroll", tmp_path / "g", "--images", query[0].path, "--camera", "c", "--label", "Ada")
    assert "1 new" in output.out, output
    printed = passerby("identify", tmp_path / "g", "--image", query[0].path).out
    assert ": Ada (over 99.9%)" in printed  # the same image, and no other identity


def test_a_video_with_given_boxes(passerby, walkers, tiny_run, tmp_path):
    rows = [
        f"{frame + 1},{person},{left},{top},24,60,1"
        for frame in range(40)
        for person in (1, 2)
        for left, top, _, _ in [corners_of(person, frame)]
    ]
    (tmp_path / "mot.txt").write_text("\n".join(rows))
    words = ("--video", walkers, "--camera", "door", "--boxes", tmp_path / "mot.txt", "--model", tiny_run, "--gap", 0)
    out = passerby("enroll", tmp_path / "g", *words).out
    assert "2 new" in out
    assert "40 frames, 80 boxes: 0 below the least score, 0 without an area" in out
    assert not (tmp_path / "tracks.txt").exists()
    out = passerby("enroll", tmp_path / "g", *words, "--tracks", tmp_path / "tracks.txt", "--draw", tmp_path / "d.mp4")
    assert "0 new, 2 known" in out.out
    assert len((tmp_path / "tracks.txt").read_text().splitlines()) >= 76
    assert (tmp_path / "d.mp4").stat().st_size > 1000
    assert "0 s to 4 s" in passerby("cluster", tmp_path / "g", "--threshold", "0.5").out


def test_a_video_with_a_detector_from_a_file(passerby, walkers, tiny_run, tmp_path):
    """The network returns one box for each frame; it lies on the street."""
    require_module("onnx")
    save_constant(tmp_path / "ssd.onnx", np.array([[[[0, 1, 0.9, 0.1, 0.2, 0.2, 0.6]]]]))
    words = ("enroll", tmp_path / "g", "--video", walkers, "--camera", "door", "--model", tiny_run, "--gap", 0)
    assert "1 new" in passerby(*words, "--detector", tmp_path / "ssd.onnx").out
    out = passerby(*words, "--detector", tmp_path / "ssd.onnx", "--min-score", 0.95).out
    assert "40 boxes: 40 below the least score" in out
    error = passerby(*words, "--detector", tmp_path / "ssd.onnx", "--tracks", tmp_path / "ssd.onnx").error
    assert "would overwrite an input" in error
    assert "is the video, and would be overwritten" in passerby(*words, "--tracks", walkers).error


def test_a_declined_confirmation_removes_nothing(passerby, people, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    before = json.loads(passerby("gallery", "stats", people, "--json").out)["sightings"]
    assert passerby("gallery", "remove", people, "--camera", "c1").out == ""
    assert json.loads(passerby("gallery", "stats", people, "--json").out)["sightings"] == before


def test_expiry_by_the_retention_counts_what_it_erases(passerby, tiny_run, tmp_path):
    """All sightings are past a retention of a millisecond: erased by the confirmed command, which counts them."""
    people = tmp_path / "people"
    words = ("--data", SIMPLE, "--model", tiny_run, "--retention", "1e-8", "--json")
    total = json.loads(passerby("enroll", people, *words).out)["sightings"]
    error = passerby("gallery", "expire", people).error
    assert f"{total} of {total} sightings past the retention" in error
    assert f"`passerby gallery expire {people} --confirm-erase`" in error
    assert passerby("gallery", "expire", people, "--confirm-erase").out == f"{total} sightings erased\n"


def test_one_thing_is_singular_in_the_audit_log(passerby, people, query):
    passerby("search", people, "--image", query[0].path)
    assert "1 query, " in passerby("gallery", "audit", people).out


def test_a_plot_replaces_no_input_and_nothing_that_was_not_named(passerby, people, query, tmp_path):
    photo, upper = tmp_path / "photo.png", tmp_path / "other.PNG"
    with Image.open(query[0].path) as image:
        image.save(photo)
    (tmp_path / "link.png").hardlink_to(photo)
    before = photo.read_bytes()
    for name in ("photo.png", "link.png"):
        complaint = passerby("search", people, "--image", photo, "--open", tmp_path / name).error
        assert complaint.endswith(f"{name}: the command reads this file; name another one")
    assert photo.read_bytes() == before
    (tmp_path / "other.png").write_bytes(b"mine")
    assert "other.PNG" in passerby("search", people, "--image", photo, "--open", upper).out
    assert (tmp_path / "other.png").read_bytes() == b"mine"
    assert upper.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_encoding_without_the_label_escapes_it(passerby, people, query, tmp_path, monkeypatch, encoding):
    image = ("--image", query[0].path)
    (hit,) = json.loads(passerby("search", people, *image, "--top", "1", "--json").out)[0]["hits"]
    passerby("gallery", "label", people, "\u738b\u5c0f\u660e", "--id", hit["id"], "--yes")
    for words in (
        ("search", people, *image),
        ("identify", people, *image),
        ("search", people, *image, "--camera", "\u738b\u5c0f\u660e"),
    ):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr("sys.argv", ["passerby", *map(str, words)])
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        with contextlib.suppress(SystemExit):
            main()
        out.flush()
        err.flush()
        printed = out.buffer.getvalue() + err.buffer.getvalue()
        assert b"\\u738b\\u5c0f\\u660e" in printed or "\u738b\u5c0f\u660e".encode() in printed  # click may write UTF-8


def test_stored_terminal_sequences_and_markup_are_printed_as_text(passerby, people, query):
    """A gallery of an earlier version, or of another program, may contain them."""
    connection = sqlite3.connect(people / "gallery.sqlite")
    with connection:
        connection.execute("UPDATE sightings SET label = '[red]A' || char(27) || '[2J', camera = 'c$x$' || char(7)")
    connection.close()
    for words in (
        ("search", people, "--image", query[0].path),
        ("cluster", people, "--threshold", "2"),
        ("identify", people, "--image", query[0].path),
        ("gallery", "stats", people),
    ):
        out = passerby(*words).out
        assert "\x1b" not in out
        assert "\x07" not in out
        assert ("c$x$" if words[1] == "stats" else "[red]A") in out


def test_a_crop_that_is_enrolled_again_with_another_label_is_reported(passerby, people, query, tmp_path):
    words = ("--images", query[0].path, "--camera", "c1")
    assert "1 new" in passerby("enroll", people, *words, "--label", "Ada").out
    again = passerby("enroll", people, *words, "--label", "Bob")
    assert (again.code, "0 new, 1 known" in again.out) == (0, True)
    assert f"label not changed {query[0].path.resolve()}: labeled Ada, given Bob\n" in again.out
    assert f"`passerby gallery label {people} NAME --image FILE` changes a label\n" in again.out
    assert "label" not in passerby("enroll", people, *words).out
    passerby("gallery", "label", people, "Bob", "--image", query[0].path, "--yes")
    assert "label" not in passerby("enroll", people, *words, "--label", "Bob").out


def test_the_mirror_image_is_a_choice_of_a_new_gallery(passerby, tiny_run, query, tmp_path):
    where, image = tmp_path / "plain", query[0].path
    made = passerby("enroll", where, "--images", image, "--camera", "c1", "--model", tiny_run, "--no-flip")
    assert "1 new" in made.out, made
    assert json.loads(passerby("gallery", "stats", where, "--json").out)["card"]["flip"] is False
    assert "without the mirror image" in passerby("gallery", "stats", where).out
    again = passerby("enroll", where, "--images", image, "--camera", "c2")  # follows the gallery
    assert "1 new" in again.out, again
    hits = json.loads(passerby("search", where, "--image", image, "--json").out)[0]["hits"]
    assert [round(hit["distance"], 5) for hit in hits] == [0, 0]
    for verb, *options in (("enroll", "--images", image, "--camera", "c3"), ("serve", "--port", "0")):
        error = passerby(verb, where, *options, "--flip").error
        assert "--flip: contains vectors without the mirror image, opened for vectors with the mirror image" in error
