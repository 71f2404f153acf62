"""Writing rendered people: resuming, several processes, faults. Oracle: the files of a rendering that went well."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from passerby.errors import DataError
from passerby.synthesis import write
from passerby.synthesis.dataset import SynthSettings
from passerby.synthesis.write import write_people
from synthesis.files import contents


def test_two_processes_render_what_one_does(tmp_path):
    """17 people are two shards, and the distractors a third."""
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    write_people(tmp_path / "one", settings, workers=0)
    write_people(tmp_path / "two", settings, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_rendering_goes_on_where_it_stopped(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    write_people(tmp_path / "whole", settings, workers=0)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / ".a.part" / "shards" / "00000.parquet").is_file()
    rendered = []
    real = write._render_shard
    monkeypatch.setattr(write, "_render_shard", lambda *args: rendered.append(args[-1]) or real(*args))
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: told.append(step))
    assert rendered == [1, 2]
    assert told[-1] == (settings.total, settings.total)
    assert not (tmp_path / ".a.part").exists()
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_shard_whose_image_is_gone_or_cut_off_is_rendered_again(tmp_path):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    first, second, *_ = sorted((tmp_path / ".a.part").rglob("*.jpg"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    write_people(tmp_path / "a", settings, workers=0)
    write_people(tmp_path / "whole", settings, workers=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_draft_of_other_settings_is_not_mixed_in(tmp_path):
    draft = tmp_path / ".a.part"
    draft.mkdir()
    (draft / "synth.json").write_text(json.dumps({"identities": 7}))
    (draft / "old.jpg").touch()
    write_people(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)
    assert not list((tmp_path / "a").rglob("old.jpg"))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """kill -9 of the process that renders with two others; they share its group, which is empty soon after."""
    parent = subprocess.Popen([sys.executable, script(tmp_path, identities=5000)], start_new_session=True)
    until(lambda: list(tmp_path.glob(".a.part/shards/*.parquet")))
    parent.kill()
    parent.wait()
    until(lambda: not alive(parent.pid))


def script(folder, *, identities):
    """A program of somebody who has never heard of `if __name__ == "__main__"`."""
    path = folder / "run.py"
    settings = f"SynthSettings(identities={identities}, cameras=2, images=2, height=16)"
    path.write_text(
        "from pathlib import Path\nfrom passerby.synthesis.write import SynthSettings, write_people\n"
        f"write_people(Path({str(folder / 'a')!r}), {settings}, workers=2)\nprint('once')\n"
    )
    return path


def test_a_plain_script_may_render_with_several_processes(tmp_path):
    """Workers that ran the script again would wait for the lock that their parent holds, and it for them."""
    done = subprocess.run(
        [sys.executable, script(tmp_path, identities=33)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "once\n"
    assert len(contents(tmp_path / "a")) == SynthSettings(identities=33, cameras=2, images=2).total


def workers():
    """Processes that render for this one."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(child) for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes()]


def until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(group):
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_another_renderers_people_are_not_mixed_in(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path / "a", settings, workers=0, progress=stop)
    monkeypatch.setattr(write, "renderer", lambda: "another")
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: told.append(step))
    assert told[0][0] == 64  # from the first shard on
    monkeypatch.undo()
    with pytest.raises(DataError, match="or people of another version's renderer"):
        write_people(tmp_path / "a", settings, workers=0)


def test_a_record_that_cannot_be_read_is_something_else(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "synth.json").write_text("{cut")
    with pytest.raises(DataError, match="holds something else already"):
        write_people(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)


def _ask(folder, settings):
    write_people(folder, settings, workers=0)


def test_two_who_ask_at_once_get_one_rendering(tmp_path):
    settings = SynthSettings(identities=4, cameras=2, images=2, height=16)
    context = multiprocessing.get_context("spawn")
    asking = [context.Process(target=_ask, args=(tmp_path / "a", settings)) for _ in range(2)]
    for process in asking:
        process.start()
    for process in asking:
        process.join()
    assert [process.exitcode for process in asking] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert len(contents(tmp_path / "a")) == settings.total


def test_a_full_disk_is_said_and_what_was_rendered_stays(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    real = write._render_shard

    def full(part, settings, shard):
        if shard == 1:
            raise OSError(28, "No space left on device")
        return real(part, settings, shard)

    monkeypatch.setattr(write, "_render_shard", full)
    with pytest.raises(
        DataError, match=r"a: not written \(No space left on device\); what was rendered is in .*goes on"
    ):
        write_people(tmp_path / "a", settings, workers=0)
    monkeypatch.setattr(write, "_render_shard", real)
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: told.append(step))
    assert told[0][0] > 64  # the first shard's 64 images were not rendered again


def test_a_worker_that_is_killed_is_said_and_what_was_rendered_stays(tmp_path):
    """Oracle: the images of a rendering that nothing disturbed."""
    settings = SynthSettings(identities=33, cameras=2, images=2, height=16)

    def kill(_task, _done, _total, _note=""):
        os.kill(workers()[0], signal.SIGKILL)

    with pytest.raises(DataError, match=r"a: not written \(a process .* was ended from outside.*fewer --workers"):
        write_people(tmp_path / "a", settings, workers=2, progress=kill)
    told = []
    write_people(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: told.append(step))
    assert len(told) < settings.shards
    write_people(tmp_path / "whole", settings, workers=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")
