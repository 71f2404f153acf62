"""Pictures of an adaptation. Oracles: clusters by hand, numpy's singular values, and the files of a drawn site."""

import json
import stat

import numpy as np
import pytest

import passerby
from adaptation.drawn_site import PEOPLE, adapt, draw_site
from passerby.adaptation import pictures
from passerby.adaptation.groups import Groups, find_groups
from passerby.adaptation.judge import Judge
from passerby.adaptation.ladder import Start
from passerby.adaptation.pictures import Adapted, Cluster, choose_clusters, choose_queries, find_clusters, project
from passerby.adaptation.site import Site
from passerby.errors import MissingExtraError
from passerby.gallery.adapted_runs import erase_pictures

FILES = {"clusters-surest.png", "embeddings-after.png", "embeddings-before.png", "rank-lists-better.png"}


@pytest.fixture(scope="module")
def adapted(tiny_run, tmp_path_factory):
    site = draw_site(tmp_path_factory.mktemp("site"))
    return adapt(tmp_path_factory.mktemp("adapted") / "run", site, tiny_run, images=True)


def make_adapted(before, after, *, tracks, cameras, held_out):
    site = Site(
        "drawn", np.zeros((len(tracks), 4, 2, 3), np.uint8), ("a", "b"), cameras, tracks, tracks, ("",) * len(tracks)
    )
    judge = Judge(tracks, cameras, held_out, across=False)
    groups = Groups(tracks, "tracks", len(np.unique(tracks)), judge)
    return Adapted(site, groups, Start(before, before, 1, cameras), after)


def test_the_pictures_are_in_the_run_with_the_crops_that_they_show(adapted):
    folder = adapted.folder / "adaptation"
    listed = json.loads((folder / "pictures.json").read_text())
    assert {path.name for path in folder.glob("*.png")} == set(listed) >= FILES
    assert {len(names) for file, names in listed.items() if file.startswith("embeddings")} == {240}
    assert 0 < len(listed["clusters-surest.png"]) <= pictures.CLUSTERS * pictures.ACROSS
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_pictures_of_erased_crops_are_erased_and_others_kept(adapted, tmp_path):
    import shutil

    run = shutil.copytree(adapted.folder, tmp_path / "run")
    listed = json.loads((run / "adaptation" / "pictures.json").read_text())
    name = listed["clusters-surest.png"][0]
    erased = erase_pictures(run, [name])
    assert set(erased) == {file for file, names in listed.items() if name in names}
    assert {path.name for path in (run / "adaptation").glob("*.png")} == set(listed) - set(erased)
    assert name not in (run / "adaptation" / "pictures.json").read_text()
    assert erase_pictures(run, ["another"]) == erase_pictures(tmp_path / "nowhere", [name]) == []


def test_all_pictures_are_erased_if_their_list_is_damaged(adapted, tmp_path):
    import shutil

    run = shutil.copytree(adapted.folder, tmp_path / "run")
    (run / "adaptation" / "pictures.json").write_text("{")
    assert set(erase_pictures(run, ["a crop"])) >= FILES
    assert not list((run / "adaptation").glob("*.png"))


