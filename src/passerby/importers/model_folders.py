"""Folders of other tools with a network and its description, and repositories of the Hugging Face hub that hold them.

- `reid_config.json` and `weights.safetensors`: the packages reid and trackers (`ReIDModel.save_pretrained`).
- `config.json` and `model.safetensors` or `pytorch_model.bin`: timm (`hf_hub:` and `local-dir:`).
- `open_clip_config.json` and `open_clip_model.safetensors` or `open_clip_pytorch_model.bin`: OpenCLIP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.errors import WeightsError, explain
from passerby.extras import require_extra
from passerby.files import read_json
from passerby.importers.family import IMAGENET, Family, Recognition, Shapes
from passerby.importers.recognize import FAMILIES, recognize
from passerby.runtime.preprocessing import MAX_SIDE

if TYPE_CHECKING:
    from torch import Tensor

HUB = re.compile(r"hf[_-]hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
"""A repository, as timm and OpenCLIP write it, with a revision after `@`."""
CLIP_NORMALIZATION = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
VISION_TOWERS = {
    (768, 12, 32, 64): "vit_base_patch32_clip_224",
    (768, 12, 16, 64): "vit_base_patch16_clip_224",
    (1024, 24, 14, 64): "vit_large_patch14_clip_224",
    (1280, 32, 14, 80): "vit_huge_patch14_clip_224",
}
"""timm's name of OpenCLIP's vision towers by width, layers, side of a patch and width of a head."""
VISION_DEFAULTS = {"width": 768, "layers": 12, "patch_size": 16, "head_width": 64}
TIMM_ARGUMENTS = {"img_size", "global_pool", "in_chans", "num_classes", "drop_rate", "drop_path_rate"}
"""Arguments of timm's networks that are read, or change nothing at test without a classifier."""


def _none(_: Shapes) -> Recognition | None:
    return None


TIMM = Family(
    title="timm",
    networks="networks of timm",
    recognize=_none,
    dropped="",
    embedding="output of timm's network without its classifier",
)
OPEN_CLIP = Family(
    title="OpenCLIP",
    networks="vision transformers of OpenCLIP",
    recognize=_none,
    dropped=r"(?!visual\.).*",
    embedding="projected class token, as encode_image returns it",
)


@dataclass(frozen=True)
class FolderModel:
    """A folder that describes its network.

    Attributes:
        config: File of the description.
        weights: File of the tensors.
        recognize: From the shapes of the tensors to the family's name, the family, and the network.
    """

    config: Path
    weights: Path
    recognize: Callable[[Shapes], tuple[str, Family, Recognition]]


def download_model(name: str) -> Path:
    """Download a repository of the Hugging Face hub into the cache of `huggingface_hub`, and return its folder.

    Args:
        name: Such as `hf_hub:timm/resnet18.a1_in1k` or `hf_hub:owner/name@revision`.

    Raises:
        WeightsError: For another form of name, or when the download fails.
    """
    match = HUB.fullmatch(name)
    if match is None:
        raise WeightsError(f"{name}: expected hf_hub:OWNER/NAME, or hf_hub:OWNER/NAME@REVISION")
    require_extra("timm")  # which depends on huggingface_hub
    import huggingface_hub

    patterns = [pattern for kind in KINDS for pattern in (kind.config, *kind.weights)]
    try:
        return Path(
            huggingface_hub.snapshot_download(match["name"], revision=match["revision"], allow_patterns=patterns)
        )
    except (OSError, ValueError, RuntimeError) as error:  # huggingface_hub's errors derive from these
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise WeightsError(
            f"{name}: not downloaded ({reason}); download the repository where there is a network, and name its folder"
        ) from None


