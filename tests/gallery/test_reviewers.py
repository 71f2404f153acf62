"""Reviews of one gallery by two users. Oracles: the answers of each, and the true persons of drawn vectors."""

import pytest

from gallery.people import MODEL, Watch
from gallery.review_people import CALIBRATION, add_people, find, groups, person
from passerby.errors import GalleryError
from passerby.gallery.review import Review
from passerby.gallery.stores.opening import open_gallery


@pytest.fixture
def reviewers(tmp_path):
    """Two users of one gallery, each with a connection of their own."""
    stores = [open_gallery(tmp_path / "shared", model=MODEL, user=user, clock=Watch()) for user in ("ada", "eve")]
    add_people(stores[0])
    yield [Review(store, CALIBRATION) for store in stores]
    for store in stores:
        store.close()


def test_equal_answers_of_two_reviewers_are_both_kept_and_count_twice(reviewers):
    ada, eve = reviewers
    ada.answer("p0s0", "p1s0", "same")
    asked = [{q.first, q.second} for q in eve.questions(20)]
    assert {"p0s0", "p1s0"} in asked  # against the distance: one answer is not certain
    for reviewer in (eve, ada, eve):
        reviewer.answer("p1s0", "p0s0", "same")
    assert [answer.user for answer in ada.answers().answers] == ["ada", "eve", "ada", "eve"]
    assert {"p0s0", "p1s0"} not in [{q.first, q.second} for q in eve.questions(20) if q.value > 0.1]
    assert {m.sighting.id for m in find(eve, "p0s0").members} == person(0) | person(1)


def test_opposite_answers_of_two_reviewers_are_shown_asked_again_and_decided_by_a_third(reviewers):
    ada, eve = reviewers
    ada.answer("p0s0", "p1s0", "same")
    eve.answer("p0s0", "p1s0", "different")
    for reviewer in reviewers:
        (contradiction,) = reviewer.answers().contradictions
        assert contradiction.unused == ("p0s0", "p1s0")
        assert contradiction.against == (("p0s0", "p1s0"),)
        question = reviewer.questions(1)[0]
        assert (question.reason, question.first, question.second) == ("contradiction", "p0s0", "p1s0")
    assert find(ada, "p0s0").id != find(ada, "p1s0").id  # as the distance tells
    ada.answer("p0s0", "p1s0", "same")
    assert eve.answers().contradictions == ()
    assert find(eve, "p0s0").id == find(eve, "p1s0").id
    assert len(eve.answers().answers) == 3


def test_an_undo_takes_back_the_own_change_and_keeps_what_others_did_since(reviewers):
    ada, eve = reviewers
    a, b, c = (find(ada, f"p{number}s0").id for number in range(3))
    mine = ada.merge([a, b])
    merged = find(eve, "p0s0").id
    theirs = eve.merge([merged, c])
    ada.rename(find(ada, "p0s0").id, "Ada")
    eve.undo(mine)
    with pytest.raises(GalleryError, match=f"action {mine}: undone before"):
        ada.undo(mine)
    together = {m.sighting.id for m in find(ada, "p2s0").members}
    assert together == person(0) | person(1) | person(2)  # the other's merge was of all three
    assert [row.number for row in eve.history() if row.undone is None] == [theirs, theirs + 1, theirs + 2]
    assert eve.undo() == theirs  # the latest of this user, not the rename of the other
    assert groups(ada.identities()) == {person(number) for number in range(6)}
    with pytest.raises(GalleryError, match="no action of 'eve' to undo"):
        eve.undo()


def test_a_merge_that_contradicts_a_cannot_link_is_shown_and_not_silently_used(reviewers):
    ada, eve = reviewers
    a, b = find(ada, "p0s0").id, find(ada, "p1s0").id
    for _ in range(2):
        eve.answer("p0s1", "p1s2", "different")
    for number in (0, 1):
        for index in (1, 2, 3):
            ada.answer(f"p{number}s0", f"p{number}s{index}", "same")
    ada.merge([a, b])
    assert find(ada, "p0s0").id != find(ada, "p1s0").id
    table = ada.answers()
    assert len(table.answers) == 9
    assert len(table.contradictions) == 1
    assert ada.questions(1)[0].reason == "contradiction"
