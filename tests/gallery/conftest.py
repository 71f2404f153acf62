"""Fixtures: galleries in every store."""

import pytest

from gallery.milvus_server import require_server, running_server
from gallery.people import Watch


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """A real standalone server, stopped by its own process id."""
    require_server()
    with running_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "milvus"])
def address(request, tmp_path):
    """Address of a new gallery in each store, used by one test only."""
    if request.param == "memory":
        return "memory"
    if request.param == "sqlite":
        return tmp_path / "gallery"
    server = request.getfixturevalue("milvus_server")
    return f"{server.address}/g{abs(hash(request.node.nodeid)):x}"
