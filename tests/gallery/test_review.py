"""Review of a gallery. Oracles: the true persons of drawn vectors, and the rows of the tables."""

import numpy as np
import pytest

from gallery.people import MODEL, NOW, Watch
from gallery.review_people import CALIBRATION, add_people, find, groups, person
from passerby.errors import DataError, GalleryError
from passerby.gallery.cluster import cluster_sightings
from passerby.gallery.filters import Filter
from passerby.gallery.forget import forget
from passerby.gallery.review import Review
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.reviewing.answers import Answer


@pytest.fixture
def store(tmp_path):
    store = open_gallery(tmp_path / "gallery", model=MODEL, user="ada", clock=Watch())
    add_people(store)
    yield store
    store.close()


@pytest.fixture
def review(store):
    return Review(store, CALIBRATION)


def test_clear_persons_are_identities_with_stable_ids(review, store):
    identities = review.identities()
    assert groups(identities) == {person(number) for number in range(6)}
    assert all(member.probability > 0.9 for identity in identities for member in identity.members)
    assert review.identities() == identities == Review(store, CALIBRATION).identities()


def test_a_merge_keeps_an_id_and_its_undo_gives_both_back(review):
    a, b = find(review, "p0s0"), find(review, "p1s0")
    review.rename(b.id, "Grace")
    number = review.merge([a.id, b.id])
    merged = find(review, "p0s0")
    assert {m.sighting.id for m in merged.members} == person(0) | person(1)
    assert merged.id in (a.id, b.id)
    assert review.undo() == number
    assert (find(review, "p0s0").id, find(review, "p1s0").id) == (a.id, b.id)
    assert find(review, "p1s0").label == "Grace"


def test_a_split_separates_sightings_and_its_undo_joins_them(review):
    whole = find(review, "p2s0")
    review.split(["p2s0", "p2s1"])
    assert {m.sighting.id for m in find(review, "p2s0").members} == {"p2s0", "p2s1"}
    assert {m.sighting.id for m in find(review, "p2s3").members} == {"p2s2", "p2s3"}
    assert whole.id in (find(review, "p2s0").id, find(review, "p2s3").id)
    review.undo()
    assert find(review, "p2s3") == whole


def test_names_are_history_and_undone(review):
    identity = find(review, "p0s0")
    first, second = review.rename(identity.id, "Ada"), review.rename(identity.id, "Eve")
    with pytest.raises(GalleryError, match=rf"action {first}: the identity was renamed again since; undo that first"):
        review.undo(first)
    review.undo(second)
    assert find(review, "p0s0").label == "Ada"
    review.undo(first)
    assert find(review, "p0s0").label is None
    assert [(a.kind, a.undone, a.undoes) for a in review.history()] == [
        ("rename", NOW, None),
        ("rename", NOW, None),
        ("undo", None, second),
        ("undo", None, first),
    ]


def test_questions_lead_to_the_persons(tmp_path):
    store = open_gallery(tmp_path / "hard", model=MODEL)
    add_people(store, people=15, noise=0.75)
    review = Review(store, CALIBRATION)
    asked = 0
    while asked < 120 and (questions := review.questions(10)):
        for question in questions:
            same = question.first.split("s")[0] == question.second.split("s")[0]
            review.answer(question.first, question.second, "same" if same else "different", reason=question.reason)
        asked += len(questions)
    assert len(groups(review.identities()) & {person(number) for number in range(15)}) >= 13
    store.close()


def test_contradicting_answers_are_shown_and_asked_again_first(review):
    for first, second, answer in (("p0s0", "p1s0", "same"), ("p1s0", "p2s0", "same"), ("p0s0", "p2s0", "different")):
        review.answer(first, second, answer)
    table = review.answers()
    assert len(table.answers) == 3
    (contradiction,) = table.contradictions
    assert len({contradiction.unused, *contradiction.against}) == 3
    question = review.questions(5)[0]
    assert (question.reason, question.value) == ("contradiction", None)
    review.answer(question.first, question.second, "unknown")
    assert review.answers().contradictions


