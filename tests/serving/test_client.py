"""The client. Oracle: the same script on a copy of the gallery in a folder."""

import inspect
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby import Client, Crop, Filter, Gallery, list_crops
from passerby.errors import GalleryError
from passerby.gallery.adapted_runs import record_adapted_run
from passerby.gallery.carried_lists import read_lists
from passerby.gallery.enrolled_shards import record_job
from passerby.gallery.review import Review
from passerby.gallery.stores.opening import open_gallery
from passerby.serving.gallery_routes import ExpireBody, ForgetBody, LabelBody
from passerby.serving.query_routes import ClusterBody
from passerby.serving.request_bodies import FilterBody, IdentifyBody, SearchBody
from passerby.serving.review_client import RemoteReview
from serving.running import make_gallery, running

NOT_IN_CLIENT = {
    "store": "the service owns it",
    "embedder": "the service owns it",
    "calibration": "the service owns it",
}
"""Public attributes of `Gallery` that the client lacks, with the reason."""


def methods(kind):
    return {name: value for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_the_client_has_the_methods_and_arguments_of_the_gallery():
    assert methods(Gallery).keys() - methods(Client).keys() - NOT_IN_CLIENT.keys() == set()
    assert methods(Client).keys() - methods(Gallery).keys() == set()
    for name, method in methods(Client).items():
        if name == "review":  # its settings are those of the service
            continue
        ours, theirs = (inspect.signature(function).parameters for function in (method, methods(Gallery)[name]))
        assert [*ours] == [*theirs], name
        assert [p.kind for p in ours.values()] == [p.kind for p in theirs.values()], name
        assert {n: p.default for n, p in ours.items() if n != "batch"} == {
            n: p.default for n, p in theirs.items() if n != "batch"
        }, name


BODIES = {
    "search": (SearchBody, {"images", "vectors"}),
    "identify": (IdentifyBody, {"images", "vectors"}),
    "cluster": (ClusterBody, set()),
    "label": (LabelBody, set()),
    "remove": (FilterBody, set()),
    "forget": (ForgetBody, set()),
    "expire": (ExpireBody, set()),
    "export": (FilterBody, set()),
}
"""Bodies of the routes with the words of the gallery, and their fields that are not arguments of one method."""


@pytest.mark.parametrize("verb", BODIES)
def test_the_bodies_of_routes_have_the_arguments_of_the_gallery(verb):
    """Oracle: the signature of `Gallery`; `where` is the fields of `Filter`, and `progress` and `path` are local."""
    body, others = BODIES[verb]
    expected = {*inspect.signature(methods(Gallery)[verb]).parameters} - {"self", "progress", "path", "images"}
    if "where" in expected:
        expected = expected - {"where"} | {field.name for field in fields(Filter)}
    assert {*body.model_fields} == expected | others
    defaults = inspect.signature(methods(Gallery)[verb]).parameters
    for name in expected & {*defaults} - {"name"}:
        assert body.model_fields[name].default == defaults[name].default, name


@pytest.fixture(scope="module")
def gallery_with_model(tmp_path_factory, tiny_run):
    folder = tmp_path_factory.mktemp("client") / "people"
    Gallery(folder, model=tiny_run, keep="crops").close()
    return folder


def script(gallery, folder):
    """Everything that code does with a gallery; returns what can be compared."""
    crops = list_crops("crops", folders="camera")
    crops[0] = replace(crops[0], label="Ada", time=1_700_000_000.0, attributes={"door": 3})
    crops[1] = replace(crops[1], label="Eve")
    crops.append(Crop(image=Path("broken.jpg"), camera="north"))
    Path("broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    pixels = np.asarray(Image.open("b.jpg").convert("RGB"))
    first = gallery.enroll(crops)
    again = gallery.enroll([replace(crops[0], label="Bob"), *crops[1:5]], batch=2)
    hits = gallery.search(["a.jpg", Image.open("b.jpg"), pixels], top=4, where=Filter(cameras=["south"]))
    vectors = np.stack([np.ones(32), -np.ones(32)]) / 32**0.5
    near = gallery.search_vectors(vectors.astype(np.float32), top=2)
    person = gallery.identify("a.jpg", unknown=0.2, at_least=0.4)
    by_vector = gallery.identify_vectors(vectors[0].astype(np.float32), where=Filter(not_cameras=["south"]))
    clusters = gallery.cluster(threshold=0.01)
    review = gallery.review()
    identities = review.identities()
    one, two = sorted(member.sighting.id for identity in identities for member in identity.members)[:2]
    review.answer(one, two, "different", reason="script")
    named = review.rename(review.identities()[0].id, "Kit")
    review.undo(named)
    asked = [(question.first, question.second, question.reason) for question in review.questions(3)]
    told = review.answers()
    review.export_answers(folder / "answers.csv")
    labeled = gallery.label("Zoe", where=Filter(ids=[hits[0][0].id]))
    exported = gallery.export(folder / "all.parquet")
    removed = gallery.remove(where=Filter(ids=[hits[0][1].id]))
    forgotten = gallery.forget(label="Zoe"), gallery.forget(ids=["nothing"])
    back = gallery.import_(folder / "all.parquet")
    expired = gallery.expire(days=1)
    stats = gallery.stats()
    actions = [entry.action for entry in gallery.audit()]
    return {
        "enroll": (first.new, first.known, len(first.unreadable)),
        "again": (again.new, again.known, again.conflicts),
        "hits": [[(hit.id, hit.label, hit.camera, hit.time, dict(hit.attributes)) for hit in row] for row in hits],
        "distances": np.array([[hit.distance for hit in row] for row in hits]),
        "near": [[hit.id for hit in row] for row in near],
        "person": [(result.answer, result.label, [c.label for c in result.candidates]) for result in person],
        "probability": np.array([result.probability for result in person]),
        "by vector": [result.answer for result in by_vector],
        "review": (
            sorted(len(identity.members) for identity in identities),
            asked,
            [(a.first == one, a.second == two, a.answer, a.reason) for a in told.answers],
            [(action.kind, action.answers, action.undone is None) for action in review.history()],
            len((folder / "answers.csv").read_text(encoding="utf-8").splitlines()),
            sorted(review.assign()),
        ),
        "clusters": [[sighting.id for sighting in cluster] for cluster in clusters.clusters],
        "counts": (labeled, exported, removed, forgotten, back.new, back.known, expired),
        "stats": (stats.sightings, stats.labels, dict(stats.cameras), stats.card.keep, stats.card.model.dimension),
        "actions": set(actions),
    }


def test_one_script_does_the_same_with_a_folder_and_with_a_service(workspace, gallery_with_model, tmp_path):
    served = tmp_path / "served"
    shutil.copytree(gallery_with_model, served)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Gallery(gallery_with_model) as gallery:
        expected = script(gallery, tmp_path / "a")
    with running(served) as address, Client(address) as client:
        received = script(client, tmp_path / "b")
        with pytest.raises(GalleryError, match=r"all\.parquet: the file exists"):
            client.export(tmp_path / "b" / "all.parquet")
        with pytest.raises(GalleryError, match="camera 'up': no sighting has it; cameras of the gallery: north, south"):
            client.search("a.jpg", where=Filter(cameras=["up"]))
    assert not [*served.glob(".serve-*")]
    for name in ("distances", "probability"):
        np.testing.assert_allclose(received.pop(name), expected.pop(name), atol=1e-5)
    assert received == expected


def test_a_backup_and_an_export_of_a_service_carry_the_lists_of_shards_and_adapted_runs(tmp_path):
    """Oracle: the lists in the folder of the served gallery."""
    sightings = make_gallery(tmp_path / "people", 3)
    record_job(tmp_path / "people", tmp_path / "job")
    record_adapted_run(tmp_path / "people", tmp_path / "run", [sightings[0].id])
    make_gallery(tmp_path / "other", 0)
    with running(tmp_path / "people") as address, Client(address) as client:
        assert client.backup(tmp_path / "copy") == 3
        assert client.export(tmp_path / "g.parquet") == 3
    with running(tmp_path / "other") as address, Client(address) as client:
        assert client.import_(tmp_path / "g.parquet").new == 3
    open_gallery(tmp_path / "copy").close()
    lists = read_lists(tmp_path / "people")
    assert [len(lists.jobs), len(lists.runs)] == [1, 1]
    assert read_lists(tmp_path / "copy") == read_lists(tmp_path / "other") == lists


def test_a_review_through_a_service_has_the_methods_of_the_review_of_a_gallery():
    missing = methods(Review).keys() - methods(RemoteReview).keys()
    assert missing == {"import_answers", "known_identities"}  # the user of an answer is the token's; internal
    for name, method in methods(RemoteReview).items():
        ours, theirs = (inspect.signature(function).parameters for function in (method, methods(Review)[name]))
        assert [(p.name, p.kind, p.default) for p in ours.values()] == [
            (p.name, p.kind, p.default) for p in theirs.values()
        ], name


def test_addresses_that_do_not_answer():
    with pytest.raises(GalleryError, match="expected the address of a service"):
        Client("people")
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(
            GalleryError, match=r"http://127\.0\.0\.1:9: cannot be reached .*is `passerby serve` running there"
        ),
    ):
        client.stats()
