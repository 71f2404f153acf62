"""Reading the crops of a site. Oracles: files written by the test, and the messages that wrong input gets."""

import numpy as np
import pytest
from PIL import Image

from passerby.adaptation.groups import count_held_out, find_groups, join_groups
from passerby.adaptation.judge import Judge
from passerby.adaptation.site import NamedLink, Site, SiteCrop, SiteLinks, draw_crops, read_site, require_usable
from passerby.adaptation.site_data import list_site_crops
from passerby.errors import DataError
from passerby.metric.covariance import UNKNOWN


class Reader:
    """Stands in for an embedder: images are arrays at the model's size."""

    @staticmethod
    def read_pixels(images):
        yield np.stack(list(images))


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 8, 3), np.uint8)).save(path)


def make_crops(count, cameras=2, tracks=5):
    rng = np.random.default_rng(0)
    return [
        SiteCrop(rng.integers(0, 255, (4, 2, 3), np.uint8), f"c{i % cameras}", track=str(i % tracks), name=f"n{i}")
        for i in range(count)
    ]


def make_site(**changes):
    values = {
        "title": "site",
        "pixels": np.zeros((6, 4, 2, 3), np.uint8),
        "cameras": ("a", "b"),
        "camera_ids": np.array([0, 0, 0, 1, 1, 1]),
        "tracks": np.array([0, 0, 1, 2, 2, UNKNOWN]),
        "persons": np.full(6, UNKNOWN),
        "names": tuple("012345"),
    }
    return Site(**{**values, **changes})


def test_a_folder_is_read_by_camera_and_track(tmp_path):
    for name in ("north/1.png", "north/t1/2.png", "north/t1/3.png", "south/t1/4.png"):
        write(tmp_path / name)
    crops = list_site_crops(f"folder:{tmp_path}?labels=none", labels=False)
    assert sorted((crop.camera, crop.track, crop.image.name) for crop in crops if crop.track) == [
        ("north", "t1", "2.png"),
        ("north", "t1", "3.png"),
        ("south", "t1", "4.png"),
    ]
    assert [(crop.camera, crop.image.name) for crop in crops if not crop.track] == [("north", "1.png")]


def test_a_table_is_read_with_its_tracks(tmp_path):
    write(tmp_path / "x/1.png")
    (tmp_path / "site.csv").write_text("path,camera_id,track\nx/1.png,north,7\nx/1.png,south,\n")
    crops = list_site_crops(f"table:{tmp_path}/site.csv?labels=none", labels=False)
    assert [(crop.camera, crop.track, crop.name) for crop in crops] == [
        ("north", "7", "x/1.png"),
        ("south", None, "x/1.png"),
    ]


def test_labels_are_the_identities_of_the_train_split(tmp_path):
    for person in range(4):
        for image in range(2):
            write(tmp_path / f"p{person}/cam{image}_1.png")
    crops = list_site_crops(f"folder:{tmp_path}?train=1", labels=True)
    assert len(crops) == 8
    assert len({crop.person for crop in crops}) == 4


@pytest.mark.parametrize(
    ("files", "spec", "labels", "message"),
    [
        (["1.png"], "folder:{}?labels=none", False, "no folder in .*, so that no camera is known"),
        (["train/p/c_1.png"], "folder:{}?labels=none", False, "the splits of data with identities"),
        (["n/t/u/1.png"], "folder:{}?labels=none", False, "is too deep"),
        (["n/1.png"], "folder:{}?labels=yes", False, "labels='yes'; expected none"),
        (["n/1.png"], "folder:{}?labels=none&train=0.5", False, "option train is for data with identities"),
        (["n/1.png"], "folder:{}?labels=none", True, "labels=none, and labels=True needs identities"),
        (["p/c_1.png"], "folder:{}", False, "a data set with identities, which are not used"),
        ([], "table:{}/site.csv?labels=none", False, "does not exist|no such file|not found|expected a .csv"),
    ],
)
def test_wrong_layouts_are_named(tmp_path, files, spec, labels, message):
    for name in files:
        write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        list_site_crops(spec.format(tmp_path), labels=labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,track\na.png,1\n", "has no column camera_id"),
        ("path,camera_id\n,north\n", "row 1: no path"),
        ("path,camera_id\na.png,\n", "row 1: no camera_id"),
    ],
)
def test_wrong_tables_are_named(tmp_path, text, message):
    (tmp_path / "site.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list_site_crops(f"table:{tmp_path}/site.csv?labels=none", labels=False)


def test_tracks_of_two_cameras_are_two_tracks():
    site = read_site(make_crops(20), Reader(), title="site")
    assert len(np.unique(site.tracks)) == 10
    assert site.cameras == ("c0", "c1")


def test_the_fingerprint_is_of_the_content():
    crops = make_crops(20)
    site, other = (read_site(list(order), Reader(), title="site") for order in (crops, crops[::-1]))
    changed = read_site([*crops[:-1], SiteCrop(crops[0].image, "c1", name="x")], Reader(), title="site")
    assert len(site.fingerprint) == 64
    assert site.fingerprint == other.fingerprint != changed.fingerprint


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (make_crops(19), "19 crops, expected at least 20"),
        (make_crops(40, cameras=20), "20 cameras for 40 crops, such as 'c0'; expected 5 crops of a camera"),
    ],
)
def test_crops_from_which_nothing_can_be_learned_are_refused(crops, message):
    with pytest.raises(DataError, match=message):
        require_usable(crops, title="site")