def test_new_sightings_are_assigned_without_changing_the_others(review, store):
    before = {identity.id: groups([identity]) for identity in review.identities()}
    vectors = {s.id: s.vector for batch in store.walk() for s in batch}
    near = vectors["p0s0"] + 0.05 * vectors["p1s0"]
    far = -vectors["p0s0"] - vectors["p1s0"]
    for name, vector in (("near", near), ("far", far)):
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        store.add([Sighting(vector=unit, camera="cam0", id=name, source=name)])
    assigned = review.assign()
    assert set(assigned) == {"near", "far"}
    identity, probability = assigned["near"]
    assert "p0s0" in next(iter(before[identity]))
    assert probability > 0.9
    assert assigned["far"][0] not in before
    assert review.assign() == {}


def test_clusters_hold_the_answers(store, review):
    review.answer("p0s0", "p1s0", "same")
    review.answer("p2s0", "p2s1", "different")
    result = cluster_sightings(store, where=Filter(), threshold=0.5)
    clusters = [{sighting.id for sighting in cluster} for cluster in result.clusters]
    assert person(0) | person(1) in clusters
    assert not any({"p2s0", "p2s1"} <= cluster for cluster in clusters)
    assert person(3) in clusters
    review.undo()
    review.undo()
    clusters = cluster_sightings(store, where=Filter(), threshold=0.5).clusters
    assert {frozenset(s.id for s in cluster) for cluster in clusters} == {person(number) for number in range(6)}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_answers_go_through_a_file_once(review, store, tmp_path, ending):
    review.answer("p0s0", "p1s0", "same", reason="merge")
    review.answer("p2s0", "p2s1", "unknown")
    path = tmp_path / f"answers.{ending}"
    assert review.export_answers(path) == 2
    other = open_gallery(tmp_path / "other", model=MODEL, user="eve")
    add_people(other)
    second = Review(other, CALIBRATION)
    assert second.import_answers(path) == 2
    assert second.import_answers(path) == 0
    strip = [(a.first, a.second, a.answer, a.user, a.time, a.reason) for a in review.answers().answers]
    assert [(a.first, a.second, a.answer, a.user, a.time, a.reason) for a in second.answers().answers] == strip
    assert strip[0] == ("p0s0", "p1s0", "same", "ada", NOW, "merge")
    other.close()


def test_forgetting_erases_answers_identities_and_names_from_every_file(review, store, tmp_path):
    reason = "the gate of 9 May"
    identity = find(review, "p0s0")
    review.rename(identity.id, "Wilhelmina Unforgotten")
    review.answer("p0s0", "p1s0", "same", reason=reason)
    review.identities()
    secrets = [b"p0s0", b"p0s3", reason.encode(), b"Wilhelmina Unforgotten"]

    def found():
        content = b"".join(path.read_bytes() for path in (tmp_path / "gallery").rglob("*") if path.is_file())
        return [secret for secret in secrets if secret in content]

    assert found() == secrets
    forget(store, ids=sorted(person(0) | person(1)))
    assert found() == []
    assert review.answers().answers == ()
    assert groups(review.identities()) == {person(number) for number in range(2, 6)}


