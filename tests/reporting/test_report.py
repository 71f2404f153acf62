"""Reports on tiny runs. Oracles: the scores recorded by the runs, the documented sections, and a browser."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from conftest import SIMPLE, STAGED, tiny_recipe
from passerby.errors import DataError, MissingExtraError, WeightsError
from passerby.reporting.report import report
from passerby.runs.train import train
from programs import require


@pytest.fixture(scope="module")
def refined_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "refined"
    train(tiny_recipe(*STAGED, "images.erasing=null"), SIMPLE, out, device="cpu")
    return out


@pytest.fixture(scope="module")
def two(tiny_run, refined_run, tmp_path_factory):
    """Report on a run without and a run with refinement, on the same data."""
    return report([tiny_run, refined_run], tmp_path_factory.mktemp("page") / "two.html", queries=2, device="cpu")


def recorded(run):
    return json.loads((run / "scores.json").read_text())["evaluations"][0]


def test_the_page_has_all_sections_and_the_recorded_metrics(two, tiny_run, refined_run):
    page = two.page.read_text()
    sections = re.findall(r"<h2>([^<]+)</h2>", page)
    assert sections == [
        "Scores",
        "Distances and cameras",
        "Rank lists",
        "Heatmaps",
        "Similarity by part",
        "Part assignment",
        "Training",
        "Training images",
        "Settings and versions",
    ]
    for run in (tiny_run, refined_run):
        assert f"{100 * recorded(run)['rank1']:.1f} [" in page
        assert f"{100 * recorded(run)['mAP']:.1f} [" in page
        assert recorded(run)["fingerprint"][:16] in page
    assert "refined, stripes" in page  # scores of each stage
    assert "All people on this page are synthetic" in page
    assert "no random erasing" not in page  # the first run's batch is shown, and it has erasing


def test_every_plot_is_written_as_png_and_those_without_crops_as_svg(two):
    assert len(two.plots) == len(set(two.plots)) >= 30
    assert {path.suffix for path in two.plots} == {".png", ".svg"}
    assert {path.parent for path in two.plots} == {two.page.with_name("two_files")}
    for path in two.plots:
        if path.suffix == ".png":
            with Image.open(path) as plot:
                assert min(plot.size) > 100, path
        else:
            assert b"<svg" in path.read_bytes()[:1000], path
    stems = {path.stem for path in two.plots}
    assert {
        "cmc",
        "distances",
        "precision-recall",
        "heatmaps",
        "parts",
        "batch",
        "augmentation",
        "contributions-2",
    } <= stems
    charts = {path.stem for path in two.plots if path.suffix == ".svg"}
    assert {"cmc", "distances", "precision-recall"} <= charts
    assert charts.isdisjoint({"heatmaps", "parts", "batch", "augmentation", "contributions-2", "ranks-1-worst"})
    assert {"ranks-1-worst", "ranks-2-best", "cameras-1", "map-2", "learning-rate-1", "losses-2"} <= stems


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_all_plots_without_messages_or_requests(two, width, tmp_path):
    """A script in a copy of the page reports what the browser loaded; the page itself has no script and forbids it."""
    script = (
        "<script>addEventListener('load', () => { const i = [...document.images]; document.title = JSON.stringify({"
        "images: i.length, broken: i.filter(x => !x.complete || !x.naturalWidth).length,"
        "fetched: performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length,"
        "wide: document.documentElement.scrollWidth - innerWidth}) })</script></body>"
    )
    copy = tmp_path / "copy.html"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", two.page.read_text())
    copy.write_text(page.replace("</body>", script))
    command = [require("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", "--virtual-time-budget=10000"]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=200, check=True
    )
    (title,) = re.findall(r"<title>([^<]*)</title>", done.stdout)
    loaded = json.loads(title)
    assert loaded["images"] == sum(path.suffix == ".png" for path in two.plots)
    assert (loaded["broken"], loaded["fetched"]) == (0, 0)
    assert loaded["wide"] <= 0, "the page is wider than the window"
    assert "CONSOLE" not in done.stderr


def test_without_images_the_page_shows_no_crop(tiny_run, tmp_path):
    result = report([tiny_run], tmp_path / "r.html", images=False, device="cpu")
    assert {path.stem for path in result.plots} == {
        *("cmc", "distances", "precision-recall", "cameras", "map", "learning-rate", "losses")
    }
    assert "Rank lists" not in result.page.read_text()


def test_runs_on_different_data_are_labeled(tiny_run, tmp_path):
    """One run, evaluated on its own data and on another set."""
    elsewhere = "synth:identities=10,cameras=2,images=2,seed=5"
    result = report([tiny_run], tmp_path / "r.html", data=f"{SIMPLE}+{elsewhere}", images=False, device="cpu")
    page = result.page.read_text()
    assert "only curves of one data set are comparable" in page
    assert len(re.findall(r"<h2>Distances and cameras: synth \(", page)) == 2
    assert {path.parent.name for path in result.plots} == {"r_files", "data-1", "data-2"}


def test_data_not_written_by_synth_counts_as_real(tiny_run, tmp_path):
    from passerby.synthesis.dataset import SynthSettings
    from passerby.synthesis.write import synth

    synth(tmp_path / "data", SynthSettings(identities=10, cameras=2, images=2))
    (tmp_path / "data" / "synth.json").unlink()
    result = report([tiny_run], tmp_path / "r.html", data=f"market1501:{tmp_path / 'data'}", images=False, device="cpu")
    assert "without images of people" in result.page.read_text()


def test_the_default_model_is_reported_by_its_name(tmp_path):
    result = report(["default"], tmp_path / "r.html", data=SIMPLE, images=False, device="cpu")
    assert "<h1>default</h1>" in result.page.read_text()


def test_invalid_arguments_are_errors_before_anything_is_written(tiny_run, tmp_path):
    out = tmp_path / "r.html"
    with pytest.raises(DataError, match=r"out .*r\.pdf: got '\.pdf', expected a file name that ends in \.html"):
        report([tiny_run], tmp_path / "r.pdf")
    with pytest.raises(DataError, match="got 0 runs, expected 1 to 8"):
        report([], out)
    with pytest.raises(DataError, match="got 1,000 runs, expected 1 to 8; for tables of many runs"):
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


def test_a_run_without_log_and_scores_can_be_reported(tiny_run, tmp_path):
    run = tmp_path / "bare"
    shutil.copytree(tiny_run, run)
    for name in ("log.jsonl", "scores.json"):
        (run / name).unlink()
    result = report([run], tmp_path / "r.html", images=False, device="cpu")
    assert "have no training log" in result.page.read_text()
    (run / "scores.json").write_text("{")
    with pytest.raises(DataError, match=r"scores\.json: cannot be read"):
        report([run], tmp_path / "r.html", images=False, device="cpu")


def test_the_result_is_one_readable_line_and_json(two):
    assert repr(two) == f"ReportResult(page={str(two.page)!r}, plots={len(two.plots)} files)"
    assert json.loads(json.dumps(two.to_dict())) == {"page": str(two.page), "plots": [str(path) for path in two.plots]}


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named_before_the_work_starts(module, tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "passerby[report]"')):
        report([tiny_run], tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []
