"""Import a model of another toolkit: convert a checkpoint to a run folder."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import RecipeError, WeightsError, argument, explain, require_several
from passerby.extras import require_extra
from passerby.files import write_all_atomic
from passerby.importers.embedding_check import find_problem
from passerby.importers.family import Family, Recognition
from passerby.importers.file_models import ImportedFile, import_file_model
from passerby.importers.model_folders import download_model, read_model_folder
from passerby.importers.read_checkpoint import Checkpoint, identify_file, read_checkpoint
from passerby.importers.recognize import FAMILIES, recognize, unwrap_network
from passerby.recipe import Recipe
from passerby.recipe.read import apply_override
from passerby.recipe.recipe import parse_recipe
from passerby.runs.run_folder import RunFolder, to_json
from passerby.runtime.model_manifest import MANIFEST_FORMAT
from passerby.runtime.preprocessing import Channels, parse_preprocessing, require_options
from passerby.runtime.weights_hash import hash_file
from passerby.text import plural
from passerby.types import Result

if TYPE_CHECKING:
    from torch import Tensor

    from passerby.model.convnext_ap import ReID

HUB_PREFIXES = ("hf_hub:", "hf-hub:")
FINE_TUNING: dict[str, Any] = {
    "batches": {"persons": 16, "images": 4, "workers": 0},
    "loss": {"identity": {}, "circle": None, "triplet": {}},
    "optimizer": {"name": "adamw", "backbone_scale": 0.1, "weight_decay": 0.05},
    "schedule": {"epochs": 20, "warmup_epochs": 2, "lr_init": 1e-5, "lr_max": 1e-3, "lr_min": 1e-5},
}
"""Training settings of an imported model's recipe, for a later fine-tuning. They are not tuned."""


@dataclass(frozen=True, repr=False)
class ImportedModel(Result):
    """A model that was imported.

    Attributes:
        folder: The run folder.
        family: Family of the checkpoint, a key of `FAMILIES`, `timm` or `open-clip`.
        model: Options of the network.
        embedding: What the toolkit embeds at test.
        width: Length of an embedding.
        preprocessing: Size (height, width), mean and standard deviation.
        interpolation: Filter with which the toolkit resizes; this package resizes with `bicubic`.
        assumed: Options that no tensor shows, with the source of their value.
        dropped: Tensors of classifiers and of training alone, which are not imported.
        skipped: Entries of the file that are no tensors, with their type.
        keys: Keys of the file at which the tensors were.
        sha256: Hash of the file.

    Example:
        >>> passerby.import_model("osnet.pth", "models/osnet").dropped
        ('classifier.bias', 'classifier.weight')
    """

    folder: Path
    family: str
    model: Mapping[str, Any]
    embedding: str
    width: int
    preprocessing: Mapping[str, Any]
    interpolation: str
    assumed: Mapping[str, str]
    dropped: tuple[str, ...]
    skipped: Mapping[str, str]
    keys: tuple[str, ...]
    sha256: str

    def __repr__(self) -> str:
        height, width = self.preprocessing["size"]
        return (
            f"ImportedModel({self.family}: {self.model['backbone']}, {self.model['head']}, {height} x {width}, "
            f"{plural(self.width, 'dimension')}, {self.folder})"
        )


