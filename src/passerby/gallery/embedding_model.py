"""The model that makes a gallery's vectors, and its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import DataError, GalleryError, argument, explain
from passerby.files import expand_home, read_json
from passerby.gallery.accepted_models import Rounding
from passerby.gallery.card import GalleryCard, GalleryModel, Precision
from passerby.gallery.card_checks import check_card, check_dims
from passerby.openset.calibration import Calibration, parse_calibration
from passerby.openset.identification import Identification
from passerby.runtime.file_model import is_model_file
from passerby.runtime.model_fingerprint import fingerprint_architecture, fingerprint_network, fingerprint_weights
from passerby.runtime.model_manifest import model_folder
from passerby.runtime.projection import Projection, calibration_file, read_projection
from passerby.text import plural
from passerby.types import DEFAULT

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder


class EmbeddingModel:
    """Model of an open gallery: its embedder and calibration, loaded when they are first used.

    Args:
        where: Address of the gallery, for messages.
        card: Card of the gallery.
        device: Where images are embedded.
        embedder: The model, if it is loaded.
    """

    def __init__(self, where: str, card: GalleryCard, *, device: str, embedder: Embedder | None) -> None:
        self._where, self._card, self._device, self._embedder = where, card, device, embedder
        self._calibration: tuple[object, Calibration] | None = None
        if embedder is not None:
            self._prepare(embedder)

    @property
    def embedder(self) -> Embedder:
        """See `Gallery.embedder`."""
        if self._embedder is None:
            source = self._card.model.source
            if source is None:
                raise GalleryError(
                    f"{self._where}: its model's folder is unknown; name that of {self._card.model} with "
                    f"{argument('model')}"
                )
            if source != DEFAULT and not Path(source).exists():
                raise GalleryError(
                    f"{self._where}: its model {source} is missing; name its present path with {argument('model')}"
                )
            embedder, record = load_model(source, self._device, self._card.precision)
            check_card(self._card, self._where, model=self._card.project(record))
            self._prepare(embedder)
            self._embedder = embedder
        return self._embedder

    def _prepare(self, embedder: Embedder) -> None:
        embedder.set_flip(self._card.flip)
        embedder.projection = self._card.model.projection
        if self._where != "memory":  # leaves nothing on the disk
            embedder.use_cache()

    @property
    def calibration(self) -> Calibration:
        """See `Gallery.calibration`."""
        model = self._card.model
        present = None if model.source is None else read_calibration(model.source, model.projection)
        content = present or model.calibration
        if content is None:
            what, command = "its model is", f"passerby calibrate {model.source or 'RUN'}"
            if model.projection is not None:
                what, command = (
                    f"its vectors of {plural(model.dimension, 'dimension')} are",
                    f"{command} --dims {model.dimension}",
                )
            raise GalleryError(
                f"{self._where}: {what} not calibrated, so distances have no probabilities; run `{command}`, or give "
                f"{argument('threshold')} where it is accepted"
            )
        if self._calibration is None or self._calibration[0] is not content:  # the file was read again
            self._calibration = content, parse_calibration(content, model.source or self._where)
        return self._calibration[1]

    def identification(self, *, normalized: bool) -> Identification:
        """Return the log likelihood ratio of distances, or of distances normalized per camera.

        Raises:
            GalleryError: If the calibration is missing, or of an earlier version without it.
        """
        calibration = self.calibration.cameras if normalized else self.calibration
        line = None if calibration is None else calibration.identification
        if line is None:
            raise GalleryError(
                f"{self._where}: its model's calibration is of an earlier version, without identification; calibrate "
                "the model again"
            )
        return line


def find_source(model: str | Path) -> str:
    """Return what a gallery's card records as the source of a model: an absolute path, or `default`."""
    return DEFAULT if model == DEFAULT else str(expand_home(model).resolve())


def load_model(source: str, device: str, precision: Precision = "fp32") -> tuple[Embedder, GalleryModel]:
    """Load a model and compute its record for the gallery's card.

    Args:
        source: Folder of a run, or `default`.
        device: Where images are embedded.
        precision: In which vectors are computed.

    Raises:
        WeightsError: If the folder contains no trained model.
        DataError: For a damaged calibration in the description of an exported file.
        GalleryError: As `read_calibration`.
    """
    from passerby.model.embed import load

    embedder = load(source, device=device, precision=precision)
    calibration = read_calibration(source)
    if calibration is None and (described := (embedder.exported or {}).get("calibration")) is not None:
        parse_calibration(described, source, advice="export the model again")
        calibration = described
    return embedder, record_model(embedder, calibration=calibration, source=source)


