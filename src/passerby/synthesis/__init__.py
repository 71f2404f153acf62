"""Synthetic people: bodies, clothes, scenes and cameras drawn from a seed and ray-cast, as a data set with masks."""

from passerby.extras import require_extra

for _module in ("numba", "pyarrow", "joblib"):
    require_extra(_module)
