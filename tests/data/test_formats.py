"""Image formats and reading of files. Oracle: files that Pillow writes, and special files of the operating system."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from data.layouts import write_image
from passerby.data.datasets.listing import count_suffixes, image_files, tree_images
from passerby.data.formats import FORMATS, SUFFIXES, identify_format, is_image_file


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_are_identified_by_their_first_bytes(tmp_path: Path, kind: str) -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    assert identify_format(buffer.getvalue()) == kind
    (tmp_path / "0001").write_bytes(buffer.getvalue())
    assert is_image_file(tmp_path / "0001")


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_suffixes_are_those_of_pillow_in_any_case(suffix: str) -> None:
    assert Image.registered_extensions()[suffix] in FORMATS
    assert is_image_file(f"a{suffix}")
    assert is_image_file(f"a{suffix.upper()}")


@pytest.mark.parametrize("name", ["a.txt", "a.heic", "a.jpg.part", "a.eps", "a.avif"])
def test_other_suffixes_are_no_images(name: str) -> None:
    assert not is_image_file(name)


def test_listings_take_all_formats_and_collect_the_other_files(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jfif", "c.gif", "d.webp", "e.ppm", "sub/f.Jpeg"):
        write_image(tmp_path / name)
    write_image(tmp_path / "x.png").rename(tmp_path / "g")
    (tmp_path / "h").write_text("not an image")
    for name in ("i.heic", "j.HEIC", "k.txt", "Thumbs.db", ".hidden.txt"):
        (tmp_path / name).touch()
    skipped: list[Path] = []
    names = ["a.JPG", "b.jfif", "c.gif", "d.webp", "e.ppm", "g"]
    assert [path.name for path in image_files(tmp_path, skipped=skipped)] == names
    assert count_suffixes(skipped) == "2 .heic, 1 .txt, 1 without a suffix"
    assert [path.name for path in tree_images(tmp_path, skipped=[])] == [*names, "f.Jpeg"]


def test_special_files_without_a_suffix_are_left_out_of_listings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    skipped: list[Path] = []
    assert image_files(tmp_path, skipped=skipped) == []
    assert [path.name for path in skipped] == ["loop", "pipe", "zero"]
