"""Import an ONNX or OpenVINO file: a run folder whose network the file's own runtime computes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from passerby.errors import WeightsError, argument
from passerby.files import write_all_atomic
from passerby.importers.embedding_check import find_problem
from passerby.importers.recognize import DETECTOR_USE
from passerby.openset.calibration import parse_calibration
from passerby.recipe.recipe import parse_recipe
from passerby.runs.run_folder import RunFolder, to_json
from passerby.runtime.file_encoder import FileEncoder, FileInput
from passerby.runtime.file_metadata import TRAINED_ON, AccuracyKind, read_metadata
from passerby.runtime.file_model import EXPORTED_OUTPUT, build_exported_encoder
from passerby.runtime.model_manifest import FILE_METHOD, MANIFEST_FORMAT
from passerby.runtime.networks import FileNetwork, load_network
from passerby.runtime.preprocessing import Channels, Preprocessing, parse_preprocessing, require_options
from passerby.runtime.weights_hash import hash_file, hash_network_file
from passerby.text import plural
from passerby.types import Result

EXPORTED = "passerby"
"""Family of files that `passerby model export` wrote."""


@dataclass(frozen=True)
class KnownFile:
    """Files whose preprocessing is published.

    Attributes:
        family: Name in messages and in the manifest.
        names: Pattern of the file's name without its ending.
        preprocessing: As published.
        license: License of the weights.
    """

    family: str
    names: str
    preprocessing: Preprocessing
    license: str


KNOWN_FILES = (
    KnownFile(
        family="openvino-zoo",
        names=r"person-reidentification-retail-0(?:267|277|286|287|288)",
        preprocessing=Preprocessing((256, 128), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), channels="bgr", scale=1.0),
        license="Apache-2.0",
    ),
)
"""The Open Model Zoo's networks for re-identification; 0267 is the older number of 0287."""


@dataclass(frozen=True, repr=False)
class ImportedFile(Result):
    """An ONNX or OpenVINO file that was imported.

    Attributes:
        folder: The run folder.
        family: `openvino-zoo`, `passerby` for a file of `passerby model export`, or `file` for another one.
        output: Name of the output with the embedding.
        width: Length of an embedding.
        preprocessing: From pixels to the network's input.
        license: License of the weights, None if unknown.
        sha256: Hash of the file; for OpenVINO IR, that of `.xml` and `.bin` (`hash_network_file`).
        precision: Precision of a file of `passerby model export`, None for others.
        flip: Whether such a file averages the mirror image inside, None for others.
        accuracy: `measured`, `by cosine` or `not verified`, as the certificate of such a file; None for others.
    """

    folder: Path
    family: str
    output: str
    width: int
    preprocessing: Mapping[str, Any]
    license: str | None
    sha256: str
    precision: str | None
    flip: bool | None
    accuracy: AccuracyKind | None

    def __repr__(self) -> str:
        height, width = self.preprocessing["size"]
        return f"ImportedFile({self.family}: {height} x {width}, {plural(self.width, 'dimension')}, {self.folder})"


def import_file_model(
    file: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channels: Channels | None = None,
    scale: float | None = None,
    output: str | None = None,
) -> ImportedFile:
    """Embed two images with an ONNX or OpenVINO file, and copy it into a run folder.

    A file that `passerby model export` wrote describes its input and output, and no option is needed. Its calibration
    is written to the folder.

    Args:
        file: `.onnx`, or `.xml` with its `.bin`.
        out: A folder that holds no run yet.
        size: (height, width) of its images in pixels; None takes it from the network's input.
        mean: Mean of each channel of (pixel / scale). Required with `std`, unless the file is one of `KNOWN_FILES`.
        std: Standard deviation of each channel.
        channels: `rgb` (default) or `bgr`.
        scale: 255 (default) for networks that take pixels from 0 to 1, 1 for pixels from 0 to 255.
        output: Name of the output with the embedding, where there are several.

    Raises:
        WeightsError: If the preprocessing is not known, or input or output are not those of a network that embeds.
        DataError: If the runtime cannot load the file, or the calibration in its description is damaged.
        TrainingError: If `out` holds a run or other files.
    """
    require_options(size=size, mean=mean, std=std, channels=channels, scale=scale)
    path, folder = Path(file), RunFolder(Path(out))
    folder.require_unused()
    known = find_known(path)
    network = load_network(path, batches=(1, 2))
    metadata = None if network.metadata is None else read_metadata(network)
    if metadata is None:
        preprocessing = _choose_preprocessing(network, known, size, mean, std, channels, scale, output)
        encoder = FileEncoder(network, FileInput(preprocessing), output=output, precision="fp32")
    else:
        _require_no_options(path, size=size, mean=mean, std=std, channels=channels, scale=scale, output=output)
        encoder = build_exported_encoder(network, metadata)
        preprocessing, output = encoder.preprocessing, EXPORTED_OUTPUT
    _require_embeddings(encoder, preprocessing.size)
    weights = path if network.runtime == "onnx" else path.with_suffix(".bin")
    name = f"model{path.suffix.lower()}"
    imported: dict[str, Any] = {
        "file": path.name,
        "sha256": hash_file(path) if weights == path else hash_network_file(path),
        "family": known.family if known else "file",
        "license": known.license if known else None,
    }
    values = {**preprocessing.to_dict(), "size": list(preprocessing.size)}
    manifest = {
        "format": MANIFEST_FORMAT,
        "passerby": version("passerby"),
        "model": {"method": FILE_METHOD, "file": name, "output": output},
        "preprocessing": values,
        "identities": 0,
        "imported": imported,
    }
    recipe = parse_recipe({"name": path.stem, "images": {"size": list(preprocessing.size)}}, source=path.name)
    contents = {folder.recipe: recipe.to_yaml().encode(), folder.root / name: path.read_bytes()}
    if metadata is not None:
        trained, certificate = metadata["manifest"], metadata["certificate"]
        manifest |= {key: trained[key] for key in TRAINED_ON if key in trained}
        imported |= {
            "family": EXPORTED,
            "precision": metadata["precision"],
            "flip": metadata["flip"],
            "accuracy": certificate["accuracy"],
            "interchangeable": certificate["interchangeable"],
        }
        if metadata.get("calibration") is not None:
            parse_calibration(metadata["calibration"], path, advice="export the model again")
            contents[folder.calibration] = to_json(metadata["calibration"])
    if weights != path:
        contents[folder.root / f"model{weights.suffix}"] = weights.read_bytes()
    with folder.lock():
        folder.require_unused()
        write_all_atomic({**contents, folder.manifest: to_json(manifest)})
    return ImportedFile(
        folder=folder.root,
        family=imported["family"],
        output=output or network.outputs[0],
        width=encoder.width,
        preprocessing=values,
        license=imported["license"],
        sha256=imported["sha256"],
        precision=imported.get("precision"),
        flip=imported.get("flip"),
        accuracy=imported.get("accuracy"),
    )


