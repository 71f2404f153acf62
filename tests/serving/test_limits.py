"""Limits, slow clients, stopping and starting, against real services. Oracle: the limits that are set."""

import asyncio
import contextlib
import io
import json
import select
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from PIL import Image

from gallery.people import MODEL
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.forget import DAY
from passerby.gallery.stores.opening import open_gallery
from passerby.serving import app
from passerby.serving.server import bind, is_loopback, serve
from passerby.serving.service import DRAFTS, GalleryService
from passerby.serving.settings import ServeSettings
from serving import patient
from serving.running import make_gallery, running, start, stop, vector

LIMITS = {
    "max_upload": 20_000,
    "max_pixels": 5000,
    "max_batch": 3,
    "header_timeout": 1.0,
    "body_timeout": 1.0,
    "body_rate": 1e6,
    "requests_per_minute": 100_000,
}


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limited") / "people"
    make_gallery(folder)
    with running(folder, limits=LIMITS) as address:
        yield address


def connect(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def read_all(connection):
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_a_body_that_declares_too_much_is_refused_before_it_is_sent(limited):
    with connect(limited) as connection:
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {10 * 2**30}\r\nExpect: 100-continue\r\n\r\n".encode())
        reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b"body of more than 20,000 bytes" in reply


def test_a_body_without_a_length_is_refused_when_it_is_too_large(limited):
    with connect(limited) as connection:
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b"7000\r\n" + b" " * 0x7000 + b"\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_a_form_that_is_too_large_is_refused(limited):
    reply = patient.post(f"{limited}/v1/search", files={"images": b"x" * 19_900})
    assert reply.status_code == 413


def test_a_slow_header_is_disconnected(limited):
    with connect(limited) as connection:
        connection.sendall(b"GET /healthz HT")
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    with connect(limited) as connection:  # a second request of one connection
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")  # returns when the connection is closed


def test_a_slow_body_is_disconnected(limited):
    with connect(limited) as connection:
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_read_its_reply_is_disconnected(tmp_path):
    make_gallery(tmp_path / "people", 1000)
    body = json.dumps({"vectors": [vector()] * 64, "top": 1000}).encode()
    head = (
        f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with running(tmp_path / "people", limits={"reply_timeout": 1.0}) as address:
        whole = patient.post(
            f"{address}/v1/search", content=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        assert whole.status_code == 200
        assert [len(result["hits"]) for result in whole.json()["results"]] == [1000] * 64
        with connect(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"{head}\r\n\r\n".encode() + body)
            size = int(whole.headers["Content-Length"])
            assert size > 8_000_000
            assert connection.recv(1) == b"H"  # the reply has begun
            poll = select.poll()
            poll.register(connection, select.POLLHUP | select.POLLERR)
            assert poll.poll(60_000)  # the service has ended the connection while most of the reply was unread
        assert patient.get(f"{address}/v1/stats").status_code == 200


def test_slow_clients_do_not_hold_up_others(limited):
    slow = [connect(limited) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert patient.get(f"{limited}/v1/stats").status_code == 200
    finally:
        for connection in slow:
            connection.close()


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(limited):
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG", optimize=True)
    if bomb.tell() > 15_000:
        bomb = io.BytesIO()
        Image.new("1", (3000, 3000)).save(bomb, "PNG")
    reply = patient.post(f"{limited}/v1/search", files={"images": bomb.getvalue()})
    assert reply.status_code == 400
    assert "expected at most 5,000; give a smaller image" in reply.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
@pytest.mark.parametrize("path", ["v1/search", "find"])
def test_bombs_of_every_format_are_refused_before_they_are_decoded(limited, kind, path):
    """Images whose header declares more pixels than are permitted; large files are cut off."""
    out = io.BytesIO()
    side = 100 if kind != "WEBP" else 128
    Image.new("RGB" if kind != "GIF" else "P", (side, side)).save(out, kind)
    field = "images" if path == "v1/search" else "image"
    reply = patient.post(f"{limited}/{path}", files={field: ("a", out.getvalue()[:15_000])})
    assert reply.status_code == 400
    assert f"{side} x {side} pixels, expected at most 5,000" in reply.text


def test_bodies_that_are_in_memory_at_once_are_limited(tmp_path):
    make_gallery(tmp_path / "people", 3)
    limits = {"max_upload": 40_000, "max_batch_upload": 40_000, "max_bodies": 100_000, "body_timeout": 60.0}
    head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with running(tmp_path / "people", limits=limits) as address:
        waiting = [connect(address) for _ in range(2)]
        for connection in waiting:
            connection.sendall(f"{head}Content-Length: 40000\r\n\r\n{{".encode())
        body = {"content": b" " * 30_000, "headers": {"Content-Type": "application/json"}}
        end = time.monotonic() + 30
        while (reply := patient.post(f"{address}/v1/search", **body)).status_code != 503:
            assert time.monotonic() < end  # until both have begun
        assert (reply.json()["error"]["code"], reply.headers["Retry-After"]) == ("bodies", "1")
        with connect(address) as connection:  # a body without a length
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n7000\r\n".encode() + b" " * 0x7000)
            assert b" 503 " in read_all(connection)[:20]
        assert patient.post(f"{address}/v1/search", json={"vectors": [vector()]}).status_code == 200
        for connection in waiting:
            connection.close()
        while patient.post(f"{address}/v1/search", **body).status_code == 503:
            assert time.monotonic() < end  # their bytes are free again


def test_more_images_than_a_request_may_have(limited):
    reply = patient.post(f"{limited}/v1/search", json={"vectors": [vector()] * 4})
    assert reply.json()["error"]["message"] == "got 4 items, expected 1 to 3"


def test_too_many_requests_of_a_minute(tmp_path):
    make_gallery(tmp_path / "people", 3)
    with running(tmp_path / "people", limits={"requests_per_minute": 3}) as address:
        replies = [patient.get(f"{address}/v1/stats") for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].headers["Retry-After"] == "5"


def test_a_second_service_is_refused(limited, tmp_path):
    make_gallery(tmp_path / "people", 3)
    with (
        running(tmp_path / "people"),
        pytest.raises(GalleryError, match="another `passerby serve` has this gallery"),
    ):
        serve(tmp_path / "people", port=0)


def test_a_taken_port_and_bad_addresses():
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(GalleryError, match=rf"port {port} of 127\.0\.0\.1 is taken"):
            bind("127.0.0.1", port)
    with pytest.raises(GalleryError, match="port: got 70000, expected 0 to 65535"):
        bind("127.0.0.1", 70_000)
    with pytest.raises(GalleryError, match=r"port 0 of 192\.0\.2\.1: "):
        bind("192.0.2.1", 0)
    assert [is_loopback(host) for host in ("127.8.9.1", "192.168.1.1", "::", "example.org")] == [
        True,
        False,
        False,
        False,
    ]


def test_what_cannot_be_served(tmp_path):
    with pytest.raises(NoGalleryError, match="no gallery here"):
        serve(tmp_path / "nothing", port=0)
    with pytest.raises(GalleryError, match="only a gallery in a folder can be served"):
        serve("milvus://localhost:1/people", port=0)
    for settings, message in (
        ({"max_pixels": 0}, "max_pixels: got 0, expected a number above 0"),
        ({"queue": 10}, "queue: got 10, expected at least max_batch, 64: a request is accepted whole or not at all"),
        ({"max_upload": 2**30}, "max_upload: got 1,073,741,824, expected at most max_bodies, 268,435,456"),
        ({"trusted_proxies": ("nginx",)}, "trusted_proxies: got 'nginx', expected an IP address"),
    ):
        with pytest.raises(GalleryError, match=message):
            ServeSettings(**settings)


def test_a_gallery_whose_model_is_missing_is_not_served(tmp_path):
    open_gallery(tmp_path / "people", model=replace(MODEL, source=str(tmp_path / "gone"))).close()
    with pytest.raises(GalleryError, match=r"its model .*gone is missing; name its present path with model"):
        serve(tmp_path / "people", port=0)
    assert not (tmp_path / "people" / "serve.lock").exists()


@pytest.mark.parametrize(("jump", "old", "left"), [(400, 0, 30), (10, 0, 30), (-10, 0, 30), (0, 6, 24)])
def test_a_clock_that_jumps_while_the_service_runs_erases_nothing(tmp_path, monkeypatch, jump, old, left):
    """Oracle: erasing most of the gallery is refused, sightings that are old by a right clock are erased."""
    now = time.time()
    sightings = make_gallery(tmp_path / "people", 30 - old, retention=7, clock=lambda: now)
    store = open_gallery(tmp_path / "people")
    store.add(
        [replace(sighting, id=f"old {n}", enrolled=now - 6.9 * DAY) for n, sighting in enumerate(sightings[:old])]
    )
    store.close()
    with GalleryService(tmp_path / "people", ServeSettings()) as service:
        monkeypatch.setattr(app, "EXPIRE_SECONDS", 0.01)
        monkeypatch.setattr(app, "time", SimpleNamespace(time=lambda: now + jump * DAY + DAY * (old > 0)))

        async def run():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app._expire(service), 1.0)
            return await service.call(lambda gallery: gallery.store.count(), user="Ada")

        assert asyncio.run(run()) == left
        refused = "passerby_retention_refused_total 0.0" not in service.metrics.render({}).decode()
    assert refused == (jump > 0)


def test_files_of_a_killed_service_are_removed_at_the_next_start(tmp_path):
    make_gallery(tmp_path / "people", 3)
    (tmp_path / "people" / f"{DRAFTS}0.parquet").write_bytes(b"people")
    GalleryService(tmp_path / "people", ServeSettings()).close()
    assert not [*(tmp_path / "people").glob(f"{DRAFTS}*")]


def test_a_clock_that_jumped_erases_nothing(tmp_path):
    make_gallery(tmp_path / "people", 30, retention=7, clock=lambda: time.time() - 30 * DAY)
    with pytest.raises(GalleryError, match="30 of 30 sightings past the retention"):
        serve(tmp_path / "people", port=0)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_acknowledged_sightings_are_stored_however_the_service_ends(tmp_path, end):
    make_gallery(tmp_path / "people", 3)
    process, address = start(tmp_path / "people")
    acknowledged, stopped = [], threading.Event()

    def add(worker):
        with patient.Client(base_url=address, timeout=20) as http:
            for number in range(10_000):
                body = {"camera": "door", "vector": vector(worker), "id": f"w{worker}-{number}"}
                try:
                    reply = http.post("/v1/sightings", json=body)
                except httpx.HTTPError:
                    return
                if reply.status_code != 201 or stopped.is_set():
                    return
                acknowledged.append(body["id"])

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 40:
        time.sleep(0.01)
    status = stop(process, with_signal=end)
    for thread in threads:
        thread.join()
    store = open_gallery(tmp_path / "people")
    assert len(acknowledged) >= 40
    assert store.stored_labels(acknowledged).keys() == set(acknowledged)
    store.close()
    if end != signal.SIGKILL:
        assert status == 0
        assert not (Path(tmp_path) / "people" / "serve.lock").exists()