def test_without_images_the_run_has_none(adapted, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("passerby.adaptation.adapt.find_obstacle", lambda _: "it is a test")
    monkeypatch.setattr("passerby.adaptation.ladder.ERRORS", -1e9)
    result = adapt(tmp_path / "run", draw_site(tmp_path / "site"), tiny_run, images=False)
    assert result.helped
    assert not (tmp_path / "run" / "adaptation").exists()


@pytest.mark.parametrize("error", [MissingExtraError("no matplotlib"), OSError("disk full")])
def test_a_run_without_pictures_is_a_run(adapted, tmp_path, monkeypatch, caplog, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(pictures, "plot_crop_rows", fail)
    tracks = np.repeat(np.arange(20), 2)
    vectors = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    state = make_adapted(vectors, vectors, tracks=tracks, cameras=tracks % 2, held_out=tracks < 10)
    pictures.write_pictures(tmp_path, state)
    assert not (tmp_path / "adaptation").exists()
    assert f"no pictures of the adaptation: {error}" in caplog.text


def test_clusters_are_connected_by_links():
    """15 people in two cameras each, whose crops are equal, among 30 others."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(60, 16))
    people[30:45] = people[:15]
    tracks, cameras = np.repeat(np.arange(60), 2), np.repeat(np.arange(60) // 30, 2)
    vectors = people[tracks].astype(np.float32)
    state = make_adapted(vectors, vectors, tracks=tracks, cameras=cameras, held_out=tracks < 10)
    clusters = {tuple(sorted(set(tracks[cluster.rows].tolist()))) for cluster in find_clusters(state)}
    assert clusters >= {(person, person + 30) for person in range(15)}
    assert all(first < 30 <= second for first, second in clusters)


def test_without_links_clusters_are_tracks():
    tracks = np.array([0, 0, 1, 1, 2])
    vectors = np.eye(5, dtype=np.float32)
    state = make_adapted(vectors, vectors, tracks=tracks, cameras=np.zeros(5, np.int64), held_out=tracks == 0)
    assert [cluster.rows.tolist() for cluster in find_clusters(state)] == [[0, 1], [2, 3]]


def test_the_surest_and_the_least_sure_clusters_are_chosen():
    clusters = [Cluster(np.arange(2), number / 40) for number in range(40)]
    chosen = choose_clusters(clusters)
    assert [cluster.probability for cluster in chosen["surest"]] == [n / 40 for n in range(39, 27, -1)]
    assert [cluster.probability for cluster in chosen["least-sure"]] == [n / 40 for n in range(11, -1, -1)]
    assert list(choose_clusters(clusters[:5])) == ["surest"]


def test_rank_lists_are_those_that_changed():
    """Crops 0 and 1 are apart before and together after; 2 and 3 the other way; 4 and 5 do not change."""
    tracks, cameras = np.repeat([0, 1, 2], 2), np.zeros(6, np.int64)
    good, bad = np.array([0.0, 0.1]), np.array([0.0, 2.0])
    angles = np.concatenate([bad, 1.05 + good, 4 + good]), np.concatenate([good, 1.05 + bad, 4 + good])
    before, after = (np.stack([np.cos(a), np.sin(a)], axis=1).astype(np.float32) for a in angles)
    state = make_adapted(before, after, tracks=tracks, cameras=cameras, held_out=np.ones(6, bool))
    state.start.__class__.normalize, normalize = (lambda _, vectors: vectors), state.start.__class__.normalize
    try:
        chosen = choose_queries(state)
    finally:
        state.start.__class__.normalize = normalize
    assert set(chosen["better"].tolist()) <= {0, 1}
    assert set(chosen["worse"].tolist()) <= {2, 3}
    judge = state.groups.judge
    assert judge.rank(after, 0).tolist()[0] == 1
    assert 0 not in judge.rank(after, 0)


def test_the_map_has_the_principal_axes_of_both():
    """Oracle: singular values of the centered rows."""
    rng = np.random.default_rng(0)
    before, after = (rng.normal(size=(20, 5)).astype(np.float32) * [3, 1, 2, 1, 1] for _ in range(2))
    both = np.concatenate([before, after])
    values = np.linalg.svd(both - both.mean(axis=0))[1][:2]
    points = np.concatenate(project(before, after))
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), values, rtol=1e-5)


def test_identities_are_their_clusters(tmp_path):
    tracks = np.repeat(np.arange(40), 2)
    cameras = np.tile([0, 1], 40)
    site = Site("drawn", np.zeros((80, 4, 2, 3), np.uint8), ("a", "b"), cameras, tracks, tracks, ("",) * 80)
    vectors = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    state = Adapted(site, find_groups(site, labels=True, seed=0), Start(vectors, vectors, 1, cameras), vectors)
    assert [cluster.rows.tolist() for cluster in find_clusters(state)] == [[2 * n, 2 * n + 1] for n in range(40)]


def test_a_gallery_erases_the_pictures_of_a_person(tiny_run, tmp_path, caplog):
    """End to end: enroll crops of tracks, adapt, forget one person; the pictures that showed it are gone."""
    site = draw_site(tmp_path / "site")
    crops = [
        passerby.Crop(image=path, camera=path.parts[-3], label=path.parent.name, attributes={"track": path.parent.name})
        for path in sorted(site.glob("*/*/*.png"))
    ]
    with passerby.Gallery(tmp_path / "people", model=tiny_run, keep="crops", device="cpu") as gallery:
        gallery.enroll(crops)
    result = passerby.adapt(tmp_path / "run", gallery=tmp_path / "people", rendered=PEOPLE, device="cpu")
    assert result.helped, result.rungs
    folder = tmp_path / "run" / "adaptation"
    listed = json.loads((folder / "pictures.json").read_text())
    with passerby.Gallery(tmp_path / "people", model=tiny_run, device="cpu") as gallery:
        ids = set(listed["clusters-surest.png"])
        person = next(s.label for batch in gallery.store.walk() for s in batch if s.id in ids)
        gallery.forget(label=person)
        left = {s.id for batch in gallery.store.walk() for s in batch}
    assert str(tmp_path / "run") in caplog.text
    assert not (folder / "clusters-surest.png").exists()
    kept = json.loads((folder / "pictures.json").read_text())
    assert {name for names in kept.values() for name in names} <= left
