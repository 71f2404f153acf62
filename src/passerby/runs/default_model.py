"""The model that comes with the package: trained on rendered people alone, and made small.

`train_default` is the one command that makes it: data, training, the shipped folder and its model card.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.loading import evaluation_batches
from passerby.errors import RecipeError, TrainingError
from passerby.files import write_atomic
from passerby.model.methods import build_model
from passerby.model.weights import fill, read_manifest, read_tensors, save_model
from passerby.model.whiten import whiten
from passerby.recipe import differences, load_recipe
from passerby.runs.calibrate import calibrate
from passerby.runs.evaluate import evaluate
from passerby.runs.model_card import groups, model_card
from passerby.runs.run_folder import RunFolder
from passerby.runs.train import OnStep, resume, train

DATA = "synth:identities=12500,cameras=400,images=2,seed=1,views=4,test=500,lookalikes=50"
WHITENING = "synth:identities=1500,cameras=300,images=2,seed=3,views=4,test=1"
CALIBRATION = "synth:identities=500,cameras=100,images=2,seed=2,views=4,test=1"
"""People and cameras that the model was not trained on: what its distances mean is learned from them."""
RECIPE = "default"


def train_default(
    out: str | Path,
    *,
    data: str = DATA,
    whitening: str = WHITENING,
    calibration: str = CALIBRATION,
    overrides: list[str] | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda _: None,
    on_step: OnStep | None = None,
) -> Path:
    """Render, train, whiten, pack and describe the default model; an interrupted call goes on where it stopped.

    Args:
        out: The run's folder; the model to ship is `out/shipped`, with its card.
        data: A `synth:` data set with a test split.
        whitening: A `synth:` data set of other people, whose train split says by what one person's images differ.
        calibration: A `synth:` data set of yet others, whose train split calibrates the model.
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
        resume(folder.root, device=device, say=say, on_step=on_step)
    else:
        recipe = load_recipe(RECIPE, overrides=overrides or [])
        train(recipe, data, folder.root, device=device, say=say, on_step=on_step)
    shipped = folder.root / "shipped"
    say("whitening, calibrating and evaluating what is shipped")
    pack(folder.root, shipped, data=data, whitening=whitening)
    calibrate(shipped, calibration, device=device)
    (result,) = evaluate(shipped, data, out=folder.root / "whitened", device=device)
    card = model_card(read_manifest(shipped), command(folder.recipe, data), result, groups(result))
    write_atomic(shipped / "MODEL_CARD.md", card.encode())
    return shipped


def command(recipe: Path, data: str) -> str:
    """The line that makes a run of this recipe from the recipe `default` as it is now."""
    changes = differences(load_recipe(recipe), load_recipe(RECIPE))
    options = ["--data", data] if data != DATA else []
    options += [word for change in changes for word in ("--set", change)]
    return shlex.join(["passerby", "synth", "train-default", "--out", "RUN", *options])


def pack(run: Path, out: Path, *, data: str = DATA, whitening: str = WHITENING) -> None:
    """The part of a run that embeds, whitened and in half precision, with its recipe.

    Classifiers are of no use to anybody else. Matrices become float16; norms and running statistics, whose small values
    float16 does not hold, stay float32.

    Args:
        run: A finished run on rendered people.
        out: Where to.
        data: The `synth:` data set that the run was trained on, by whatever way it was named there.
        whitening: A `synth:` data set of other people, for `whiten`.

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
    (others,) = load_data(whitening)
    preprocessing = manifest["preprocessing"]
    images = {"size": tuple(preprocessing["size"]), "mean": preprocessing["mean"], "std": preprocessing["std"]}
    whiten(network, evaluation_batches(others.train, **images, batch=128), [s.person_id for s in others.train])
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half()
    known = {
        **manifest,
        "data": data,
        "whitening": whitening,
        "identities": 0,
        "precision": "float16",
    }
    save_model(out, network, known)
    write_atomic(out / folder.recipe.name, folder.recipe.read_bytes())