def load_given_model(
    where: str | Path,
    model: str | Path | None,
    *,
    device: str,
    precision: Precision | None,
    flip: bool | None,
    accept_drift: bool,
    dims: int | None = None,
) -> tuple[Embedder, GalleryModel] | tuple[None, None]:
    """Load the model with which a gallery is opened, in the gallery's precision unless another one is given.

    Args:
        where: The gallery, which may be missing.
        model: See `Gallery`.
        device: Where images are embedded.
        precision: See `Gallery`.
        flip: Average the mirror image; checked before a gallery is made.
        accept_drift: See `Gallery`.
        dims: See `Gallery`.

    Returns:
        Nothing if no model is given, and none is needed to compare another precision with the gallery's. The record is
        that of the gallery's projected vectors, if it has such.

    Raises:
        GalleryError: For `dims` that differ from an existing gallery's, or as `project_record`.
    """
    from passerby.gallery.stores.opening import read_card

    card = read_card(where) if accept_drift or model is not None or dims is not None else None
    if card is not None:
        check_dims(card, str(where), dims)
    if model is None and card is not None and precision is not None:
        model = card.model.source
    if model is None:
        return None, None
    embedder, record = load_model(find_source(model), device, precision or (card.precision if card else "fp32"))
    if flip is not None:
        embedder.set_flip(flip)
    if card is not None:
        return embedder, card.project(record)
    return embedder, record if dims is None else project_record(record, dims)


def project_record(record: GalleryModel, dims: int) -> GalleryModel:
    """Return the record of a model whose vectors are projected to `dims`, by the projection in the model's folder.

    Raises:
        GalleryError: If the model has no projection, or `dims` are not below its width.
    """
    source = record.source
    folder = None if source is None or is_model_file(source) else model_folder(source)
    projection = None if folder is None else read_projection(folder, network=record.network)
    if projection is None:
        advice = "open the gallery with the run that it was made from"
        if folder is not None:
            advice = f"fit one with `passerby calibrate {source} --dims {dims}`"
        raise GalleryError(f"{argument('dims')}: the model {source or record} has no projection; {advice}")
    try:
        narrow = projection.take(dims)
    except DataError as error:
        raise GalleryError(str(error)) from None
    return record.project(narrow, calibration=read_calibration(str(source), narrow))


def record_model(
    embedder: Embedder, *, calibration: Mapping[str, Any] | None = None, source: str | None = None
) -> GalleryModel:
    """Compute what a gallery's card records of a model.

    Args:
        embedder: Loaded model.
        calibration: Content of its `calibration.json`.
        source: Folder or file from which it was loaded, or `default`.
    """
    weights, network = fingerprint_weights(embedder), fingerprint_network(embedder)
    return GalleryModel(
        architecture=fingerprint_architecture(embedder),
        weights=weights,
        preprocessing=embedder.preprocessing.to_dict(),
        dimension=embedder.width,
        calibration=calibration,
        source=source,
        rounding=None if weights == network else _describe_rounding(embedder, network),
    )


def _describe_rounding(embedder: Embedder, network: str) -> Rounding:
    precision = embedder.encoder.precision
    if embedder.exported is None or precision != embedder.exported["precision"]:  # bf16 is a choice of the runtime
        return Rounding(network, precision)
    certificate = embedder.exported["certificate"]
    return Rounding(network, precision, certificate["cosine_min"], certificate["cosine_mean"])


def read_calibration(source: str, projection: Projection | None = None) -> Mapping[str, Any] | None:
    """Read the calibration of a model's vectors; the file is read again only when it has changed.

    Args:
        source: Folder of a run, or `default`.
        projection: Projection of the vectors; None for the model's own.

    Returns:
        The content, or None if the vectors have no calibration.

    Raises:
        GalleryError: If the file cannot be read.
    """
    if is_model_file(source) and not Path(source).is_dir():
        return None
    path = model_folder(source) / calibration_file(None if projection is None else projection.dims)
    if not path.is_file():
        return None
    state = path.stat()
    content = _read_json(path, state.st_mtime_ns, state.st_size)
    fits = projection is None or content.get("projection") == projection.sha256
    return content if fits else None


@lru_cache(maxsize=8)
def _read_json(path: Path, _mtime: int, _size: int) -> Mapping[str, Any]:
    try:
        content: dict[str, Any] = read_json(path)
    except (OSError, ValueError) as error:
        raise GalleryError(f"{path}: cannot be read ({explain(error)}); calibrate the model again") from None
    return content
