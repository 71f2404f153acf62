"""Maps of `passerby.adapt` in settings with little or wrong evidence, and with answers, measured on other people.

python benchmarks/adapt_settings.py --cuhk01 DIR --cuhk03 DIR [--cache DIR] [--seeds 0 1] [--settings NAME ...]
    [--no-tracks]

The maps are learned from people of the train split, by the tracks of each setting, and measured on the test people as
Rank-1 / mAP in percent, Market rule: P, and +z after camera-wise normalization. Answers are given by the identities.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import passerby
from adapt_maps import PARTS, change, embed, normalize, take, track_groups
from passerby.adaptation.crop_groups import find_crop_groups
from passerby.adaptation.groups import find_groups
from passerby.adaptation.ladder import Start, climb_maps, learn_rung, normalize_cameras
from passerby.adaptation.rendered import RENDERED, RenderedPeople
from passerby.adaptation.site import Site, SiteLinks, number
from passerby.adaptation.site_tracks import find_tracks
from passerby.adaptation.track_links import link_tracks
from passerby.metric.covariance import UNKNOWN
from passerby.metric.part_maps import Parts, split_parts
from passerby.types import Embeddings

Setting = tuple[Embeddings, np.ndarray]
"""Crops, and their tracks."""


def people(images: Embeddings, count: int, rng: np.random.Generator) -> Setting:
    """Tracks of some people in all their cameras."""
    drawn = rng.permutation(np.unique(images.person_ids))[:count]
    some = take(images, np.isin(images.person_ids, drawn))
    return some, track_groups(some)


def one_camera(images: Embeddings, rng: np.random.Generator) -> Setting:
    some = take(images, images.camera_ids == rng.choice(np.unique(images.camera_ids)))
    return some, track_groups(some)


def strangers(images: Embeddings, rng: np.random.Generator) -> Setting:
    """Each person is in one camera: every link between cameras is wrong."""
    cameras = np.unique(images.camera_ids)
    keys = np.stack([images.person_ids, images.camera_ids], axis=1)
    _, first = np.unique(images.person_ids, return_inverse=True)
    views = [np.unique(keys[first == person, 1]) for person in range(first.max() + 1)]
    own = np.array([rng.choice(view) for view in views])
    some = take(images, images.camera_ids == own[first])
    assert len(cameras) > 1
    return some, track_groups(some)


def copies(images: Embeddings, rng: np.random.Generator, *, others: int) -> Setting:
    """200 crops of one person, four of a track, whose images are repeated, and tracks of other people."""
    some, tracks = people(images, others + 1, rng)
    rows = np.flatnonzero(some.person_ids == some.person_ids[0])
    repeated = np.resize(rows, 200)
    rest = np.flatnonzero(some.person_ids != some.person_ids[0])
    order = np.concatenate([repeated, rest])
    numbers = np.concatenate([some.camera_ids[repeated] + 10**7 + 10 * (np.arange(200) // 8), tracks[rest]])
    return take(some, order), numbers


def mixed(images: Embeddings, rng: np.random.Generator) -> Setting:
    """A third of the tracks are joined in pairs, each of two people of one camera."""
    some, tracks = people(images, 10**6, rng)
    for camera in np.unique(some.camera_ids):
        order = rng.permutation(np.unique(tracks[some.camera_ids == camera]))
        for first, second in order[: 2 * (len(order) // 6)].reshape(-1, 2).tolist():
            tracks = np.where(tracks == second, first, tracks)
    return some, tracks


SETTINGS: dict[str, Callable[[Embeddings, np.random.Generator], Setting]] = {
    "all people": lambda images, rng: people(images, 10**6, rng),
    "100 people": lambda images, rng: people(images, 100, rng),
    "50 people": lambda images, rng: people(images, 50, rng),
    "25 people": lambda images, rng: people(images, 25, rng),
    "one camera": one_camera,
    "each person in one camera": strangers,
    "200 copies of one person": lambda images, rng: copies(images, rng, others=0),
    "the same, and 100 people": lambda images, rng: copies(images, rng, others=100),
    "a third of tracks mixed": mixed,
}


def make_site(images: Embeddings, tracks: np.ndarray, links: SiteLinks = SiteLinks()) -> Site:  # noqa: B008
    names = tuple(str(camera) for camera in np.unique(images.camera_ids))
    cameras = np.unique(images.camera_ids, return_inverse=True)[1]
    pixels = np.zeros((len(images), 1, 1, 3), np.uint8)
    return Site("site", pixels, names, cameras, number(tracks.tolist()), images.person_ids, (), links)


def answer(site: Site, images: Embeddings, count: int, *, surest: bool) -> SiteLinks:
    """Answer, by identity, links that are the most or the least certain: do both tracks show one person?"""
    tracks = find_tracks(site, site.tracks)
    links = link_tracks(tracks.mean(normalize(images).vectors), tracks.camera_ids, least=0)
    order = np.argsort(-links.probabilities if surest else abs(links.probabilities - 0.5), kind="stable")[:count]
    first = np.unique(tracks.labels, return_index=True)[1]
    pairs = tracks.rows[first[links.pairs[order]]]
    same = images.person_ids[pairs[:, 0]] == images.person_ids[pairs[:, 1]]
    return SiteLinks(pairs[same], pairs[~same])


def score(query: Embeddings, gallery: Embeddings, maps: Parts | None) -> np.ndarray:
    query, gallery = change(query, maps), change(gallery, maps)
    plain, normal = passerby.score(query, gallery), passerby.score(query, gallery, cameras=True)
    return 100 * np.array([plain.rank1, plain.mAP, normal.rank1, normal.mAP])


def show(text: str, values: np.ndarray, start: np.ndarray) -> None:
    gains = values - start
    print(
        f"{text:60} {values[0]:4.1f} / {values[1]:4.1f}  {values[2]:4.1f} / {values[3]:4.1f}   mAP {gains[1]:+.1f} "
        f"{gains[3]:+.1f}",
        flush=True,
    )


def read_people(cache: Path) -> tuple[RenderedPeople, np.ndarray]:
    (data,) = passerby.load_data(RENDERED)
    file = cache / "rendered.npy"
    if not file.is_file():
        np.save(file, passerby.load("default", runtime="torch").embed_samples(data.train).vectors)
    persons, cameras = (np.array([getattr(sample, key) for sample in data.train]) for key in ("person_id", "camera_id"))
    return RenderedPeople(RENDERED, np.empty((0, 1, 1, 3), np.uint8), persons, cameras, False), np.load(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuhk01", help="folder of CUHK01")
    parser.add_argument("--cuhk03", help="folder of pairs 2 to 5 of CUHK03-detected, with train/, query/ and gallery/")
    parser.add_argument("--cache", type=Path, default=Path("/tmp"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--no-tracks", action="store_true", help="learn from similar crops in place of the tracks")
    parser.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=list(SETTINGS))
    args = parser.parse_args()
    rendered, images_of_rendered = read_people(args.cache)
    for name, folder in (("cuhk01", args.cuhk01), ("cuhk03", args.cuhk03)):
        if not folder:
            continue
        train, query, gallery = embed(f"{'cuhk01' if name == 'cuhk01' else 'folder'}:{folder}", args.cache, name)
        before = score(query, gallery, None)
        show(f"{name}: start", before, before)
        for seed in args.seeds:
            for setting in args.settings:
                images, tracks = SETTINGS[setting](train, np.random.default_rng(seed))
                site = make_site(images, tracks)
                if args.no_tracks:
                    site = replace(site, tracks=np.full(len(images), UNKNOWN))
                    vectors = normalize_cameras(images.vectors, site.camera_ids)
                    groups = find_crop_groups(site, vectors, PARTS, seed=seed)
                else:
                    groups = find_groups(site, labels=False, seed=seed)
                chosen = None
                if groups.judge is not None:
                    start = Start(images.vectors, images_of_rendered, PARTS, site.camera_ids)
                    _, chosen = climb_maps(start, groups, rendered, site=site)
                text = f"{name}, {setting}, seed {seed}: {chosen or 'nothing'}"
                if chosen is None:
                    print(text, flush=True)
                    continue
                maps, _ = learn_rung(chosen, split_parts(images.vectors, PARTS), site, groups.numbers)
                show(text, score(query, gallery, maps), before)
        if not args.no_tracks:
            measure_answers(name, train, query, gallery, before)


def measure_answers(name: str, train: Embeddings, query: Embeddings, gallery: Embeddings, before: np.ndarray) -> None:
    """Show what 100 answers change in the maps of linked tracks."""
    tracks = track_groups(train)
    parts = split_parts(train.vectors, PARTS)
    for text, count, surest in (("no answer", 0, True), ("100 surest", 100, True), ("100 least sure", 100, False)):
        links = answer(make_site(train, tracks), train, count, surest=surest)
        site = make_site(train, tracks, links)
        maps, rounds = learn_rung("links", parts, site, find_groups(site, labels=False, seed=0).numbers)
        precision = ", ".join(f"{entry['links']} {entry['link_precision']:.2f}" for entry in rounds)
        values = score(query, gallery, maps)
        show(f"{name}, {text}: {len(links.must)} same, links {precision}", values, before)


if __name__ == "__main__":
    main()
