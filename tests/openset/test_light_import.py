"""A gallery searches and identifies with the base dependencies. Oracle: `sys.modules` of a new process."""

import subprocess
import sys

CODE = """
import sys
import numpy as np
from passerby.openset.calibration import Calibration, FittedOn
from passerby.openset.identification import Identification
from passerby.ranking.camera_normalization import CameraStatistics, normalize_cameras, shrink_statistics
from passerby.ranking.distance import distance_blocks
from passerby.types import Embeddings

vectors, ids = np.random.default_rng(0).standard_normal((40, 4)), np.arange(40) // 2 + 1
images = Embeddings(vectors, ids, np.arange(40) % 2)
normalize_cameras(images, images)
shrink_statistics({"north": (CameraStatistics.from_vectors(vectors), 40)})
(distances,) = [block for _, block in distance_blocks(vectors, vectors, device="auto")]
facts = FittedOn("example", identities=1, images=1, same=1, different=1, trained_on=False)
calibration = Calibration("logistic", "cosine", [0, 2], [3, -3], facts, Identification(1.0, 0.0))
Calibration.from_dict(calibration.to_dict()).probability(distances)
calibration.identification.log_ratio(distances)
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"numba", "scipy", "sklearn", "torch"}))
"""


def test_distances_normalization_and_calibration_need_numpy_only():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_a_missing_extra_is_named():
    """Oracle: the name of the extra in pyproject.toml."""
    code = "import sys; sys.modules['numba'] = None\nimport passerby; passerby.score"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError: numba is not installed" in done.stderr
    assert 'pip install "passerby[eval]"' in done.stderr
