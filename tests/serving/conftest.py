"""One service of vectors without tokens, which the tests of a file share."""

from types import SimpleNamespace

import pytest

from serving import patient
from serving.running import make_gallery, running


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service of 40 sightings in 24 dimensions: `folder`, `address`, `sightings`, `http`."""
    folder = tmp_path_factory.mktemp("serving") / "people"
    sightings = make_gallery(folder)
    log = folder.parent / "log"
    with (
        log.open("w") as file,
        running(folder, log=file) as address,
        patient.Client(base_url=address, timeout=60) as http,
    ):
        yield SimpleNamespace(folder=folder, address=address, sightings=sightings, http=http, log=log)
