"""Pictures of an adaptation for the report: clusters, rank lists before and after, and maps of the embeddings.

They show people of the site. `pictures.json` lists the crops of each, so that `gallery forget` erases those that show
an erased sighting.

N crops   D width of the embedding   T tracks
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from passerby.adaptation.groups import Groups
from passerby.adaptation.ladder import Start
from passerby.adaptation.site import Site
from passerby.adaptation.site_tracks import SiteTracks, find_tracks
from passerby.adaptation.track_links import TrackLinks
from passerby.errors import MissingExtraError, WriteError, explain
from passerby.files import write_atomic
from passerby.gallery.adapted_runs import PICTURES_LIST
from passerby.metric.covariance import UNKNOWN
from passerby.plots.crop_rows import CaptionedCrop, plot_crop_rows
from passerby.plots.embedding_map import plot_embedding_map
from passerby.plots.style import INK, RIGHT, WRONG
from passerby.reviewing.links import UnionFind
from passerby.runtime.model_manifest import PICTURES
from passerby.text import plural
from passerby.types import FloatArray, IntArray

logger = logging.getLogger(__name__)

CLUSTERS = 12
"""Clusters on the contact sheet: the most and the least certain ones."""
ACROSS = 8
"""Crops in a row."""
QUERIES = 3
"""Rank lists that became better, and as many that became worse."""
COLORED = 8
"""Clusters in color on the maps of the embeddings."""


@dataclass(frozen=True)
class Adapted:
    """What the pictures show.

    Attributes:
        site: The crops.
        groups: With a judge.
        start: Embeddings of the start.
        after: (N, D) of the adapted model.
    """

    site: Site
    groups: Groups
    start: Start
    after: FloatArray


@dataclass(frozen=True)
class Cluster:
    """Tracks that probably show one person.

    Attributes:
        rows: (n,) crops.
        probability: The smallest probability of its links; 1 for a single track and for known links.
    """

    rows: IntArray
    probability: float


def write_pictures(run: Path, adapted: Adapted) -> None:
    """Write the pictures into the folder of a run, readable by the owner alone.

    Without the extra `report`, or if the disk is full, there are none, and a log line says why.

    Args:
        run: Folder of the run.
        adapted: What they show.
    """
    folder = run / PICTURES
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(folder, adapted)
    except (MissingExtraError, WriteError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        logger.warning("no pictures of the adaptation: %s", explain(error))


def _write(folder: Path, adapted: Adapted) -> None:
    site, clusters = adapted.site, find_clusters(adapted)
    shown: dict[str, IntArray] = {}
    for order, chosen in choose_clusters(clusters).items():
        path = folder / f"clusters-{order}.png"
        shown[path.name] = _plot_clusters(site, chosen, path, order=order)
    for order, queries in choose_queries(adapted).items():
        path = folder / f"rank-lists-{order}.png"
        shown[path.name] = _plot_rank_lists(adapted, queries, path, order=order)
    before, after = project(adapted.start.crops, adapted.after)
    for name, points in (("before", before), ("after", after)):
        path = folder / f"embeddings-{name}.png"
        _plot_map(site, clusters, points, path, name=name)
        shown[path.name] = np.arange(len(site))
    names = {file: sorted({site.names[row] for row in rows.tolist()}) for file, rows in shown.items()}
    write_atomic(folder / PICTURES_LIST, json.dumps(names, indent=1).encode(), private=True)
    for file in shown:
        (folder / file).chmod(0o600)


def find_clusters(adapted: Adapted) -> list[Cluster]:
    """Find the clusters of all tracks under the adapted model: connected by links, or single tracks without any."""
    site, groups = adapted.site, adapted.groups
    tracks = find_tracks(site, groups.numbers)
    searches = groups.kind != "identities"
    links = tracks.link(adapted.start.normalize(adapted.after) if searches else None)
    if len(links.pairs):
        return _join_links(tracks, links)
    rows = [tracks.rows[tracks.labels == track] for track in range(len(tracks.camera_ids))]
    return [Cluster(crops, 1.0) for crops in rows if len(crops) > 1]


def _join_links(tracks: SiteTracks, links: TrackLinks) -> list[Cluster]:
    joined = UnionFind(len(tracks.camera_ids))
    for first, second in links.pairs.tolist():
        joined.join(first, second)
    roots = joined.roots()
    of_crops, of_links = roots[tracks.labels], roots[links.pairs[:, 0]]
    return [
        Cluster(tracks.rows[of_crops == root], float(links.probabilities[of_links == root].min()))
        for root in np.unique(of_links).tolist()
    ]


def choose_clusters(clusters: Sequence[Cluster]) -> dict[str, list[Cluster]]:
    """Return the `surest` and, if there are more, the `least-sure` clusters; of equal probability the larger first."""
    order = sorted(clusters, key=lambda cluster: (-cluster.probability, -len(cluster.rows)))
    rest = order[CLUSTERS:]
    return {"surest": order[:CLUSTERS]} | ({"least-sure": rest[-CLUSTERS:]} if rest else {})


def _plot_clusters(site: Site, clusters: Sequence[Cluster], path: Path, *, order: str) -> IntArray:
    rows, shown = [], []
    for number, cluster in enumerate(clusters, start=1):
        crops = _spread(site, cluster.rows)
        shown.append(crops)
        cells = [CaptionedCrop(site.pixels[crop], (site.cameras[site.camera_ids[crop]],)) for crop in crops.tolist()]
        heading = f"{number}: {plural(len(cluster.rows), 'crop')}, probability {cluster.probability:.2f}"
        rows.append((heading, cells))
    title = {"surest": "The surest clusters", "least-sure": "The least sure clusters"}[order]
    plot_crop_rows(rows, path, title=title, across=ACROSS)
    return np.concatenate(shown)


def _spread(site: Site, rows: IntArray) -> IntArray:
    """Return up to `ACROSS` crops of a cluster, spread over it, by camera."""
    ordered = rows[np.argsort(site.camera_ids[rows], kind="stable")]
    return np.asarray(ordered[np.unique(np.linspace(0, len(ordered) - 1, ACROSS).round().astype(int))])


def choose_queries(adapted: Adapted) -> dict[str, IntArray]:
    """Return the held-out crops whose average precision has risen (`better`) or fallen (`worse`) the most."""
    judge, start = adapted.groups.judge, adapted.start
    assert judge is not None
    queries, before = judge.query_precision(start.normalize(start.crops))
    after = judge.query_precision(start.normalize(adapted.after))[1]
    change = after - before
    order = np.argsort(-change, kind="stable")
    chosen = {"better": order[change[order] > 0][:QUERIES], "worse": order[change[order] < 0][::-1][:QUERIES]}
    return {name: queries[rows] for name, rows in chosen.items() if len(rows)}


def _plot_rank_lists(adapted: Adapted, queries: IntArray, path: Path, *, order: str) -> IntArray:
    """Plot the nearest crops of each query before and after."""
    site, start, judge = adapted.site, adapted.start, adapted.groups.judge
    assert judge is not None
    rows, shown = [], []
    for query in queries.tolist():
        for name, vectors in (("before", start.crops), ("after", adapted.after)):
            ranked = judge.rank(start.normalize(vectors), query)[: ACROSS - 1]
            cells = [CaptionedCrop(site.pixels[query], ("query", site.cameras[site.camera_ids[query]]), INK)]
            for crop in ranked.tolist():
                match = judge.is_match(query, crop)
                caption = ("✓" if match else "✗", site.cameras[site.camera_ids[crop]])
                cells.append(CaptionedCrop(site.pixels[crop], caption, RIGHT if match else WRONG))
            rows.append((name, cells))
            shown.append(np.append(ranked, query))
    title = {"better": "Rank lists that became better", "worse": "Rank lists that became worse"}[order]
    plot_crop_rows(rows, path, title=title, across=ACROSS)
    return np.concatenate(shown)


def project(before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Project (N, D) embeddings before and after onto the two principal axes of both together: two (N, 2).

    Example:
        >>> before = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
        >>> first, second = project(before, before)
        >>> bool((first == second).all()), first.shape
        (True, (2, 2))
    """
    both = np.concatenate([before, after]).astype(np.float64)
    both -= both.mean(axis=0)
    axes = np.linalg.eigh(both.T @ both)[1][:, ::-1][:, :2]  # (D, 2)
    points = (both @ axes).astype(np.float32)
    return points[: len(before)], points[len(before) :]


def _plot_map(site: Site, clusters: Sequence[Cluster], points: FloatArray, path: Path, *, name: str) -> None:
    numbers = np.full(len(site), UNKNOWN, np.int64)
    largest = sorted(clusters, key=lambda cluster: -len(cluster.rows))[:COLORED]
    for number, cluster in enumerate(largest, start=1):
        numbers[cluster.rows] = number
    plot_embedding_map(
        points,
        path,
        identities=numbers,
        cameras=site.camera_ids,
        highlighted=range(1, len(largest) + 1),
        title=f"Embeddings {name} the adaptation",
    )
