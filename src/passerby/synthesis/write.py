"""Rendered people to disk, in shards of a few people.

A shard is done when its part of the table is written, after its images; so a rendering that was interrupted goes on
where it stopped, and table and images agree.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import simplejpeg
from loky import ProcessPoolExecutor
from PIL import Image

from passerby.errors import DataError
from passerby.files import write_atomic
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.synthesis.dataset import SPLITS, SynthSettings, renderer, shard_images

FEW = 400  # images for which starting other processes takes longer than it saves


def write_people(
    folder: Path,
    settings: SynthSettings,
    *,
    workers: int | None = None,
    progress: ProgressOption = False,
) -> None:
    """Render a data set; the folder appears when it is complete.

    Until then everything is in `.NAME.part` beside it, where the same call goes on after an interruption. Two processes
    may ask for the same folder: one renders, the other waits.

    Args:
        folder: Where to; must not exist, or be empty, or hold this very data set.
        settings: What.
        workers: Processes that render; None is one for each core, or none for a few images.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Raises:
        DataError: When the folder holds something else, or cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_name(f".{folder.name}.lock")):
            if _holds(folder, settings):
                return
            _prepare(part, settings)
            with open_progress(progress) as report:
                _render_all(part, settings, workers=workers, progress=report)
            _finish(part, settings)
            part.replace(folder)
    except BrokenProcessPool:
        raise DataError(
            f"{folder}: not written (a process that rendered was ended from outside, as the system does when memory "
            f"runs out); what was rendered is in {part}: give the same command again, it goes on from there; fewer "
            "--workers need less memory"
        ) from None
    except OSError as error:
        raise DataError(
            f"{folder}: not written ({error.strerror or error}); what was rendered is in {part}: free space or rights "
            "there and give the same command again, it goes on from there"
        ) from None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other processes out while one renders; the system lets go of the lock when a process dies."""
    while True:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever had it may have taken the file away: then this lock keeps nobody out.
            if not lock.exists() or not os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _record(settings: SynthSettings) -> dict[str, Any]:
    """What `synth.json` says: what the images follow from."""
    return {"renderer": renderer(), **asdict(settings)}


def _recorded(folder: Path) -> Any:
    """What a folder's `synth.json` says; None where there is none that can be read."""
    try:
        return json.loads((folder / "synth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _holds(folder: Path, settings: SynthSettings) -> bool:
    """Whether a folder is this very data set, complete; raises DataError when it is something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if _recorded(folder) == _record(settings):
        return True
    raise DataError(
        f"{folder}: holds something else already, or people of another version's renderer; name another folder or "
        "delete it"
    )


def _prepare(part: Path, settings: SynthSettings) -> None:
    """A draft that may be gone on with; one of other settings or another renderer is cleared away."""
    if part.exists() and _recorded(part) != _record(settings):
        shutil.rmtree(part)
    for name in (*SPLITS, "shards"):
        (part / name).mkdir(parents=True, exist_ok=True)
    write_atomic(part / "synth.json", json.dumps(_record(settings), indent=2).encode())


def _render_all(part: Path, settings: SynthSettings, *, workers: int | None, progress: ProgressCallback) -> None:
    missing = []
    done = 0
    for shard in range(settings.shards):
        count = _finished(part, shard)
        done += count
        if not count:
            missing.append(shard)
    count = workers if workers is not None else (os.cpu_count() or 1) if settings.total - done > FEW else 0
    if count < 2 or len(missing) < 2:
        for shard in missing:
            done += _render_shard(part, settings, shard)
            progress("render", done, settings.total)
        return
    # Fresh processes: a fork of one that runs threads (torch's, say) may hang. Loky's, since those of the standard
    # library run the caller's script again if it has no `if __name__ == "__main__"`, and wait for this very lock.
    with ProcessPoolExecutor(count, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        waiting = [pool.submit(_render_shard, part, settings, shard) for shard in missing]
        try:
            for future in as_completed(waiting):
                done += future.result()
                progress("render", done, settings.total)
        except BaseException:
            for each in waiting:
                each.cancel()
            raise


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _render_shard(part: Path, settings: SynthSettings, shard: int) -> int:
    """Render one shard's images, then write its part of the table; how many images it has."""
    import pyarrow
    import pyarrow.parquet

    rows = []
    for name, facts, shown in shard_images(settings, shard):
        encoded = simplejpeg.encode_jpeg(shown.pixels, quality=95, colorspace="RGB", colorsubsampling="444")
        (part / name).write_bytes(encoded)
        mask = io.BytesIO()
        Image.fromarray(shown.mask).save(mask, "PNG", compress_level=3)
        rows.append({"file": name, **facts, **shown.row(), "bytes": len(encoded), "mask": mask.getvalue()})
    draft, final = (part / "shards" / f"{shard:05d}.{ending}" for ending in ("draft", "parquet"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), draft)
    draft.replace(final)
    return len(rows)


def _finished(part: Path, shard: int) -> int:
    """Images of a shard that was rendered before, 0 when it was not, or not whole."""
    import pyarrow.parquet

    path = part / "shards" / f"{shard:05d}.parquet"
    if not path.is_file():
        return 0
    table = pyarrow.parquet.read_table(path, columns=["file", "bytes"])
    for name, size in zip(table["file"].to_pylist(), table["bytes"].to_pylist(), strict=True):
        image = part / name
        if not image.is_file() or image.stat().st_size != size:
            return 0
    return len(table)


def _finish(part: Path, settings: SynthSettings) -> None:
    """One table of all shards' parts."""
    import pyarrow
    import pyarrow.parquet

    tables = [pyarrow.parquet.read_table(part / "shards" / f"{shard:05d}.parquet") for shard in range(settings.shards)]
    whole = pyarrow.concat_tables(tables, promote_options="permissive")
    pyarrow.parquet.write_table(whole, part / "images.parquet", compression="zstd")
    shutil.rmtree(part / "shards")
