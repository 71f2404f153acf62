"""Routes of a real service. Oracle: the same methods of `Gallery` on the same folder."""

import json
import re

import numpy as np
import pytest
import typer

from gallery.people import MODEL
from passerby.cli.main import app
from passerby.gallery.filters import Filter
from passerby.gallery.stores.opening import open_gallery
from serving.running import vector

NO_ROUTE = {
    "reembed": "it changes the model of the gallery that is served",
    "restore": "it makes another gallery than the one that is served",
    "upgrade": "an older gallery cannot be opened by a service",
}
"""Verbs of `passerby gallery` without a route, with the reason."""


def test_every_gallery_verb_has_a_route_of_its_name(service):
    verbs = set(typer.main.get_command(app).commands["gallery"].commands)
    paths = set(service.http.get("/openapi.json").json()["paths"])
    routes = {path.removeprefix("/v1/") for path in paths}
    assert {verb for verb in verbs if verb not in routes} == set(NO_ROUTE)
    assert {"search", "identify", "cluster", "sightings"} <= routes


def test_search_returns_what_the_gallery_returns(service):
    query = vector(1)
    reply = service.http.post("/v1/search", json={"vectors": [query], "top": 5, "not_cameras": ["cam0"]}).json()
    store = open_gallery(service.folder)
    ((*hits,),) = store.search(np.array(query), top=5, where=Filter(not_cameras=["cam0"]))
    store.close()
    assert reply == {"results": [{"hits": [hit.to_dict() for hit in hits]}]}


def test_a_sighting_is_added_once_read_and_removed(service):
    body = {"camera": "door", "label": "Ada", "time": "2026-11-01T08:00", "vector": vector(2), "source": "a.jpg"}
    first = service.http.post("/v1/sightings", json=body)
    again = service.http.post("/v1/sightings", json={**body, "label": "Eve"})
    assert (first.status_code, first.json()["status"]) == (201, "new")
    assert (again.status_code, again.json()["status"], again.json()["label"]) == (200, "known", "Ada")
    name = first.json()["id"]
    stored = service.http.get(f"/v1/sightings/{name}").json()
    assert (stored["camera"], stored["label"], stored["time"]) == ("door", "Ada", 1793520000.0)
    assert service.http.get(f"/v1/sightings/{name}/crop").json()["error"]["code"] == "no_crop"
    assert service.http.delete(f"/v1/sightings/{name}").json() == {"count": 1}
    assert service.http.get(f"/v1/sightings/{name}").status_code == 404
    assert service.http.delete(f"/v1/sightings/{name}").status_code == 404


def test_a_batch_reports_each_sighting(service):
    good = {"camera": "door", "vector": vector(3), "id": "b1"}
    bad = {"camera": "door", "vector": [0.5] * MODEL.dimension, "id": "b2"}
    short = {"camera": "door", "vector": [1.0], "id": "b3"}
    reply = service.http.post("/v1/sightings/batch", json={"sightings": [good, bad, short, good]}).json()["sightings"]
    assert [item["status"] for item in reply] == ["new", "unreadable", "unreadable", "known"]
    assert "vector has length" in reply[1]["reason"]
    assert "1 number, expected 24" in reply[2]["reason"]
    assert service.http.post("/v1/forget", json={"ids": ["b1"]}).json() == {"count": 1}


def test_sightings_are_listed_in_pages(service):
    ids, after = [], ""
    while after is not None:
        page = service.http.get("/v1/sightings", params={"limit": 7, "after": after, "camera": "cam1"}).json()
        ids += [sighting["id"] for sighting in page["sightings"]]
        after = page["next"]
    assert ids == sorted(sighting.id for sighting in service.sightings if sighting.camera == "cam1")


