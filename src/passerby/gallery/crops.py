"""Lists of crops to enroll: from an image, a folder, a table or a data set.

The folders inside a folder may contain metadata: with `folders="camera/label"`, `north/Alice/1.jpg` is a crop of Alice
in camera north. Columns of a table:

    path      the image, relative to the table's folder
    camera    camera; not needed if one camera is given for all
    time      optional: seconds since 1970, or ISO 8601 (UTC without a time zone)
    label     optional: identity
    x, y, width, height
              optional: box of the person in the image, in pixels; see `passerby.data.scene_boxes`
    ...       every other column is stored as an attribute; its name cannot begin with "track."
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from passerby.data.datasets import load_data
from passerby.data.datasets.listing import contents, count_suffixes, describe_above, tree_images
from passerby.data.formats import SUFFIXES
from passerby.data.images import read_image
from passerby.data.records import locate_image, parse_timestamp, read_records, read_text_columns
from passerby.data.scene_boxes import BOX_COLUMNS, box_key, has_boxes
from passerby.errors import DataError, GalleryError, argument
from passerby.files import describe_kind, expand_home
from passerby.gallery.sightings import TRACK, SightingInfo, Value, check_metadata, to_source
from passerby.text import escape_controls, plural
from passerby.types import DISTRACTOR, Sample

logger = logging.getLogger(__name__)

Folders = Literal["camera", "label", "camera/label", "label/camera"]
"""Meaning of the folders inside a folder."""
Split = Literal["train", "query", "gallery"]
COLUMNS = ("path", "camera", "time", "label")

_Common = Mapping[str, str | float | None]  # camera, label and time that are given for all crops


@dataclass(frozen=True, kw_only=True)
class Crop:
    """An image of one person to be enrolled.

    Attributes:
        image: File, or a sample in a container file.
        camera: Name of the camera.
        time: Seconds since 1970 UTC, or None.
        label: Identity, or None.
        attributes: Further values by name.

    Raises:
        GalleryError: For a value that a sighting cannot have.

    Example:
        >>> Crop(image=Path("a.jpg"), camera="north", label="Ada").label
        'Ada'
    """

    image: Path | Sample
    camera: str
    time: float | None = None
    label: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        info = SightingInfo(camera=self.camera, time=self.time, label=self.label, attributes=self.attributes)
        check_metadata(info, self.source)

    @property
    def source(self) -> str:
        """Absolute path of the image, with `::KEY` for a sample in a container file; see `to_source`."""
        if isinstance(self.image, Sample):
            key = "" if self.image.key is None else f"::{self.image.key}"
            return f"{to_source(self.image.path)}{escape_controls(key)}"
        return to_source(self.image)


def list_crops(
    path: str | Path,
    *,
    camera: str | None = None,
    label: str | None = None,
    time: float | None = None,
    folders: Folders | None = None,
) -> list[Crop]:
    """List the crops of an image, a folder with its subfolders, or a table.

    Args:
        path: Image, folder, or `.csv` or `.parquet` table.
        camera: Camera of all crops.
        label: Label of all crops.
        time: Time of all crops, seconds since 1970 UTC.
        folders: Meaning of the folders inside `path`: `camera`, `label`, `camera/label` or `label/camera`.

    Returns:
        Crops of a folder in the order of their paths, of a table in the order of its rows. Files of a folder that are
        no images (`passerby.data.formats`) are left out, and a warning with their number for each suffix is logged.

    Raises:
        GalleryError: If there is no image, a crop has no camera, or a row or path cannot be used.
        DataError: If the folder is missing, or the table cannot be read.

    Example:
        >>> sorted({crop.camera for crop in list_crops("crops", folders="camera")})
        ['north', 'south']
    """
    path = expand_home(path)
    common: _Common = {"camera": camera, "label": label, "time": time}
    if path.is_file() and path.suffix.lower() in (".csv", ".parquet"):
        if folders is not None:
            raise GalleryError(
                f"{path}: {argument('folders', folders)} is for a folder; a table has columns {', '.join(COLUMNS)}"
            )
        return _list_table(path, common)
    if path.is_file():
        if folders is not None:
            raise GalleryError(f"{path}: {argument('folders', folders)} is for a folder, this is a file")
        return [_make_crop(path, common, str(path))]
    if not path.is_dir():
        expected = "an image, a folder of images, or a .csv or .parquet table"
        if path.exists():
            raise GalleryError(f"{path}: is {describe_kind(path.stat().st_mode)}; expected {expected}")
        state = "is a broken link" if path.is_symlink() else "does not exist"
        raise DataError(f"{path}: {state}; expected {expected}; {describe_above(path)}")
    return _list_folder(path, common, folders)


def require_readable(crops: Sequence[Crop]) -> None:
    """Check that at least one image can be read, before a gallery is made for them.

    Raises:
        GalleryError: If none can; the message has the reason of the last.
    """
    reason: Exception | None = None
    for crop in crops:
        try:
            read_image(crop.image)
            return
        except (DataError, OSError) as error:
            reason = error
    if reason is not None:
        raise GalleryError(f"no readable image among {len(crops):,}: {reason}")


def list_data_crops(spec: str, *, split: Split = "gallery", labeled: bool = True) -> list[Crop]:
    """List the crops of a data set's split.

    Args:
        spec: One data set, as for `load_data`.
        split: `train`, `query` or `gallery`.
        labeled: Use the person ids as labels; distractors have no label.

    Returns:
        The crops; the cameras are named `c1`, `c2` and so on.

    Raises:
        GalleryError: If the spec names several data sets, or the split is unknown or empty.
        DataError: As `load_data`.

    Example:
        >>> list_data_crops("market1501:people", split="query")[0].camera
        'c1'
    """
    if split not in get_args(Split):
        raise GalleryError(f"{argument('split')}: got {split!r}, expected one of {', '.join(get_args(Split))}")
    data_sets = load_data(spec)
    samples = getattr(data_sets[0], split)
    if len(data_sets) > 1 or not samples:
        raise GalleryError(
            f"data {spec}: {plural(len(data_sets), 'data set')}, {split} has {plural(len(samples), 'image')}; expected "
            "one with images"
        )
    return [
        Crop(
            image=sample,
            camera=f"c{sample.camera_id + 1}",
            time=sample.timestamp,
            label=str(sample.person_id) if labeled and sample.person_id != DISTRACTOR else None,
        )
        for sample in samples
    ]


def _list_folder(folder: Path, common: _Common, folders: Folders | None) -> list[Crop]:
    if folders is not None and folders not in get_args(Folders):
        raise GalleryError(f"{argument('folders')}: got {folders!r}, expected one of {', '.join(get_args(Folders))}")
    names = [] if folders is None else folders.split("/")
    for name in names:
        if common[name] is not None:
            raise GalleryError(
                f"{folder}: {argument(name)} is given for all, and {argument('folders', folders)} contains it; give one"
            )
    skipped: list[Path] = []
    images = tree_images(folder, skipped=skipped)
    if not images:
        raise GalleryError(
            f"{folder}: no image in it; expected {', '.join(sorted(SUFFIXES))}; it contains {contents(folder)}"
        )
    if skipped:
        example = escape_controls(str(skipped[0].relative_to(folder)))
        logger.warning("%s: left out %s, such as %s", folder, escape_controls(count_suffixes(skipped)), example)
    crops = []
    for path in images:
        parts = path.relative_to(folder).parts[:-1]
        if len(parts) < len(names):
            raise GalleryError(
                f"{path}: inside {plural(len(parts), 'folder')} of {folder}, {argument('folders', folders)} expects "
                f"{len(names)}"
            )
        crops.append(_make_crop(path, {**common, **dict(zip(names, parts, strict=False))}, str(path)))
    return crops


def _list_table(table: Path, common: _Common) -> list[Crop]:
    columns, records = read_records(table)
    if "path" not in columns:
        raise GalleryError(
            f"{table}: no column path; expected {', '.join(COLUMNS)} and others, found {', '.join(columns) or 'none'}"
        )
    reserved = [name for name in columns if name.startswith(TRACK)]
    if reserved:
        raise GalleryError(f"{table}: columns that begin with {TRACK} are those of videos; rename {reserved[0]}")
    try:
        boxed = has_boxes(columns)
    except ValueError as error:
        raise GalleryError(f"{table}: {error}") from None
    for name, value in common.items():
        if value is not None and name in columns:
            raise GalleryError(
                f"{table}: {argument(name)} is given for all, and the table has a column of that name; give one"
            )
    crops = []
    for number, record in enumerate(records, start=1):
        row = f"{table}: row {number}"
        try:
            text = read_text_columns(record, columns, ids=("camera", "label"))
            key = box_key(text) if boxed else None
            path = locate_image(table.parent, text["path"])
        except ValueError as error:
            raise GalleryError(f"{row}: {error}") from None
        if not text["path"]:
            raise GalleryError(f"{row}: no path")
        values = {**common, **{name: text[name] for name in ("camera", "label") if text.get(name)}}
        if text.get("time"):
            try:
                values["time"] = parse_timestamp(record["time"])
            except (ValueError, OverflowError) as error:
                raise GalleryError(f"{row}: {error}") from None
        known = (*COLUMNS, *BOX_COLUMNS) if boxed else COLUMNS
        attributes = {name: text[name] for name in columns if name not in known and text[name]}
        crop = replace(_make_crop(path, values, row), attributes=attributes)
        image = crop.image if key is None else Sample(path, DISTRACTOR, 0, key=key)
        crops.append(replace(crop, image=image))
    if not crops:
        raise GalleryError(f"{table}: the table has no rows; expected one row per image")
    return crops


def _make_crop(path: Path, values: _Common, name: str) -> Crop:
    camera, label, time = values["camera"], values["label"], values["time"]
    if camera is None:
        raise GalleryError(
            f"{name}: no camera; give {argument('camera')} or {argument('folders')}, or a table with a column camera"
        )
    seconds = None if time is None else float(time)
    label = None if label is None else str(label)
    check_metadata(SightingInfo(camera=str(camera), time=seconds, label=label), name)
    return Crop(image=path, camera=str(camera), label=label, time=seconds)
