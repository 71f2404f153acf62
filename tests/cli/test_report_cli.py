"""`passerby report`: arguments and output; the page is tested in tests/reporting/test_report.py."""

import pytest

from passerby.reporting.report import MOST_RUNS


def test_the_page_is_written_and_named(passerby, tiny_run, tmp_path):
    out = tmp_path / "new" / "page.html"
    result = passerby("report", tiny_run, "--out", out, "--no-images", "--device", "cpu")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"report: {out} (14 plots in page_files/)\n"
    assert out.is_file()
    assert len(list((out.parent / "page_files").iterdir())) == 14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: not a run or a saved model; expected a folder with manifest.json"),
        (["a"] * (MOST_RUNS + 1), f"report: got {MOST_RUNS + 1} runs, expected 1 to {MOST_RUNS}"),
        (["a", "--out", "page.txt"], "--out page.txt: got '.txt', expected a file name that ends in .html"),
        (["a", "--queries", "0"], "--queries: got 0, expected at least 1"),
    ],
)
def test_an_invalid_argument_is_an_error_of_one_line(passerby, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert passerby("report", *arguments).error.startswith(message)
    assert list(tmp_path.iterdir()) == []