def test_equal_crops_are_refused():
    same = [SiteCrop(np.zeros((4, 2, 3), np.uint8), "c0", name=str(i)) for i in range(20)]
    with pytest.raises(DataError, match="20 crops of one and the same image"):
        read_site(same, Reader(), title="site")


def test_draws_take_whole_tracks():
    drawn = draw_crops(make_crops(100, tracks=10), seed=1, most=30)
    assert len(drawn) == 30
    assert len({(crop.camera, crop.track) for crop in drawn}) == 3


def test_links_are_found_by_name():
    links = [NamedLink("n3", "n1", same=True), NamedLink("n2", "n5", same=False), NamedLink("n1", "gone", same=True)]
    site = read_site(make_crops(20), Reader(), title="site", links=links)
    assert site.links.must.tolist() == [[3, 1]]
    assert site.links.cannot.tolist() == [[2, 5]]


def test_must_links_join_tracks():
    """By hand: tracks {0, 1}, {2}, {3, 4} and crop 5; links 2-3 and 5-0."""
    site = make_site(links=SiteLinks(must=np.array([[2, 3], [5, 0]])))
    numbers = join_groups(site, site.tracks)
    assert numbers[0] == numbers[1] == numbers[5]
    assert numbers[2] == numbers[3] == numbers[4] != numbers[0]
    assert join_groups(make_site(), make_site().tracks)[5] == UNKNOWN


def test_tracks_of_two_people_are_taken_apart(caplog):
    """By hand: the crops 0 and 1 of track 0 are of two people, who are 3 and 5; the track of 3 and 4 is whole."""
    links = SiteLinks(must=np.array([[0, 3], [1, 5]]), cannot=np.array([[0, 1]]))
    numbers = join_groups(make_site(links=links), make_site().tracks)
    assert numbers[0] == numbers[3] == numbers[4]
    assert numbers[1] == numbers[5] != numbers[0]
    assert numbers[2] not in (*numbers[:2], *numbers[3:])
    assert caplog.messages == ["1 track not learned from: two of its crops are known to show two people"]


def test_must_links_that_cannot_links_contradict_are_not_used(caplog):
    """By hand: tracks 0 (crops 0, 1) and 2 (crops 3, 4) show two people, so that 1 and 3 cannot be one."""
    links = SiteLinks(must=np.array([[1, 3], [2, 3]]), cannot=np.array([[0, 4]]))
    numbers = join_groups(make_site(links=links), make_site().tracks)
    assert numbers[0] == numbers[1] != numbers[3]
    assert numbers[2] == numbers[3] == numbers[4]
    assert caplog.messages == ["1 must-link not used: cannot-links contradict"]


def test_a_crop_without_a_track_counts_if_it_differs_from_another():
    numbers = join_groups(make_site(links=SiteLinks(cannot=np.array([[5, 0]]))), make_site().tracks)
    assert numbers[5] not in (UNKNOWN, *numbers[:5])


@pytest.mark.parametrize(("usable", "held_out"), [(0, 0), (34, 10), (485, 146), (500, 150), (970, 150), (10**5, 150)])
def test_at_most_150_groups_are_held_out(usable, held_out):
    assert count_held_out(usable) == held_out


def test_held_out_groups_are_not_learned_from():
    count = 280
    site = make_site(
        pixels=np.zeros((count, 4, 2, 3), np.uint8),
        camera_ids=np.repeat([0, 1], count // 2),
        tracks=np.arange(count) // 4,
        persons=np.full(count, UNKNOWN),
        names=("",) * count,
    )
    groups = find_groups(site, labels=False, seed=0)
    assert groups.usable == 70
    assert len(np.unique(groups.judge.groups[groups.judge.held_out])) == 21
    assert (groups.learned[groups.judge.held_out] == UNKNOWN).all()
    assert (groups.learned[~groups.judge.held_out] != UNKNOWN).all()
    assert find_groups(make_site(), labels=False, seed=0).judge is None


@pytest.mark.parametrize("across", [False, True])
def test_precision_agrees_with_a_loop(across):
    rng = np.random.default_rng(3)
    vectors, cameras = rng.normal(size=(12, 3)), np.array([0, 0, 1, 1] * 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = np.repeat([7, 8, 9], 4)
    held_out = np.array([True] * 8 + [False] * 4)
    expected = {}
    for query in range(8):
        own = (groups == groups[query]) & (cameras == cameras[query])
        left_out = own if across else cameras != cameras[query]
        pool = [i for i in range(8) if i != query and not left_out[i]]
        ranked = sorted(pool, key=lambda i: -vectors[query] @ vectors[i])
        hits = [rank for rank, i in enumerate(ranked, start=1) if groups[i] == groups[query]]
        value = np.mean([(n + 1) / rank for n, rank in enumerate(hits)])
        expected.setdefault(groups[query], []).append(value)
    judge = Judge(groups, cameras, held_out, across=across)
    assert judge.precision(vectors) == pytest.approx([np.mean(expected[group]) for group in (7, 8)])
