"""Limits of calls for each client, behind proxies and in memory. Oracle: by hand."""

import asyncio

import pytest
from starlette.requests import Request

from passerby.serving.access import Access, CallCounter
from passerby.serving.replies import RequestError
from passerby.serving.service import GalleryService
from passerby.serving.settings import ServeSettings
from passerby.serving.tokens import TokenFile
from serving import patient
from serving.running import bearer, make_gallery, running


def request_from(peer, **headers):
    """A request of an address."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": pairs, "client": (peer, 1)}
    return Request(scope)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),  # not one of the proxies: its header counts for nothing
        ("127.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", "203.0.113.5, 198.51.100.9", "198.51.100.9"),  # the client wrote the first entry itself
        ("127.0.0.1", "198.51.100.9, 10.0.0.2", "198.51.100.9"),  # two proxies
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_names_the_client(tmp_path, peer, forwarded, expected):
    settings = ServeSettings(trusted_proxies=("127.0.0.1", "10.0.0.2"))
    access = Access(TokenFile(tmp_path), settings, local=True)
    headers = {} if forwarded is None else {"x_forwarded_for": forwarded}
    assert access.find_address(request_from(peer, **headers)) == expected
    assert Access(TokenFile(tmp_path), ServeSettings(), local=True).find_address(request_from(peer, **headers)) == peer


def test_guesses_of_one_client_behind_a_proxy_do_not_lock_out_others(tmp_path):
    token = TokenFile(tmp_path).add("read")
    access = Access(TokenFile(tmp_path), ServeSettings(trusted_proxies=("127.0.0.1",)), local=False)

    def status(client, text):
        request = request_from("127.0.0.1", x_forwarded_for=client, authorization=f"Bearer {text}")
        try:
            return access.find_caller(request).role
        except RequestError as error:
            return error.status_code

    wrong = "pby_" + 43 * "x"
    assert [status("198.51.100.9", wrong) for _ in range(61)] == [401] * 60 + [429]
    assert status("198.51.100.9", token) == "read"  # a right token is no guess
    assert status("198.51.100.10", wrong) == 401
    assert [status(f"2001:db8::{n:x}", wrong) for n in range(61)] == [401] * 60 + [429]  # one network of 64 bits


def test_sign_in_is_limited(tmp_path):
    make_gallery(tmp_path / "people", 1)
    token = TokenFile(tmp_path / "people").add("read")
    with running(tmp_path / "people") as address, patient.Client(base_url=address) as http:
        statuses = [http.post("/v1/session", json={"token": f"{n}"}).status_code for n in range(40)]
        pages = [http.post("/sign-in", data={"token": f"{n}"}).status_code for n in range(40)]
        assert statuses == [401] * 40
        assert {*pages[:15]} == {403}
        assert pages[-1] == 429
        assert http.post("/v1/session", json={"token": token}).status_code == 429
        assert http.get("/v1/stats", headers=bearer(token)).status_code == 200
        assert [http.get(path).status_code for path in ("/healthz", "/readyz") for _ in range(100)] == 200 * [200]


def test_health_checks_are_not_limited_and_read_once_a_second(tmp_path, monkeypatch):
    make_gallery(tmp_path / "people", 3)
    readings = []
    with GalleryService(tmp_path / "people", ServeSettings()) as service:
        run = service._run
        monkeypatch.setattr(service, "_run", lambda *arguments: (readings.append(arguments[1]), run(*arguments))[1])

        async def ask():
            return await asyncio.gather(*(service.is_readable() for _ in range(100)))

        assert asyncio.run(ask()) == [True] * 100
    assert readings == ["readyz"]


def test_many_addresses_take_bounded_memory(monkeypatch):
    monkeypatch.setattr("passerby.serving.access._MAX_CALLERS", 3)
    counter = CallCounter(1, clock=lambda: 0.0)
    assert [counter.count(name) for name in "abcd"] == [True] * 4
    assert len(counter._left) == 3
    assert [counter.count(name) for name in "cb"] == [False, False]


def test_requests_per_minute_fill_again():
    now = 0.0
    counter = CallCounter(60, clock=lambda: now)
    assert [counter.count("a") for _ in range(61)] == [True] * 60 + [False]
    assert counter.count("b")
    now = 2.0
    assert [counter.count("a") for _ in range(3)] == [True, True, False]
