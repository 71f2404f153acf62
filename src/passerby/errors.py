"""Errors that a user can cause. Each message names the thing, the value received, what was expected and what to do."""


class PasserbyError(ValueError):
    """Base of every error whose cause is an input; the command line prints it without a traceback.

    Example:
        >>> try:
        ...     passerby.load("nowhere")
        ... except passerby.PasserbyError as error:
        ...     print(error)
        nowhere: not a run or a saved model; expected a folder with manifest.json and model.safetensors
    """


class DataError(PasserbyError):
    """A data set, an image or a data spec that cannot be used."""


class RecipeError(PasserbyError):
    """A recipe with an unknown key or an invalid value."""


class WeightsError(PasserbyError):
    """Weights, a manifest or a checkpoint that do not fit the model that they are loaded into."""


class TrainingError(PasserbyError):
    """A run that cannot continue: non-finite loss, no checkpoint, a changed data set."""


class WriteError(PasserbyError):
    """A file that cannot be written: full disk, missing rights, a read-only folder."""


class MissingExtraError(PasserbyError):
    """An optional dependency that is not installed; the message names the extra."""


class GalleryError(PasserbyError):
    """A gallery that cannot be opened or reached, or a sighting that does not belong in it."""


class NoGalleryError(GalleryError):
    """No gallery exists at this address."""
