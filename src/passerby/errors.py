"""The errors that a user can cause. Each message names the thing, what was received, what was expected, what to do."""


class PasserbyError(ValueError):
    """Base of every error whose cause is an input; the command line prints it without a traceback."""


class DataError(PasserbyError):
    """A data set, an image or a spec that cannot be used as asked."""


class RecipeError(PasserbyError):
    """A recipe with an unknown key or an impossible value."""


class WeightsError(PasserbyError):
    """Weights, a manifest or a checkpoint that do not fit what they are loaded into."""


class TrainingError(PasserbyError):
    """A run that cannot go on: non-finite loss, nothing to resume, a full disk."""


class GalleryError(PasserbyError):
    """A gallery that cannot be opened, reached or asked as wanted, or a sighting that does not belong in it."""


class NoGalleryError(GalleryError):
    """There is no gallery at this address yet."""