def import_model(
    file: str | Path,
    out: str | Path,
    *,
    family: str | None = None,
    size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    channels: Channels | None = None,
    scale: float | None = None,
    output: str | None = None,
    overrides: Sequence[str] = (),
) -> ImportedModel | ImportedFile:
    """Convert a model of another toolkit to a run folder, which `evaluate`, `Gallery` and the others take.

    The kind of the file is found from its content. An ONNX or OpenVINO file is kept and run by its runtime. No code of
    the file is executed: a pickled checkpoint is read in a separate process with limits on memory and time, and only
    tensors are taken from it.

    Args:
        file: A pickled checkpoint (`.pth`, `.pt`, `.tar`), a safetensors file, an ONNX file or an OpenVINO `.xml`; a
            folder of reid, timm or OpenCLIP (see `model_folders`); or `hf_hub:OWNER/NAME`, which is downloaded.
        out: A folder that holds no run yet.
        family: A key of `FAMILIES`, where the tensors fit several.
        size: (height, width) of the network's images in pixels, in place of the toolkit's.
        mean: Mean of the pixels, RGB as fractions of 255, in place of the toolkit's.
        std: Standard deviation of the pixels, in place of the toolkit's.
        channels: `rgb` or `bgr`; of ONNX and OpenVINO files, as `scale` and `output`; see `import_file_model`.
        scale: 255 for networks that take pixels from 0 to 1, 1 for pixels from 0 to 255.
        output: Name of the output with the embedding.
        overrides: `key=value` of the recipe, for options that no tensor shows, such as `model.last_stride=1`.

    Raises:
        WeightsError: For a file that cannot be read, an unknown network, tensors that are missing or unexpected.
        RecipeError: For overrides that the network does not have.
        TrainingError: For a folder that holds a run or other files.

    Example:
        >>> passerby.import_model("osnet.pth", "models/osnet")
        ImportedModel(torchreid: osnet_x0_25, average-fc512-bn-relu, 256 x 128, 512 dimensions, models/osnet)
        >>> passerby.load("models/osnet").embed("a.jpg").shape
        (1, 512)
    """
    require_several("overrides", overrides, RecipeError)
    require_options(size=size, mean=mean, std=std, channels=channels, scale=scale)
    folder = RunFolder(Path(out))
    folder.require_unused()
    path = download_model(str(file)) if str(file).startswith(HUB_PREFIXES) else Path(file)
    described = read_model_folder(path) if path.is_dir() else None
    path = described.weights if described else path
    kind = identify_file(path)
    if kind in ("onnx", "openvino"):
        if family is not None or overrides:
            raise WeightsError(
                f"{path}: a file that its runtime computes has no {argument('family')} and "
                f"{argument('overrides')}; leave them out"
            )
        return import_file_model(
            path, folder.root, size=size, mean=mean, std=std, channels=channels, scale=scale, output=output
        )
    if (channels or "rgb", 255 if scale is None else scale, output) != ("rgb", 255, None):
        raise WeightsError(
            f"{path}: {argument('channels')}, {argument('scale')} and {argument('output')} are of ONNX and OpenVINO "
            "files; the networks of checkpoints take RGB from 0 to 1"
        )
    if kind not in ("safetensors", "pickle"):
        raise WeightsError(
            f"{path}: not a model file (starts with {_head(path)!r}); expected a checkpoint (.pth, .pt, .tar, "
            ".safetensors), an ONNX file named .onnx or an OpenVINO .xml file"
        )
    if described and family is not None:
        raise WeightsError(f"{described.config}: describes the network; leave {argument('family')} out")
    require_extra("torch")
    checkpoint = read_checkpoint(path)
    if not described:
        checkpoint = unwrap_network(checkpoint, family=family)
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    if described:
        name, toolkit, found = described.recognize(shapes)
    else:
        name, found = recognize(shapes, family=family, source=path)
        toolkit = FAMILIES[name]
    recipe = _build_recipe(name, found, size=size, mean=mean, std=std, overrides=overrides)
    network, dropped = _fill_network(path, toolkit, found, checkpoint, recipe)
    digest = hash_file(path)
    result = ImportedModel(
        folder=folder.root,
        family=name,
        model=recipe.model.model_dump(mode="json", exclude={"weights", "pretrained"}),
        embedding=toolkit.embedding,
        width=network.embedding_width,
        preprocessing=recipe.images.model_dump(mode="json", include={"size", "mean", "std"}),
        interpolation=found.interpolation,
        assumed=found.assumed,
        dropped=tuple(sorted((*dropped, *checkpoint.outside))),
        skipped=checkpoint.others,
        keys=checkpoint.keys,
        sha256=digest,
    )
    _write(folder, network, recipe, result, source=path)
    return result


