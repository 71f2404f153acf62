"""Oracle: the records that were written."""

import errno
import json

import pytest

from passerby.errors import WriteError
from passerby.training.log import RunLog, read_log


def write(folder, steps, *, after=0):
    log = RunLog(folder / "log.jsonl", folder / "tensorboard", step=after)
    for step in steps:
        log.write({"step": step, "learning_rate": 0.1, "losses": {"loss": float(step)}})
    log.sync()
    log.close()


def test_a_resumed_log_drops_records_after_the_checkpoint(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    write(tmp_path, [3, 4, 5], after=2)
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + '{"step": 3, "lo')
    assert [record["step"] for record in read_log(path)] == [1, 2]


def test_no_log_has_no_records(tmp_path):
    assert read_log(tmp_path / "none.jsonl") == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    log = RunLog(tmp_path / "log.jsonl", tmp_path / "tensorboard")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", full)
        with pytest.raises(WriteError, match=r"log\.jsonl: not written \(No space left on device\).*--resume"):
            log.write({"step": 1})
    log.close()


def test_epochs_of_old_records_are_counted_from_1(tmp_path):
    """A run that an earlier version began and this one resumed has records of both kinds."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "epoch": 0}\n{"step": 2, "epoch": 2, "first_epoch": 1}\n{"step": 3}\n')
    expected = [{"step": 1, "epoch": 1, "first_epoch": 1}, {"step": 2, "epoch": 2, "first_epoch": 1}, {"step": 3}]
    assert read_log(path) == expected
    RunLog(path, tmp_path / "tensorboard", step=3).close()  # writes them again
    assert read_log(path) == expected
