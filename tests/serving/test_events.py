"""Events, with a real webhook receiver and a real MQTT broker. Oracle: what they must receive."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from gallery.people import MODEL
from passerby.errors import GalleryError
from passerby.gallery.forget import forget
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite_events import SqliteEvents
from passerby.serving.events import EventQueue, MqttTopic, Webhook, find_events
from passerby.serving.server import serve
from passerby.serving.service import GalleryService
from passerby.serving.settings import ServeSettings
from programs import require
from serving import patient
from serving.running import running, start, start_words, stop, vector

PAIRS = {"data": "d", "identities": 9, "images": 9, "same": 9, "different": 9, "trained_on": False}
CALIBRATION = {
    "format": 1,
    "method": "logistic",
    "metric": "cosine",
    "distances": [0.0, 1.0],
    "log_ratios": [8.0, -8.0],
    "fitted_on": PAIRS,
    "identification": {"slope": 16.0, "offset": 8.0},
}


@pytest.fixture
def people(tmp_path):
    """A calibrated gallery with one labeled sighting."""
    folder = tmp_path / "people"
    store = open_gallery(folder, model=replace(MODEL, calibration=CALIBRATION))
    store.add([Sighting(vector=np.array(vector(1)), camera="door", label="Adalovelace", id="ada")])
    store.close()
    return folder


@contextmanager
def receiver(answers=(), port=0):
    """A webhook receiver that answers with these statuses, then with 204; yields its address and what it received."""
    received, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.headers["Idempotency-Key"], body))
            self.send_response(left.pop(0) if left else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def add(address, name, seed, **values):
    numbers = [number * (1 if seed > 0 else -1) for number in vector(abs(seed))]
    body = {"camera": "yard", "vector": numbers, "id": name, **values}
    assert patient.post(f"{address}/v1/sightings", json=body).status_code == 201


def test_new_sightings_are_reported_in_order_and_again_after_a_failure(people):
    with receiver(answers=[500]) as (hook, received), running(people, "--webhook", hook) as address:
        add(address, "s1", 1)
        add(address, "s2", -1)  # the opposite vector
        add(address, "s3", 1, label="Eve")  # it has a label: nothing to report
        wait_for(lambda: len(received) == 3)
        patient.post(f"{address}/v1/sightings", json={"camera": "yard", "vector": vector(1), "id": "s1"})  # known
    (first_key, first), (again_key, again), (_, second) = received
    assert (first_key, first) == (again_key, again)
    assert (first["event"], first["label"], first["sighting"], first["camera"]) == (
        "identified",
        "Adalovelace",
        "s1",
        "yard",
    )
    assert first["probability"] > 0.99
    assert (second["event"], second["label"], second["sighting"]) == ("unknown", None, "s2")


def test_events_outlive_the_service(people):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    hook = f"http://127.0.0.1:{port}/hook"
    process, address = start(people, "--webhook", hook)
    add(address, "s1", 1)
    process.kill()  # the event was acknowledged with the sighting
    stop(process)
    with receiver(port=port) as (_, received), running(people, "--webhook", hook):
        wait_for(lambda: received)
    assert received[0][1]["sighting"] == "s1"


KILLED = """
import os, signal, sys
from passerby.gallery.stores.sqlite_events import SqliteEvents
from passerby.serving.server import serve
insert = SqliteEvents.insert

def die(run, *arguments, **options):
    assert run.execute("SELECT count(*) FROM sightings WHERE id = 's1'").fetchone() == (1,)
    insert(run, *arguments, **options) if sys.argv[3] == "after" else None
    os.kill(os.getpid(), signal.SIGKILL)

SqliteEvents.insert = staticmethod(die)
serve(sys.argv[1], port=0, webhook=sys.argv[2], started=lambda address: print(address, flush=True))
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_between_a_sighting_and_its_event_leaves_neither(people, moment):
    words = ["-c", KILLED, str(people), "http://127.0.0.1:9/hook", moment]
    process, address = start_words(words)
    with pytest.raises(httpx.HTTPError):
        patient.post(f"{address}/v1/sightings", json={"camera": "yard", "vector": vector(1), "id": "s1"}, timeout=60)
    stop(process)
    assert process.returncode == -signal.SIGKILL
    store = open_gallery(people)
    assert store.stored_labels(["s1"]) == {}
    assert store.events.count("webhook") == 0
    store.close()
    with receiver() as (hook, received), running(people, "--webhook", hook) as address:  # the client repeats it
        add(address, "s1", 1)
        wait_for(lambda: received)
    assert received[0][1]["sighting"] == "s1"


