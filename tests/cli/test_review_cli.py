"""`passerby review`. Oracle: the methods of `Gallery.review`."""

import json

import pytest

import passerby as package


@pytest.fixture
def people(workspace, tmp_path):
    where = str(tmp_path / "reviewed")
    with package.Gallery(where, model="runs/m") as gallery:
        gallery.enroll(package.list_crops("crops", folders="camera"))
    return where


def test_questions_answers_and_undo(people, passerby, tmp_path):
    answers_file = tmp_path / "answers.csv"
    questions = json.loads(passerby("review", people, "--next", "3", "--json").out)
    with package.Gallery(people) as gallery:
        assert [q.to_dict() for q in gallery.review().questions(3)] == questions
    ids = [
        member
        for identity in json.loads(passerby("review", people, "--identities", "--json").out)
        for member in [m["sighting"]["id"] for m in identity["members"]]
    ]
    assert passerby("review", people, "--answer", ids[0], ids[1], "same").out == "action 1\n"
    answers = json.loads(passerby("review", people, "--answers", "--json").out)
    assert answers["answers"][0]["answer"] == "same"
    assert answers["contradictions"] == []
    assert passerby("review", people, "--export", answers_file).out == "1 answer\n"
    assert passerby("review", people, "--undo", "0", "--json").out == '{\n  "action": 1\n}\n'
    assert passerby("review", people, "--import", answers_file).out == "1 answer\n"
    history = json.loads(passerby("review", people, "--history", "--json").out)
    rows = [(entry["kind"], entry["undone"] is None, entry["undoes"]) for entry in history]
    assert rows == [("answer", False, None), ("undo", True, 1), ("import", True, None)]
    assert "undo of 1" in passerby("review", people, "--history").out


@pytest.mark.parametrize("option", [("--next", "3"), ("--identities",), ("--answers",)])
def test_ids_are_printed_whole_in_one_line_of_80_columns(people, passerby, option, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    first, second = [i["members"][0]["sighting"]["id"] for i in _list(people, passerby)][:2]
    passerby("review", people, "--answer", first, second, "different")
    printed = passerby("review", people, *option).out
    rows = json.loads(passerby("review", people, *option, "--json").out)
    rows = rows["answers"] if isinstance(rows, dict) else rows
    ids = [row[name] for row in rows for name in ("id", "first", "second") if name in row]
    assert ids
    for name in ids[:30]:  # rows that are printed
        assert name in printed
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= 80


def _list(people, passerby):
    return json.loads(passerby("review", people, "--identities", "--json").out)


def test_names_merges_and_splits(people, passerby):
    identities = json.loads(passerby("review", people, "--identities", "--json").out)
    first = identities[0]
    assert passerby("review", people, "--rename", first["id"], "Ada").out == "action 1\n"
    assert "Ada" in passerby("review", people, "--identities").out
    if len(identities) > 1:
        assert passerby("review", people, "--merge", first["id"], identities[1]["id"]).code == 0
    member = json.loads(passerby("review", people, "--identities", "--json").out)[0]["members"][0]["sighting"]["id"]
    passerby("review", people, "--split", member)
    assert passerby("review", people, "--assign").out == "0 sightings assigned\n"
    for option in ("--history", "--answers", "--identities"):
        assert passerby("review", people, option).code == 0


def test_a_removed_sighting_is_restored_or_forgotten(people, passerby):
    names = [m["sighting"]["id"] for identity in _list(people, passerby) for m in identity["members"]]
    assert passerby("review", people, "--remove", names[0], "--remove", names[1]).out == "action 1\n"
    assert names[0] not in passerby("review", people, "--identities", "--json").out
    assert passerby("review", people, "--undo", "0").out == "action 1 undone\n"
    assert len(_list(people, passerby)) > 0
    passerby("review", people, "--remove", names[0])
    assert "nothing matched" in passerby("gallery", "remove", people, "--id", names[0], "--yes").error
    assert passerby("gallery", "forget", people, "--id", names[0], "--yes").out == "1 sighting erased\n"
    assert "its sightings were erased since" in passerby("review", people, "--undo", "3").error


def test_one_option_is_expected(people, passerby):
    assert passerby("review", people).error.startswith("review: got none, expected one of --next, --survey")
    assert "got --next and --history" in passerby("review", people, "--next", "2", "--history").error
    assert "expected one of same, different, unknown" in passerby("review", people, "--answer", "a", "b", "x").error
    assert "no sighting 'a'" in passerby("review", people, "--answer", "a", "b", "same").error


def test_a_survey_and_the_number_of_people(people, passerby):
    assert "expected at least 2; answer its questions" in passerby("review", people, "--people").error
    for _ in range(30):
        questions = json.loads(passerby("review", people, "--survey", "3", "--json").out)
        if not questions:
            break
        for question in questions:
            passerby("review", people, "--answer", question["first"], question["second"], "different")
    assert questions == []
    estimate = json.loads(passerby("review", people, "--people", "--json").out)
    assert estimate["units"] == 3
    assert "(90% interval)" in passerby("review", people, "--people").out
