"""Survey of a gallery: sightings that are drawn to estimate the number of people."""

from __future__ import annotations

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.review_results import ReviewQuestion
from passerby.gallery.review_scene import SceneReader
from passerby.gallery.stores.sqlite_answers import SqliteAnswers
from passerby.reviewing.population import (
    PopulationEstimate,
    SurveyState,
    draw_units,
    estimate_population,
    make_frame,
    settle_units,
)
from passerby.text import plural


class Survey:
    """Draws sightings, asks about them, and estimates the number of people.

    Args:
        table: Answers and draws of the gallery.
        scenes: Its sightings and groups.
    """

    def __init__(self, table: SqliteAnswers, scenes: SceneReader) -> None:
        self._table, self._scenes = table, scenes

    def questions(self, units: int) -> list[ReviewQuestion]:
        """Draw up to `units` sightings, and return the questions that are open about them; see `Review.survey`."""
        if units < 2:
            raise GalleryError(f"survey: got {plural(units, 'unit')}, expected at least 2")
        scene, grouping = self._scenes.group()
        drawn = len(self._table.survey(len(scene.ids)))
        if drawn < units and scene.ids:
            frame = make_frame(scene.graph, grouping)
            chosen = draw_units(frame, units - drawn, np.random.default_rng([len(scene.ids), drawn]))
            total = float(frame.expected.sum())
            self._table.add_survey(
                [
                    (scene.ids[i], len(scene.ids), float(frame.expected[i]), float(frame.chances[i]), total)
                    for i in chosen.tolist()
                ]
            )
        _, state = self._settle()
        questions: dict[tuple[int, int], ReviewQuestion] = {}
        for (a, b), p in zip(state.pairs.tolist(), state.probabilities.tolist(), strict=True):
            if a >= 0:
                first, second = scene.ids[a], scene.ids[b]
                questions[a, b] = ReviewQuestion(first, second, "count", p, None, (first,), (second,))
        return list(questions.values())

    def estimate(self, *, level: float) -> PopulationEstimate:
        """Estimate the number of people; see `Review.population`."""
        rows, state = self._settle()
        is_open = state.pairs[:, 0] >= 0
        count = int(is_open.argmax()) if is_open.any() else len(rows)  # in the order of drawing
        expected, chances, totals = np.array([row[1:] for row in rows[:count]], np.float64).reshape(-1, 3).T
        return estimate_population(totals, expected, chances, state.values[:count], level=level)

    def _settle(self) -> tuple[list[tuple[str, float, float, float]], SurveyState]:
        scene, grouping = self._scenes.group()
        rows = self._table.survey(len(scene.ids))
        index = {name: number for number, name in enumerate(scene.ids)}
        return rows, settle_units(scene.graph, grouping, np.array([index[row[0]] for row in rows], np.int64))
