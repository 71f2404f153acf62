"""`passerby synth`: a data set on the disk, a preview, and messages for what cannot be."""

from PIL import Image

from passerby.data.datasets import load_data


def test_people_are_written_and_can_be_read(passerby, tmp_path):
    out = tmp_path / "people"
    words = ("--identities", 4, "--cameras", 2, "--images", 2, "--height", 32, "--workers", 1)
    said = passerby("synth", "--out", out, *words)
    assert said.code == 0, said.err
    assert f"20 images of 4 people who do not exist: {out}" in said.out
    (data,) = load_data(f"market1501:{out}")
    assert (len(data.train), len(data.query), len(data.gallery), data.distractors) == (8, 4, 8, 4)
    assert (out / "images.parquet").is_file()


def test_a_preview_is_a_picture_and_nothing_else(passerby, tmp_path):
    said = passerby("synth", "--preview", tmp_path / "sheet.png", "--identities", 3, "--cameras", 2, "--images", 2)
    assert said.code == 0, said.err
    assert "sheet.png" in said.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 3 * 128
        assert sheet.width > 4 * 64
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_what_cannot_be_is_said(passerby, tmp_path):
    assert "expected either --out FOLDER or --preview PICTURE" in passerby("synth").complaint
    for words, message in (
        (("--identities", 0), "synth: identities is 0, expected 2 to 99999"),
        (("--cameras", 1), "synth: cameras is 1, expected 2 to 999"),
        (("--height", 8), "synth: height is 8, expected 16 to 1024"),
        (("--seed", -1), "synth: seed is -1"),
    ):
        assert message in passerby("synth", "--out", tmp_path / "a", *words).complaint
    assert "expected a name that ends in .png or .jpg" in passerby("synth", "--preview", tmp_path / "a.gif").complaint
    assert list(tmp_path.iterdir()) == []
