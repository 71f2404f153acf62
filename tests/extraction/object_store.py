"""An object store on this machine, with PyArrow's credentials."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer

QUERY = "scheme=http&endpoint_override=127.0.0.1:{}&allow_bucket_creation=true&region=us-east-1"
"""Query of an address; takes the port."""


@contextmanager
def serve_objects() -> Iterator[int]:
    """Start a server on a free port; yield the port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            yield server.get_host_and_port()[1]
        finally:
            server.stop()
