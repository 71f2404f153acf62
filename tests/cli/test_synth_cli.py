"""`passerby synth`: a data set, a preview, and messages for impossible settings. Oracle: the files."""

from PIL import Image

from passerby.data.datasets import load_data


def test_a_data_set_is_written_and_can_be_read(passerby, tmp_path):
    out = tmp_path / "people"
    words = ("--identities", 4, "--cameras", 2, "--images", 2, "--height", 32, "--workers", 1)
    outcome = passerby("synth", "--out", out, *words)
    assert outcome.code == 0, outcome.err
    assert f"20 images of 4 synthetic identities: {out}" in outcome.out
    (data,) = load_data(f"market1501:{out}")
    assert data.title == "market1501 (synthetic)"
    assert (len(data.train), len(data.query), len(data.gallery), data.distractors) == (8, 4, 8, 4)
    assert (out / "images.parquet").is_file()


def test_a_preview_writes_one_image(passerby, tmp_path):
    outcome = passerby("synth", "--preview", tmp_path / "sheet.png", "--identities", 3, "--cameras", 2, "--images", 2)
    assert outcome.code == 0, outcome.err
    assert "sheet.png" in outcome.out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 3 * 128
        assert sheet.width > 4 * 64
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_impossible_settings_are_named(passerby, tmp_path):
    assert "expected either --out FOLDER or --preview IMAGE" in passerby("synth").error
    for words, message in (
        (("--identities", 0), "--identities: got 0, expected 2 to 99999"),
        (("--cameras", 1), "--cameras: got 1, expected 2 to 999"),
        (("--height", 8), "--height: got 8, expected 16 to 1024"),
        (("--seed", -1), "--seed: got -1"),
    ):
        assert message in passerby("synth", "--out", tmp_path / "a", *words).error
    assert "expected a name that ends in .png or .jpg" in passerby("synth", "--preview", tmp_path / "a.gif").error
    assert list(tmp_path.iterdir()) == []
