"""Tokens, roles, sessions, hosts and origins, against real services. Oracle: the table of roles below."""

import json
import re
import socket
import stat

import httpx
import pytest

from passerby.errors import GalleryError
from passerby.gallery.carried_lists import read_lists
from passerby.gallery.enrolled_shards import record_job
from passerby.gallery.parquet import export_gallery
from passerby.gallery.stores.opening import open_gallery
from passerby.serving.app import ROUTERS, create_app, find_role
from passerby.serving.server import serve
from passerby.serving.service import GalleryService
from passerby.serving.settings import ServeSettings
from passerby.serving.tokens import ROLES, TokenFile
from serving import patient
from serving.running import bearer, make_gallery, running

OPEN = {"/healthz", "/readyz", "/docs", "/docs.css", "/openapi.json", "/v1/session"}
OPERATE = {
    ("POST", "/v1/sightings"),
    ("POST", "/v1/sightings/batch"),
    ("DELETE", "/v1/sightings/{name}"),
    ("POST", "/v1/label"),
    ("POST", "/v1/remove"),
    ("POST", "/v1/import"),
    ("POST", "/v1/answers"),
    ("POST", "/v1/identities/assign"),
    ("POST", "/v1/identities/merge"),
    ("POST", "/v1/identities/remove"),
    ("POST", "/v1/identities/split"),
    ("POST", "/v1/identities/{identity}/rename"),
    ("POST", "/v1/undo"),
    ("POST", "/v1/survey"),
}
ADMIN = {
    ("POST", "/v1/backup"),
    ("POST", "/v1/forget"),
    ("POST", "/v1/expire"),
    ("POST", "/v1/retention"),
    ("POST", "/v1/export"),
    ("GET", "/v1/audit"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service with one token of each role: (address, folder, tokens by role)."""
    folder = tmp_path_factory.mktemp("guarded") / "people"
    make_gallery(folder)
    tokens = {role: TokenFile(folder).add(role, name=f"my {role}") for role in ROLES}
    with running(folder, "--allowed-host", "reid.example") as address:
        yield address, folder, tokens


def test_every_route_has_the_role_of_the_table(tmp_path):
    make_gallery(tmp_path / "people", 1)
    with GalleryService(tmp_path / "people", ServeSettings()) as service:
        app = create_app(service)
    paths = app.openapi()["paths"]
    for path, methods in paths.items():
        for method in map(str.upper, methods):
            expected = "operate" if (method, path) in OPERATE else "admin" if (method, path) in ADMIN else "read"
            assert find_role(path, method) == (None if path in OPEN else expected), (method, path)
            assert paths[path][method.lower()].get("x-role") == find_role(path, method)
    others = {route.path for router in ROUTERS for route in router.routes} - set(paths)
    assert others <= OPEN


def test_requests_need_a_token_of_the_role(guarded):
    address, _, tokens = guarded
    for headers in ({}, bearer("pby_" + 43 * "x"), bearer("short"), {"Authorization": f"Basic {tokens['admin']}"}):
        reply = patient.get(f"{address}/v1/stats", headers=headers)
        assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "--new-token ROLE" in reply.json()["error"]["message"]
    for role, expected in (("read", 403), ("operate", 403), ("admin", 200)):
        assert patient.get(f"{address}/v1/stats", headers=bearer(tokens[role])).status_code == 200
        reply = patient.get(f"{address}/v1/audit", headers=bearer(tokens[role]))
        assert reply.status_code == expected
    refused = patient.post(f"{address}/v1/label", headers=bearer(tokens["read"]), json={"labels": ["person 1"]})
    assert refused.json()["error"]["message"] == "this needs the role operate; the token has the role read"
    assert patient.get(f"{address}/v1/stats", params={"token": tokens["admin"]}).status_code == 401
    assert patient.get(f"{address}/healthz").status_code == 200


def test_a_missing_token_and_role_are_answered_before_the_body_is_read(guarded):
    """Oracle: a reply to a client that never sends its body; every route of the interface that may have one."""
    address, _, tokens = guarded
    paths = patient.get(f"{address}/openapi.json").json()["paths"]
    posts = [path.replace("{", "").replace("}", "") for path, methods in paths.items() if "post" in methods]
    posts = [path for path in posts if path not in OPEN] + ["/find", "/settings/forget", "/people/merge", "/nothing"]
    assert len(posts) > 18
    for path in posts:
        status, location = post_without_body(address, path, "")
        if path.startswith("/v1/"):
            assert (status, location) == (401, None), path
        else:
            assert (status, location) == (303, "/sign-in"), path
        if path in {name for _, name in OPERATE | ADMIN}:
            assert post_without_body(address, path, f"Authorization: Bearer {tokens['read']}\r\n")[0] == 403, path


def post_without_body(address, path, header):
    """Status and location of the reply to a request whose body does not come."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        text = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{header}"
        connection.sendall(f"{text}Content-Length: 100000\r\n\r\n".encode())
        head = connection.recv(65_536).decode().partition("\r\n\r\n")[0].splitlines()
    location = [line.split(": ")[1] for line in head if line.lower().startswith("location: ")]
    return int(head[0].split()[1]), location[0] if location else None


def test_a_body_that_opens_a_session_is_small(guarded):
    for path in ("/v1/session", "/sign-in"):
        assert patient.post(f"{guarded[0]}{path}", data={"token": "x" * 5000}).status_code == 413


def test_the_audit_log_has_the_name_of_the_token(guarded):
    address, _, tokens = guarded
    body = {"ids": ["x"], "labels": ["person 1"]}
    patient.post(f"{address}/v1/remove", headers=bearer(tokens["operate"]), json=body)
    entries = patient.get(f"{address}/v1/audit", headers=bearer(tokens["admin"])).json()
    assert (entries[-1]["user"], entries[-1]["action"]) == ("my operate", "remove")


def test_a_browser_exchanges_its_token_for_a_cookie(guarded):
    address, _, tokens = guarded
    with patient.Client(base_url=address) as http:
        assert http.post("/v1/session", json={"token": "wrong"}).status_code == 401
        opened = http.post("/v1/session", json={"token": tokens["read"]})
        assert opened.status_code == 204
        cookie = opened.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert tokens["read"].lower() not in cookie
        assert http.get("/v1/stats").status_code == 200
        assert http.post("/v1/forget", json={"label": "x"}).status_code == 403
        assert http.delete("/v1/session").status_code == 204
        assert http.get("/v1/stats").status_code == 401


def test_a_token_is_made_and_revoked_while_the_service_runs(guarded):
    address, folder, tokens = guarded
    tokens_file = TokenFile(folder)
    text = tokens_file.add("read", name="visitor")
    with patient.Client(base_url=address) as http:
        assert http.post("/v1/session", json={"token": text}).status_code == 204
        assert http.get("/v1/stats").status_code == 200
        tokens_file.revoke("visitor")
        assert http.get("/v1/stats").status_code == 401
        assert http.get("/v1/stats", headers=bearer(text)).status_code == 401
        assert http.get("/v1/stats", headers=bearer(tokens["read"])).status_code == 200


def test_the_file_of_tokens_is_private_and_has_no_token(guarded):
    _, folder, tokens = guarded
    file = TokenFile(folder).path
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(token in file.read_text(encoding="utf-8") for token in tokens.values())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("reid.example", 200),
        ("REID.example:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_the_host_must_name_the_service(guarded, host, status):
    assert patient.get(f"{guarded[0]}/healthz", headers={"Host": host}).status_code == status


def test_pages_of_other_sites_are_refused(service):
    body = {"labels": ["person 1"]}

    def post(**headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return service.http.post("/v1/remove", json={**body, "ids": ["x"]}, headers=headers).status_code

    assert post(Origin="https://evil.example") == 403
    assert post(Origin="null") == 403
    assert post(Sec_Fetch_Site="cross-site") == 403
    assert post(Sec_Fetch_Site="same-site") == 403
    assert post(Origin=service.address, Sec_Fetch_Site="same-origin") == 404
    assert post() == 404
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert service.http.get("/v1/stats", headers=cross).status_code == 403
    assert service.http.get("/docs", headers={**cross, "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert "access-control-allow-origin" not in service.http.get("/v1/stats").headers


def test_a_proxy_needs_a_token(service):
    for name in ("X-Forwarded-For", "Forwarded"):
        reply = service.http.get("/v1/stats", headers={name: "203.0.113.7"})
        assert reply.json()["error"]["code"] == "proxy_without_token"


def test_every_reply_has_the_security_headers(service):
    for path in ("/v1/stats", "/docs", "/nothing", "/healthz"):
        headers = service.http.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "server" not in headers
    assert service.http.get("/v1/stats").headers["Cache-Control"] == "no-store"


def test_another_address_than_loopback_needs_a_token(tmp_path):
    make_gallery(tmp_path / "people", 1)
    with pytest.raises(GalleryError, match=r"host 0\.0\.0\.0: other machines can reach .* --new-token read"):
        serve(tmp_path / "people", host="0.0.0.0", port=0)


def test_tokens_have_distinct_names_and_known_roles(tmp_path):
    tokens = TokenFile(tmp_path)
    text = tokens.add("read")
    assert re.fullmatch(r"pby_[\w-]{43}", text)
    assert tokens.find(text).name.startswith("read ")
    tokens.add("admin", name="Ada")
    with pytest.raises(GalleryError, match="token 'Ada': the name is taken"):
        tokens.add("read", name="Ada")
    with pytest.raises(GalleryError, match="got 'root', expected one of read, operate, admin"):
        tokens.add("root")
    with pytest.raises(GalleryError, match="token 'Eve': no token has this name; tokens: read"):
        tokens.revoke("Eve")
    tokens.path.write_text(json.dumps({"tokens": [{"name": 1}]}))
    with pytest.raises(GalleryError, match="the tokens cannot be read"):
        TokenFile(tmp_path).read()


def test_an_import_adds_lists_of_shards_and_runs_for_the_role_admin_only(guarded, tmp_path):
    """They name files of the service's machine, which an erasure may change. Oracle: the list that was exported."""
    address, folder, tokens = guarded
    make_gallery(tmp_path / "other")
    record_job(tmp_path / "other", tmp_path / "job")
    store = open_gallery(tmp_path / "other")
    export_gallery(store, tmp_path / "g.parquet")
    store.close()
    for role, jobs in (("operate", []), ("admin", [str(tmp_path / "job")])):
        headers = {**bearer(tokens[role]), "Content-Type": "application/octet-stream"}
        content = (tmp_path / "g.parquet").read_bytes()
        reply = httpx.post(f"{address}/v1/import", content=content, headers=headers, timeout=60)
        assert reply.json() == {"new": 0, "known": 40}
        assert read_lists(folder).jobs == jobs