def read_model_folder(folder: Path) -> FolderModel:
    """Find the description and the weights in a folder.

    Raises:
        WeightsError: For a folder of another kind, without weights, or with a description that cannot be read.
    """
    kind = next((kind for kind in KINDS if (folder / kind.config).is_file()), None)
    if kind is None:
        run = "; it is a run of this package, which needs no import" if (folder / "manifest.json").is_file() else ""
        raise WeightsError(
            f"{folder}: a folder without {', '.join(kind.config for kind in KINDS)}{run}; expected a file, or a folder "
            "of reid, timm or OpenCLIP"
        )
    config = folder / kind.config
    weights = next((folder / name for name in kind.weights if (folder / name).is_file()), None)
    if weights is None:
        raise WeightsError(f"{folder}: has {kind.config}, but no {' or '.join(kind.weights)}; copy it there")
    try:
        content = read_json(config)
        if not isinstance(content, dict):
            raise ValueError("not an object")
        return FolderModel(config, weights, kind.read(config, weights, content))
    except WeightsError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{config}: cannot be read ({explain(error)}); expected a description of {kind.tool}"
        ) from None


_WHOLE = ((r"^", "backbone.net."),)
Recognize = Callable[[Shapes], tuple[str, Family, Recognition]]


def _read_reid(config: Path, weights: Path, content: Mapping[str, Any]) -> Recognize:
    """Read the description of reid and trackers: an architecture, and the preprocessing."""
    name, given = str(content["architecture"]), _read_object(content, "preprocessing")
    if given.get("resize_mode", "stretch") != "stretch":
        raise WeightsError(f"{config}: resize_mode is {given['resize_mode']!r}, expected stretch: images are stretched")
    mean, std = _triples(given, IMAGENET)
    size, interpolation = _pair(given.get("input_size", (256, 128))), str(given.get("interpolation", "bilinear"))

    def find(shapes: Shapes) -> tuple[str, Family, Recognition]:
        if name.startswith("timm:"):
            network = Recognition({"backbone": name, "head": "own"}, _WHOLE)
            return "timm", TIMM, replace(network, size=size, normalization=(mean, std), interpolation=interpolation)
        family, network = recognize(shapes, family=None, source=weights)
        if network.model["backbone"] != name:
            raise WeightsError(
                f"{config}: architecture is {name!r}, but {weights.name} holds {network.model['backbone']}; expected "
                "osnet_* or timm:NAME with the weights of that network"
            )
        network = replace(network, size=size, normalization=(mean, std), interpolation=interpolation)
        return family, FAMILIES[family], network

    return find


def _read_timm(config: Path, _weights: Path, content: Mapping[str, Any]) -> Recognize:
    """Read timm's config.json: architecture, pretrained_cfg and model_args; earlier ones have no pretrained_cfg."""
    given = _read_object(content, "pretrained_cfg") if "pretrained_cfg" in content else content
    name, arguments = str(content["architecture"]).partition(".")[0], _read_object(content, "model_args")
    foreign = sorted(arguments.keys() - TIMM_ARGUMENTS)
    if foreign:
        raise WeightsError(f"{config}: model_args has {', '.join(foreign)}, which are not imported; export to ONNX")
    sides = given.get("input_size", (3, 224, 224))
    if not isinstance(sides, list | tuple):
        raise ValueError(f"input_size is {sides!r:.80}, expected channels, height and width")
    channels, *size = sides
    if channels != 3 or arguments.get("in_chans", 3) != 3:
        raise WeightsError(f"{config}: input_size has {channels} channels, expected 3")
    options = ""
    if "img_size" in arguments:
        size = list(_pair(arguments["img_size"]))
        options = f",img_size={size[0]}x{size[1]}"
    if pool := arguments.get("global_pool"):
        options += f",global_pool={pool}"
    classifier = given.get("classifier") or ()
    layers = [classifier] if isinstance(classifier, str) else classifier
    mean, std = _triples(given, IMAGENET)
    network = Recognition(
        {"backbone": f"timm:{name}{options}", "head": "own"},
        _WHOLE,
        size=_pair(size),
        normalization=(mean, std),
        interpolation=str(given.get("interpolation", "bicubic")),
        assumed={"resize": "whole image to the network's size, without timm's center crop"},
        unused="|".join(re.escape(f"{layer}.") + ".*" for layer in layers),
    )
    return lambda _: ("timm", TIMM, network)


