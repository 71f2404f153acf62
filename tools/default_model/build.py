"""Build the default model: render, train, whiten, convert to half precision, calibrate, evaluate and export."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import RecipeError, TrainingError, argument
from passerby.exporting.export_model import export_model
from passerby.files import write_atomic
from passerby.model.embed import load
from passerby.model.methods import build_model
from passerby.model.torch_encoder import TorchEncoder
from passerby.model.weights import UNSEEN, fill, read_tensors, save_model
from passerby.progress import ProgressOption
from passerby.recipe import find_differences, load_recipe
from passerby.runs.calibrate import calibrate
from passerby.runs.evaluate import evaluate
from passerby.runs.run_data import ABSOLUTE
from passerby.runs.run_folder import RunFolder
from passerby.runs.train import resume, train
from passerby.runtime.model_fingerprint import fingerprint_network
from passerby.runtime.model_manifest import read_manifest
from passerby.runtime.preprocessing import parse_preprocessing
from passerby.runtime.projection import format_projection, read_projection
from passerby.runtime.read_ahead import read_batches
from tools.default_model.card import group_queries, model_card
from tools.default_model.whitening import whiten_reductions

logger = logging.getLogger("passerby.tools")

DATA = "synth:identities=12500,cameras=400,images=2,seed=1,views=4,test=500,lookalikes=50"
WHITENING = "synth:identities=1500,cameras=300,images=2,seed=3,views=4,test=1"
CALIBRATION = "synth:identities=500,cameras=100,images=2,seed=2,views=4,test=1"
"""Identities and cameras that the model was not trained on."""
RECIPE = "default"
NARROW = (64, 128, 256, 512)
"""Dimensions for which a projection is shipped with its calibration (`passerby enroll --dims`)."""


def build_default_model(
    out: str | Path,
    *,
    data: str = DATA,
    whitening: str = WHITENING,
    calibration: str = CALIBRATION,
    overrides: list[str] | None = None,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Path:
    """Build the default model, or resume an interrupted build.

    Args:
        out: Folder of the run. The model to ship is written to `out/shipped`, with its card.
        data: A `synth:` data set with a test split.
        whitening: A `synth:` data set of other identities, whose train split gives the within-class covariance.
        calibration: A `synth:` data set of further identities, whose train split calibrates the model.
        overrides: Settings of the recipe `default`, as `key=value`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        The folder of the model to ship.

    Raises:
        RecipeError: For `overrides` where `out` holds a run already.
        PasserbyError: As `train` and `resume`.
    """
    folder = RunFolder(Path(out))
    if folder.manifest.is_file():
        if overrides:
            raise RecipeError(f"{folder.root}: holds a run already, which is resumed unchanged; leave out --set")
        resume(folder.root, device=device, progress=progress)
    else:
        recipe = load_recipe(RECIPE, overrides=overrides or [])
        train(recipe, data, folder.root, device=device, progress=progress)
    shipped = folder.root / "shipped"
    logger.info("whitening, calibrating and evaluating the model to ship")
    pack(folder.root, shipped, data=data, whitening=whitening)
    finish(shipped, build_command(folder.recipe, data), data=data, calibration=calibration, device=device)
    return shipped


def build_continued(
    out: str | Path,
    first: str | Path,
    continued: Sequence[str | Path],
    *,
    overrides: Sequence[str] = (),
    data: str = DATA,
    calibration: str = CALIBRATION,
    device: str = "auto",
) -> Path:
    """Build the default model from trainings that continue a first model, or from its weights and other settings.

    Args:
        out: New folder. The model to ship is written to `out/shipped`, with its card.
        first: `shipped` of `build_default_model`, or of an earlier `build_continued`, whose runs the card keeps.
        continued: Finished runs on rendered images, each of which began with the weights of the one before, the first
            with those of `first`. The weights of the last one are shipped, without its classifiers; those of `first`
            if there is none.
        overrides: Settings of the network that its tensors do not show (`UNSEEN`), as `model.key=value`. They replace
            those of the last training.
        data: A `synth:` data set, whose test split is evaluated for the card.
        calibration: A `synth:` data set of further identities, whose train split calibrates the model.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The folder of the model to ship.

    Raises:
        RecipeError: For another setting in `overrides`.
        TrainingError: For neither a run nor a setting, a run on other than rendered images, or of another network;
            all of these before anything is written.
    """
    shipped = Path(out) / "shipped"
    base, runs = RunFolder(Path(first)), [RunFolder(Path(run)) for run in continued]
    changes = _read_settings(base.recipe, overrides)
    manifest, others = read_manifest(base.root), [read_manifest(run.root) for run in runs]
    if not runs and not changes:
        raise TrainingError(f"{argument('continued')}: no run and no setting; give one that continues {first}")
    for run, other in zip(runs, others, strict=True):
        names = {part.split(":")[0] for part in str(other["data"]).split("+")}
        if names != {"synth"} or other["model"] != manifest["model"]:
            raise TrainingError(
                f"{run.root}: expected a run of the network of {first} on synth: data, which continues it"
            )
    last, model = [base, *runs][-1], [manifest, *others][-1]["model"] | changes
    network = build_model(**{**model, "identities": 0})
    tensors = {key: value for key, value in read_tensors(last.model).items() if ".classifier." not in key}
    fill(network, tensors, source=str(last.model))
    keep = ("data", "images", "trained_identities", "seed")
    history = [*manifest.get("continued_on", []), *({key: other[key] for key in keep} for other in others)]
    save_half(network, shipped, manifest | {"model": model, "continued_on": history})
    write_atomic(shipped / base.recipe.name, base.recipe.read_bytes())
    options = ["--data", data] if data != DATA else []
    options += [word for number in range(1, 1 + len(runs)) for word in ("--continued", f"RUN{number}")]
    options += [word for override in overrides for word in ("--set", override)]
    command = shlex.join(["python", "-m", "tools.default_model", "--out", "RUN", "--first", "FIRST/shipped", *options])
    finish(shipped, command, data=data, calibration=calibration, device=device)
    return shipped


def _read_settings(recipe: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the network that `overrides` changes."""
    names = [override.partition("=")[0].removeprefix("model.") for override in overrides]
    if wrong := [override for override, name in zip(overrides, names, strict=True) if name not in UNSEEN]:
        raise RecipeError(
            f"{argument('overrides')}: got {', '.join(wrong)}; expected settings without tensors: model."
            + ", model.".join(UNSEEN)
        )
    model = load_recipe(recipe, overrides=list(overrides)).model
    return {name: getattr(model, name) for name in names}


