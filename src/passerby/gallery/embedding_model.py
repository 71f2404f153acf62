"""Loading of the model that makes a gallery's vectors, and of its calibration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryModel

if TYPE_CHECKING:
    from passerby.model.embed import Embedder


def load_model(source: str, device: str) -> tuple[Embedder, GalleryModel]:
    """Load a model and compute its record for the gallery's card.

    Args:
        source: Folder of a run, or `default`.
        device: Where images are embedded.

    Raises:
        WeightsError: If the folder contains no trained model.
        GalleryError: As `read_calibration`.
    """
    from passerby.model.embed import load

    embedder = load(source, device=device)
    return embedder, record_model(embedder, calibration=read_calibration(source), source=source)


def record_model(
    embedder: Embedder, *, calibration: Mapping[str, Any] | None = None, source: str | None = None
) -> GalleryModel:
    """Compute what a gallery's card records of a model.

    Args:
        embedder: Loaded model.
        calibration: Content of its `calibration.json`.
        source: Folder from which it was loaded, or `default`.
    """
    import torch

    weights = hashlib.sha256()
    for name, tensor in sorted(embedder.network.state_dict().items()):
        weights.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    settings = json.dumps(embedder.manifest["model"], sort_keys=True)
    return GalleryModel(
        architecture=hashlib.sha256(settings.encode()).hexdigest(),
        weights=weights.hexdigest(),
        preprocessing=asdict(embedder.preprocessing),
        dimension=embedder.network.embedding_width,
        calibration=calibration,
        source=source,
    )


def read_calibration(source: str) -> Mapping[str, Any] | None:
    """Read the `calibration.json` of a model; the file is read again only when it has changed.

    Args:
        source: Folder of a run, or `default`.

    Returns:
        The content, or None if the model has no calibration.

    Raises:
        GalleryError: If the file cannot be read.
    """
    from passerby.model.weights import model_folder

    path = model_folder(source) / "calibration.json"
    if not path.is_file():
        return None
    state = path.stat()
    return _read_json(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read_json(path: Path, _mtime: int, _size: int) -> Mapping[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GalleryError(f"{path}: cannot be read ({error}); calibrate the model again") from None
    return content
