"""An embedding job: a folder with a description, a list of images, claims, shards and tables of errors.

job.json        source, model and settings; all processes of the job have the same
items.parquet   the images of a list, one row group for each shard; not for tar files
claims/00017    a shard in work: the process that does it
shards/00017.parquet
errors/00017.parquet  images of the shard that could not be read
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby import __version__
from passerby.claims import remove_leftovers
from passerby.errors import GalleryError, argument, explain
from passerby.extraction.file_systems import ObjectStoreError, is_address, require_answer, stat_address
from passerby.extraction.items import (
    Item,
    SourceOptions,
    find_tars,
    fingerprint_items,
    list_items,
    read_items,
    write_items,
)
from passerby.extraction.tar_files import Failure, read_tar
from passerby.files import read_json, write_atomic
from passerby.gallery.shards import ShardModel
from passerby.out_paths import require_folder
from passerby.text import plural
from passerby.types import Result

JOB_FORMAT = 1
CONTINUE = "The shards that are there are kept; run the same command again to continue"
"""End of the error of a job that has begun."""
JOB, ITEMS, CLAIMS, SHARDS, ERRORS = "job.json", "items.parquet", "claims", "shards", "errors"


@dataclass(frozen=True)
class JobSettings(Result):
    """Settings of a job, which are the same in all of its processes.

    Attributes:
        model: Name or path of the model, as `load` takes it.
        runtime: Runtime that computes; see `load`.
        precision: Precision in which it computes; see `load`.
        threads: Threads of the runtime in each process.
        batch: Images per forward pass.
        shard_size: Images of a shard; a tar file is one shard.
    """

    model: str
    runtime: str
    precision: str
    threads: int
    batch: int
    shard_size: int


@dataclass(frozen=True)
class Job:
    """An open job.

    Attributes:
        folder: Its folder.
        source: Description of the source: kind, and files or a fingerprint.
        options: Values for all images.
        settings: Settings of the computation.
        vectors: What the vectors depend on.
        shards: Number of shards.
    """

    folder: Path
    source: dict[str, Any]
    options: SourceOptions
    settings: JobSettings
    vectors: ShardModel
    shards: int

    def shard_path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.folder / SHARDS / f"{number:05d}.parquet"

    def errors_path(self, number: int) -> Path:
        """Return the table of errors of a shard, which exists if there is an error."""
        return self.folder / ERRORS / f"{number:05d}.parquet"

    def claim_path(self, number: int) -> Path:
        """Return the claim of a shard, which exists while a process computes it."""
        return self.folder / CLAIMS / f"{number:05d}"

    def missing(self) -> list[int]:
        """Return the numbers of the missing shards."""
        try:
            present = {*os.listdir(self.folder / SHARDS)}
        except FileNotFoundError:
            present = set()
        return [number for number in range(self.shards) if f"{number:05d}.parquet" not in present]

    def read(self, number: int) -> Iterator[Item | Failure]:
        """Yield the images of a shard, and the failures.

        Raises:
            ObjectStoreError: If a tar file is not sent, nor another one of the store.
        """
        tars = self.source.get("tars")
        if tars is None:
            yield from read_items(self.folder / ITEMS, number)
            return
        tar = tars[number]
        path = tar["path"]
        try:
            now = _describe_tar(path)
            if now == tar:
                yield from read_tar(path, self.options)
                return
            sizes = f"{plural(now['bytes'], 'byte')}, {tar['bytes']:,} when the job began"
            yield path, f"{path}: {sizes}; the file has changed. Begin a new job"
        except ObjectStoreError as error:
            require_answer(error, path, [tars[place - 1]["path"] for place in (number, number + 2 - len(tars))])
            yield path, str(error)


def _describe_tar(path: str) -> dict[str, Any]:
    """Describe a tar file by size and time of modification; its size alone is a multiple of 10,240 for most tools.

    Raises:
        ObjectStoreError: If the object store cannot be reached.
    """
    if is_address(path):
        size, modified = stat_address(path) or (0, 0)
    elif Path(path).is_file():
        status = Path(path).stat()
        size, modified = status.st_size, status.st_mtime_ns
    else:
        size, modified = 0, 0
    return {"path": path, "bytes": size, "modified": modified}


def open_job(folder: Path, source: str, *, options: SourceOptions, settings: JobSettings, vectors: ShardModel) -> Job:
    """Begin a job, or continue the one in a folder.

    Args:
        folder: The job's folder; it is made.
        source: Images; see `passerby.embed`.
        options: Values for all images.
        settings: Settings of the computation.
        vectors: What the vectors depend on.

    Raises:
        GalleryError: If the folder holds another job or other files, or the source has changed since the job began, or
            has no image.
        DataError: If the source cannot be read.
        WriteError: If the folder cannot be written.
    """
    require_job_folder(folder)
    path = folder / JOB
    tars = find_tars(source, options)
    items: list[Item] = [] if tars else list_items(source, options)
    described: dict[str, Any]
    if tars:
        described = {"tars": [_describe_tar(tar) for tar in tars]}
        shards = len(tars)
    else:
        described = {"items": len(items), "fingerprint": fingerprint_items(items)}
        shards = -(-len(items) // settings.shard_size)
    job = Job(folder, described, options, settings, vectors, shards)
    if not path.exists():
        if items:
            write_atomic(folder / ITEMS, write_items(items, part=settings.shard_size))
        _write_once(path, _describe(job))
    _compare(job, _read(path), source)
    for name in (CLAIMS, SHARDS, ERRORS):
        (folder / name).mkdir(exist_ok=True)
    for name in (JOB, ITEMS):
        remove_leftovers(folder, f".{name}.*.part")
    return job


def require_job_folder(folder: Path) -> None:
    """Check that a job is in this folder, or can begin there.

    Raises:
        GalleryError: If it holds other files.
        WriteError: If it cannot be made or written.
    """
    if (folder / JOB).exists():
        return
    require_folder(folder)
    own = (ITEMS, f".{JOB}.", f".{ITEMS}.")  # of a process that was killed while it began the job
    if folder.exists() and not all(name.startswith(own) for name in os.listdir(folder)):
        raise GalleryError(f"{folder}: holds other files and no {JOB}; name a new or an empty folder")


def stored_runtime(folder: Path) -> str | None:
    """Return the runtime of the job in a folder, so that `auto` is the same choice in all of its processes.

    Returns:
        The runtime; None if the folder has no job yet.

    Raises:
        GalleryError: If the description of the job is damaged.
    """
    if not (folder / JOB).exists():
        return None
    settings = _read(folder / JOB).get("settings")
    return str(settings["runtime"]) if isinstance(settings, dict) and "runtime" in settings else None


def _describe(job: Job) -> dict[str, Any]:
    return {
        "format": JOB_FORMAT,
        "passerby": __version__,
        "source": job.source,
        "options": {name: getattr(job.options, name) for name in ("camera", "time", "label", "folders", "split")},
        "settings": job.settings.to_dict(),
        "vectors": json.loads(job.vectors.to_json()),
        "shards": job.shards,
    }


def _write_once(path: Path, content: dict[str, Any]) -> None:
    """Write a file unless another process has written it first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.once.part")
    write_atomic(draft, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != JOB_FORMAT:
            raise ValueError(f"expected format {JOB_FORMAT} of a job")
    except (OSError, ValueError) as error:
        raise GalleryError(f"{path}: not the description of an embedding job ({explain(error)})") from None
    return content


def _compare(job: Job, stored: dict[str, Any], source: str) -> None:
    """Check that the job in a folder has the same source, model and settings.

    Raises:
        GalleryError: If it is another one; the message names what differs.
    """
    own = json.loads(json.dumps(_describe(job)))
    vectors = _find_object(stored, "vectors")
    before, model = _find_object(vectors, "model"), own["vectors"]["model"]
    differing = [key for key in sorted({*before, *model}) if before.get(key) != model.get(key)]
    if differing:
        raise GalleryError(
            f"{job.folder}: the job began with another model; it differs in {', '.join(differing)} from "
            f"{job.vectors.model}. Give the model of the job, or name another folder"
        )
    changed = [
        f"{argument(key)} {_show(place.get(key))}, now {_show(value)}"
        for place, values in (
            (vectors, {key: own["vectors"][key] for key in ("numbers", "flip")}),
            (_find_object(stored, "settings"), own["settings"]),
            (_find_object(stored, "options"), own["options"]),
        )
        for key, value in values.items()
        if place.get(key) != value
    ]
    if changed:
        raise GalleryError(
            f"{job.folder}: the job began with {'; '.join(changed)}. Give the same, or name another folder"
        )
    source_before = _find_object(stored, "source")
    if source_before != own["source"]:
        then, now = _count_items(source_before), _count_items(own["source"])
        counts = f"{then} then, {now} now"
        if then == now:
            others = "times of modification" if "tars" in own["source"] else "cameras, times, labels or attributes"
            counts = f"{now} then and now, with other names, sizes, {others}"
        raise GalleryError(
            f"{job.folder}: {source} has changed since the job began: {counts}. Name another folder for the new state"
        )


def _show(value: object) -> str:
    return "not given" if value is None else str(value)


def _find_object(tree: dict[str, Any], name: str) -> dict[str, Any]:
    value = tree.get(name)
    return value if isinstance(value, dict) else {}


def _count_items(source: dict[str, Any]) -> str:
    tars = source.get("tars")
    return plural(len(tars), "tar file") if isinstance(tars, list) else f"{source.get('items')} images"
