"""Two reviewers of one service. Oracle: the answers and identities that both must see."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.people import MODEL, unit
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import Calibration, FittedOn
from passerby.serving.tokens import TokenFile
from serving import patient
from serving.running import running

FITTED = FittedOn("vectors", identities=10, images=40, same=60, different=700, trained_on=False)
CALIBRATION = Calibration("logistic", "cosine", [0.0, 0.2, 1.0], [6.0, 2.0, -6.0], FITTED)


@pytest.fixture(scope="module")
def reviewers(tmp_path_factory):
    """Two users of one service of 6 persons with 3 sightings each: `p0n0`, `p0n1`, ..."""
    folder = tmp_path_factory.mktemp("reviewers") / "people"
    generator = np.random.default_rng(5)
    store = open_gallery(folder, model=replace(MODEL, calibration=CALIBRATION.to_dict()))
    for person, center in enumerate(unit(generator, 6)):
        vectors = center + 0.06 * generator.standard_normal((3, MODEL.dimension))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store.add([Sighting(vector=v, camera=f"cam{n}", id=f"p{person}n{n}") for n, v in enumerate(vectors)])
    store.close()
    tokens = {name: TokenFile(folder).add("operate", name=name) for name in ("Ada", "Eve")}
    with running(folder) as address:
        clients = [
            patient.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=120)
            for token in tokens.values()
        ]
        yield clients
        for client in clients:
            client.close()


def post(client, path, **body):
    reply = client.post(f"/v1/{path}", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def find_identities(client):
    """Sightings by identity."""
    identities = client.get("/v1/identities").json()["identities"]
    return {identity["id"]: {member["sighting"]["id"] for member in identity["members"]} for identity in identities}


def find_id(client, sighting):
    return next(name for name, members in find_identities(client).items() if sighting in members)


def undo_all(client):
    for action in reversed(client.get("/v1/history").json()):
        if action["undone"] is None:
            client.post("/v1/undo", json={"action": action["number"]})


@pytest.fixture
def ada_and_eve(reviewers):
    yield reviewers
    undo_all(reviewers[0])


def contradictions(client):
    return client.get("/v1/answers").json()["contradictions"]


def test_both_answers_to_one_question_are_kept_and_a_contradiction_is_shown(ada_and_eve):
    """One vote for and one against: neither is used, so that the distances of two persons keep them apart."""
    ada, eve = ada_and_eve
    assert contradictions(ada) == []
    post(ada, "answers", first="p0n0", second="p1n0", answer="same")
    post(eve, "answers", first="p1n0", second="p0n0", answer="different")
    for client in (ada, eve):
        stored = client.get("/v1/answers").json()["answers"]
        assert [(a["user"], {a["first"], a["second"]}, a["answer"]) for a in stored] == [
            ("Ada", {"p0n0", "p1n0"}, "same"),
            ("Eve", {"p0n0", "p1n0"}, "different"),
        ]
        assert contradictions(client) == [{"unused": ["p0n0", "p1n0"], "against": [["p0n0", "p1n0"]]}]
        assert find_id(client, "p0n0") != find_id(client, "p1n0")


def test_a_merge_that_contradicts_a_cannot_link_is_shown_and_overrides_nothing(ada_and_eve):
    ada, eve = ada_and_eve
    post(ada, "answers", first="p2n0", second="p3n0", answer="different")
    before = find_identities(ada)
    post(eve, "identities/merge", identities=[find_id(eve, "p2n0"), find_id(eve, "p3n0")])
    table = ada.get("/v1/answers").json()
    assert {(answer["user"], answer["answer"]) for answer in table["answers"]} == {
        ("Ada", "different"),
        ("Eve", "same"),
    }
    assert contradictions(ada) == contradictions(eve) == [{"unused": ["p2n0", "p3n0"], "against": [["p2n0", "p3n0"]]}]
    assert find_identities(ada) == find_identities(eve) == before


def test_an_undo_is_of_the_users_own_latest_action(ada_and_eve):
    ada, eve = ada_and_eve
    first = post(ada, "answers", first="p4n0", second="p5n0", answer="same")["action"]
    later = post(eve, "answers", first="p4n1", second="p5n1", answer="different")["action"]
    assert post(ada, "undo")["action"] == first  # not the later one of the other user
    assert [answer["action"] for answer in eve.get("/v1/answers").json()["answers"]] == [later]
    refused = ada.post("/v1/undo", json={"action": first})
    assert (refused.status_code, "undone before" in refused.text) == (400, True)
    refused = ada.post("/v1/undo", json={})
    assert (refused.status_code, "no action of 'Ada' to undo" in refused.text) == (400, True)


def test_an_undo_after_a_later_change_of_another_user_is_refused(ada_and_eve):
    ada, eve = ada_and_eve
    identity = find_id(ada, "p4n0")
    first = post(ada, f"identities/{identity}/rename", label="Kit")["action"]
    second = post(eve, f"identities/{identity}/rename", label="Kim")["action"]
    refused = ada.post("/v1/undo", json={"action": first})
    assert (refused.status_code, "renamed again since; undo that first" in refused.text) == (400, True)
    labels = {item["id"]: item["label"] for item in ada.get("/v1/identities").json()["identities"]}
    assert labels[identity] == "Kim"
    assert [post(ada, "undo", action=number)["action"] for number in (second, first)] == [second, first]


def test_an_identity_that_another_user_has_merged_is_named(ada_and_eve):
    ada, eve = ada_and_eve
    gone, other = find_id(ada, "p4n0"), find_id(ada, "p5n0")
    post(eve, "identities/merge", identities=[gone, other])
    left = find_identities(ada)
    lost = gone if gone not in left else other
    assert len({gone, other} & {*left}) == 1
    for path, body in (("identities/merge", {"identities": [lost, find_id(ada, "p0n0")]}),):
        refused = ada.post(f"/v1/{path}", json=body)
        assert refused.status_code == 400
        assert lost in refused.text
