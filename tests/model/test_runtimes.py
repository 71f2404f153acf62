"""Choice of the runtime by measurement. Oracle: the embeddings of PyTorch."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import passerby
from passerby.data.images import Pixels
from passerby.errors import GalleryError
from passerby.model import open_model, runtimes
from passerby.runtime.mixed_encoder import MixedEncoder
from passerby.runtime.runtime_table import RuntimeChoice, RuntimeTable


def noise(count: int) -> Pixels:
    return np.random.default_rng(count).integers(0, 256, (count, 128, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _quick(tmp_path_factory):
    """Measure briefly, in a cache of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PASSERBY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(runtimes, "_TURNS", 1)
        patch.setattr(runtimes, "BATCHES", (1, 8))
        yield


@pytest.fixture(scope="module")
def table():
    return passerby.model_runtimes("default")


def test_every_runtime_at_hand_is_measured(table):
    measured = {(row.runtime, row.precision) for row in table.rows if row.milliseconds}
    assert {("torch", "fp32"), ("onnx", "fp32")} <= measured
    for row in table.rows:
        assert bool(row.milliseconds) != bool(row.note)
        assert all(milliseconds > 0 for milliseconds in row.milliseconds.values())
    assert table.threads == 1  # OMP_NUM_THREADS of the tests


def test_a_precision_without_an_installed_runtime_is_not_announced(tmp_path, monkeypatch, caplog):
    """Only torch and onnxruntime are installed, which have no bf16."""
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    for module in (runtimes, open_model):
        monkeypatch.setattr(module, "is_installed", lambda name: name == "onnx")
    with caplog.at_level("INFO", logger="passerby"):
        table = passerby.model_runtimes("default")
    assert [bool(row.milliseconds) for row in table.rows] == [row.runtime == "onnx" for row in table.rows]
    announced, choice = (record.getMessage() for record in caplog.records)
    assert announced.startswith("default: the runtimes are measured")
    assert choice == f"default: {table.choose('fp32')}"


def test_the_choice_is_at_most_five_percent_slower_than_any_runtime(table):
    rows = [row for row in table.rows if row.precision == "fp32" and row.milliseconds]
    times = {row.runtime: row.milliseconds for row in rows}
    for size, name in table.choose("fp32").runtimes.items():
        assert times[name][size] <= 1.05 * min(row[size] for row in times.values())


def test_a_second_load_measures_nothing(table, monkeypatch):
    monkeypatch.setattr(runtimes, "_measure", lambda opened, _: pytest.fail(f"measures {opened}") if opened else {})
    assert passerby.model_runtimes("default") == table
    assert passerby.load("default").embed(noise(1)).shape == (1, 1024)


@pytest.mark.parametrize("count", [1, 3, 9, 40])
def test_automatic_vectors_are_those_of_torch(table, count):
    expected = passerby.load("default", runtime="torch").embed(noise(count))
    embedder = passerby.load("default")
    np.testing.assert_allclose(embedder.embed(noise(count)), expected, atol=2e-5)
    assert embedder.network.embedding_width == 1024  # heatmaps and training still work


class Slow:
    """An encoder that takes the same time for each image, by a clock of its own."""

    width, precision, device, runtime = 1, "fp32", "cpu", "onnx"

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def encode(self, pixels):
        self.now += self.seconds * len(pixels)
        return np.ones((len(pixels), 1), np.float32)


def measure_encoders(monkeypatch, encoders):
    """Measure encoders by their own clocks."""
    monkeypatch.setattr(runtimes, "process_time", lambda: sum(encoder.now for encoder in encoders.values()))
    monkeypatch.setattr(runtimes, "_TURNS", 5)
    monkeypatch.setattr(runtimes, "BATCHES", (1, 2, 8, 32))
    preprocessing = SimpleNamespace(size=(4, 2))
    opened = {
        (name, "fp32"): SimpleNamespace(encoder=encoder, preprocessing=preprocessing)
        for name, encoder in encoders.items()
    }
    return {name: row for (name, _), row in runtimes._measure(opened, 1).items()}


@pytest.mark.parametrize(("seconds", "sizes"), [(0.001, [1, 2, 8, 32]), (0.1, [1, 2, 8]), (2.0, [1])])
def test_the_measurement_of_a_slow_model_is_short(monkeypatch, seconds, sizes):
    """Every size is measured whose first turn ends within the time, and the first size in any case."""
    slow = Slow(seconds)
    times = measure_encoders(monkeypatch, {"onnx": slow})["onnx"]
    assert times == pytest.approx(dict.fromkeys(sizes, 1000 * seconds))
    assert slow.now <= runtimes._SECONDS


