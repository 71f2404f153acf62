"""Joints of a person in an image: where they are, and whether something hides them. Compiled by numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.compiled import njit
from passerby.synthesis.render import View, project
from passerby.synthesis.solids import ORIGIN, Array, hit, pack_shape, to_local

JOINTS = (
    "head top", "neck",
    "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
)  # fmt: skip
"""Joints of a body. Right and left are those of the person."""


def find_joints(joints: Array, solids: Array, view: View, *, depth: float) -> tuple[Array, NDArray[np.bool_]]:
    """Project joints into the crop, and test which of them are visible.

    A joint is inside a limb. It is visible if it is inside the crop and no solid lies on the line from the lens to it,
    except within `depth` in front of it.

    Args:
        joints: (J, 3) in the world, in front of the camera, meters.
        solids: (K, COLUMNS), packed.
        view: The camera.
        depth: Meters in front of a joint that belong to its limb.

    Returns:
        (J, 2) column and row as fractions of the crop, 0 to 1 inside it; (J,) visible.

    Example:
        >>> import numpy as np
        >>> view = View(np.zeros(3), np.eye(3), (-1.0, 1.0, 1.0, -1.0))
        >>> find_joints(np.array([[0.0, 0.5, 1.0], [3.0, 0.0, 1.0]]), np.empty((0, 27)), view, depth=0.1)[1]
        array([ True, False])
    """
    left, right, top, bottom = view.window
    points = project(joints, view)  # (J, 2)
    positions = np.stack([(points[:, 0] - left) / (right - left), (top - points[:, 1]) / (top - bottom)], axis=1)
    inside = ((positions >= 0) & (positions <= 1)).all(axis=1)
    return positions, inside & ~_hidden(joints, solids, view.position, depth)


@njit(cache=True, nogil=True, error_model="numpy")
def _hidden(joints: Any, solids: Any, eye: Any, depth: float) -> Any:
    """Return for each joint whether a solid lies on the line from the eye to `depth` in front of it: (J,) bool."""
    hidden = np.zeros(len(joints), dtype=np.bool_)
    for k in range(len(solids)):
        solid = solids[k]
        shape = pack_shape(solid)
        px, py, pz = to_local(solid, eye[0] - solid[ORIGIN], eye[1] - solid[ORIGIN + 1], eye[2] - solid[ORIGIN + 2])
        for j in range(len(joints)):
            x, y, z = joints[j, 0] - eye[0], joints[j, 1] - eye[1], joints[j, 2] - eye[2]
            dx, dy, dz = to_local(solid, x, y, z)
            t = hit(shape, px, py, pz, dx, dy, dz)  # 1 at the joint
            if (1.0 - t) * math.sqrt(x * x + y * y + z * z) > depth:
                hidden[j] = True
    return hidden
