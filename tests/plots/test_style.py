"""Saving of figures. Oracle: the files on the disk."""

import os
import pkgutil
import subprocess
import sys

import pytest

from passerby import plots
from passerby.errors import WriteError
from passerby.plots.style import new_figure, save


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "curve.png"
    target.write_bytes(b"old")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"curve\.png: not saved \(No space"):
        save(new_figure(1, 1), target)
    assert target.read_bytes() == b"old"


def test_an_svg_is_written_only_on_request(tmp_path):
    save(new_figure(1, 1), tmp_path / "one.png")
    save(new_figure(1, 1), tmp_path / "two.png", vector=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.png", "two.png", "two.svg"]


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
