"""Sources of the crops of a site: data, a gallery or videos."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.adaptation.site import NamedLink, SiteCrop
from passerby.adaptation.site_data import list_site_crops
from passerby.adaptation.start_model import StartModel, load_start
from passerby.errors import DataError, argument
from passerby.progress import ProgressCallback
from passerby.text import plural
from passerby.types import DEFAULT

if TYPE_CHECKING:
    from passerby.video.boxes import Detector


@dataclass(frozen=True)
class Source:
    """One of data, gallery and videos; see `adapt`.

    Raises:
        DataError: If not exactly one is given, or an option is for another one.
    """

    data: str | None
    gallery: str | Path | None
    videos: Mapping[str | Path, str] | None
    detector: Detector | None
    every: int
    labels: bool
    answers: str | Path | None

    def __post_init__(self) -> None:
        given = [name for name in ("data", "gallery", "videos") if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(map(argument, ("data", "gallery", "videos")))
            raise DataError(f"adapt: got {len(given)} of {names}; expected one of them")
        if self.videos is not None and self.labels:
            raise DataError(f"{argument('labels')}: videos have no identities; leave it out, or give data or a gallery")
        if self.videos is None and (self.detector is not None or self.every != 1):
            name = argument("every" if self.detector is None else "detector")
            raise DataError(f"{name}: is for videos, and {argument(given[0])} is given; leave it out")

    @property
    def title(self) -> str:
        """Text for messages and the manifest."""
        if self.data is not None:
            return self.data
        if self.gallery is not None:
            return f"gallery {self.gallery}"
        assert self.videos is not None
        return ", ".join(f"{Path(video).name} ({camera})" for video, camera in self.videos.items())

    def read(
        self, model: str | Path | None, *, device: str, passes: int, progress: ProgressCallback
    ) -> tuple[StartModel, list[SiteCrop], list[NamedLink]]:
        """Load the model and list the crops, with the links between them.

        Raises:
            WeightsError: As `load_start` and `StartModel.require_passes`.
        """
        if self.gallery is not None:
            start, crops, links = self._read_gallery(model, device=device)
            start.require_passes(passes)
        else:
            start, links = load_start(DEFAULT if model is None else model, device=device), []
            start.require_passes(passes)
            if self.data is not None:
                crops = list_site_crops(self.data, labels=self.labels)
            else:
                crops, links = self._read_videos(progress=progress)
        return start, crops, [*links, *self._read_answers(crops)]

    def record(self, run: Path, crops: Collection[str]) -> None:
        """Add a run to the list of the gallery's folder, from which `gallery forget` names it.

        Args:
            run: Folder of the run.
            crops: Names of the crops that it is made from, the ids of the sightings.
        """
        from passerby.gallery.adapted_runs import record_adapted_run

        if self.gallery is not None and Path(self.gallery).is_dir():  # a gallery on a server has no folder
            record_adapted_run(self.gallery, run, crops)

    def _read_gallery(
        self, model: str | Path | None, *, device: str
    ) -> tuple[StartModel, list[SiteCrop], list[NamedLink]]:
        from passerby.adaptation.site_gallery import list_gallery_crops
        from passerby.gallery.stores.opening import open_gallery

        assert self.gallery is not None
        store = open_gallery(self.gallery)
        try:
            crops, links = list_gallery_crops(store, where=self.gallery, labels=self.labels)
            name = model if model is not None else store.card.model.source
        finally:
            store.close()
        if name is None:
            raise DataError(f"{self.gallery}: its model's folder is unknown; name it with {argument('model')}")
        return load_start(name, device=device), crops, links

    def _read_videos(self, *, progress: ProgressCallback) -> tuple[list[SiteCrop], list[NamedLink]]:
        from passerby.adaptation.site_videos import list_video_crops
        from passerby.video.boxes import hog_detector

        assert self.videos is not None
        detector = hog_detector() if self.detector is None else self.detector
        return list_video_crops(list(self.videos.items()), detector=detector, every=self.every, progress=progress)

    def _read_answers(self, crops: list[SiteCrop]) -> list[NamedLink]:
        """Read a table of answers about the names of crops.

        Raises:
            DataError: If no answer is about two of the crops.
        """
        if self.answers is None:
            return []
        from passerby.reviewing.answers import read_answers, to_arrays
        from passerby.reviewing.links import count_votes

        names = [crop.name for crop in crops]
        votes = count_votes(*to_arrays(read_answers(self.answers), names))
        if not len(votes.pairs):
            raise DataError(
                f"{self.answers}: no answer is about two of the {plural(len(names), 'crop')}; expected names "
                f"such as {names[0]}"
            )
        return [
            NamedLink(names[a], names[b], same=net > 0)
            for (a, b), net in zip(votes.pairs.tolist(), votes.net.tolist(), strict=True)
            if net
        ]
