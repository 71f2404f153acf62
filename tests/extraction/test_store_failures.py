"""Object stores that fail during a job. Oracle: the files of the same job with a store that works.

The store is moto's S3 server on the loopback address, behind a proxy that fails as told. PyArrow's client itself
repeats a request for 6 s, except where the store refuses it.
"""

import http.client
import http.server
import io
import socket
import struct
import tarfile
import threading
import time

import pyarrow.fs
import pytest

import passerby
from extraction.jobs import contents, run_with_one_try
from extraction.object_store import QUERY, serve_objects
from passerby.errors import DataError, PasserbyError
from passerby.extraction import embed_source, file_systems
from passerby.extraction.file_systems import ObjectStoreError, open_stream, read_address
from passerby.extraction.items import SourceOptions
from passerby.extraction.job import CONTINUE

SETTINGS = passerby.EmbedSettings(runtime="onnx", batch=2, shard_size=4)
IMAGES = 12


class Proxy(http.server.BaseHTTPRequestHandler):
    """Forwards GET and HEAD, unless `fail` returns a failure for the path and the number of its requests so far."""

    protocol_version = "HTTP/1.1"
    store = 0
    requests: dict[str, int] = {}  # noqa: RUF012, one store at a time
    fail = staticmethod(lambda _path, _number: None)

    def log_message(self, *_arguments):
        """Nothing is printed."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        number = self.requests[path] = self.requests.get(path, 0) + 1
        failure = self.fail(path, number)
        if failure == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if failure == "slow":
            time.sleep(0.05)
        if isinstance(failure, tuple):
            status, code = failure
            self.answer(status, {}, f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode())
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.store)
        connection.request(self.command, self.path, headers=dict(self.headers))
        with connection.getresponse() as response:
            headers = {name: value for name, value in response.getheaders() if name.lower() != "connection"}
            content = response.read()
            self.answer(response.status, headers, content, end=len(content) // 2 if failure == "cut" else None)
        connection.close()

    do_HEAD = do_GET

    def answer(self, status, headers, content, end=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:end])
        if end is not None:
            self.close_connection = True


@pytest.fixture(scope="module")
def images():
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    return [sample.path for sample in data.gallery[:IMAGES]]


@pytest.fixture(scope="module")
def store(images):
    """Address of a bucket behind the proxy, with twelve crops in `crops` and three tar files of four in `tars`."""
    with serve_objects() as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Proxy, "store", port)
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        proxy.handle_error = lambda *_: None  # a client that ends a connection
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        direct, _ = pyarrow.fs.FileSystem.from_uri(f"s3://site/?{QUERY.format(port)}")
        direct.create_dir("site")
        files = {f"crops/{number:02d}.jpg": path.read_bytes() for number, path in enumerate(images)}
        files |= {f"tars/{number}.tar": make_tar(images[4 * number : 4 * number + 4]) for number in range(3)}
        for name, content in files.items():
            with direct.open_output_stream(f"site/{name}") as file:
                file.write(content)
        yield f"s3://site/FOLDER?{QUERY.format(proxy.server_address[1])}"
        proxy.shutdown()
        proxy.server_close()


def make_tar(paths):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in paths:
            tar.add(path, arcname=path.name)
    return content.getvalue()


@pytest.fixture(autouse=True)
def _one_try(monkeypatch):
    """Our own tries would add a minute to each outage; a test of its own counts them."""
    monkeypatch.setattr(file_systems, "RETRY_WAITS", ())
    monkeypatch.setattr(Proxy, "requests", {})


def fail(monkeypatch, function):
    monkeypatch.setattr(Proxy, "fail", staticmethod(function))


def run(store, folder, out, **options):
    address = store.replace("FOLDER", folder)
    return passerby.embed(address, "default", out, options=SourceOptions("north"), settings=SETTINGS, **options)


@pytest.fixture(scope="module")
def expected(store, tmp_path_factory):
    """Contents of the jobs with a store that works, by folder."""
    jobs = {}
    for folder in ("crops", "tars"):
        out = tmp_path_factory.mktemp("expected") / "out"
        assert (run(store, folder, out).embedded, run(store, folder, out).failures) == (IMAGES, 0)
        jobs[folder] = contents(out)
    return jobs


@pytest.mark.parametrize("failure", ["reset", "cut", "slow", (500, "InternalError"), (503, "SlowDown")])
def test_a_failure_that_passes_is_repeated(store, expected, tmp_path, monkeypatch, failure):
    """Every file fails at first, and the job has the same files."""
    fail(monkeypatch, lambda path, number: failure if "." in path and number < 3 else None)
    run(store, "crops", tmp_path / "out")
    assert contents(tmp_path / "out") == expected["crops"]


@pytest.mark.parametrize("folder", ["crops", "tars"])
def test_a_job_ends_when_the_credentials_expire_and_continues_to_the_same_files(
    store, expected, tmp_path, monkeypatch, folder
):
    """What was embedded before is kept; no image is reported as unreadable."""
    late = ("/08.jpg", "/09.jpg", "/10.jpg", "/11.jpg", "/2.tar")

    def expire(path, _number):
        expired.update([path] if path.endswith(late) else [])
        return (400, "ExpiredToken") if expired and "." in path else None

    expired, out = set(), tmp_path / "out"
    fail(monkeypatch, lambda path, number: expire(path, number) if number > 1 else None)
    with pytest.raises(
        ObjectStoreError, match=r"HTTP status 400.*no other file either.*may have expired.*same command"
    ):
        run(store, folder, out)
    kept = contents(out)
    assert kept.items() < expected[folder].items()
    assert all(name.parts[0] == "shards" for name in kept)
    fail(monkeypatch, lambda *_: None)
    assert run(store, folder, out).failures == 0
    assert contents(out) == expected[folder]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_tells_once_how_to_continue(store, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(embed_source, "_run_worker", run_with_one_try)
    fail(monkeypatch, lambda path, _number: (400, "ExpiredToken") if "." in path else None)
    with pytest.raises(PasserbyError, match=rf"no other file either.*expired\. {CONTINUE}$") as raised:
        run(store, "crops", tmp_path / "out", workers=workers)
    assert str(raised.value).count("same command") == 1
    assert ("missing 3 of 3 shards; 2 of 2 workers ended with exit code 1: s3://" in str(raised.value)) == (workers > 1)


def test_an_outage_ends_the_job_with_one_error(store, expected, tmp_path, monkeypatch):
    """The first image that was requested is named; nothing is written."""
    out = tmp_path / "out"
    fail(monkeypatch, lambda path, _number: "reset" if "." in path else None)
    with pytest.raises(DataError, match=r"crops/0\d.jpg.*cannot be read .*NETWORK_CONNECTION"):
        run(store, "crops", out)
    assert not contents(out)
    fail(monkeypatch, lambda *_: None)
    run(store, "crops", out)
    assert contents(out) == expected["crops"]


@pytest.mark.parametrize(("folder", "denied", "lost"), [("crops", "/03.jpg", 1), ("tars", "/1.tar", 1)])
def test_a_file_that_alone_is_refused_is_reported(store, tmp_path, monkeypatch, folder, denied, lost):
    fail(monkeypatch, lambda path, number: (403, "AccessDenied") if path.endswith(denied) and number > 1 else None)
    result = run(store, folder, tmp_path / "out")
    assert (result.failures, result.embedded) == (lost, IMAGES - (1 if folder == "crops" else 4))
    ((source, reason),) = result.unreadable
    assert source.partition("?")[0] == f"s3://site/{folder}{denied}"
    assert "ACCESS_DENIED" in reason


class Failing:
    """A file system of which the first requests raise."""

    def __init__(self, *errors):
        self.errors = [*errors]

    def open_input_file(self, _path):
        if self.errors:
            raise self.errors.pop(0)
        return pyarrow.BufferReader(b"content")

    def get_file_info(self, _paths):
        return [pyarrow.fs.FileInfo("a", pyarrow.fs.FileType.File, size=7)]


def test_requests_are_repeated_a_limited_number_of_times(monkeypatch):
    """The waits between the tries. A missing file is not requested again; file systems of fsspec raise any error."""
    waits = []
    monkeypatch.setattr(file_systems, "RETRY_WAITS", (2.0, 8.0))
    monkeypatch.setattr(file_systems.time, "sleep", waits.append)

    def read(*errors, how=read_address):
        waits.clear()
        monkeypatch.setattr(file_systems, "open_address", lambda _address: (Failing(*errors), "a"))
        return how("s3://b/a")

    assert read(OSError("reset"), RuntimeError("of a library")) == b"content"
    assert waits == [2.0, 8.0]
    assert read(OSError("reset"), how=lambda address: open_stream(address).read()) == b"content"
    with pytest.raises(ObjectStoreError, match=r"^s3://b/a: cannot be read \(third\)$"):
        read(OSError("first"), OSError("second"), OSError("third"), OSError("fourth"))
    with pytest.raises(DataError, match=r"cannot be read \(no such key\)") as raised:
        read(FileNotFoundError("no such key"))
    assert not isinstance(raised.value, ObjectStoreError)
    assert waits == []
