"""Shards from which a gallery was enrolled: they hold the vectors of its sightings, which an erasure has to reach.

The file `enrolled-shards.json` in the gallery's folder lists the folders of the jobs. A gallery on a server has none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from passerby.errors import GalleryError, explain
from passerby.files import read_json, remove_drafts, write_atomic
from passerby.gallery.stores.validation import is_absolute

FILE = "enrolled-shards.json"
logger = logging.getLogger(__name__)


def record_job(gallery: str | Path, job: str | Path) -> None:
    """Add the folder of a job, or one shard, to the list of a gallery in a folder.

    Raises:
        GalleryError: If the list cannot be read.
        WriteError: If it cannot be written.
    """
    add_jobs(Path(gallery), [str(Path(job).resolve())])


def add_jobs(folder: Path, jobs: Collection[str]) -> None:
    """Add jobs to the list of a gallery in a folder.

    Raises:
        GalleryError: If the list cannot be read.
        WriteError: If it cannot be written.
    """
    known = read_jobs(folder)
    if not {*jobs} <= {*known}:
        content = json.dumps({"jobs": sorted({*known, *jobs})}, indent=2) + "\n"
        write_atomic(folder / FILE, content.encode(), private=True)


def list_shards(gallery: str | Path) -> list[Path]:
    """Return the shards of the jobs from which a gallery was enrolled; jobs that were deleted are left out.

    Raises:
        GalleryError: If the list cannot be read.
    """
    shards: list[Path] = []
    for job in map(Path, read_jobs(Path(gallery))):
        shards += [job] if job.is_file() else sorted((job / "shards").glob("*.parquet"))
    return shards


def find_shards(shards: Iterable[Path], ids: Collection[str]) -> dict[Path, set[str]]:
    """Return those of the shards that hold some of the ids, each with these.

    A shard that cannot be read is named in a warning. Drafts of these shards whose processes have ended are deleted.

    Args:
        shards: Files of `list_shards`.
        ids: Ids of sightings.
    """
    from passerby.gallery.shards import read_ids  # needs pyarrow, which a gallery without shards does not

    holding: dict[Path, set[str]] = {}
    for path in shards:
        try:
            held = {*ids}.intersection(read_ids(path))
        except GalleryError as error:  # an erasure, also by retention at an opening, does not depend on it
            logger.warning("%s; it may hold erased vectors", error)
            continue
        if held:
            remove_drafts(path)
            holding[path] = held
    return holding


def rewrite_shard(path: Path, ids: Collection[str]) -> None:
    """Write a shard again without some rows; its metadata stay, and a private file stays private.

    Args:
        path: A shard of `find_shards`.
        ids: Ids of the rows to leave out.

    Raises:
        GalleryError: If it cannot be read.
        WriteError: If it cannot be written; the shard is unchanged then.
    """
    from passerby.gallery.shards import leave_out

    write_atomic(path, leave_out(path, ids), private=not path.stat().st_mode & 0o077)


def read_jobs(folder: Path) -> list[str]:
    """Return the jobs of a gallery in a folder; none without a list.

    Raises:
        GalleryError: If the list cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return check_jobs(read_json(path)["jobs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GalleryError(
            f"{path}: cannot be read ({explain(error)}); restore it, or delete it if no shard is left"
        ) from None


def check_jobs(jobs: Any) -> list[str]:
    """Check a list of jobs that was read, and return it.

    Raises:
        ValueError: If it is none, or a job is no absolute path.
    """
    if not isinstance(jobs, list) or not all(map(is_absolute, jobs)):
        raise ValueError("jobs: expected a list of absolute paths")
    return jobs