def test_a_runtime_that_is_far_behind_is_not_measured_with_large_batches(monkeypatch):
    times = measure_encoders(monkeypatch, {"onnx": Slow(0.001), "openvino": Slow(0.0014), "torch": Slow(0.0016)})
    assert {name: [*row] for name, row in times.items()} == {
        "onnx": [1, 2, 8, 32],
        "openvino": [1, 2, 8, 32],
        "torch": [1, 2, 8],
    }


def test_a_slow_moment_does_not_decide(monkeypatch):
    """The first turn of batches of 8 takes three times its time."""

    class Disturbed(Slow):
        def encode(self, pixels):
            disturbed = len(pixels) == 8 and self.now < 0.1
            return super().encode(np.repeat(pixels, 3 if disturbed else 1, axis=0))

    times = measure_encoders(monkeypatch, {"onnx": Disturbed(0.002)})["onnx"]
    assert times == pytest.approx(dict.fromkeys([1, 2, 8, 32], 2.0))


def test_sizes_that_were_not_measured_follow_the_largest_that_was(table, monkeypatch):
    monkeypatch.setattr(runtimes, "BATCHES", (1, 8, 32))
    encoder = passerby.load("default").encoder
    assert encoder.runtime_of(32) == [*table.choose("fp32").runtimes.values()][-1]
    if 8 in table.choose("fp32").runtimes:
        assert "32" in repr(encoder)


def test_runtimes_can_be_mixed_by_batch_size(table, monkeypatch):
    choice = RuntimeChoice({1: "onnx", 2: "torch", 8: "onnx"})
    monkeypatch.setattr(RuntimeTable, "choose", lambda *_: choice)
    embedder = passerby.load("default")
    assert embedder.encoder.runtime == "onnx and torch"
    assert [embedder.encoder.runtime_of(size) for size in (1, 2, 3, 8, 99)] == ["onnx", "torch", "onnx", "onnx", "onnx"]
    assert repr(embedder.encoder) == "MixedEncoder(onnx and torch, batches of 1, 2, 8)"
    expected = passerby.load("default", runtime="onnx").embed(noise(19))
    np.testing.assert_allclose(embedder.embed(noise(19)), expected, atol=2e-5)


def test_blocks_go_to_the_smallest_size_that_holds_them():
    class Recorder:
        width, precision, device, runtime = 1, "fp32", "cpu", "onnx"

        def __init__(self):
            self.counts = []

        def encode(self, pixels):
            self.counts.append(len(pixels))
            return pixels[:, 0, 0, :1].astype(np.float32)

    small, large = Recorder(), Recorder()
    mixed = MixedEncoder({2: small, 8: large})
    for count in (1, 2, 3, 8, 17):
        pixels = noise(count)
        np.testing.assert_array_equal(mixed.encode(pixels), pixels[:, 0, 0, :1])
    assert (small.counts, large.counts) == ([1, 2, 1], [3, 8, 8, 8])


def test_a_model_with_one_runtime_is_not_measured(tiny_run, monkeypatch):
    monkeypatch.setattr(runtimes, "_measure", lambda opened, _: pytest.fail(f"measures {opened}") if opened else {})
    assert passerby.load(tiny_run).encoder.runtime == "torch"


def test_int8_files_keep_their_runtime(tmp_path):
    from runtime.exported_files import save_exported

    save_exported(tmp_path / "m.onnx", precision="int8")
    (row,) = passerby.model_runtimes(tmp_path / "m.onnx").rows  # int8 of two runtimes are not interchangeable
    assert (row.runtime, passerby.load(tmp_path / "m.onnx").encoder.precision) == ("onnx", "int8")


def test_a_missing_runtime_is_listed(monkeypatch):
    monkeypatch.setattr("passerby.model.open_model.find_spec", lambda name: None if name == "openvino" else True)
    rows = [row for row in passerby.model_runtimes("default").rows if row.runtime == "openvino"]
    assert {(row.version, row.note) for row in rows} == {(None, "not installed")}
    assert "openvino" not in passerby.load("default").encoder.runtime


def test_a_gallery_keeps_its_precision(table, tmp_path):
    if not table.choose("bf16"):
        pytest.skip("this processor has no bf16, or OpenVINO is not installed")
    where, image = tmp_path / "people", noise(1)
    with passerby.Gallery(where, model="default", precision="bf16") as gallery:
        assert gallery.embedder.encoder.precision == "bf16"
    for options in ({}, {"model": "default"}):
        with passerby.Gallery(where, **options) as gallery:
            assert gallery.embedder.encoder.precision == "bf16"
            assert gallery.search(image) == [[]]
    with pytest.raises(GalleryError, match="precision: contains vectors of bf16, opened for fp32; a gallery holds one"):
        passerby.Gallery(where, precision="fp32")
    card = gallery.store.card
    with pytest.raises(GalleryError, match="precision: got 'int4', expected fp32 or bf16"):
        replace(card, precision="int4")
