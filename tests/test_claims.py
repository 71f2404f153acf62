"""Claims of other machines. Oracle: the documented lease."""

import json
import os
import time

import pytest

from passerby.claims import hold_claim


def test_claim_of_another_machine_is_taken_over_after_its_lease(tmp_path):
    claim = tmp_path / "00001"
    claim.write_text(json.dumps({"host": "another", "pid": 1, "id": "x"}), encoding="utf-8")
    with hold_claim(claim) as claimed:
        assert not claimed
    assert claim.exists()
    before = time.time() - 1000
    os.utime(claim, (before, before))
    with hold_claim(claim) as claimed:
        assert claimed
        with hold_claim(claim) as twice:
            assert not twice
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("shift", "claimed"), [(1000, True), (20, False)])
def test_claim_from_before_the_clock_was_set_back_is_taken_over(tmp_path, shift, claimed):
    """Of another machine, with a time in the future; a difference within the lease may be that of two clocks."""
    claim = tmp_path / "00001"
    claim.write_text(json.dumps({"host": "another", "pid": 1, "id": "x"}), encoding="utf-8")
    os.utime(claim, (time.time() + shift,) * 2)
    with hold_claim(claim) as held:
        assert held is claimed
