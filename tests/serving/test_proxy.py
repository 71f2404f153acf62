"""The proxy of docs/serve.md: nginx with a self-signed certificate. Oracle: what a client sees behind it."""

import re
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from passerby import Client, Filter
from passerby.errors import GalleryError
from passerby.serving.tokens import TokenFile
from programs import require
from serving import patient
from serving.running import make_gallery, running

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


@contextmanager
def proxy(folder, address):
    """Run nginx with the configuration of the page; yields its address and its certificate."""
    certificate, key = folder / "reid.pem", folder / "reid.key"
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (server,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for before, after in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/certs/reid.pem", str(certificate)),
        ("/etc/ssl/private/reid.key", str(key)),
        ("http://127.0.0.1:8765", address),
        ("server_name reid.example", "server_name localhost"),
    ):
        assert before in server
        server = server.replace(before, after)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {temporary} "
        f"{server} }}"
    )
    process = subprocess.Popen([require("nginx"), "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield f"https://localhost:{port}", certificate
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_client_works_behind_the_proxy_of_the_page(tmp_path):
    sightings = make_gallery(tmp_path / "people")
    with running(tmp_path / "people") as address, proxy(tmp_path, address) as (outside, certificate):
        with (
            Client(outside, certificate=certificate) as client,
            pytest.raises(GalleryError, match="a proxy forwards requests from other machines"),
        ):
            client.stats()
        token = TokenFile(tmp_path / "people").add("admin")
        with Client(outside, token=token, certificate=certificate) as client:
            ((hit,),) = client.search_vectors(sightings[2].vector, top=1, where=Filter(ids=[sightings[2].id]))
            assert hit.id == sightings[2].id
            assert client.export(tmp_path / "all.parquet") == len(sightings)
        with Client(outside, token=token) as client, pytest.raises(GalleryError, match="certificate verify failed"):
            client.stats()
        cookie = patient.post(f"{outside}/v1/session", json={"token": token}, verify=False).headers["set-cookie"]
        assert "; Secure" in cookie
