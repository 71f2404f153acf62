"""Errors of pages. Oracle: the type of the reply and its text."""

import asyncio

import httpx

from passerby.serving.app import create_app
from passerby.serving.service import GalleryService
from passerby.serving.settings import ServeSettings
from serving.pages.people_gallery import make_people


def test_errors_of_pages_are_pages_and_those_of_the_interface_are_json(site):
    """Oracle: the type of the reply, and that a page has its navigation and a message."""
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/people/nobody", 404),
        ("GET", "/find?like=gone", 400),
        ("GET", "/review?skip=-1", 422),
        ("POST", "/review", 422),
        ("DELETE", "/people", 405),
        ("POST", "/sign-in", 422),
    ):
        reply = site.http.request(method, path)
        assert reply.status_code == status, path
        assert reply.headers["content-type"].startswith("text/html"), path
        assert 'role="alert"' in reply.text
        assert 'href="/find"' in reply.text
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    wrong_host = site.http.get("/people", headers={"Host": "evil.example"})
    assert (wrong_host.status_code, wrong_host.headers["content-type"][:9]) == (421, "text/html")
    for path, status in (("/v1/nothing", 404), ("/v1/search", 405), ("/v1/sightings/gone", 404)):
        reply = site.http.get(path, headers={"Accept": "text/html"})
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")


def test_a_page_that_fails_is_a_page_without_the_cause(tmp_path, monkeypatch):
    make_people(tmp_path / "people", persons=2)
    with GalleryService(tmp_path / "people", ServeSettings()) as service:
        monkeypatch.setattr(service, "find_review", lambda gallery: {}["Adalovelace"])
        transport = httpx.ASGITransport(create_app(service))

        async def ask(path):
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.get(path)

        page, data = asyncio.run(ask("/people")), asyncio.run(ask("/v1/identities"))
    assert (page.status_code, page.headers["content-type"][:9]) == (500, "text/html")
    assert "its log has the request" in page.text
    assert (data.status_code, data.json()["error"]["code"]) == (500, "internal")
    assert "Adalovelace" not in page.text + data.text
