"""The page Cameras: sightings per day, the fraction without a name, calibration and normalization."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passerby.gallery.camera_shifts import LEAST_SIGHTINGS, measure_shifts
from passerby.gallery.gallery import Gallery
from passerby.openset.calibration import Calibration
from passerby.serving.access import Caller, allow
from passerby.serving.pages.rendering import find_calibration, render
from passerby.serving.pages.words import WORDS
from passerby.serving.service import GalleryService

router = APIRouter(include_in_schema=False)
DAYS = 60
"""Days in the table, the latest first."""
STEPS = 40
"""Points of the curve of the calibration."""


@router.get("/cameras")
async def show(request: Request, caller: Annotated[Caller, Depends(allow("read"))]) -> Response:
    """Show the sightings per day and camera, the calibration, and the normalization of the cameras."""
    service: GalleryService = request.app.state.service
    values = await service.call(_read, user=caller.name, slow=True)
    calibration = values["calibration"]
    curves = []
    if calibration is not None:
        curves = [(WORDS["curve_plain"], calibration, _draw_curve(calibration))]
        if calibration.cameras is not None:
            curves.append((WORDS["curve_normalized"], calibration.cameras, _draw_curve(calibration.cameras)))
    return render("cameras.html", curves=curves, least=LEAST_SIGHTINGS, **values)


def _read(gallery: Gallery) -> dict[str, Any]:
    days: Counter[tuple[str, str]] = Counter()
    totals: Counter[str] = Counter()
    unnamed: Counter[str] = Counter()
    for batch in gallery.store.walk(crops=False):
        for sighting in batch:
            totals[sighting.camera] += 1
            unnamed[sighting.camera] += sighting.label is None
            days[_format_day(sighting.time), sighting.camera] += 1
    names = sorted(totals)
    dated = sorted({day for day, _ in days if day}, reverse=True)
    rows = [(day, [days[day, name] for name in names]) for day in dated[:DAYS]]
    without = [days["", name] for name in names]
    return {
        "calibration": find_calibration(gallery),
        "names": names,
        "days": rows,
        "most": max((sum(counts) for _, counts in rows), default=1),
        "more": max(len(dated) - DAYS, 0),
        "without": without if any(without) else [],
        "totals": totals,
        "unnamed": unnamed,
        "learned": measure_shifts(gallery.store),
    }


def _format_day(time: float | None) -> str:
    return "" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"


def _draw_curve(calibration: Calibration) -> str:
    """Return the points of the probability by distance: 0 to 300 for distances 0 to 1.5, 100 to 0 for 0 to 1."""
    distances = np.linspace(0, 1.5, STEPS)
    points = zip(distances, calibration.probability(distances), strict=True)
    return " ".join(f"{200 * distance:.1f},{100 - 100 * chance:.1f}" for distance, chance in points)
