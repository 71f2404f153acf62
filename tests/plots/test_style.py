"""Saving of figures. Oracle: the files on the disk."""

import os
import pkgutil
import subprocess
import sys

import pytest

from passerby import plots
from passerby.errors import DataError, WriteError
from passerby.plots.style import name_png_and_svg, new_figure, save, style_axes


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "curve.png"
    target.write_bytes(b"old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"curve\.png: not saved \(No space"):
        save(new_figure(1, 1), target)
    assert target.read_bytes() == b"old"


def test_only_the_named_files_are_written_in_the_formats_of_their_names(tmp_path):
    """Oracle: the files on the disk and their first bytes."""
    assert save(new_figure(1, 1), tmp_path / "one.png") == [tmp_path / "one.png"]
    save(new_figure(1, 1), str(tmp_path / "two.svg"))
    files = name_png_and_svg(tmp_path / "three.png")
    assert save(new_figure(1, 1), files) == files
    starts = {file.name: file.read_bytes()[:5] for file in tmp_path.iterdir()}
    png, svg = b"\x89PNG\r", b"<?xml"
    assert starts == {"one.png": png, "two.svg": svg, "three.png": png, "three.svg": svg}


def test_nothing_is_written_if_one_of_the_names_is_of_no_known_format(tmp_path):
    with pytest.raises(DataError, match=r"two\.pdf: a plot is a PNG or SVG file; name it \.png or \.svg"):
        save(new_figure(1, 1), [tmp_path / "one.png", tmp_path / "two.pdf"])
    with pytest.raises(DataError, match="path: got none"):
        save(new_figure(1, 1), [])
    assert list(tmp_path.iterdir()) == []


def test_dollars_in_labels_are_text_and_logarithmic_ticks_stay_formulas(tmp_path):
    figure = new_figure(3, 3)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.plot([1, 100], [0, 1], label="$\\frac$")
    axes.set_yticks([0, 1], ["$\\frac$", "b"])
    style_axes(axes, title="$\\frac$", x="$\\frac$", y="y")
    axes.legend()
    figure.text(0, 0, "$\\frac$")
    save(figure, tmp_path / "a.png")  # matplotlib raises ValueError for this formula
    assert any(label.get_parse_math() and "$" in label.get_text() for label in axes.get_xticklabels())


def test_a_plot_is_written_to_the_named_file_only(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"photo\.jpg: a plot is a PNG or SVG file"):
        save(new_figure(1, 1), tmp_path / "photo.jpg")
    assert save(new_figure(1, 1), tmp_path / "photo.PNG") == [tmp_path / "photo.PNG"]
    assert (tmp_path / "photo.png").read_bytes() == b"mine"


def test_style_does_not_need_matplotlib():
    """Without the extra, constants can be imported, and a plot names the extra."""
    code = "import sys; sys.modules['matplotlib'] = None; from passerby.plots.style import new_figure; new_figure(1, 1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "passerby[report]"' in done.stderr


def test_no_plot_module_loads_matplotlib_or_numba_at_import():
    names = [f"passerby.plots.{module.name}" for module in pkgutil.iter_modules(plots.__path__)]
    code = f"import sys, {', '.join(names)}; print({{'matplotlib', 'numba', 'scipy', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
