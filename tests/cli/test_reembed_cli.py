"""`passerby gallery reembed`. Oracles: printed lines and messages."""

import json

import passerby as library


def test_thumbnails_are_reported(passerby, workspace):
    with library.Gallery("staff", model="runs/m") as gallery:
        gallery.enroll(library.list_crops("a.jpg", camera="north"))
    output = passerby("gallery", "reembed", "staff", "--model", "default")
    assert output.code == 0, output
    assert "staff: 1 vector of default" in output.out
    assert "thumbnails of at most 64 x 128 pixels" in output.out
    again = passerby("gallery", "reembed", "staff", "--model", "default")
    assert again.out == "staff: has vectors of this model already\n"
    as_json = passerby("gallery", "reembed", "staff", "--model", "default", "--json")
    assert json.loads(as_json.out) == {"sightings": 0, "tracks": 0, "keep": "thumbnails"}


def test_wrong_input_is_one_message(passerby, workspace):
    with library.Gallery("staff", model="runs/m", keep="vectors") as gallery:
        gallery.enroll(library.list_crops("a.jpg", camera="north"))
    assert "keeps vectors only" in passerby("gallery", "reembed", "staff", "--model", "default").error
    assert "nowhere: no gallery here" in passerby("gallery", "reembed", "nowhere", "--model", "default").error
    assert "not a run" in passerby("gallery", "reembed", "staff", "--model", "crops").error


def test_forget_names_the_runs_that_were_made_from_erased_crops(passerby, workspace):
    from passerby.gallery.adapted_runs import FILE, record_adapted_run

    with library.Gallery("staff", model="runs/m") as gallery:
        gallery.enroll(library.list_crops("a.jpg", camera="north", label="Ada"))
        gallery.enroll(library.list_crops("c.jpg", camera="north", label="Bob"))
        ids = {hit.label: hit.id for hit in gallery.search("a.jpg", top=2)[0]}
    record_adapted_run("staff", "runs/site", list(ids.values()))
    output = passerby("gallery", "forget", "staff", "--label", "Ada", "--yes")
    assert output.out == "1 sighting erased\n"
    message = f"{workspace / 'runs' / 'site'}: was adapted by erased crops; adapt again, and delete it and its copies"
    assert message in output.err
    listed = (workspace / "staff" / FILE).read_text()
    assert ids["Bob"] in listed
    assert ids["Ada"] not in listed
