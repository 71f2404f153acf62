"""Generated requests. Oracle: the OpenAPI schema; no reply has a status of 500."""

import json
import re
from functools import reduce

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving import patient
from serving.running import make_gallery, running


def test_generated_requests_get_no_server_error(tmp_path):
    make_gallery(tmp_path / "people", 12)
    with running(tmp_path / "people", limits={"requests_per_minute": 1_000_000}) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        document = patient.get(f"{address}/openapi.json").json()
        for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
            assert reduce(lambda tree, key: tree[key], reference.removeprefix("#/").split("/"), document)
        operations = [result.ok() for result in schema.get_all_operations()]
        assert len(operations) > 30

        @settings(
            max_examples=250,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        @given(st.sampled_from(operations).flatmap(lambda operation: operation.as_strategy()))
        def send(case):
            reply = case.call(base_url=address, timeout=60)
            assert reply.status_code < 500 or reply.status_code in (501, 503), (case.method, case.path, reply.text)
            if reply.status_code >= 400 and case.path != "/readyz":
                assert set(reply.json()["error"]) == {"code", "message", "request"}

        send()
        assert patient.get(f"{address}/readyz").status_code == 200
