"""The model that comes with the package: trained on rendered people alone, and made small.

`train_default` is the one command that makes it: data, training, the shipped folder and its model card.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import RecipeError, TrainingError
from passerby.files import write_atomic
from passerby.model.methods import build_model
from passerby.model.weights import fill, read_manifest, read_tensors, save_model
from passerby.recipe import differences, load_recipe
from passerby.runs.calibrate import calibrate
from passerby.runs.folder import RunFolder
from passerby.runs.model_card import groups, model_card
from passerby.runs.train import OnStep, resume, train

DATA = "synth:identities=8000,cameras=200,images=2,seed=1,views=4,test=500"
CALIBRATION = "synth:identities=500,cameras=100,images=2,seed=2,views=4,test=1"
"""People and cameras that the model was not trained on: what its distances mean is learnt from them."""
RECIPE = "default"


def train_default(
    out: str | Path,
    *,
    data: str = DATA,
    calibration: str = CALIBRATION,
    overrides: list[str] | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
    on_step: OnStep | None = None,
) -> Path:
    """Render, train, pack and describe the default model; a call that was interrupted goes on where it stopped.

    Args:
        out: The run's folder; the model to ship is `out/shipped`, with its card.
        data: A `synth:` data set with a test split.
        calibration: A `synth:` data set of other people, whose train split calibrates the model.
        overrides: Settings of the recipe `default`, as `key=value`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        say: Called with each line that a reader wants to see.
        on_step: As for `train`.

    Returns:
        The shipped folder.

    Raises:
        PasserbyError: As `train` and `resume`.
    """
    folder = RunFolder(Path(out))
    if folder.manifest.is_file():
        if overrides:
            raise RecipeError(f"{folder.root}: holds a run already, which goes on as it was started; leave out --set")
        results = resume(folder.root, device=device, say=say, on_step=on_step)
    else:
        recipe = load_recipe(RECIPE, overrides=overrides or [])
        results = train(recipe, data, folder.root, device=device, say=say, on_step=on_step)
    (result,) = results
    calibrate(folder.root, calibration, device=device)
    shipped = folder.root / "shipped"
    pack(folder.root, shipped, data=data)
    card = model_card(read_manifest(shipped), command(folder.recipe, data), result, groups(result))
    write_atomic(shipped / "MODEL_CARD.md", card.encode())
    return shipped


def command(recipe: Path, data: str) -> str:
    """The line that makes a run of this recipe from the recipe `default` as it is now."""
    changes = differences(load_recipe(recipe), load_recipe(RECIPE))
    options = ["--data", data] if data != DATA else []
    options += [word for change in changes for word in ("--set", change)]
    return shlex.join(["passerby", "synth", "train-default", "--out", "RUN", *options])


def pack(run: Path, out: Path, *, data: str = DATA) -> None:
    """The part of a run that embeds, in half precision, with its recipe and calibration.

    Classifiers are of no use to anybody else. Matrices become float16; norms and running statistics, whose small values
    float16 does not hold, stay float32.

    Args:
        run: A finished run on rendered people.
        out: Where to.
        data: The `synth:` data set that the run was trained on, by whatever way it was named there.

    Raises:
        TrainingError: When the run was trained on something else.
    """
    folder = RunFolder(run)
    manifest = read_manifest(run)
    sets = load_data(data)
    if {each.name for each in sets} != {"synth"} or manifest["fingerprint"] != fingerprint(sets):
        raise TrainingError(
            f"{run}: was trained on {manifest['data']}, not on {data}; only rendered people are shipped"
        )
    network = build_model(**{**manifest["model"], "identities": 0})
    tensors = {key: value for key, value in read_tensors(folder.model).items() if ".classifier." not in key}
    fill(network, tensors, source=str(folder.model))
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half()
    known = {
        **manifest,
        "data": data,
        "identities": 0,
        "precision": "float16",
        "trained_identities": manifest["identities"],
    }
    save_model(out, network, known)
    for path in (folder.recipe, folder.calibration):
        if path.is_file():
            write_atomic(out / path.name, path.read_bytes())
