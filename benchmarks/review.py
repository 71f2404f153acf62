"""Answers that a review needs: B-cubed F1 against the number of answers of a simulated reviewer.

    python benchmarks/review.py VECTORS.npz [--calibrate CUHK01.npz] [--answers 2500] [--wrong 0.05] [--seeds 3]
    python benchmarks/review.py --population 200

VECTORS.npz holds `vectors` (N, D), `persons` (N,) and `cameras` (N,); vectors are normalized per camera here. The
calibration is fitted to the vectors of --calibrate: 485 of the 971 identities of CUHK01, drawn with seed 0, pairs from
two cameras; the shipped calibration is used without it. --tracks averages the vectors of each person in each camera,
as `passerby enroll --video` does with a track. Rows:

`questions`  `passerby.reviewing.questions`
`nearest`    the nearest pair that is not answered; `nearest, implied` skips pairs that answers imply
`random`     a random pair among the 20 nearest sightings of a random sighting

All rows group the sightings by the same function under the answers. Questions come in batches of 20, of the baselines
in batches of 100. --population simulates surveys of rendered numbers: coverage of the 90 % interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from passerby.gallery.cluster import b_cubed
from passerby.openset.calibration import Calibration, FittedOn
from passerby.openset.fitting import fit_logistic_line
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.reviewing.evidence import PairModel
from passerby.reviewing.identities import (
    Grouping,
    SightingGraph,
    find_parts,
    group_means,
    group_sightings,
    learn_transitions,
)
from passerby.reviewing.links import DIFFERENT, SAME, count_votes
from passerby.reviewing.population import (
    PopulationEstimate,
    draw_units,
    estimate_population,
    make_frame,
    settle_units,
)
from passerby.reviewing.questions import choose_questions
from passerby.runs.calibrate import load_calibration
from passerby.types import Embeddings, FloatArray, IntArray

PRIOR = 0.01
NEAREST = 20
TARGETS = (0.80, 0.85, 0.90, 0.95)
Asker = Callable[[Grouping, set[tuple[int, int]]], list[tuple[int, int]]]


def load(path: str) -> tuple[FloatArray, IntArray, IntArray]:
    """Read vectors, normalized per camera, persons and cameras."""
    content = np.load(path)
    cameras = np.unique(content["cameras"], return_inverse=True)[1]
    images = standardize_cameras(Embeddings(content["vectors"], content["persons"], cameras))
    return images.vectors.astype(np.float32), content["persons"], cameras


def average_tracks(vectors: FloatArray, persons: IntArray, cameras: IntArray) -> tuple[FloatArray, IntArray, IntArray]:
    """Average the vectors of each person in each camera, as those of one track."""
    tracks, rows = np.unique(np.stack([persons, cameras]), axis=1, return_inverse=True)
    means = group_means(vectors, rows.ravel())
    return means / np.linalg.norm(means, axis=1, keepdims=True), tracks[0], tracks[1]


def fit_half(path: str) -> Calibration:
    """Fit a calibration to 485 identities."""
    vectors, persons, cameras = load(path)
    half = np.random.default_rng(0).permutation(np.unique(persons))[:485]
    rows = np.isin(persons, half)
    vectors, persons, cameras = vectors[rows], persons[rows], cameras[rows]
    first, second = np.triu_indices(len(vectors), 1)
    across = cameras[first] != cameras[second]
    distances = (1 - vectors @ vectors.T)[first, second][across]
    same = (persons[first] == persons[second])[across]
    edges = np.linspace(0, 2, 201)
    counts = [np.histogram(distances[chosen], edges)[0].astype(float) for chosen in (same, ~same)]
    offset, slope = fit_logistic_line((edges[:-1] + edges[1:]) / 2, *counts, decreasing=True)
    ends = np.array([0.0, 2.0])
    facts = FittedOn("half of CUHK01", 485, len(vectors), int(same.sum()), int((~same).sum()), trained_on=False)
    return Calibration("logistic", "cosine", ends, offset + slope * ends, facts)


def simulate(
    graph: SightingGraph,
    persons: IntArray,
    start: PairModel,
    ask: Asker,
    *,
    answers: int,
    wrong: float,
    seed: int,
    stop: float = 0.96,
) -> list[tuple[int, float]]:
    """Answer questions until `answers` or an F1 of `stop`; return (answers, F1) after each batch."""
    generator = np.random.default_rng(seed)
    names = [str(person) for person in persons]
    pairs: list[tuple[int, int]] = []
    codes: list[int] = []
    parts, curve = find_parts(graph, start), []
    while True:
        grouping = group_sightings(graph, count_votes(pairs, codes), start, parts=parts)
        precision, recall = b_cubed(grouping.groups, names)
        curve.append((len(pairs), 2 * precision * recall / (precision + recall)))
        questions = ask(grouping, {(min(pair), max(pair)) for pair in pairs})
        if not questions or len(pairs) >= answers or curve[-1][1] >= stop:
            return curve
        for first, second in questions:
            same = (persons[first] == persons[second]) ^ (generator.random() < wrong)
            pairs.append((first, second))
            codes.append(SAME if same else DIFFERENT)


def ask_best(graph: SightingGraph) -> Asker:
    return lambda grouping, _: [(q.first, q.second) for q in choose_questions(graph, grouping, count=20)]


def ask_nearest(graph: SightingGraph, *, skip_implied: bool) -> Asker:
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.starts))
    once = rows < graph.neighbors
    pairs = np.stack([rows[once], graph.neighbors[once]], axis=1)
    similarities = np.einsum("ed,ed->e", graph.vectors[pairs[:, 0]], graph.vectors[pairs[:, 1]])
    order = pairs[np.argsort(-similarities)].tolist()

    def ask(grouping: Grouping, asked: set[tuple[int, int]]) -> list[tuple[int, int]]:
        components = grouping.links.components
        walls = {tuple(sorted(components[pair].tolist())) for pair in grouping.links.cannot} if skip_implied else set()
        chosen: list[tuple[int, int]] = []
        for a, b in order:
            ends = tuple(sorted((int(components[a]), int(components[b]))))
            if (a, b) not in asked and not (skip_implied and (ends[0] == ends[1] or ends in walls)):
                chosen.append((a, b))
            if len(chosen) == 100:
                break
        return chosen

    return ask


def ask_random(graph: SightingGraph, *, seed: int) -> Asker:
    generator = np.random.default_rng(seed)
    similarities = graph.vectors @ graph.vectors.T
    np.fill_diagonal(similarities, -2)
    nearest = np.argpartition(-similarities, NEAREST, axis=1)[:, :NEAREST]

    def ask(_: Grouping, asked: set[tuple[int, int]]) -> list[tuple[int, int]]:
        firsts = generator.integers(0, len(graph), 100)
        seconds = nearest[firsts, generator.integers(0, NEAREST, 100)]
        return [(a, b) for a, b in zip(firsts.tolist(), seconds.tolist(), strict=True) if (a, b) not in asked]

    return ask


def read_curve(curve: list[tuple[int, float]], points: NDArray[np.int64]) -> list[str]:
    """F1 at numbers of answers, and the answers that each target needs."""
    counts, scores = np.array(curve).T
    ended = curve[-1][0]
    cells = [f"{scores[counts <= point][-1]:.3f}" if point <= ended + 100 else "" for point in points]
    reached = [counts[scores >= target] for target in TARGETS]
    return cells + [f"{int(first[0]):,}" if len(first) else f"> {int(ended):,}" for first in reached]


def simulate_surveys(runs: int, *, units: int, reviewed: int, wrong: float) -> None:
    """Print coverage, error and width of the 90 % interval over surveys of drawn vectors."""
    start, rows = PairModel(20.0, -10.0, np.zeros((2, 2))), []
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        persons = generator.permutation(np.repeat(np.arange(80), 1 + generator.poisson(4, 80)))
        vectors = generator.standard_normal((80, 32))[persons] + 0.75 * generator.standard_normal((len(persons), 32))
        unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        graph = SightingGraph.build(unit, generator.integers(0, 2, len(persons)))
        estimate, answers = _survey(graph, persons, start, generator, units=units, reviewed=reviewed, wrong=wrong)
        inside = estimate.low <= 80 <= estimate.high
        rows.append((inside, estimate.people - 80, abs(estimate.people - 80), estimate.high - estimate.low, answers))
    coverage, bias, error, width, count = np.mean(rows, axis=0)
    print(
        f"| {runs} | {units} | {reviewed} | {wrong:.0%} | {coverage:.1%} | {bias:+.1f} | {error:.1f} | {width:.1f} "
        f"| {count:.0f} |",
        flush=True,
    )


def _survey(
    graph: SightingGraph,
    persons: IntArray,
    start: PairModel,
    generator: np.random.Generator,
    *,
    units: int,
    reviewed: int,
    wrong: float,
) -> tuple[PopulationEstimate, int]:
    """Estimate the number of persons after `reviewed` answers to questions; return the answers of the survey too."""
    pairs: list[tuple[int, int]] = []
    codes: list[int] = []

    def answer(asked: list[tuple[int, int]]) -> Grouping:
        for first, second in asked:
            same = (persons[first] == persons[second]) ^ (generator.random() < wrong)
            pairs.append((first, second))
            codes.append(SAME if same else DIFFERENT)
        return group_sightings(graph, count_votes(pairs, codes), start, error_rate=max(wrong, 0.03))

    grouping = answer([])
    while len(pairs) < reviewed:
        grouping = answer([(q.first, q.second) for q in choose_questions(graph, grouping, count=20)])
    frame, before = make_frame(graph, grouping), len(pairs)
    drawn = draw_units(frame, units, generator)
    for _ in range(100):
        state = settle_units(graph, grouping, drawn)
        asked = {(int(a), int(b)) for a, b in state.pairs if a >= 0}
        if not asked:
            break
        grouping = answer(sorted(asked))
    totals = np.full(units, frame.expected.sum())
    estimate = estimate_population(totals, frame.expected[drawn], frame.chances[drawn], state.values)
    return estimate, len(pairs) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", nargs="?")
    parser.add_argument("--population", type=int, metavar="RUNS", help="simulate this many surveys instead")
    parser.add_argument("--calibrate")
    parser.add_argument("--tracks", action="store_true", help="one sighting per person and camera")
    parser.add_argument("--answers", type=int, default=2500)
    parser.add_argument("--baseline-answers", type=int, default=7500)
    parser.add_argument("--wrong", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.population:
        print("| runs | units | reviewed | wrong | coverage | bias | mean error | width | answers |")
        for reviewed in (0, 60):
            for wrong in (0.0, chosen.wrong):
                simulate_surveys(chosen.population, units=60, reviewed=reviewed, wrong=wrong)
        return
    vectors, persons, cameras = load(chosen.vectors)
    shipped = load_calibration("default")
    calibration = fit_half(chosen.calibrate) if chosen.calibrate else (shipped.cameras or shipped)
    if chosen.tracks:
        vectors, persons, cameras = average_tracks(vectors, persons, cameras)
    graph = SightingGraph.build(vectors, cameras)
    start = PairModel.from_calibration(calibration, prior=PRIOR, cameras=int(cameras.max()) + 1)
    start = learn_transitions(graph, start)
    people = len(np.unique(persons))
    points = np.array([0, people // 2, people, 2 * people, 4 * people])
    print(f"{chosen.vectors}: {people} persons, {len(vectors):,} sightings")
    print(f"| | wrong | seed | {' | '.join(f'F1 at {p:,}' for p in points)} | {' | '.join(map(str, TARGETS))} | s |")
    rows: list[tuple[str, Callable[[int], Asker], int]] = [
        ("questions", lambda seed: ask_best(graph), chosen.answers),
        ("nearest", lambda seed: ask_nearest(graph, skip_implied=False), chosen.baseline_answers),
        ("nearest, implied", lambda seed: ask_nearest(graph, skip_implied=True), chosen.baseline_answers),
        ("random", lambda seed: ask_random(graph, seed=seed), chosen.baseline_answers),
    ]
    for wrong in (0.0, chosen.wrong):
        for name, make, limit in rows:
            seeds = range(chosen.seeds) if wrong or name == "random" else range(1)  # nothing else is random
            for seed in seeds:
                began = time.perf_counter()
                curve = simulate(graph, persons, start, make(seed), answers=limit, wrong=wrong, seed=seed)
                cells = " | ".join(read_curve(curve, points))
                print(f"| {name} | {wrong:.0%} | {seed} | {cells} | {time.perf_counter() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
