"""Crops of a site from a folder, a table or a data set.

folder:DIR?labels=none     DIR/CAMERA/IMAGE or DIR/CAMERA/TRACK/IMAGE
table:FILE?labels=none     columns path, camera_id, optionally track, and x, y, width, height of a box
any data set               its train split with its identities, for users who have labels
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from passerby.adaptation.site import SiteCrop
from passerby.data.datasets import DATASETS, read_part
from passerby.data.datasets.labeled import SPLITS
from passerby.data.datasets.listing import contents, image_files, missing_file, require_folder, subfolders
from passerby.data.datasets.spec import DataSpec, Reader, parse_spec
from passerby.data.records import locate_image, read_records, read_text_columns
from passerby.data.scene_boxes import BOX_COLUMNS, box_key, has_boxes
from passerby.errors import DataError, argument
from passerby.files import expand_home
from passerby.types import DISTRACTOR, Sample

LABELS = "labels"
LAYOUT = "CAMERA/IMAGE or CAMERA/TRACK/IMAGE"
COLUMNS = ("path", "camera_id", "track")
PERSON = "person_id"
"""Column of a table that is not learned from with `labels=none`, but by which the precision of links is measured."""


def _readers() -> Mapping[str, Reader]:
    """Return the readers of data sets, of which those of the user's own files take `labels=none`."""
    own = {name: DATASETS[name] for name in ("folder", "table")}
    return {**DATASETS, **{name: replace(own[name], options={LABELS: "none", **own[name].options}) for name in own}}


def list_site_crops(spec: str, *, labels: bool) -> list[SiteCrop]:
    """List the crops of a spec.

    Args:
        spec: `folder:DIR?labels=none`, `table:FILE?labels=none`, or with `labels` data sets as for `load_data`.
        labels: Use the identities of the train splits.

    Raises:
        DataError: As `load_data`; for data with labels where none are to be used, and the reverse; for files without a
            camera.

    Example:
        >>> crops = list_site_crops("folder:crops?labels=none", labels=False)
        >>> sorted({crop.camera for crop in crops})
        ['north', 'south']
    """
    crops: list[SiteCrop] = []
    parts = parse_spec(spec, readers=_readers())
    for position, part in enumerate(parts):
        unlabeled = part.options.get(LABELS)
        if unlabeled not in (None, "none"):
            raise DataError(f"{part.name}: option {LABELS}={unlabeled!r}; expected none, or leave the option out")
        if labels and unlabeled:
            raise DataError(
                f"{part.text}: {LABELS}=none, and {argument('labels', True)} needs identities; leave one of the two out"
            )
        if not labels and not unlabeled:
            raise DataError(
                f"{part.text}: a data set with identities, which are not used; read crops by camera with "
                f"folder:DIR?{LABELS}=none, or give {argument('labels')} to learn from the identities"
            )
        prefix = f"{position}:" if len(parts) > 1 else ""  # two parts have no camera in common
        listed = _list_labeled(part) if labels else _UNLABELED[part.name](part)
        crops += [replace(crop, camera=prefix + crop.camera) for crop in listed]
    return crops


def _list_labeled(part: DataSpec) -> list[SiteCrop]:
    data = read_part(part)
    if not data.train:
        raise DataError(f"{data.title}: the train split of {data.root} is empty; expected images to learn from")
    return [
        SiteCrop(
            image=sample,
            camera=f"c{sample.camera_id + 1}",
            track=None if sample.track is None else str(sample.track),
            person=f"{part.text}:{sample.person_id}",
            name=str(sample.path),
        )
        for sample in data.train
    ]


def _list_folder(part: DataSpec) -> list[SiteCrop]:
    _refuse_options(part, allowed=())
    root = require_folder(part.path, name=part.name, expected=LAYOUT)
    cameras = subfolders(root)
    if not cameras:
        raise DataError(
            f"{part.name}: no folder in {root}, so that no camera is known; expected {LAYOUT}. It holds "
            f"{contents(root)}"
        )
    if {folder.name for folder in cameras} <= set(SPLITS):
        raise DataError(
            f"{part.name}: {root} has {', '.join(folder.name + '/' for folder in cameras)}, the splits of data with "
            f"identities; expected {LAYOUT}, or leave {LABELS}=none out and give {argument('labels')}"
        )
    crops: list[SiteCrop] = []
    for camera in cameras:
        for path in image_files(camera, skipped=[]):
            crops.append(SiteCrop(path, camera.name, name=str(path)))
        for track in subfolders(camera):
            if deeper := subfolders(track):
                raise DataError(f"{part.name}: {deeper[0]} is too deep; expected {LAYOUT} below {root}")
            for path in image_files(track, skipped=[]):
                crops.append(SiteCrop(path, camera.name, track=track.name, name=str(path)))
    return crops


def _list_table(part: DataSpec) -> list[SiteCrop]:
    _refuse_options(part, allowed=("root",))
    if not part.path.is_file():
        raise missing_file(part.path, name=part.name, expected="a .csv or .parquet")
    columns, records = read_records(part.path)
    missing = [name for name in COLUMNS[:2] if name not in columns]
    if missing:
        raise DataError(
            f"{part.name}: {part.path} has no column {' or '.join(missing)}; expected {', '.join(COLUMNS[:2])} and "
            f"optionally track and {', '.join(BOX_COLUMNS)}, found {', '.join(map(str, columns)) or 'none'}"
        )
    root = part.path.parent / expand_home(part.options.get("root", "."))
    crops = []
    for row, record in enumerate(records, start=1):
        try:
            crops.append(_parse_row(record, columns, root))
        except ValueError as error:
            raise DataError(f"{part.name}: {part.path}: row {row}: {error}") from None
    return crops


def _parse_row(record: dict[str, Any], columns: list[str], root: Path) -> SiteCrop:
    text = read_text_columns(record, columns, ids=("camera_id", "track", PERSON))
    for name in COLUMNS[:2]:
        if not text[name]:
            raise ValueError(f"no {name}")
    path = locate_image(root, text["path"])
    key = box_key(text) if has_boxes(columns) else None
    image = path if key is None else Sample(path, DISTRACTOR, 0, key=key)
    return SiteCrop(image, text["camera_id"], text.get("track") or None, text.get(PERSON) or None, text["path"])


def _refuse_options(part: DataSpec, *, allowed: tuple[str, ...]) -> None:
    others = [name for name in part.options if name != LABELS and name not in allowed]
    if others:
        raise DataError(f"{part.name}: option {others[0]} is for data with identities; leave it out with {LABELS}=none")


_UNLABELED = {"folder": _list_folder, "table": _list_table}