def _read_open_clip(config: Path, _weights: Path, content: Mapping[str, Any]) -> Recognize:
    """Read OpenCLIP's description: model_cfg with the vision tower, and preprocess_cfg; earlier ones are model_cfg."""
    model = _read_object(content, "model_cfg") if "model_cfg" in content else content
    if not isinstance(model.get("vision_cfg"), dict):
        raise ValueError("vision_cfg is missing or no object")
    vision, given = model["vision_cfg"], _read_object(content, "preprocess_cfg")
    sizes = tuple(vision.get(key, default) for key, default in VISION_DEFAULTS.items())
    name = VISION_TOWERS.get(sizes) if all(isinstance(size, int) for size in sizes) else None
    known = {"image_size", *VISION_DEFAULTS}
    foreign = sorted(key for key in vision.keys() - known if vision[key] not in (None, False, 0.0))
    if name is None or foreign:
        given_tower = ", ".join(f"{key} {value}" for key, value in vision.items())
        raise WeightsError(
            f"{config}: a vision tower of {given_tower:.200}; expected one of "
            f"{', '.join(VISION_TOWERS.values())} without further options. Export another one to ONNX"
        )
    if model.get("quick_gelu"):
        name = name.replace("_clip_", "_clip_quickgelu_")
    size = _pair(vision.get("image_size", 224))
    width = int(model["embed_dim"])
    mean, std = _triples(given, CLIP_NORMALIZATION)
    network = Recognition(
        {"backbone": f"timm:{name},img_size={size[0]}x{size[1]},outputs={width}", "head": "own"},
        _OPEN_CLIP_RENAMES,
        size=size,
        normalization=(mean, std),
        interpolation=str(given.get("interpolation", "bicubic")),
        assumed={"resize": "whole image to the network's size, without OpenCLIP's center crop"},
        prepare=_prepare_open_clip,
    )
    return lambda _: ("open-clip", OPEN_CLIP, network)


_OPEN_CLIP_RENAMES = (
    (r"^visual\.conv1\.", "visual.patch_embed.proj."),
    (r"^visual\.class_embedding$", "visual.cls_token"),
    (r"^visual\.positional_embedding$", "visual.pos_embed"),
    (r"^visual\.proj$", "visual.head.weight"),
    (r"^visual\.transformer\.resblocks\.", "visual.blocks."),
    (r"^visual\.ln_pre\.", "visual.norm_pre."),
    (r"^visual\.ln_post\.", "visual.norm."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^visual\.", "backbone.net."),
)


def _prepare_open_clip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the projection into a linear layer without a shift."""
    projection = tensors["visual.proj"]
    return {**tensors, "visual.proj": projection.T, "visual.head.bias": projection.new_zeros(projection.shape[1])}


def _triples(values: Mapping[str, Any], default: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return mean and standard deviation of a description."""
    triples = [values.get(key) or own for key, own in zip(("mean", "std"), default, strict=True)]
    for name, triple in zip(("mean", "std"), triples, strict=True):
        numbers = isinstance(triple, list | tuple) and len(triple) == 3
        if not (numbers and all(isinstance(number, int | float) for number in triple)):
            raise ValueError(f"{name} is {triple!r:.80}, expected 3 numbers")
    mean, std = (tuple(map(float, triple)) for triple in triples)
    return mean, std


def _pair(size: Any) -> tuple[int, int]:
    """Return height and width; one number is both."""
    sides = [size, size] if isinstance(size, int) else size
    valid = isinstance(sides, list | tuple) and len(sides) == 2
    if not (valid and all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in sides)):
        raise ValueError(f"image size is {size!r:.80}, expected height and width, 1 to {MAX_SIDE} pixels")
    return sides[0], sides[1]


def _read_object(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object of a description; empty if it is absent or null."""
    value = content.get(key)
    if not isinstance(value, dict | None):
        raise ValueError(f"{key} is {value!r:.80}, expected an object")
    return value or {}


@dataclass(frozen=True)
class _Kind:
    tool: str
    config: str
    weights: tuple[str, ...]
    read: Callable[[Path, Path, Mapping[str, Any]], Recognize]


KINDS = (
    _Kind("reid", "reid_config.json", ("weights.safetensors",), _read_reid),
    _Kind(
        "OpenCLIP",
        "open_clip_config.json",
        ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
        _read_open_clip,
    ),
    _Kind("timm", "config.json", ("model.safetensors", "pytorch_model.bin"), _read_timm),
)
"""In the order in which a folder is tried: OpenCLIP's repositories may hold a config.json of another tool."""
