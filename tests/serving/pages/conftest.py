"""One service of people and one browser that the tests of a file share; what a test has answered is undone after it."""

from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from programs import require, require_module
from serving.pages.people_gallery import make_people
from serving.running import running


@pytest.fixture(scope="module")
def shared_site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages") / "people"
    make_people(folder, **getattr(request.module, "PEOPLE", {}))
    with (
        running(folder) as address,
        httpx.Client(base_url=address, follow_redirects=True, timeout=120) as http,
    ):
        yield SimpleNamespace(folder=folder, address=address, http=http)


@pytest.fixture
def site(shared_site):
    """A running service without answers: `folder`, `address`, `http`, which follows redirects."""
    yield shared_site
    for row in reversed(shared_site.http.get("/v1/history").json()):
        erased = row["kind"] == "remove" and not row["removed"]
        if row["kind"] != "undo" and row["undone"] is None and not erased:
            shared_site.http.post("/v1/undo", json={"action": row["number"]}).raise_for_status()


@pytest.fixture(scope="module")
def browser():
    """A headless browser."""
    path, playwright = require("chromium"), require_module("playwright.sync_api")
    with playwright.sync_playwright() as play:
        yield play.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture
def open_tab(browser):
    """A function that opens a page without cookies; errors of its scripts and refusals of its policy fail the test."""

    @contextmanager
    def open_page(width=1280, **settings):
        problems = []
        with browser.new_context(viewport={"width": width, "height": 800}, **settings) as context:
            tab = context.new_page()
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.on("console", lambda line: problems.append(line.text) if "Security Policy" in line.text else None)
            yield tab
        assert problems == []

    return open_page


@pytest.fixture
def tab(open_tab):
    """A page of 1280 pixels."""
    with open_tab() as tab:
        yield tab


@pytest.fixture
def phone(open_tab):
    """A page of 390 pixels with a touch screen."""
    with open_tab(390, has_touch=True) as tab:
        yield tab


@pytest.fixture
def answers(site):
    """A function that returns the stored answers that count: pairs with their answer."""

    def read():
        rows = site.http.get("/v1/answers").json()["answers"]
        return [(*sorted((row["first"], row["second"])), row["answer"]) for row in rows]

    return read


@pytest.fixture
def groups(site):
    """A function that returns the sets of sightings of the identities, by their id."""

    def read():
        listed = site.http.get("/v1/identities").json()["identities"]
        return {item["id"]: {member["sighting"]["id"] for member in item["members"]} for item in listed}

    return read