def test_labels_are_set_and_removed(service):
    chosen = service.sightings[3]
    assert chosen.label is None
    assert service.http.post("/v1/label", json={"name": "Ada", "ids": [chosen.id]}).json() == {"count": 1}
    assert service.http.get(f"/v1/sightings/{chosen.id}").json()["label"] == "Ada"
    assert service.http.post("/v1/label", json={"labels": ["Ada"]}).json() == {"count": 1}
    assert service.http.get(f"/v1/sightings/{chosen.id}").json()["label"] is None


def test_clusters_respect_the_threshold(service):
    reply = service.http.post("/v1/cluster", json={"threshold": 1e-6}).json()
    equal = [sighting.id for sighting in service.sightings if sighting.vector[0] == service.sightings[0].vector[0]]
    assert sorted(sighting["id"] for sighting in reply["clusters"][0]) == sorted(equal)


def test_stats_cameras_model_and_audit(service):
    service.http.post("/v1/search", json={"vectors": [vector(1)]})
    stats = service.http.get("/v1/stats").json()
    cameras = service.http.get("/v1/cameras").json()
    assert stats["sightings"] == sum(cameras.values()) == 40
    model = service.http.get("/v1/model").json()
    assert (model["dimension"], model["embeds_images"], model["keep"]) == (MODEL.dimension, False, "thumbnails")
    audit = service.http.get("/v1/audit").json()
    assert {"create", "enroll", "search"} <= {entry["action"] for entry in audit}


def test_expire_needs_days_without_a_retention(service):
    assert "give days" in service.http.post("/v1/expire", json={}).json()["error"]["message"]
    assert service.http.post("/v1/expire", json={"days": 1}).json() == {"count": 0}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("search", {}, 400, "give images or vectors, and not both"),
        ("search", {"vectors": [[1.0]]}, 400, "vector 0: 1 number, expected 24"),
        ("search", {"vectors": [[0.0] * 24]}, 400, "expected finite and not all zero"),
        ("search", {"images": ["AAAA"]}, 400, "image 0: not an image that can be read"),
        ("search", {"images": ["no base64!"]}, 400, "image 0: not base64"),
        ("search", {"vectors": [[1.0] * 24], "top": 0}, 422, "top: Input should be greater than or equal to 1"),
        ("search", {"vectors": [[1.0] * 24], "top": 5000}, 422, "top: got 5,000, expected at most 1,000"),
        ("search", {"vectors": [[1.0] * 24] * 65}, 422, "got 65 items, expected 1 to 64"),
        ("search", {"vectors": [[1.0] * 24], "cameras": ["norht"]}, 400, "camera 'norht': no sighting has it"),
        ("search", {"vectors": [[1.0] * 24], "since": "soon"}, 400, "since: "),
        ("search", {"vectors": [[1.0] * 24], "camera": "cam0"}, 422, "camera: no such field; did you mean 'cameras'? "),
        ("search", {"imgaes": []}, 422, "imgaes: no such field; did you mean 'images'? expected cameras, not_cameras"),
        (
            "sightings/batch",
            {"sightings": [{"camera": "door", "lable": "Ada"}]},
            422,
            "sightings.0.lable: no such field; did you mean 'label'? expected camera, time, label, source",
        ),
        ("identify", {"vectors": [[1.0] * 24]}, 400, "not calibrated"),
        ("sightings", {"camera": "", "vector": [1.0]}, 400, "camera is '', expected 1 to 255 characters"),
        ("sightings", {"camera": "door"}, 400, "give an image or a vector, and not both"),
        ("sightings", {"vector": [1.0]}, 422, "camera: Field required"),
        ("sightings/batch", {"sightings": []}, 422, "got 0 items, expected 1 to 64"),
        ("label", {"name": "Ada", "labels": ["nobody"]}, 404, "no sighting meets the conditions"),
        ("label", {"name": "Ada"}, 400, "the filter has no condition"),
        ("remove", {}, 400, "the filter has no condition"),
        ("forget", {}, 400, "expected one of them"),
        ("forget", {"label": "Ada", "ids": ["x"]}, 400, "expected one of them"),
        ("expire", {"days": -1}, 400, "expected 0 or more"),
        ("nothing", {}, 404, "POST /v1/nothing: no such path; expected one of those at /docs"),
        ("stats", {}, 405, "POST /v1/stats: no such method of this path; expected GET"),
    ],
)
def test_bad_input_has_a_message(service, path, body, status, message):
    reply = service.http.post(f"/v1/{path}", json=body)
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert message in error["message"]
    assert error["request"] == reply.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sightings?camra=north", "camra: no such parameter; did you mean 'camera'? expected camera, label"),
        ("stats?verbose=1", "verbose: no such parameter; expected none"),
    ],
)
def test_an_unknown_query_parameter_is_refused(service, path, message):
    reply = service.http.get(f"/v1/{path}")
    assert reply.status_code == 422
    assert message in reply.json()["error"]["message"]


