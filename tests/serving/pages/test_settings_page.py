"""The pages Cameras and Settings, and who may open pages. Oracle: the gallery's files and card after the requests."""

import re

import httpx

import passerby
from passerby.serving.tokens import TokenFile
from serving.pages.people_gallery import make_people
from serving.running import running


def test_cameras_show_days_shares_calibration_and_normalization(site):
    page = site.http.get("/cameras").text
    assert page.count("<td>90 %</td>") == 2  # of 20 sightings of each camera 2 have a label
    assert "2023-11-15" in page
    assert "Fitted to 40 images of 10 people, 60 pairs of one person and 1 pair of two people." in page
    assert page.count("<polyline") == 1
    assert re.search(r'<th scope="row">cam1</th><td>0\.\d{3}</td><td>\d\.\d\d</td>', page)


def test_the_retention_is_changed_after_a_confirmation_where_it_erases(site):
    assert "Sightings are kept" in site.http.get("/settings").text
    saved = site.http.post("/settings/retention", data={"days": "30"})
    assert "Sightings are erased 30 days after enrollment." in saved.text
    assert site.http.get("/v1/model").json()["retention"] == 30
    asked = site.http.post("/settings/retention", data={"days": "0.0000001"})
    assert re.search(r"Erase \d+ sightings now\?", asked.text)
    assert site.http.get("/v1/model").json()["retention"] == 30
    for days in ("x", "-1", "nan", "1e999"):
        assert site.http.post("/settings/retention", data={"days": days}).status_code == 400, days
    assert site.http.post("/v1/retention", json={"days": 0.0000001}).status_code == 400
    cleared = site.http.post("/settings/retention", data={"days": ""})
    assert "Sightings are kept" in cleared.text
    with passerby.Gallery(site.folder) as gallery:
        assert gallery.store.card.retention is None
        assert [entry.counts for entry in gallery.audit() if entry.action == "retention"] == [{"days": 30}, {}]


def test_forgetting_asks_for_the_name_again_and_erases(site):
    assert "the two names differ" in site.http.post("/settings/forget", data={"name": "Adalovelace", "again": "A"}).text
    assert b"Adalovelace" in b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    reply = site.http.post("/settings/forget", data={"name": "Adalovelace", "again": "Adalovelace"})
    assert "4 sightings erased." in reply.text
    assert b"Adalovelace" not in b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    missing = site.http.post("/settings/forget", data={"name": "nobody", "again": "nobody"})
    assert (missing.status_code, "no sighting has this name" in missing.text) == (404, True)


def test_the_export_is_a_parquet_file(site):
    assert site.http.post("/settings/export").content[:4] == b"PAR1"


def test_a_token_opens_the_pages_and_a_reader_has_no_buttons_of_operators(tmp_path):
    folder = tmp_path / "people"
    make_people(folder, persons=3)
    token = TokenFile(folder).add("read")
    with running(folder) as address, httpx.Client(base_url=address, follow_redirects=True, timeout=120) as http:
        assert http.get("/people").url.path == "/sign-in"
        assert "not one of this gallery" in http.post("/sign-in", data={"token": "x"}).text
        assert http.post("/sign-in", data={"token": token}).url.path == "/review"
        assert http.get("/people").url.path == "/people"
        for path in ("/review", "/people", "/history", "/find?like=p1n0"):
            page = http.get(path)
            assert page.status_code == 200
            assert not re.search(r'<button[^>]*name="(action|answer|rejected)"', page.text), path
        for path in ("/undo", "/people", "/review/survey", "/settings/retention"):
            assert http.post(path).status_code == 403, path
        assert http.get("/settings").status_code == 403