def test_a_kill_under_load_leaves_no_sighting_without_its_event(people):
    process, address = start(people, "--webhook", "http://127.0.0.1:9/hook")
    acknowledged = []

    def send(worker):
        with contextlib.suppress(httpx.HTTPError), patient.Client(base_url=address, timeout=60) as http:
            for number in range(10_000):
                names = [f"w{worker}-{number}-{part}" for part in range(3)]
                body = [{"camera": "yard", "vector": vector(1), "id": name} for name in names]
                http.post("/v1/sightings/batch", json={"sightings": body}).raise_for_status()
                acknowledged.extend(names)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(acknowledged) >= 30)
    stop(process, with_signal=signal.SIGKILL)
    for thread in threads:
        thread.join()
    store = open_gallery(people)
    stored = {sighting.id for batch in store.walk() for sighting in batch} - {"ada"}
    reported = [event.sighting for event in store.events.first("webhook", count=100_000)]
    store.close()
    assert {*acknowledged} <= stored == {*reported}
    assert len(reported) == len(stored)


def test_a_new_identity_and_its_event_are_stored_together(people, monkeypatch):
    with GalleryService(people, ServeSettings()) as service:
        queue = EventQueue(service, [Webhook("http://127.0.0.1:9/hook")])

        def assign(gallery):
            return queue.assign(gallery, gallery.review())

        def fail(*_, **__):
            raise OSError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteEvents, "insert", staticmethod(fail))
            with pytest.raises(OSError, match="full"):
                asyncio.run(service.call(assign, user="Ada", slow=True))
        members = asyncio.run(service.call(lambda gallery: gallery.store.answers.members(), user="Ada"))
        assert members == {}
        ((name, (identity, _)),) = asyncio.run(service.call(assign, user="Ada", slow=True)).items()
        assert asyncio.run(service.call(assign, user="Ada", slow=True)) == {}
        (event,) = asyncio.run(service.call(lambda gallery: find_events(gallery).first("webhook"), user="Ada"))
        assert (event.event, event.sighting, event.identity) == ("new identity", name, identity)


def test_forgetting_erases_events_from_every_file(people):
    process, address = start(people, "--webhook", "http://127.0.0.1:9/hook")
    try:
        add(address, "s1secret", 1)
        wait_for(lambda: b"s1secret" in b"".join(path.read_bytes() for path in people.iterdir()))
        assert patient.post(f"{address}/v1/forget", json={"label": "Adalovelace"}).json() == {"count": 1}
        assert patient.post(f"{address}/v1/forget", json={"ids": ["s1secret"]}).json() == {"count": 1}
        held = b"".join(path.read_bytes() for path in people.iterdir())
    finally:
        stop(process)
    for text in (b"Adalovelace", b"s1secret", np.array(vector(1), "<f4").tobytes()):
        assert text not in held
        assert text not in b"".join(path.read_bytes() for path in people.iterdir())


def test_forgetting_without_the_service_erases_events_too(people):
    process, address = start(people, "--webhook", "http://127.0.0.1:9/hook")
    add(address, "s1", 1)
    stop(process)
    store = open_gallery(people)
    assert store.events.count("webhook") == 1
    forget(store, label="Adalovelace")  # the event has s1 and the sighting that it was identified by
    assert store.events.count("webhook") == 0
    store.close()


@contextmanager
def broker(folder):
    """Debian's mosquitto on 127.0.0.1; yields its port and the messages of a subscriber."""
    import paho.mqtt.client as mqtt

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen([require("mosquitto"), "-c", config], stderr=subprocess.DEVNULL)
    messages, client = [], mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe("passerby/#", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: messages.append((message.topic, json.loads(message.payload)))
    try:
        for _ in range(600):
            try:
                client.connect("127.0.0.1", port)
                break
            except OSError:
                time.sleep(0.05)
        client.loop_start()
        assert subscribed.wait(30)
        yield port, messages
    finally:
        client.disconnect()
        client.loop_stop()
        process.terminate()
        process.wait(30)


def test_events_are_published_to_a_broker(people, tmp_path):
    with (
        broker(tmp_path) as (port, messages),
        running(people, "--mqtt", f"mqtt://127.0.0.1:{port}/passerby/people") as address,
    ):
        add(address, "s1", 1)
        add(address, "s2", -1)  # the opposite vector
        wait_for(lambda: len(messages) >= 2)
    assert [(topic, message["event"], message["sighting"]) for topic, message in messages] == [
        ("passerby/people", "identified", "s1"),
        ("passerby/people", "unknown", "s2"),
    ]


@pytest.mark.parametrize("address", ["ftp://host/x", "http://", "host"])
def test_bad_webhooks(address):
    with pytest.raises(GalleryError, match=r"webhook: got .* expected http://HOST/PATH"):
        Webhook(address)


@pytest.mark.parametrize(
    "address", ["mqtt://host", "mqtt:///topic", "mqtt://a:b@host/t", "mqtt://host/t/#", "mqtt://host:x/t"]
)
def test_bad_topics(address):
    with pytest.raises(GalleryError, match=r"mqtt: got .* expected mqtt://HOST:PORT/TOPIC"):
        MqttTopic(address)


def test_events_need_a_calibration(tmp_path):
    open_gallery(tmp_path / "people", model=MODEL).close()
    with pytest.raises(GalleryError, match="not calibrated"):
        serve(tmp_path / "people", port=0, webhook="http://127.0.0.1:9/")