def test_bodies_that_are_no_json(service):
    def post(content, kind="application/json"):
        reply = service.http.post("/v1/search", content=content, headers={"Content-Type": kind})
        return reply.status_code, reply.json()["error"]["code"]

    assert post(b"{") == (400, "not_json")
    assert post(b'{"vectors": [[1e999]]}') == (400, "not_json")
    assert post(b"[" * 100_000) == (400, "not_json")
    assert post(b"\xff") == (400, "not_json")
    assert post(b"x", "text/plain") == (415, "content_type")
    assert post(b"x", "multipart/form-data") == (400, "bad_request")


def test_the_page_of_the_interface_has_every_operation_and_no_script(service):
    page = service.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "style=" not in page.text
    paths = service.http.get("/openapi.json").json()["paths"]
    assert all(path in page.text for path in paths)
    assert "`" not in page.text
    assert "<code>limit</code> at a time" in page.text
    assert service.http.get("/docs.css").status_code == 200
    section = page.text.partition("/v1/sightings/batch</h2>")[2].partition("</section>")[0]
    assert "<code>sightings[]<wbr>.camera</code>" in section  # a name breaks at its dots
    names = re.findall(r"<code>([^<]+)</code></td>", section.replace("<wbr>", ""))
    assert names[:4] == ["sightings", "sightings[].camera", "sightings[].time", "sightings[].label"]
    assert names[-5:] == ["sightings", *(f"sightings[].{name}" for name in ("id", "status", "label", "reason"))]


def test_metrics_name_routes_and_stages(service):
    service.http.post("/v1/search", json={"vectors": [vector()]})
    text = service.http.get("/metrics").text
    assert 'passerby_request_seconds_count{method="POST",route="/v1/search",status="200"}' in text
    assert 'passerby_stage_seconds_count{stage="search"}' in text
    assert 'passerby_queue_length{queue="embedding"} 0.0' in text
    assert service.http.get("/healthz").json() == service.http.get("/readyz").json() == {"status": "ok"}


def test_the_log_has_requests_and_nothing_about_people(service):
    body = {
        "camera": "door",
        "label": "Secretperson",
        "source": "secretfile.jpg",
        "vector": vector(5),
        "id": "secretid",
    }
    assert service.http.post("/v1/sightings", json=body).status_code == 201
    assert service.http.get("/v1/sightings/secretid").status_code == 200
    assert service.http.get("/v1/sightings/secretid?x=secretquery").status_code == 422
    assert service.http.get("/v1/sightings?label=secretquery").status_code == 200
    assert (
        service.http.post("/v1/label", json={"name": "x" * 300 + "secretname", "ids": ["secretid"]}).status_code == 400
    )
    assert service.http.post("/v1/forget", json={"label": "Secretperson"}).json() == {"count": 1}
    lines = [json.loads(line) for line in service.log.read_text(encoding="utf-8").splitlines()]
    assert {"time", "level", "request", "route", "status", "ms", "caller"} <= lines[-1].keys()
    assert "/v1/sightings/{name}" in {line.get("route") for line in lines}
    assert "secret" not in service.log.read_text(encoding="utf-8").lower()
