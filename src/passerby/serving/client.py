"""Client of a service, with the methods of `Gallery`.

Q queries   D embedding width
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from passerby.errors import DataError, GalleryError
from passerby.extras import require_extra
from passerby.files import read_bytes
from passerby.gallery.backup import check_copy
from passerby.gallery.card import GalleryCard
from passerby.gallery.crops import Crop
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.results import (
    AuditEntry,
    Candidate,
    ClusterResult,
    EnrollResult,
    GalleryStats,
    IdentifyResult,
    LabelConflict,
)
from passerby.gallery.sightings import Hit, SightingInfo
from passerby.gallery.stores.sqlite_database import FILE
from passerby.progress import ProgressOption, open_progress
from passerby.reviewing.defaults import PAIR_PRIOR
from passerby.runtime.read_ahead import require_batch, to_pixels
from passerby.serving.service_connection import ServiceConnection
from passerby.types import Sample

if TYPE_CHECKING:
    from passerby.runtime.read_ahead import ImageLike
    from passerby.serving.review_client import RemoteReview

_IMAGES = 32  # images of one request


class Client:
    """A gallery behind `passerby serve`, with the methods of `Gallery`.

    Args:
        address: Address of the service, such as `http://127.0.0.1:8765`.
        token: Token that `passerby serve GALLERY --new-token ROLE` printed; not needed on the service's own machine
            while its gallery has none.
        timeout: Seconds to wait for each part of a reply.
        certificate: File with the certificate of the service's proxy, where no public authority has signed it.

    Raises:
        GalleryError: If the service cannot be reached or refuses a request; the message is the service's own.
        MissingExtraError: Without the extra `serve`.

    Example:
        >>> with Client("http://127.0.0.1:9") as gallery:
        ...     gallery.stats()
        Traceback (most recent call last):
        passerby.errors.GalleryError: http://127.0.0.1:9: cannot be reached (...); is `passerby serve` running there?
    """

    def __init__(
        self, address: str, *, token: str | None = None, timeout: float = 60.0, certificate: str | Path | None = None
    ) -> None:
        self._connection = ServiceConnection(address, token=token, timeout=timeout, certificate=certificate)

    def __repr__(self) -> str:
        return f"Client({self._connection.address!r})"

    def enroll(self, crops: Sequence[Crop], *, batch: int = 32, progress: ProgressOption = False) -> EnrollResult:
        """Add crops; see `Gallery.enroll`. The files are read here and sent."""
        require_batch(batch)
        new = known = 0
        unreadable: list[tuple[str, str]] = []
        conflicts: list[LabelConflict] = []
        with open_progress(progress) as report:
            for start in range(0, len(crops), batch):
                part: list[tuple[Crop, dict[str, Any]]] = []
                for crop in crops[start : start + batch]:
                    try:
                        part.append((crop, _describe_crop(crop)))
                    except DataError as error:
                        unreadable.append((crop.source, str(error)))
                body = {"sightings": [sighting for _, sighting in part]}
                replies = self._connection.post("sightings/batch", body)["sightings"] if part else []
                for (crop, _), reply in zip(part, replies, strict=True):
                    if reply["status"] == "unreadable":
                        unreadable.append((crop.source, reply["reason"]))
                        continue
                    new, known = new + (reply["status"] == "new"), known + (reply["status"] == "known")
                    if crop.label is not None and reply["label"] != crop.label:
                        conflicts.append(LabelConflict(crop.source, reply["label"], crop.label))
                report("enroll", min(start + batch, len(crops)), len(crops))
        return EnrollResult(new, known, tuple(unreadable), tuple(conflicts))

    def search(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        top: int = 10,
        where: Filter = EVERYTHING,
        seen_by: str | None = None,
    ) -> list[list[Hit]]:
        """Find the nearest sightings of each image; see `Gallery.search`."""
        settings = {"top": top, "seen_by": seen_by, **_describe_filter(where)}
        return [
            [Hit(**hit) for hit in reply["hits"]] for reply in self._ask("search", _encode_images(images), settings)
        ]

    def search_vectors(
        self, vectors: ArrayLike, *, top: int = 10, where: Filter = EVERYTHING, seen_by: str | None = None
    ) -> list[list[Hit]]:
        """Find the nearest sightings of each vector; see `Gallery.search_vectors`."""
        settings = {"top": top, "seen_by": seen_by, **_describe_filter(where)}
        return [
            [Hit(**hit) for hit in reply["hits"]] for reply in self._ask("search", _list_vectors(vectors), settings)
        ]

    def identify(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[IdentifyResult]:
        """Identify the person on each image; see `Gallery.identify`."""
        settings = {"unknown": unknown, "at_least": at_least, "seen_by": seen_by, **_describe_filter(where)}
        return [_read_identified(reply) for reply in self._ask("identify", _encode_images(images), settings)]

    def identify_vectors(
        self,
        vectors: ArrayLike,
        *,
        where: Filter = EVERYTHING,
        unknown: float = 0.5,
        at_least: float = 0.5,
        seen_by: str | None = None,
    ) -> list[IdentifyResult]:
        """Identify the person of each vector; see `Gallery.identify_vectors`."""
        settings = {"unknown": unknown, "at_least": at_least, "seen_by": seen_by, **_describe_filter(where)}
        return [_read_identified(reply) for reply in self._ask("identify", _list_vectors(vectors), settings)]

    def cluster(
        self, *, where: Filter = EVERYTHING, threshold: float | None = None, prior: float = PAIR_PRIOR
    ) -> ClusterResult:
        """Group sightings by identity; see `Gallery.cluster`."""
        reply = self._connection.post("cluster", {"threshold": threshold, "prior": prior, **_describe_filter(where)})
        clusters = tuple(tuple(SightingInfo(**sighting) for sighting in group) for group in reply.pop("clusters"))
        return ClusterResult(clusters, **reply)

    def stats(self) -> GalleryStats:
        """Return size, contents and settings; see `Gallery.stats`."""
        reply = self._connection.get("stats")
        del reply["drift"]  # of the service; a gallery in a folder has none
        card = reply.pop("card")
        return GalleryStats(card=GalleryCard.from_dict(card), **reply)

    def audit(self) -> list[AuditEntry]:
        """Return the audit log; see `Gallery.audit`."""
        return [AuditEntry(**entry) for entry in self._connection.get("audit")]

    def label(self, name: str | None, *, where: Filter) -> int:
        """Set or remove the label of sightings; see `Gallery.label`."""
        return self._change("label", {"name": name, **_describe_filter(where)})

    def remove(self, *, where: Filter) -> int:
        """Remove sightings; see `Gallery.remove`."""
        return self._change("remove", _describe_filter(where))

    def forget(
        self,
        *,
        label: str | None = None,
        ids: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        rewrite_shards: bool = False,
    ) -> int:
        """Erase sightings; see `Gallery.forget`."""
        body = {
            "label": label,
            "ids": _to_list(ids),
            "sources": _to_list(sources),
            "rewrite_shards": rewrite_shards,
        }
        return self._change("forget", body)

    def expire(self, *, days: float | None = None) -> int:
        """Erase sightings by age; see `Gallery.expire`."""
        return self._change("expire", {"days": days})

    def set_retention(self, days: float | None, *, confirm_erase: bool = False) -> int:
        """Change the retention; see `Gallery.set_retention`."""
        return self._change("retention", {"days": days, "confirm_erase": confirm_erase})

    def export(self, path: str | Path, *, where: Filter = EVERYTHING, progress: ProgressOption = False) -> int:
        """Write sightings to a Parquet file on this machine; see `Gallery.export`."""
        target = Path(path)
        if target.suffix.lower() != ".parquet":
            raise GalleryError(f"{target}: an export is a Parquet file; name it .parquet")
        if target.exists():
            raise GalleryError(f"{target}: the file exists; name another file, or move it")
        with open_progress(progress) as report:
            self._connection.download("export", target, _describe_filter(where))
            count = int(require_extra("pyarrow.parquet").ParquetFile(target).metadata.num_rows)
            report("export", count, count)
        return count

    def backup(self, out: str | Path) -> int:
        """Copy the gallery to a new folder on this machine; see `Gallery.backup`."""
        target = Path(out)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise GalleryError(f"{target}: exists and is not an empty folder; name a new one")
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection.download("backup", target / FILE, {})
        return check_copy(target / FILE, target)

    def review(self) -> RemoteReview:
        """Start a review; see `Gallery.review`. Its prior and its error rate are those of the service."""
        require_extra("numba")
        from passerby.serving.review_client import RemoteReview

        return RemoteReview(self._connection.send)

    def import_(self, path: str | Path, *, progress: ProgressOption = False) -> EnrollResult:
        """Add the sightings of an exported file on this machine; see `Gallery.import_`."""
        with open_progress(progress) as report, Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            reply = self._connection.send("POST", "import", content=file, headers=headers)
            report("import", reply["new"] + reply["known"], reply["new"] + reply["known"])
        return EnrollResult(reply["new"], reply["known"])

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, verb: str, queries: Iterator[tuple[str, Any]], settings: dict[str, Any]) -> list[Any]:
        """Send queries, some at a time, and return the results of all."""
        results: list[Any] = []
        kind, part = "images", []
        for kind, query in queries:
            part.append(query)
            if len(part) == _IMAGES:
                results += self._connection.post(verb, {kind: part, **settings})["results"]
                part = []
        if part:
            results += self._connection.post(verb, {kind: part, **settings})["results"]
        return results

    def _change(self, verb: str, body: dict[str, Any]) -> int:
        return int(self._connection.post(verb, body)["count"])


def _describe_crop(crop: Crop) -> dict[str, Any]:
    """Return the body of a crop.

    Raises:
        DataError: If its file cannot be read.
    """
    return {
        "camera": crop.camera,
        "time": crop.time,
        "label": crop.label,
        "source": crop.source,
        "attributes": dict(crop.attributes),
        "image": _encode_image(crop.image),
    }


def _describe_filter(where: Filter) -> dict[str, Any]:
    """Return the conditions that are given: 0 and an empty list are conditions, None is not."""
    return {name: _to_list(value) for name, value in vars(where).items() if value is not None}


def _to_list(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _encode_images(images: ImageLike | Iterable[ImageLike]) -> Iterator[tuple[str, Any]]:
    from passerby.runtime.read_ahead import list_images

    for number, image in enumerate(list_images(images)):
        yield "images", _encode_image(image, number)


def _encode_image(image: ImageLike, number: int = 0) -> str:
    """Return the bytes of an image file in base64; pixels become a PNG."""
    if isinstance(image, Sample) and image.key is None:
        image = image.path
    if isinstance(image, str | Path):
        content = read_bytes(Path(image))
    else:
        out = io.BytesIO()
        Image.fromarray(to_pixels(image, number)).save(out, "PNG")
        content = out.getvalue()
    return base64.b64encode(content).decode()


def _list_vectors(vectors: ArrayLike) -> Iterator[tuple[str, Any]]:
    array = np.asarray(vectors)
    for vector in array[None] if array.ndim == 1 else array:
        yield "vectors", vector.tolist()


def _read_identified(reply: dict[str, Any]) -> IdentifyResult:
    candidates = tuple(Candidate(c["label"], c["probability"], Hit(**c["hit"])) for c in reply["candidates"])
    return IdentifyResult(reply["label"], reply["probability"], candidates, reply["answer"])
