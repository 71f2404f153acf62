"""Writing of synthetic data sets: resuming, processes, faults. Oracle: the files of an undisturbed rendering."""

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

from passerby.errors import DataError, WriteError
from passerby.synthesis import write
from passerby.synthesis.dataset import SynthSettings
from passerby.synthesis.write import synth
from synthesis.files import contents


def test_two_processes_render_the_same_files_as_one(tmp_path):
    """17 identities are two shards; the distractors are a third."""
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    result = synth(tmp_path / "one", settings, workers=0)
    assert result.images == len([*(tmp_path / "one").rglob("*.jpg")]) == settings.total
    synth(tmp_path / "two", settings, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_rendering_resumes(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    synth(tmp_path / "whole", settings, workers=0)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth(tmp_path / "a", settings, workers=0, progress=stop)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / ".a.part" / "shards" / "00000.parquet").is_file()
    rendered = []
    real = write._write_shard
    monkeypatch.setattr(write, "_write_shard", lambda *args: rendered.append(args[-1]) or real(*args))
    reported = []
    synth(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: reported.append(step))
    assert rendered == [1, 2]
    assert reported[-1] == (settings.total, settings.total)
    assert not (tmp_path / ".a.part").exists()
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_shard_with_a_missing_or_truncated_image_is_rendered_again(tmp_path):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth(tmp_path / "a", settings, workers=0, progress=stop)
    first, second, *_ = sorted((tmp_path / ".a.part").rglob("*.jpg"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    synth(tmp_path / "a", settings, workers=0)
    synth(tmp_path / "whole", settings, workers=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_draft_of_other_settings_is_deleted(tmp_path):
    draft = tmp_path / ".a.part"
    draft.mkdir()
    (draft / "synth.json").write_text(json.dumps({"identities": 7}))
    (draft / "old.jpg").touch()
    synth(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)
    assert not list((tmp_path / "a").rglob("old.jpg"))


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_files_of_others_beside_the_folder_are_left_alone(tmp_path, kind):
    """Oracle: the bytes that were there."""
    settings, mine = SynthSettings(identities=2, cameras=2, images=2, height=16), tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("text")
    draft = tmp_path / ".a.part"
    if kind == "folder":
        mine.rename(draft)
    elif kind == "link":
        draft.symlink_to(mine)
    else:
        draft.write_text("text")
    with pytest.raises(DataError, match=r"\.a\.part: is no draft of passerby; move it"):
        synth(tmp_path / "a", settings, workers=0)
    assert "text" in {path.read_text() for path in (draft, mine / "notes.txt", draft / "notes.txt") if path.is_file()}
    draft.rename(tmp_path / "moved")
    (tmp_path / ".a.lock").symlink_to(tmp_path / "target")
    (tmp_path / "target").write_text("text")
    with pytest.raises(WriteError, match=r"\.a\.lock: cannot be locked"):
        synth(tmp_path / "a", settings, workers=0)
    assert (tmp_path / "target").read_text() == "text"


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """The parent is killed with SIGKILL. Its workers share its process group, which must become empty."""
    parent = subprocess.Popen([sys.executable, script(tmp_path, identities=5000)], start_new_session=True)
    wait_until(lambda: list(tmp_path.glob(".a.part/shards/*.parquet")))
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(parent.pid))


def script(folder, *, identities):
    """Write a program without `if __name__ == "__main__"`."""
    path = folder / "run.py"
    settings = f"SynthSettings(identities={identities}, cameras=2, images=2, height=16)"
    path.write_text(
        "from pathlib import Path\nfrom passerby.synthesis.write import SynthSettings, synth\n"
        f"synth(Path({str(folder / 'a')!r}), {settings}, workers=2)\nprint('once')\n"
    )
    return path


def test_a_script_without_a_main_guard_renders_with_several_processes(tmp_path):
    """Workers that ran the script again would wait for the lock that their parent holds."""
    done = subprocess.run(
        [sys.executable, script(tmp_path, identities=33)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "once\n"
    assert len(contents(tmp_path / "a")) == SynthSettings(identities=33, cameras=2, images=2).total


def workers():
    """Return the process ids of the workers of this process."""
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [int(child) for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def alive(group):
    """Return whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_images_of_another_version_of_the_renderer_are_not_reused(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)

    def stop(_task, _done, _total, _note=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth(tmp_path / "a", settings, workers=0, progress=stop)
    monkeypatch.setattr(write, "RENDERER_VERSION", 0)
    reported = []
    synth(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: reported.append(step))
    assert reported[0][0] == 64  # from the first shard on
    monkeypatch.undo()
    with pytest.raises(DataError, match="another version of the renderer"):
        synth(tmp_path / "a", settings, workers=0)


def test_a_folder_with_an_unreadable_record_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "synth.json").write_text("{cut")
    with pytest.raises(DataError, match="holds other files"):
        synth(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)


def _render(folder, settings):
    synth(folder, settings, workers=0)


def test_concurrent_calls_render_once(tmp_path):
    settings = SynthSettings(identities=4, cameras=2, images=2, height=16)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_render, args=(tmp_path / "a", settings)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert len(contents(tmp_path / "a")) == settings.total


def test_a_full_disk_is_reported_and_the_rendered_images_stay(tmp_path, monkeypatch):
    settings = SynthSettings(identities=17, cameras=2, images=2, height=16)
    real = write._write_shard

    def full(part, settings, shard):
        if shard == 1:
            raise OSError(28, "No space left on device")
        return real(part, settings, shard)

    monkeypatch.setattr(write, "_write_shard", full)
    with pytest.raises(
        DataError, match=r"a: not written \(No space left on device\); the rendered images are in .*resume"
    ):
        synth(tmp_path / "a", settings, workers=0)
    monkeypatch.setattr(write, "_write_shard", real)
    reported = []
    synth(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: reported.append(step))
    assert reported[0][0] > 64  # the 64 images of the first shard were not rendered again


def test_a_killed_worker_is_reported_and_the_rendered_images_stay(tmp_path):
    """Oracle: the images of an undisturbed rendering."""
    settings = SynthSettings(identities=161, cameras=2, images=2, height=16)

    def kill(_task, _done, _total, _note=""):
        if alive := workers():  # all have ended where they were faster than this process
            os.kill(alive[0], signal.SIGKILL)

    with pytest.raises(DataError, match=r"a: not written \(a worker process was killed.*fewer workers"):
        synth(tmp_path / "a", settings, workers=2, progress=kill)
    reported = []
    synth(tmp_path / "a", settings, workers=0, progress=lambda _task, *step: reported.append(step))
    assert len(reported) < settings.shards
    synth(tmp_path / "whole", settings, workers=0)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_link_in_place_of_the_lock_is_refused_and_its_target_is_kept(tmp_path):
    (tmp_path / "mine").write_text("text")
    (tmp_path / ".a.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(WriteError, match=r"\.a\.lock: cannot be locked"):
        synth(tmp_path / "a", SynthSettings(identities=2, cameras=2, images=2, height=16), workers=0)
    assert (tmp_path / "mine").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.lock", "mine"]
