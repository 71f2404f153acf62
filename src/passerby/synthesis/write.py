"""Writing of synthetic data sets, in shards of a few identities.

A shard is complete when its part of the table is written, which happens after its images. An interrupted rendering
therefore resumes where it stopped, and table and images agree.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import time
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import simplejpeg
from joblib.externals.loky import ProcessPoolExecutor
from PIL import Image

from passerby.errors import DataError, argument, explain
from passerby.files import hold_lock, write_atomic
from passerby.out_paths import require_folder
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.synthesis.dataset import RENDERER_VERSION, SPLITS, SynthSettings, render_shard
from passerby.types import Result

SINGLE_PROCESS = 400
"""Number of images up to which one process is faster than starting several."""

_RECORD = "synth.json"


@dataclass(frozen=True, repr=False)
class SynthResult(Result):
    """A synthetic data set.

    Attributes:
        folder: Its folder, in the layout of Market-1501.
        identities: Number of identities.
        cameras: Number of cameras.
        images: Number of images.

    Example:
        >>> result = passerby.synth("rendered", passerby.SynthSettings(identities=4, cameras=2, images=2))
        >>> result.identities, result.cameras
        (4, 2)
    """

    folder: Path
    identities: int
    cameras: int
    images: int

    def __repr__(self) -> str:
        return (
            f"SynthResult({str(self.folder)!r}, identities={self.identities}, cameras={self.cameras}, "
            f"images={self.images})"
        )


def synth(
    folder: str | Path,
    settings: SynthSettings | None = None,
    *,
    workers: int | None = None,
    progress: ProgressOption = False,
) -> SynthResult:
    """Render a data set of synthetic people. The folder appears when it is complete.

    Until then the images are in `.NAME.part` beside it, where the same call resumes after an interruption. When two
    processes render the same folder, one renders and the other waits.

    Args:
        folder: Folder to write, in the layout of Market-1501 with `images.parquet`. Must not exist, be empty, or hold
            this data set.
        settings: Number of identities, cameras and images, seed and size; the defaults of `SynthSettings` if None.
        workers: Processes that render; None is one per CPU core, or this process alone for a few images.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The folder and its numbers of identities, cameras and images.

    Raises:
        DataError: When the folder or the draft holds something else or cannot be written, or when a worker process was
            killed.
        WriteError: When the folder cannot be created or written, or the lock `.NAME.lock` cannot be created, or is a
            file with content or a link.

    Example:
        >>> from passerby.synthesis.dataset import SynthSettings
        >>> synth("rendered", SynthSettings(identities=2, cameras=2, images=2, height=32))
        SynthResult('rendered', identities=2, cameras=2, images=12)
        >>> len(list(Path("rendered").rglob("*.jpg")))
        12
    """
    folder = Path(folder)
    settings = settings or SynthSettings()
    part = folder.with_name(f".{folder.name}.part")
    try:
        if _is_rendered(folder, settings):
            return _make_result(folder, settings)
        require_folder(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder.with_name(f".{folder.name}.lock"), wait=True):
            if not _is_rendered(folder, settings):
                _prepare(part, settings)
                with open_progress(progress) as report:
                    _render_shards(part, settings, workers=workers, report=report)
                _join_tables(part, settings)
                part.replace(folder)
    except BrokenProcessPool:
        raise DataError(
            f"{folder}: not written (a worker process was killed, as the system does when memory is exhausted); the "
            f"rendered images are in {part}: repeat the command to resume; fewer {argument('workers')} need less memory"
        ) from None
    except OSError as error:
        raise DataError(
            f"{folder}: not written ({explain(error)}); the rendered images are in {part}: free disk space or "
            "grant write access there and repeat the command to resume"
        ) from None
    return _make_result(folder, settings)


def _make_result(folder: Path, settings: SynthSettings) -> SynthResult:
    return SynthResult(folder, settings.identities, settings.cameras, settings.total)


def _record(settings: SynthSettings) -> dict[str, Any]:
    """Return the content of `synth.json`, which determines the images."""
    return {"renderer": RENDERER_VERSION, **asdict(settings)}


def _read_record(folder: Path) -> Any:
    """Return the content of a folder's `synth.json`, or None if there is none that can be read."""
    try:
        return json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _is_rendered(folder: Path, settings: SynthSettings) -> bool:
    """Return whether a folder holds this data set, complete. Raises DataError when it holds something else."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    if _read_record(folder) == _record(settings):
        return True
    raise DataError(
        f"{folder}: holds other files, or images of other settings or another version of the renderer; name another "
        "folder or delete this one"
    )


def _prepare(part: Path, settings: SynthSettings) -> None:
    """Make the draft folder. A draft of other settings or another renderer is deleted.

    Raises:
        DataError: When something else has its name.
    """
    if part.is_symlink() or part.exists():
        record = None if part.is_symlink() else _read_record(part)
        begun = part.is_dir() and not part.is_symlink() and all(path.name.endswith(".part") for path in part.iterdir())
        if not begun and (not isinstance(record, dict) or "identities" not in record):
            raise DataError(f"{part}: is no draft of passerby; move it, or name another folder")
        if record != _record(settings):
            shutil.rmtree(part)
    part.mkdir(parents=True, exist_ok=True)
    write_atomic(part / _RECORD, json.dumps(_record(settings), indent=2).encode())  # first: it marks the draft
    for name in (*SPLITS, "shards"):
        (part / name).mkdir(exist_ok=True)


def _render_shards(part: Path, settings: SynthSettings, *, workers: int | None, report: ProgressCallback) -> None:
    counts = {shard: _count_rendered(part, shard) for shard in range(settings.shards)}
    missing = [shard for shard, count in counts.items() if not count]
    done = sum(counts.values())

    def count_up(count: int) -> None:
        nonlocal done
        done += count
        report("render", done, settings.total)

    if workers is None:
        workers = (os.cpu_count() or 1) if settings.total - done > SINGLE_PROCESS else 0
    if workers < 2 or len(missing) < 2:
        for shard in missing:
            count_up(_write_shard(part, settings, shard))
        return
    # Loky starts fresh processes: a fork of a process with threads (torch's) may hang. The processes of the standard
    # library would run a script without `if __name__ == "__main__"` again, and wait for the lock that this one holds.
    with ProcessPoolExecutor(workers, initializer=_exit_with_parent, initargs=(os.getpid(),)) as pool:
        futures = [pool.submit(_write_shard, part, settings, shard) for shard in missing]
        try:
            for future in as_completed(futures):
                count_up(future.result())
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _exit_with_parent(parent: int) -> None:
    """Start a thread that ends this worker when its parent is gone; it would wait for work forever otherwise."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write_shard(part: Path, settings: SynthSettings, shard: int) -> int:
    """Render the images of a shard, then write its part of the table. Returns the number of images."""
    import pyarrow
    import pyarrow.parquet

    rows = []
    for name, columns, image in render_shard(settings, shard):
        encoded = simplejpeg.encode_jpeg(image.pixels, quality=95, colorspace="RGB", colorsubsampling="444")
        (part / name).write_bytes(encoded)
        mask = io.BytesIO()
        Image.fromarray(image.mask).save(mask, "PNG", compress_level=3)
        rows.append({"file": name, **columns, **image.columns(), "bytes": len(encoded), "mask": mask.getvalue()})
    draft, final = (part / "shards" / f"{shard:05d}.{ending}" for ending in ("draft", "parquet"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), draft)
    draft.replace(final)
    return len(rows)


def _count_rendered(part: Path, shard: int) -> int:
    """Count the images of a shard that was rendered completely before; 0 otherwise."""
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


def _join_tables(part: Path, settings: SynthSettings) -> None:
    """Join the tables of the shards into `images.parquet`."""
    import pyarrow
    import pyarrow.parquet

    tables = [pyarrow.parquet.read_table(part / "shards" / f"{shard:05d}.parquet") for shard in range(settings.shards)]
    table = pyarrow.concat_tables(tables, promote_options="permissive")
    pyarrow.parquet.write_table(table, part / "images.parquet", compression="zstd")
    shutil.rmtree(part / "shards")