def _head(path: Path) -> bytes:
    """Read the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(8)


def _build_recipe(
    family: str,
    found: Recognition,
    *,
    size: tuple[int, int] | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    overrides: Sequence[str],
) -> Recipe:
    """Build the recipe of an imported model: its network and preprocessing, and settings for fine-tuning."""
    images = {
        "size": list(size or found.size),
        "mean": list(mean or found.normalization[0]),
        "std": list(std or found.normalization[1]),
    }
    tree: dict[str, Any] = {
        "name": f"{family}-{found.model['backbone']}",
        "images": images,
        "model": {"method": "imported", **found.model},
        **FINE_TUNING,
    }
    for override in overrides:
        apply_override(tree, override)
    return parse_recipe(tree, source=tree["name"])


def _fill_network(
    path: Path, family: Family, found: Recognition, checkpoint: Checkpoint, recipe: Recipe
) -> tuple[ReID, tuple[str, ...]]:
    """Build the network and load the tensors of the checkpoint into it; return it with the names of dropped tensors.

    The network is first built without memory: a damaged file can describe one of any size, of which it has no tensors.
    """
    import torch

    from passerby.model.methods import build_model

    options = recipe.model.model_dump(mode="json")
    with torch.device("meta"):
        blueprint = build_model(**options, identities=0)
    own = blueprint.state_dict()
    try:
        tensors = found.prepare(checkpoint.tensors)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{path}: recognized as {family.title}, {found.model['backbone']}, but a tensor is missing or of "
            f"another shape ({explain(error)}); nothing was written"
        ) from None
    names = {name: found.rename(name) for name in tensors}
    dropped = tuple(sorted(name for name, new in names.items() if new not in own and _is_dropped(name, family, found)))
    renamed = {names[name]: tensor for name, tensor in tensors.items() if name not in dropped}
    renamed = {name: _fit(tensor, own.get(name)) for name, tensor in renamed.items()}
    # Checkpoints of older versions of torch have no counters, and FastReID's reductions no bias.
    defaults = ("num_batches_tracked", ".reduce.bias")
    absent = {name: tensor for name, tensor in own.items() if name.endswith(defaults) and name not in renamed}
    renamed |= {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in absent.items()}
    problems = _list_problems(own, renamed)
    if problems:
        raise WeightsError(
            f"{path}: recognized as {family.title}, {found.model['backbone']}, but {problems}; nothing was "
            "written. Tensors have the names that the network has after import"
        )
    network = build_model(**options, identities=0)
    network.backbone.require_size(recipe.images.size)
    network.load_state_dict(renamed)
    _require_embeddings(path, network.eval(), recipe)
    return network, dropped


def _require_embeddings(path: Path, network: ReID, recipe: Recipe) -> None:
    """Raise WeightsError for weights with which different images have no different embeddings."""
    from passerby.model.torch_encoder import TorchEncoder

    preprocessing = parse_preprocessing(recipe.images.model_dump(include={"size", "mean", "std"}), path)
    if problem := find_problem(TorchEncoder(network, preprocessing, device="cpu"), preprocessing.size):
        raise WeightsError(
            f"{path}: its embedding of a test image holds {problem}; the weights are damaged, or were never trained; "
            "copy or download the file again"
        )


def _is_dropped(name: str, family: Family, found: Recognition) -> bool:
    """Return whether a tensor is of a classifier, of training alone, or of layers without use at test."""
    return family.is_dropped(name) or bool(found.unused and re.fullmatch(found.unused, name))


def _fit(tensor: Tensor, own: Tensor | None) -> Tensor:
    """Reshape a tensor to the network's, where both differ by sides of 1: a 1 x 1 convolution is a linear layer."""
    if own is None or [side for side in own.shape if side > 1] != [side for side in tensor.shape if side > 1]:
        return tensor
    return tensor.reshape(own.shape)


def _list_problems(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """List tensors that are missing, unexpected, of another shape or not finite; empty if all fit."""
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    numbers = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    lists = {
        "missing": sorted(own.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - own.keys()),
        "of another shape": sorted(shapes),
        "with numbers that are not finite": sorted(name for name in numbers if not numbers[name].isfinite().all()),
    }
    return "; ".join(
        f"{len(names)} {kind}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for kind, names in lists.items()
        if names
    )


def _write(folder: RunFolder, network: ReID, recipe: Recipe, result: ImportedModel, *, source: Path) -> None:
    """Write recipe, manifest and weights: all, or none after an interruption."""
    import safetensors.torch

    manifest = {
        "format": MANIFEST_FORMAT,
        "passerby": version("passerby"),
        "model": recipe.model.model_dump(mode="json"),
        "preprocessing": result.preprocessing,
        "identities": 0,
        "initial_weights": f"imported from {source.name}",
        "imported": {
            "file": source.name,
            "sha256": result.sha256,
            "family": result.family,
            "license": None,
            "interpolation": result.interpolation,
            "dropped": list(result.dropped),
        },
        "recipe": recipe.model_dump(mode="json"),
        "versions": {name: version(name) for name in ("torch", "timm", "numpy")}
        | {"python": platform.python_version()},
    }
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with folder.lock():
        folder.require_unused()
        write_all_atomic(
            {
                folder.model: safetensors.torch.save(tensors),
                folder.recipe: recipe.to_yaml().encode(),
                folder.manifest: to_json(manifest),
            }
        )