def test_a_removed_anchor_is_replaced(review, store):
    identity = find(review, "p0s0")
    store.remove(Filter(ids=["p0s0"]))
    assert find(review, "p0s1").id == identity.id


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.answer("p0s0", "nobody", "same"), r"no sighting 'nobody' \(1 of 2 ids missing\); no answer was"),
        (lambda r: r.answer("p0s0", "p0s1", "maybe"), "answer: got 'maybe', expected one of same, different, unknown"),
        (lambda r: r.answer("p0s0", "p0s0", "same"), "expected two different ids"),
        (lambda r: r.merge(["one"]), "merge: got one, expected two or more identities"),
        (lambda r: r.merge(["one", "two"]), "identity 'one': no sighting has it"),
        (lambda r: r.split(["p0s0", "p1s0"]), "split: 2 sightings of 2 identities, expected sightings of one identity"),
        (lambda r: r.split(sorted(person(0))), "split: these are all sightings of the identity"),
        (lambda r: r.rename("nobody", "Ada"), "no identity 'nobody'"),
        (lambda r: r.rename("nobody", ""), "rename: label is '', expected 1 to 255 characters"),
        (lambda r: r.undo(), "no action of 'ada' to undo"),
        (lambda r: r.undo(7), "action 7: no such action"),
        (lambda r: r.questions(0), "questions: got 0, expected at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(review, call, message):
    review.identities()
    with pytest.raises((GalleryError, DataError), match=message):
        call(review)
    assert review.history() == []


def test_an_action_is_undone_once(review):
    number = review.answer("p0s0", "p0s1", "same")
    review.undo(number)
    with pytest.raises(GalleryError, match=f"action {number}: undone before"):
        review.undo(number)
    with pytest.raises(GalleryError, match=f"action {number + 1}: an undo cannot be undone, repeat the action that it"):
        review.undo(number + 1)


def test_merges_and_undos_are_rows_of_the_history(review):
    merge = review.merge([find(review, "p0s0").id, find(review, "p1s0").id])
    review.undo(merge)
    rows = [(row.number, row.kind, row.user, row.answers, row.undone, row.undoes) for row in review.history()]
    assert rows == [(merge, "merge", "ada", 1, NOW, None), (merge + 1, "undo", "ada", 0, None, merge)]


@pytest.mark.parametrize(("name", "value"), [("prior", 1.0), ("error_rate", 0.5), ("error_rate", 0.0)])
def test_numbers_outside_their_range_are_refused(store, name, value):
    with pytest.raises(GalleryError, match=f"{name}: got {value}, expected a number above 0 and below"):
        Review(store, CALIBRATION, **{name: value})


def test_an_empty_gallery_has_no_questions(tmp_path):
    store = open_gallery("memory", model=MODEL)
    review = Review(store, CALIBRATION)
    assert review.questions() == []
    assert review.identities() == []
    assert review.assign() == {}
    store.close()


def test_answers_are_stored_together_or_not_at_all(store):
    with pytest.raises(GalleryError, match="no answer was stored"):
        store.answers.add([Answer("p0s0", "p0s1", "same"), Answer("p0s0", "gone", "same")])
    assert store.answers.read() == []
    assert store.answers.history() == []


def test_a_survey_estimates_the_number_of_persons(tmp_path):
    store = open_gallery(tmp_path / "hard", model=MODEL)
    add_people(store, people=15, noise=0.7)
    review = Review(store, CALIBRATION)
    with pytest.raises(DataError, match="population: 0 sightings of a survey with all answers, expected at least 2"):
        review.population()
    rounds = 0
    while (questions := review.survey(25)) and rounds < 60:
        for question in questions:
            assert question.reason == "count"
            same = question.first.split("s")[0] == question.second.split("s")[0]
            review.answer(question.first, question.second, "same" if same else "different", reason="count")
        rounds += 1
    assert questions == []
    estimate = review.population()
    assert estimate.units == 25
    assert estimate.low <= 15 <= estimate.high
    assert estimate.high - estimate.low < 15
    add_people(store, people=1, seed=99)  # the same ids: nothing is new
    assert review.population() == estimate
    with pytest.raises(GalleryError, match="survey: got 1 unit, expected at least 2"):
        review.survey(1)
    store.close()


def test_labels_are_evidence_and_a_merge_of_labeled_identities_needs_one_answer(store, review):
    store.relabel(Filter(ids=["p0s0", "p1s0", "p2s0"]), "Ada")
    together = person(0) | person(1) | person(2)
    assert groups(review.identities()) == {together, *map(person, range(3, 6))}
    store.relabel(Filter(ids=["p3s1"]), "Bob")
    review.merge([find(review, "p0s0").id, find(review, "p3s0").id])
    assert [answer.answer for answer in review.answers().answers] == ["same"]
    assert together | person(3) in groups(review.identities())
    review.undo()
    store.relabel(Filter(ids=["p1s0"]), None)
    assert groups(review.identities()) == {person(0) | person(2), person(1), *map(person, range(3, 6))}
