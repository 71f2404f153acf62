"""Crops of a site: pixels at the model's size, cameras, tracks, and identities if they are labeled.

N crops   H W height and width of the model's images   L links
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import DataError
from passerby.metric.covariance import UNKNOWN
from passerby.progress import ProgressCallback, no_progress
from passerby.runtime.embedder import Embedder
from passerby.runtime.read_ahead import ImageLike
from passerby.text import plural
from passerby.types import IntArray, Result

MIN_CROPS = 20
"""Fewer crops are refused."""
MAX_CROPS = 20_000
"""Largest number of crops that are used; of more, whole tracks are drawn at random."""
CROPS_PER_CAMERA = 5
"""Least mean number of crops of a camera; with fewer, the column or folder is probably not the camera."""


@dataclass(frozen=True)
class SiteCrop:
    """One crop before it is decoded.

    Attributes:
        image: File, sample, encoded or decoded image.
        camera: Name of its camera.
        track: Name of its track within the camera; None if unknown.
        person: Name of its identity; None if unknown.
        name: Path or id, for answers and messages.
    """

    image: ImageLike
    camera: str
    track: str | None = None
    person: str | None = None
    name: str = ""


@dataclass(frozen=True)
class NamedLink:
    """A pair of crops, by name, of one person (`same`) or of two people."""

    first: str
    second: str
    same: bool


@dataclass(frozen=True, repr=False)
class SiteLinks(Result):
    """Pairs of crops by index.

    Attributes:
        must: (L, 2) pairs of one person.
        cannot: (L, 2) pairs of two people.
    """

    must: IntArray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    cannot: IntArray = field(default_factory=lambda: np.empty((0, 2), np.int64))


@dataclass(frozen=True, repr=False)
class Site(Result):
    """Crops of a site.

    Attributes:
        title: Where the crops are from, for the manifest.
        pixels: (N, H, W, 3) uint8 RGB.
        cameras: Names of the cameras.
        camera_ids: (N,) index in `cameras`.
        tracks: (N,) number of the track, or `UNKNOWN`.
        persons: (N,) number of the identity, or `UNKNOWN`.
        names: Name of each crop.
        links: Answers of a review.
    """

    title: str
    pixels: Pixels
    cameras: tuple[str, ...]
    camera_ids: IntArray
    tracks: IntArray
    persons: IntArray
    names: tuple[str, ...]
    links: SiteLinks = field(default_factory=SiteLinks)

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        return f"Site({self.describe()})"

    def describe(self) -> str:
        """Return the title and the numbers of crops, cameras and tracks."""
        cameras, tracks = plural(len(self.cameras), "camera"), plural(count(self.tracks), "track")
        return f"{self.title}: {plural(len(self), 'crop')}, {cameras}, {tracks}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, camera, track and identity of all crops, in any order; 64 hexadecimal digits."""
        rows = zip(self.pixels, self.camera_ids.tolist(), self.tracks.tolist(), self.persons.tolist(), strict=True)
        digests = sorted(
            hashlib.sha256(crop.tobytes() + repr((self.cameras[camera], track >= 0, person >= 0)).encode()).digest()
            for crop, camera, track, person in rows
        )
        return hashlib.sha256(b"".join(digests)).hexdigest()


def count(groups: IntArray) -> int:
    """Count the groups of (N,) numbers, without `UNKNOWN`."""
    return len(np.unique(groups[groups != UNKNOWN]))


def number(names: Sequence[object | None]) -> IntArray:
    """Number names from 0 in the order of their first use; None is `UNKNOWN`."""
    numbers: dict[object, int] = {}
    return np.array([UNKNOWN if name is None else numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def read_site(
    crops: Sequence[SiteCrop],
    embedder: Embedder,
    *,
    title: str,
    links: Sequence[NamedLink] = (),
    seed: int = 0,
    progress: ProgressCallback = no_progress,
) -> Site:
    """Decode crops to the model's size.

    Args:
        crops: Crops of all cameras.
        embedder: The model, for the size.
        title: Where the crops are from.
        links: Pairs whose answer is known; those of crops that are not among `crops` are left out.
        seed: Seed of the draw, if there are more than `MAX_CROPS`.
        progress: Callback that receives the number of decoded crops, as task `decode`.

    Raises:
        DataError: For crops from which nothing can be learned, or an image that cannot be read; the message names it.
    """
    require_usable(crops, title=title)
    crops = draw_crops(crops, seed=seed)
    blocks: list[Pixels] = []
    done = 0
    for block in embedder.read_pixels([crop.image for crop in crops]):
        blocks.append(block)
        done += len(block)
        progress("decode", done, len(crops))
    pixels = np.concatenate(blocks)
    if (pixels == pixels[:1]).all():
        raise DataError(
            f"{title}: {plural(len(crops), 'crop')} of one and the same image; expected crops of different people"
        )
    cameras = tuple(sorted({crop.camera for crop in crops}))
    index = {camera: position for position, camera in enumerate(cameras)}
    return Site(
        title=title,
        pixels=pixels,
        cameras=cameras,
        camera_ids=np.array([index[crop.camera] for crop in crops], np.int64),
        tracks=number([None if crop.track is None else (crop.camera, crop.track) for crop in crops]),
        persons=number([crop.person for crop in crops]),
        names=tuple(crop.name for crop in crops),
        links=_find_links(links, [crop.name for crop in crops]),
    )


def _find_links(links: Sequence[NamedLink], names: Sequence[str]) -> SiteLinks:
    """Convert names to indices."""
    index = {name: position for position, name in enumerate(names)}
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for link in links:
        if link.first in index and link.second in index:
            pairs[link.same].append((index[link.first], index[link.second]))
    return SiteLinks(*(np.array(pairs[same], np.int64).reshape(-1, 2) for same in (True, False)))


def require_usable(crops: Sequence[SiteCrop], *, title: str) -> None:
    """Check that there are enough crops for the cameras.

    Raises:
        DataError: For fewer than `MIN_CROPS`, or so many cameras that they are no cameras.
    """
    if len(crops) < MIN_CROPS:
        raise DataError(
            f"{title}: {plural(len(crops), 'crop')}, expected at least {MIN_CROPS}; collect more before you adapt"
        )
    cameras = {crop.camera for crop in crops}
    if len(crops) < CROPS_PER_CAMERA * len(cameras):
        raise DataError(
            f"{title}: {plural(len(cameras), 'camera')} for {plural(len(crops), 'crop')}, such as "
            f"{min(cameras)!r}; expected "
            f"{CROPS_PER_CAMERA} crops of a camera or more on average. Is the folder or the column the camera?"
        )


def draw_crops(crops: Sequence[SiteCrop], *, seed: int, most: int = MAX_CROPS) -> list[SiteCrop]:
    """Draw whole tracks (or crops without a track) at random up to `most` crops; fewer crops are returned as they are.

    Example:
        >>> crops = [SiteCrop("a.jpg", "north", track=str(number // 2)) for number in range(10)]
        >>> [crop.track for crop in draw_crops(crops, seed=0, most=4)]
        ['2', '2', '4', '4']
    """
    if len(crops) <= most:
        return list(crops)
    units = number([index if crop.track is None else (crop.camera, crop.track) for index, crop in enumerate(crops)])
    sizes = np.bincount(units)
    order = np.random.default_rng(seed).permutation(len(sizes))
    kept = order[np.cumsum(sizes[order]) <= most]
    return [crop for crop, chosen in zip(crops, np.isin(units, kept).tolist(), strict=True) if chosen]