def find_known(path: Path) -> KnownFile | None:
    """Find the entry of `KNOWN_FILES` for a file's name.

    Example:
        >>> find_known(Path("person-reidentification-retail-0287.xml")).license
        'Apache-2.0'
    """
    return next((known for known in KNOWN_FILES if re.fullmatch(known.names, path.stem)), None)


def _require_vectors(network: FileNetwork, size: tuple[int, int] | None, output: str | None) -> None:
    """Raise WeightsError for a network without vectors, by an image of its size if that is known."""
    size = size or _find_fixed_size(network)
    if size is not None:
        neutral = {"size": size, "mean": (0, 0, 0), "std": (1, 1, 1), "channels": "rgb", "scale": 255.0}
        preprocessing = parse_preprocessing(neutral, network.path)
        _require_width(FileEncoder(network, FileInput(preprocessing), output=output, precision="fp32"))


def _require_width(encoder: FileEncoder) -> None:
    if encoder.width == 1:
        raise WeightsError(
            f"{encoder.path}: its output has 1 number for an image, as that of a detector; {DETECTOR_USE}"
        )


def _require_embeddings(encoder: FileEncoder, size: tuple[int, int]) -> None:
    """Raise WeightsError for a network that embeds no images, such as a detector."""
    _require_width(encoder)
    if problem := find_problem(encoder, size):
        raise WeightsError(
            f"{encoder.path}: run by {encoder.runtime}, its embedding of a test image holds {problem}; the output is "
            "no embedding, the preprocessing is another one, or the runtime computes an operator in another way: "
            "import the network in the other format (.xml of OpenVINO, .onnx)"
        )


def _choose_preprocessing(
    network: FileNetwork,
    known: KnownFile | None,
    size: tuple[int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channels: Channels | None,
    scale: float | None,
    output: str | None,
) -> Preprocessing:
    """Combine given values, published ones, and the size of the network's input; there are no defaults."""
    published = known.preprocessing if known else None
    if published is None and (mean is None or std is None):
        _require_vectors(network, size, output)
        raise WeightsError(
            f"{network.path}: its preprocessing is not known; give {argument('mean')} and {argument('std')} (of "
            f"pixel / scale), and {argument('channels')} and {argument('scale')} where they are not rgb and 255. "
            "ImageNet's: mean 0.485,0.456,0.406 and std 0.229,0.224,0.225"
        )
    values = {
        "size": size or (published.size if published else _fixed_size(network)),
        "mean": mean if mean is not None else published and published.mean,
        "std": std if std is not None else published and published.std,
        "channels": channels or (published.channels if published else "rgb"),
        "scale": scale if scale is not None else (published.scale if published else 255.0),
    }
    return parse_preprocessing(values, network.path)


def _require_no_options(path: Path, **options: Any) -> None:
    """Raise WeightsError for options that a file's own description answers."""
    given = [argument(name) for name, value in options.items() if value is not None]
    if given:
        raise WeightsError(
            f"{path}: was written by `passerby model export` and describes its input and output; leave out "
            f"{', '.join(given)}"
        )


def _find_fixed_size(network: FileNetwork) -> tuple[int, int] | None:
    """Return height and width of the network's input, if they are fixed."""
    shape = network.input_shape
    if len(shape) == 4:
        sides = shape[2:] if shape[1] == 3 else shape[1:3]
        if sides[0] is not None and sides[1] is not None:
            return sides[0], sides[1]
    return None


def _fixed_size(network: FileNetwork) -> tuple[int, int]:
    if size := _find_fixed_size(network):
        return size
    raise WeightsError(
        f"{network.path}: takes images of any size; give that of its training, such as {argument('size')} 256x128"
    )
