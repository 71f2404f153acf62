"""Rendered people as a data set in the layout of Market-1501, with a table of all that is known about each image.

    bounding_box_train/  query/  bounding_box_test/       0001_c1s1_000000_01.jpg ...
    images.parquet                                        one row an image, masks included; see docs/synth.md
    synth.json                                            what it was made from

It is rendered in shards of a few people. A shard is done when its part of the table is written, after its images; so a
rendering that was interrupted goes on where it stopped, and table and images agree.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from passerby.errors import DataError
from passerby.files import write_atomic
from passerby.synth.cameras import Camera, random_camera
from passerby.synth.people import Person, people
from passerby.synth.photograph import Photograph, photograph

SPLITS = ("bounding_box_train", "query", "bounding_box_test")
DISTRACTORS_PER_CAMERA = 2
SHARD = 16  # people
CROWD = 32  # people who only walk by
FEW = 400  # images for which starting other processes takes longer than it saves

_PERSON, _CAMERA, _IMAGE, _DISTRACTOR, _SPLIT, _ROUTE, _CROWD = range(7)  # streams of random numbers that never meet


@dataclass(frozen=True)
class SynthSettings:
    """What a data set of rendered people follows from; the same settings give the same images.

    Attributes:
        identities: People, 2 to 99,999.
        cameras: Cameras, 2 to 999.
        images: Of each person in each camera that sees them, 2 to 999.
        seed: 0 to 2^63.
        views: Cameras that see one person; 0 is all of them.
        test: People of the test split; -1 is half of them, rounded up.
        lookalikes: Percent of the people who look like somebody else but for build and a garment or two.
        height: Of an image in pixels, 16 to 1024; it is half as wide.

    Raises:
        DataError: Naming the setting that is out of its range.
    """

    identities: int = 24
    cameras: int = 3
    images: int = 4
    seed: int = 0
    views: int = 0
    test: int = -1
    lookalikes: int = 25
    height: int = 128

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), RANGES[field.name]
            if not low <= value <= high:
                raise DataError(f"synth: {field.name} is {value}, expected {low} to {high}")
        if self.views > self.cameras or self.views == 1:
            raise DataError(f"synth: views is {self.views}, expected 2 to {self.cameras} (the cameras), or 0 for all")
        if self.test > self.identities:
            raise DataError(f"synth: test is {self.test}, expected at most {self.identities} (the identities)")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image."""
        return self.height, self.height // 2

    @property
    def test_people(self) -> int:
        """How many people are in the test split."""
        return self.identities - self.identities // 2 if self.test < 0 else self.test

    @property
    def total(self) -> int:
        """Images in all; distractors go with a test split."""
        distractors = self.cameras * DISTRACTORS_PER_CAMERA if self.test_people else 0
        return self.identities * (self.views or self.cameras) * self.images + distractors

    @property
    def shards(self) -> int:
        """Groups of people that are rendered together; the last one holds the distractors."""
        return -(-self.identities // SHARD) + (1 if self.test_people else 0)


RANGES = {
    "identities": (2, 99_999), "cameras": (2, 999), "images": (2, 999), "seed": (0, 2**63 - 1), "views": (0, 999),
    "test": (-1, 99_999), "lookalikes": (0, 100), "height": (16, 1024),
}  # fmt: skip
"""Each setting's smallest and largest value."""


def write_people(
    folder: Path,
    settings: SynthSettings,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a data set; the folder appears when it is complete.

    Until then everything is in `.NAME.part` beside it, where the same call goes on after an interruption. Two processes
    may ask for the same folder: one renders, the other waits.

    Args:
        folder: Where to; must not exist, or be empty, or hold this very data set.
        settings: What.
        workers: Processes that render; None is one for each core, or none for a few images.
        progress: Called with (images rendered, images in all).

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
            _render_all(part, settings, workers=workers, progress=progress)
            _finish(part, settings)
            part.replace(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: not written ({error.strerror or error}); what was rendered is in {part}: free space or rights "
            "there and give the same command again, it goes on from there"
        ) from None


@lru_cache(maxsize=1)
def renderer() -> str:
    """Which renderer this is: 8 hexadecimal digits of its text. Another one draws other people from the same seed."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in room)).hexdigest()[:8]


def camera_of(settings: SynthSettings, camera: int) -> Camera:
    """Camera number `camera`, from 0."""
    return _camera(settings.seed, camera)


def take(settings: SynthSettings, person: int, camera: int, shot: int) -> Photograph:
    """The photograph number `shot` of a person in a camera, all from 0: what the data set's file of that name shows."""
    rng = np.random.default_rng([settings.seed, _IMAGE, person, camera, shot])
    who = _people(settings)[person]
    return photograph(who, camera_of(settings, camera), rng, size=settings.size, others=_crowd(settings.seed))


@lru_cache(maxsize=4096)
def _camera(seed: int, camera: int) -> Camera:
    return random_camera(np.random.default_rng([seed, _CAMERA, camera]))


@lru_cache(maxsize=2)
def _people(settings: SynthSettings) -> list[Person]:
    return people(settings.identities, seed=settings.seed, stream=_PERSON, lookalikes=settings.lookalikes / 100)


@lru_cache(maxsize=4)
def _crowd(seed: int) -> tuple[Person, ...]:
    return tuple(people(CROWD, seed=seed, stream=_CROWD, lookalikes=0.0))


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


def _render_all(
    part: Path, settings: SynthSettings, *, workers: int | None, progress: Callable[[int, int], None] | None
) -> None:
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
            if progress is not None:
                progress(done, settings.total)
        return
    # Fresh processes: a fork of one that runs threads (torch's, say) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent) as pool:
        waiting = [pool.submit(_render_shard, part, settings, shard) for shard in missing]
        try:
            for future in as_completed(waiting):
                done += future.result()
                if progress is not None:
                    progress(done, settings.total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _render_shard(part: Path, settings: SynthSettings, shard: int) -> int:
    """Render one shard's images, then write its part of the table; how many images it has."""
    import pyarrow
    import pyarrow.parquet

    rows = []
    for name, facts, shown in _shard_images(settings, shard):
        encoded = io.BytesIO()
        Image.fromarray(shown.pixels).save(encoded, "JPEG", quality=95, subsampling=0)
        (part / name).write_bytes(encoded.getvalue())
        mask = io.BytesIO()
        Image.fromarray(shown.mask).save(mask, "PNG")
        rows.append({"file": name, **facts, **shown.row(), "bytes": encoded.tell(), "mask": mask.getvalue()})
    draft, final = (part / "shards" / f"{shard:05d}.{ending}" for ending in ("draft", "parquet"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), draft)
    draft.replace(final)
    return len(rows)


def _shard_images(settings: SynthSettings, shard: int) -> Iterator[tuple[str, dict[str, Any], Photograph]]:
    """File name, facts about person and camera, and photograph of every image of a shard."""
    test = np.random.default_rng([settings.seed, _SPLIT]).permutation(settings.identities)[: settings.test_people]
    tested = set(test.tolist())
    if shard == -(-settings.identities // SHARD):
        for camera in range(settings.cameras):
            for shot in range(DISTRACTORS_PER_CAMERA):
                rng = np.random.default_rng([settings.seed, _DISTRACTOR, camera, shot])
                view, crowd = camera_of(settings, camera), _crowd(settings.seed)
                shown = photograph(None, view, rng, size=settings.size, others=crowd)
                yield _named("bounding_box_test", 0, camera, shot, {}, view, shown)
        return
    for index in range(shard * SHARD, min((shard + 1) * SHARD, settings.identities)):
        person = _flat("person", asdict(_people(settings)[index]))
        route = np.random.default_rng([settings.seed, _ROUTE, index]).permutation(settings.cameras)
        for camera in sorted(route[: settings.views or settings.cameras].tolist()):
            for shot in range(settings.images):
                split = SPLITS[0] if index not in tested else SPLITS[1] if shot == 0 else SPLITS[2]
                shown = take(settings, index, camera, shot)
                yield _named(split, index + 1, camera, shot, person, camera_of(settings, camera), shown)


def _named(
    split: str, person_id: int, camera: int, shot: int, person: dict[str, Any], view: Camera, shown: Photograph
) -> tuple[str, dict[str, Any], Photograph]:
    skipped = ("around", "objects", "materials")
    plain = {field.name: getattr(view, field.name) for field in fields(view) if field.name not in skipped}
    facts = {
        "person_id": person_id, "camera_id": camera + 1, "split": split, "shot": shot,
        **person, **_flat("camera", plain), "camera_elevation": view.elevation,
    }  # fmt: skip
    return f"{split}/{person_id:04d}_c{camera + 1}s1_{shot:06d}_01.jpg", facts, shown


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """A nested dict as columns: `person_top_kind`; colours and other tuples as lists."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(f"{prefix}_{name}", value)
        else:
            found[f"{prefix}_{name}"] = np.asarray(value).tolist() if isinstance(value, (tuple, np.ndarray)) else value
    return found


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
