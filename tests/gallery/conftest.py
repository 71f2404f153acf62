"""Fixtures: galleries in every store."""

import importlib.util

import pytest

from gallery.people import Watch


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory):
    """A real standalone server, stopped by its own process id."""
    if importlib.util.find_spec("pymilvus") is None:
        pytest.skip("pymilvus is not installed: pip install 'passerby[milvus]'")
    if importlib.util.find_spec("milvus") is None:
        pytest.skip("no Milvus server here: pip install milvus==2.3.5 (for development, 270 MB unpacked)")
    from gallery.milvus_server import running_server

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
