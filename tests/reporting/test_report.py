"""Whole reports of tiny runs. Oracles: the run's own scores, what the page promises, and a browser that opens it."""

import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

from conftest import SIMPLE, STAGED, tiny_recipe
from passerby.errors import DataError, WeightsError
from passerby.reporting.report import report
from passerby.runs.train import train

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def refined_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "refined"
    train(tiny_recipe(*STAGED, "images.erasing=null"), SIMPLE, out, device="cpu")
    return out


@pytest.fixture(scope="module")
def two(tiny_run, refined_run, tmp_path_factory):
    """A report of a plain and a refined run on the same data."""
    return report([tiny_run, refined_run], tmp_path_factory.mktemp("page") / "two.html", queries=2, device="cpu")


def recorded(run):
    return json.loads((run / "scores.json").read_text())["evaluations"][0]


def test_the_page_has_every_chapter_and_the_runs_own_figures(two, tiny_run, refined_run):
    page = two.page.read_text()
    chapters = re.findall(r"<h2>([^<]+)</h2>", page)
    assert chapters == [
        "Scores",
        "Distances and cameras",
        "Rank lists",
        "Heatmaps",
        "Why these two match",
        "Parts",
        "Training",
        "What the network was shown",
        "How this was made",
    ]
    for run in (tiny_run, refined_run):
        assert f"{100 * recorded(run)['rank1']:.1f} [" in page
        assert f"{100 * recorded(run)['mAP']:.1f} [" in page
        assert recorded(run)["fingerprint"][:16] in page
    assert "refined, stripes" in page  # scores of each stage
    assert "Nobody on this page exists" in page
    assert "no random erasing" not in page  # the first run's batch is shown, and it has erasing


def test_every_picture_is_there_as_png_and_as_svg(two):
    assert len(two.pictures) == len(set(two.pictures)) >= 40
    assert {path.suffix for path in two.pictures} == {".png", ".svg"}
    assert {path.parent for path in two.pictures} == {two.page.with_name("two_files")}
    for path in two.pictures:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 100, path
        else:
            assert b"<svg" in path.read_bytes()[:1000], path
    stems = {path.stem for path in two.pictures}
    assert {"cmc", "distances", "precision-recall", "heat", "parts", "batch", "augmentation", "shares-2"} <= stems
    assert {"ranks-1-worst", "ranks-2-best", "cameras-1", "map-2", "learning-rate-1", "losses-2"} <= stems


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page with")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_it_without_a_word_and_shows_every_picture(two, width, tmp_path):
    """A copy gets a script that says what the browser sees: the page itself has none, and forbids it."""
    seen = (
        "<script>addEventListener('load', () => { const i = [...document.images]; document.title = JSON.stringify({"
        "images: i.length, broken: i.filter(x => !x.complete || !x.naturalWidth).length,"
        "fetched: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length,"
        "wide: document.documentElement.scrollWidth - innerWidth}) })</script></body>"
    )
    copy = tmp_path / "copy.html"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", two.page.read_text())
    copy.write_text(page.replace("</body>", seen))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=200, check=True
    )
    (title,) = re.findall(r"<title>([^<]*)</title>", done.stdout)
    found = json.loads(title)
    assert found["images"] == len(two.pictures) // 2
    assert (found["broken"], found["fetched"]) == (0, 0)
    assert found["wide"] <= 0, "the page is wider than the window"
    assert "CONSOLE" not in done.stderr


def test_without_images_nobody_is_on_the_page(tiny_run, tmp_path):
    made = report([tiny_run], tmp_path / "r.html", images=False, device="cpu")
    assert {path.stem for path in made.pictures} == {
        *("cmc", "distances", "precision-recall", "cameras", "map", "learning-rate", "losses")
    }
    assert "Rank lists" not in made.page.read_text()


def test_runs_on_different_data_are_labeled(tiny_run, tmp_path):
    """One run, tested where it was trained and elsewhere: two data sets on one page."""
    elsewhere = "synth:identities=10,cameras=2,images=2,seed=5"
    made = report([tiny_run], tmp_path / "r.html", data=f"{SIMPLE}+{elsewhere}", images=False, device="cpu")
    page = made.page.read_text()
    assert "only lines of one data set can be compared" in page
    assert len(re.findall(r"<h2>Distances and cameras: synth \(", page)) == 2
    assert {path.parent.name for path in made.pictures} == {"r_files", "data-1", "data-2"}


def test_real_people_are_announced(tiny_run, tmp_path):
    """Whatever is not known to be rendered counts as real."""
    from passerby.synthesis.dataset import SynthSettings
    from passerby.synthesis.write import write_people

    write_people(tmp_path / "data", SynthSettings(identities=10, cameras=2, images=2))
    (tmp_path / "data" / "synth.json").unlink()
    made = report([tiny_run], tmp_path / "r.html", data=f"market1501:{tmp_path / 'data'}", images=False, device="cpu")
    assert "without any image of its people" in made.page.read_text()


def test_bad_input_is_named_before_anything_is_written(tiny_run, tmp_path):
    out = tmp_path / "r.html"
    with pytest.raises(DataError, match=r"--out .*r\.pdf: got '\.pdf', expected a file that ends in \.html"):
        report([tiny_run], tmp_path / "r.pdf")
    with pytest.raises(DataError, match="got 0 runs, expected 1 to 8"):
        report([], out)
    with pytest.raises(DataError, match="got 1,000 runs, expected 1 to 8; choose the ones to compare"):
        report([tiny_run] * 1000, out)
    with pytest.raises(DataError, match="is given more than once"):
        report([tiny_run, tiny_run], out, device="cpu")
    with pytest.raises(DataError, match="queries: got 0, expected at least 1"):
        report([tiny_run], out, queries=0)
    with pytest.raises(WeightsError, match="not a run or a saved model"):
        report([tmp_path], out)
    broken = tmp_path / "broken"
    shutil.copytree(tiny_run, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=re.escape("model.safetensors")):
        report([broken], out, device="cpu")
    assert not out.exists()
    assert not out.with_name("r_files").exists()


def test_a_run_without_its_log_or_scores_still_has_a_page(tiny_run, tmp_path):
    run = tmp_path / "bare"
    shutil.copytree(tiny_run, run)
    for name in ("log.jsonl", "scores.json"):
        (run / name).unlink()
    made = report([run], tmp_path / "r.html", images=False, device="cpu")
    assert "hold no log of their training" in made.page.read_text()
    (run / "scores.json").write_text("{")
    with pytest.raises(DataError, match=r"scores\.json: not readable as JSON"):
        report([run], tmp_path / "r.html", images=False, device="cpu")
