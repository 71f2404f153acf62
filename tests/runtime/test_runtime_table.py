"""Choice of a runtime from measured times. Oracles: tables written by hand."""

import json

import pytest

from conftest import logged
from passerby.runtime.runtime_table import (
    RuntimeTable,
    RuntimeTime,
    cache_table,
    choose_runtimes,
    describe_processor,
    find_cached_table,
)

KEY = {"processor": "x", "threads": 2, "versions": {"onnx": "1"}}
ROWS = (RuntimeTime("onnx", "fp32", "1.19", {1: 2.0, 32: 1.5}), RuntimeTime("torch", "fp32", None, {}, "not installed"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    return tmp_path / "runtimes"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"a": {1: 2.0, 32: 1.0}}, {1: "a", 32: "a"}),
        ({"a": {1: 2.0, 32: 1.0}, "b": {1: 1.0, 32: 0.9}}, {1: "b", 32: "b"}),
        ({"a": {1: 1.02, 32: 1.0}, "b": {1: 1.0, 32: 1.1}}, {1: "a", 32: "a"}),  # one runtime within the margin
        ({"a": {1: 2.0, 32: 0.8}, "b": {1: 1.0, 32: 0.9}}, {1: "b", 32: "a"}),
        ({"a": {1: 2.0, 8: 1.0, 32: 1.0}}, {1: "a", 8: "a"}),  # larger batches save nothing
        ({"a": {1: 1.0, 8: 3.0}}, {1: "a"}),
        ({"a": {1: 1.0, 8: 0.9}, "b": {1: 2.0}}, {1: "a", 8: "a"}),  # b was not measured at 8
        ({"a": {1: 2.0, 8: 0.9}, "b": {1: 1.0}}, {1: "b", 8: "a"}),
    ],
)
def test_the_fastest_runtime_of_each_batch_size_is_chosen(times, expected):
    choice = choose_runtimes(times)
    assert choice.runtimes == expected
    for size, name in choice.runtimes.items():
        assert times[name][size] <= 1.05 * min(row[size] for row in times.values() if size in row)


def test_only_one_precision_is_chosen_from():
    rows = (*ROWS, RuntimeTime("openvino", "bf16", "2025.0", {1: 1.0, 32: 0.5}))
    table = RuntimeTable("m", "x", 2, rows)
    assert str(table.choose("fp32")) == "onnx, batches of 1, 32"
    assert str(table.choose("bf16")) == "openvino, batches of 1, 32"
    assert table.choose("int8") is None


def test_a_table_is_kept_for_its_conditions(cache):
    assert find_cached_table(KEY, "m") is None
    cache_table(KEY, ROWS)
    found = find_cached_table(KEY, "m")
    assert (found.rows, found.threads, found.processor, found.model) == (ROWS, 2, "x", "m")
    for changes in ({"threads": 1}, {"processor": "y"}, {"versions": {"onnx": "2"}}):
        assert find_cached_table({**KEY, **changes}, "m") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key": 1}', "nonsense"])
def test_a_damaged_table_is_measured_again(cache, content):
    cache_table(KEY, ROWS)
    (file,) = cache.iterdir()
    tree = json.loads(file.read_text())
    file.write_text(content)
    with logged() as messages:
        assert find_cached_table(KEY, "m") is None
    file.write_text(json.dumps({**tree, "rows": [{"runtime": "onnx"}]}))
    with logged() as messages:
        assert find_cached_table(KEY, "m") is None
    assert "cannot be read" in messages[0]
    cache_table(KEY, ROWS)
    assert find_cached_table(KEY, "m") is not None


def test_a_cache_that_cannot_be_written_is_logged(cache):
    cache.write_text("in the way")
    with logged() as messages:
        cache_table(KEY, ROWS)
    assert "the choice of the runtime is not kept" in messages[0]


def test_the_processor_has_a_name_with_the_limits_of_its_instructions(monkeypatch):
    # Held to AVX2, another runtime can be the fastest: a choice that was made without the limit must not be used.
    for limit in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.delenv(limit, raising=False)
    plain = describe_processor()
    assert plain != ""
    assert "ISA" not in plain
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    limited = describe_processor()
    assert limited.endswith("ONEDNN_MAX_CPU_ISA=AVX2)")
    assert limited.startswith(plain.rstrip(")"))