def finish(shipped: Path, command: str, *, data: str, calibration: str, device: str = "auto") -> None:
    """Calibrate, evaluate and export a packed model, and write its card with the command that built it."""
    calibrate(shipped, calibration, device=device)
    narrow(shipped, calibration, device=device)
    (result,) = evaluate(shipped, data, out=shipped.parent / "scores", device=device)
    card = model_card(read_manifest(shipped), command, result, group_queries(result))
    write_atomic(shipped / "MODEL_CARD.md", card.encode())
    export_shipped(shipped)


def narrow(shipped: Path, calibration: str, *, device: str = "auto") -> None:
    """Fit the projection of the model to ship, in half precision, and calibrate vectors of `NARROW` dimensions.

    Args:
        shipped: Folder of the model.
        calibration: A `synth:` data set of other identities, whose train split is used for both.
        device: `auto`, `cpu`, `cuda` or `mps`.
    """
    folder, embedder = RunFolder(shipped), load(shipped, device=device)
    chosen = [dims for dims in NARROW if dims < embedder.width]
    if not chosen:
        return
    folder.projection.unlink(missing_ok=True)
    calibrate(shipped, calibration, dims=max(chosen), device=device)
    network = fingerprint_network(embedder)
    projection = read_projection(shipped, network=network)
    assert projection is not None
    content = format_projection(projection.take(max(chosen)), network=network, half=True)
    write_atomic(folder.projection, content)
    for dims in chosen:
        calibrate(shipped, calibration, dims=dims, device=device)


def export_shipped(shipped: Path) -> None:
    """Write `model.onnx` of the model to ship, for installations without PyTorch, in place of an earlier one.

    Raises:
        ExportError: If its vectors differ from those of the model.
    """
    file = shipped / "model.onnx"
    for path in (file, shipped / "model.onnx.json"):
        path.unlink(missing_ok=True)
    export_model(shipped, file)


def build_command(recipe: Path, data: str) -> str:
    """Return the shell command that builds a run with this recipe, given the current recipe `default`."""
    options = ["--data", data] if data != DATA else []
    for change in find_differences(load_recipe(recipe), load_recipe(RECIPE)):
        options += ["--set", change]
    return shlex.join(["python", "-m", "tools.default_model", "--out", "RUN", *options])


def pack(run: Path, out: Path, *, data: str = DATA, whitening: str = WHITENING) -> None:
    """Write the embedding part of a run, whitened and in half precision (`save_half`), with its recipe.

    Classifiers are left out.

    Args:
        run: A finished run on rendered images.
        out: Folder to write.
        data: The `synth:` data set that the run was trained on.
        whitening: A `synth:` data set of other identities, for `whiten_reductions`.

    Raises:
        TrainingError: When the run was trained on other data.
    """
    folder = RunFolder(run)
    manifest = read_manifest(run)
    sets = load_data(data)
    if {data_set.name for data_set in sets} != {"synth"} or manifest["fingerprint"] != fingerprint(sets):
        raise TrainingError(
            f"{run}: was trained on {manifest['data']}, not on {data}; only models of rendered images are shipped"
        )
    network = build_model(**{**manifest["model"], "identities": 0})
    tensors = {key: value for key, value in read_tensors(folder.model).items() if ".classifier." not in key}
    fill(network, tensors, source=str(folder.model))
    (others,) = load_data(whitening)
    preprocessing = parse_preprocessing(manifest["preprocessing"], folder.manifest)
    encoder = TorchEncoder(network, preprocessing, device="cpu")
    batches = map(encoder.normalize, read_batches(others.train, size=preprocessing.size, batch=128))
    whiten_reductions(network, batches, [sample.person_id for sample in others.train])
    changes = {"data": data, "whitening": whitening, "identities": 0}
    public = {key: value for key, value in manifest.items() if key not in {"data_from_run", ABSOLUTE}}
    save_half(network, out, public | changes)
    write_atomic(out / folder.recipe.name, folder.recipe.read_bytes())


def save_half(network: nn.Module, out: Path, manifest: Mapping[str, Any]) -> None:
    """Write a model whose matrices are float16. Norms stay float32: float16 cannot represent their small values."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half()
    save_model(out, network, {**manifest, "precision": "float16"})
