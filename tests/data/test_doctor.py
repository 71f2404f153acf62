"""Check of data sets. Oracle: miniatures with one defect each, whose count and example are known."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from data.layouts import (
    ABSENT,
    MARKET,
    write_cuhk01,
    write_cuhk03,
    write_image,
    write_images,
    write_market,
    write_table,
)
from passerby.data.doctor import Finding, check


def find(spec: str, words: str, **options: bool) -> Finding:
    """Return the only finding whose message has the words."""
    matching = [finding for finding in check(spec, **options) if words in finding.message]
    assert len(matching) == 1, check(spec, **options)
    return matching[0]


def summary(finding: Finding) -> tuple[str, int]:
    return finding.severity, finding.count


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return write_market(tmp_path / "market")


def test_a_valid_set_has_notes_only(market: Path) -> None:
    assert [(f.severity, f.message.split(",")[0], f.count) for f in check(f"market1501:{market}")] == [
        ("note", "junk images", 3),
        ("note", "distractors in the gallery", 2),
    ]


@pytest.mark.parametrize("spec", ["market1501:/nowhere/at/all", "marcet:/x", "cuhk01:/x?split=3", ""])
def test_an_unreadable_spec_is_one_error(spec: str) -> None:
    (finding,) = check(spec)
    assert summary(finding) == ("error", 1)
    assert "expected" in finding.example


def test_a_missing_folder_is_an_error_that_names_it(market: Path) -> None:
    shutil.rmtree(market / "query")
    finding = find(f"market1501:{market}", "cannot be read")
    assert "no folder" in finding.example
    assert "market/query" in finding.example


def test_damaged_images_are_errors(market: Path) -> None:
    train = sorted((market / "bounding_box_train").glob("*.jpg"))
    train[0].write_bytes(b"")
    train[1].write_bytes(train[1].read_bytes()[:200])
    finding = find(f"market1501:{market}", "images that cannot be read")
    assert summary(finding) == ("error", 2)
    assert train[0].name in finding.example
    assert not [f for f in check(f"market1501:{market}", decode=False) if f.severity == "error"]


def test_missing_files_of_a_table_are_errors_even_without_decoding(tmp_path: Path) -> None:
    rows = [{"path": f"{i}.png", "person_id": i // 4, "camera_id": i % 2} for i in range(16)]
    table = write_table(tmp_path / "t.csv", rows)
    (tmp_path / "3.png").unlink()
    finding = find(f"table:{table}", "images that cannot be read", decode=False)
    assert summary(finding) == ("error", 1)
    assert "3.png" in finding.example


def test_names_that_do_not_parse_are_counted_and_the_rest_is_checked(market: Path) -> None:
    write_images(market / "bounding_box_train", ["one.jpg", "two.jpg", "0002_c0s1_0.jpg"])
    spec = f"market1501:{market}"
    finding = find(spec, "cannot be used")
    assert summary(finding) == ("error", 3)
    assert "0002_c0s1_0.jpg: the name does not parse; expected one like" in finding.example
    assert summary(find(spec, "junk")) == ("note", 3)


def test_queries_without_a_match_in_another_camera(market: Path) -> None:
    """Person 3 loses the gallery image of camera 2; person 1 has both cameras."""
    image = market / "bounding_box_test" / "0003_c2s3_064744_02.jpg"
    image.rename(image.with_name("0003_c1s3_064744_02.jpg"))
    finding = find(f"market1501:{market}", "queries without a match in another camera")
    assert summary(finding) == ("warning", 1)
    assert finding.example == "0003_c1s6_015971_00.jpg"
    for path in (market / "bounding_box_test").glob("0001*"):
        path.unlink()
    assert summary(find(f"market1501:{market}", "queries without a match")) == ("error", 3)


def test_identities_in_train_and_test(market: Path) -> None:
    write_image(market / "bounding_box_train" / "0001_c1s1_000001_00.jpg")
    write_image(market / "bounding_box_train" / "0001_c2s1_000002_00.jpg")
    finding = find(f"market1501:{market}", "identities in both train and test")
    assert summary(finding) == ("error", 1)
    assert finding.example.startswith("person 1: 0001_c2s1_000002_00.jpg and 0001_c")


def test_copies_are_detected_by_content(market: Path) -> None:
    train, query = market / "bounding_box_train", market / "query"
    shutil.copy(train / "0002_c1s1_000451_03.jpg", train / "0002_c1s1_999999_03.jpg")
    shutil.copy(train / "0002_c2s1_000301_01.jpg", train / "0007_c2s1_000301_01.jpg")
    shutil.copy(train / "0007_c1s6_028546_01.jpg", query / "0003_c3s1_000001_00.jpg")
    spec = f"market1501:{market}"
    for decode in (True, False):
        assert summary(find(spec, "several times under one identity", decode=decode)) == ("warning", 1)
        assert find(spec, "several times").example == "0002_c1s1_000451_03.jpg = 0002_c1s1_999999_03.jpg"
        assert summary(find(spec, "under several identities", decode=decode)) == ("warning", 1)
        assert summary(find(spec, "in train and in test", decode=decode)) == ("error", 1)


def test_unusual_sizes(market: Path) -> None:
    train = market / "bounding_box_train"
    write_image(train / "0007_c1s1_000001_00.jpg", size=(40, 60))
    write_image(train / "0007_c1s1_000002_00.jpg", size=(31, 20))
    write_image(train / "0007_c1s1_000003_00.jpg", size=(40, 15))
    write_image(train / "0007_c1s1_000004_00.png", size=(2001, 20))
    spec = f"market1501:{market}"
    assert summary(find(spec, "wider than high")) == ("warning", 1)
    assert find(spec, "wider than high").example == "0007_c1s1_000001_00.jpg: 40 x 60"
    assert summary(find(spec, "below 32 x 16")) == ("warning", 2)
    assert summary(find(spec, "above 2000")) == ("warning", 1)


def test_an_identity_with_one_image(market: Path) -> None:
    write_image(market / "bounding_box_train" / "0011_c1s1_000001_00.jpg")
    finding = find(f"market1501:{market}", "one training image")
    assert summary(finding) == ("warning", 1)
    assert finding.example == "person 11: 0011_c1s1_000001_00.jpg"
    assert summary(find(f"market1501:{market}", "with images from one camera only")) == ("note", 1)


@pytest.mark.parametrize(
    ("train", "words", "count"),
    [
        (["0002_c1s1_1_1.jpg", "0007_c2s1_1_1.jpg"], "one training image", 2),
        (["0002_c1s1_1_1.jpg", "0002_c2s1_1_1.jpg"], "only one training identity", 1),
        (["0002_c1s1_1_1.jpg", "0002_c1s1_2_1.jpg", "0007_c1s1_2_1.jpg"], "training images from one camera only", 3),
        ([], "the train split is empty", 1),
    ],
)
def test_useless_training_sets_are_errors(tmp_path: Path, train: list[str], words: str, count: int) -> None:
    write_market(tmp_path, {**MARKET, "bounding_box_train": train})
    assert summary(find(f"market1501:{tmp_path}", words)) == ("error", count)


def test_an_empty_test_split_is_an_error_only_if_the_layout_requires_it(tmp_path: Path, market: Path) -> None:
    for path in (market / "query").glob("*.jpg"):
        path.unlink()
    assert summary(find(f"market1501:{market}", "the query split is empty")) == ("error", 1)
    for person in "ab":
        write_images(tmp_path / "f" / "train" / person, ["x_1.png", "y_1.png"])
    assert summary(find(f"folder:{tmp_path / 'f'}", "the query split is empty")) == ("warning", 1)


def test_assumptions_are_reported(tmp_path: Path) -> None:
    for person in "abcd":
        write_images(tmp_path / person, ["x_1.png", "y_1.png", "y_2.png", "x_2.png"])
    (tmp_path / "e").mkdir()
    assert "2 of 4 identities train" in find(f"folder:{tmp_path}", "assumption").example
    assert find(f"folder:{tmp_path}", "incomplete").example.startswith(
        "1 folder of identities without an image, such as"
    )


def test_an_incomplete_copy_is_a_warning(tmp_path: Path) -> None:
    write_cuhk01(tmp_path, identities=600)
    finding = find(f"cuhk01:{tmp_path}", "incomplete", decode=False)
    assert finding.severity == "warning"
    assert finding.example.startswith("600 identities, 2,400 images; expected 971, 3884")


def test_images_inside_a_container_are_checked(tmp_path: Path) -> None:
    mat = write_cuhk03(tmp_path)
    progress: list[tuple[int, int]] = []
    findings = check(f"cuhk03:{mat}?protocol=classic", progress=lambda _task, *state: progress.append(state[:2]))
    assert [f for f in findings if f.severity != "note"] == []
    images = 13 * 10 - len(ABSENT)
    assert progress == [(done, images) for done in range(1, images + 1)]


def test_files_that_are_no_images_are_counted_by_suffix(tmp_path: Path) -> None:
    for person in "abcd":
        write_images(tmp_path / person, ["x_1.jfif", "y_1.GIF", "y_2.png", "x_2.png"])
        (tmp_path / person / "z_1.heic").write_bytes(b"not read")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "Thumbs.db").write_text("x")
    finding = find(f"folder:{tmp_path}", "left out")
    assert summary(finding) == ("warning", 5)
    assert finding.example == f"{tmp_path}/a/notes.txt (4 .heic, 1 .txt)"
    assert not [f for f in check(f"folder:{tmp_path}") if f.severity == "error"]


def test_jpeg_with_stray_bytes_is_a_warning(market: Path) -> None:
    image = market / "query" / "0003_c1s6_015971_00.jpg"
    content = image.read_bytes()
    image.write_bytes(content[:-2] + bytes(100) + content[-2:])
    finding = find(f"market1501:{market}", "damaged files whose pixels are whole")
    assert summary(finding) == ("warning", 1)
    assert re.search(r"0003_c1s6_015971_00.jpg: 9\d extraneous bytes before marker 0xd9", finding.example)


def test_queries_with_a_copy_in_the_gallery_are_counted(market: Path) -> None:
    shutil.copy(market / "query/0001_c1s1_001051_00.jpg", market / "bounding_box_test/0001_c3s1_000001_00.jpg")
    finding = find(f"market1501:{market}", "queries with a copy in the gallery")
    assert summary(finding) == ("warning", 1)
    assert finding.example == "0001_c1s1_001051_00.jpg = 0001_c3s1_000001_00.jpg"


def test_several_sets_are_named_and_share_one_progress(tmp_path: Path, market: Path) -> None:
    progress: list[tuple[int, int]] = []
    spec = f"market1501:{market}+market1501:{tmp_path / 'gone'}+market1501:{market}"
    findings = check(spec, progress=lambda _task, *state: progress.append(state[:2]))
    assert [f.severity for f in findings] == ["error", "note", "note", "note", "note"]
    assert findings[1].message.startswith("market1501: junk")
    assert progress[-1] == (2 * 15, 2 * 15)  # 5 train, 3 query, 5 gallery, 2 boxes
