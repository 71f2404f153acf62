"""Where the crops come from that a gallery takes in: a folder, a table, or a data set.

A folder's subfolders may say more: with `folders="camera/label"`, `north/Alice/1.jpg` is Alice, seen by north.

    path      a table's columns: the image, relative to the table's folder
    camera    which camera took it; not needed where one camera is named for all
    time      optional: seconds since 1970, or ISO 8601 (UTC where no zone is written)
    label     optional: who it is
    ...       every further column is kept as an attribute
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from passerby.data.datasets import load_data
from passerby.data.datasets.listing import IMAGE_SUFFIXES, contents, require_folder
from passerby.data.records import read_records, seconds, text_of
from passerby.errors import GalleryError
from passerby.gallery.sightings import Value
from passerby.types import DISTRACTOR, Sample

Folders = Literal["camera", "label", "camera/label", "label/camera"]
"""What the folders inside a folder say."""
Split = Literal["train", "query", "gallery"]
COLUMNS = ("path", "camera", "time", "label")


@dataclass(frozen=True, kw_only=True)
class Crop:
    """An image of one person that is to be enrolled.

    Attributes:
        image: The file, or a sample inside a container.
        camera: Name of the camera.
        time: Seconds since 1970 UTC, or None.
        label: Who it is, or None.
        attributes: Further values by name.
    """

    image: Path | Sample
    camera: str
    time: float | None = None
    label: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The image's whole path, and its place in a container: the same file is the same source, however named."""
        if isinstance(self.image, Sample):
            inside = "" if self.image.key is None else f"::{self.image.key}"
            return f"{self.image.path.resolve()}{inside}"
        return str(self.image.resolve())


def crops_of(
    where: str | Path,
    *,
    camera: str | None = None,
    label: str | None = None,
    time: float | None = None,
    folders: Folders | None = None,
) -> list[Crop]:
    """The crops of one image, a folder (and those in it) or a table, in the order of their names.

    Args:
        where: An image, a folder, or a `.csv` or `.parquet` table.
        camera: Which camera took all of them.
        label: Who is on all of them.
        time: When all of them were taken, seconds since 1970.
        folders: What the folders inside `where` say; None when nothing.

    Raises:
        GalleryError: When nothing is there, no camera is said, or a row or a folder says what cannot be; each names it.
        DataError: When the table cannot be read.
    """
    path = Path(where).expanduser()
    given = {"camera": camera, "label": label, "time": time}
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        if folders is not None:
            raise GalleryError(f"{path}: folders={folders!r} is for a folder; a table has columns {', '.join(COLUMNS)}")
        return _of_table(path, given)
    if path.is_file():
        if folders is not None:
            raise GalleryError(f"{path}: folders={folders!r} is for a folder, this is a file")
        return [_crop(path, given, f"{path}")]
    require_folder(path, name="images", expected="images of people, or a .csv or .parquet table")
    return _of_folder(path, given, folders)


def crops_of_data(spec: str, *, split: Split = "gallery", labeled: bool = True) -> list[Crop]:
    """The crops of a data set's split: its first camera is `c1`, labels are people's numbers; distractors have none.

    Args:
        spec: As `load_data` takes it; one data set.
        split: Which images.
        labeled: Whether labels are taken over.

    Raises:
        GalleryError: For several data sets, or an empty split.
        DataError: As `load_data`.
    """
    if split not in get_args(Split):
        raise GalleryError(f"split: got {split!r}, expected one of {', '.join(get_args(Split))}")
    sets = load_data(spec)
    samples = getattr(sets[0], split)
    if len(sets) > 1 or not samples:
        raise GalleryError(
            f"data {spec}: {len(sets)} data sets, {split} has {len(samples)} images; expected one with images"
        )
    return [
        Crop(
            image=each,
            camera=f"c{each.camera_id + 1}",
            time=each.timestamp,
            label=str(each.person_id) if labeled and each.person_id != DISTRACTOR else None,
        )
        for each in samples
    ]


def _of_folder(folder: Path, given: Mapping[str, str | float | None], folders: Folders | None) -> list[Crop]:
    if folders is not None and folders not in get_args(Folders):
        raise GalleryError(f"folders: got {folders!r}, expected one of {', '.join(get_args(Folders))}")
    said = folders.split("/") if folders is not None else []
    twice = [name for name in said if given[name] is not None]
    if twice:
        raise GalleryError(f"{folder}: {twice[0]} is given, and folders={folders!r} says it too; keep one")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise GalleryError(
            f"{folder}: no image in it; expected {', '.join(sorted(IMAGE_SUFFIXES))}; it holds {contents(folder)}"
        )
    crops = []
    for path in found:
        parts = path.relative_to(folder).parts[:-1]
        if len(parts) < len(said):
            raise GalleryError(
                f"{path}: lies in {len(parts)} folders of {folder}, folders={folders!r} expects {len(said)}"
            )
        crops.append(_crop(path, {**given, **dict(zip(said, parts, strict=False))}, str(path)))
    return crops


def _of_table(path: Path, given: Mapping[str, str | float | None]) -> list[Crop]:
    columns, records = read_records(path)
    if "path" not in columns:
        raise GalleryError(
            f"{path}: no column path; expected {', '.join(COLUMNS)} and others, found {', '.join(columns) or 'none'}"
        )
    twice = [name for name, value in given.items() if value is not None and name in columns]
    if twice:
        raise GalleryError(f"{path}: {twice[0]} is given, and the table has a column of that name; keep one")
    crops = []
    for number, record in enumerate(records, start=1):
        text = text_of(record, columns)
        row = f"{path}: row {number}"
        if not text["path"]:
            raise GalleryError(f"{row}: no path")
        try:
            when = seconds(record["time"]) if text.get("time") else None
        except ValueError as error:
            raise GalleryError(f"{row}: {error}") from None
        said = {**given, **{name: text[name] for name in ("camera", "label") if text.get(name)}}
        more = {name: text[name] for name in columns if name not in COLUMNS and text[name]}
        crop = _crop(path.parent / text["path"], said if when is None else {**said, "time": when}, row)
        crops.append(replace(crop, attributes=more))
    if not crops:
        raise GalleryError(f"{path}: a table without rows; expected one an image")
    return crops


def _crop(path: Path, said: Mapping[str, str | float | None], name: str) -> Crop:
    camera, label, time = said["camera"], said["label"], said["time"]
    if camera is None:
        raise GalleryError(f"{name}: no camera; name one for all of them, or say where it stands (folders, a column)")
    return Crop(
        image=path,
        camera=str(camera),
        label=None if label is None else str(label),
        time=None if time is None else float(time),
    )
