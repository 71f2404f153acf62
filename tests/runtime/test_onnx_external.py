"""External data of ONNX files. Oracle: files that the package onnx writes."""

import pytest

from passerby.errors import DataError
from passerby.runtime.networks import load_network
from passerby.runtime.onnx_external import find_external_data
from programs import require_module
from runtime.small_networks import save_color_map, save_with_data_beside

require_module("onnx")


@pytest.mark.parametrize("within", ["initializer", "constant", "branch"])
@pytest.mark.parametrize("location", ["weights.data", "../secret", "/etc/hostname"])
def test_weights_in_another_file_are_found_wherever_they_are(tmp_path, within, location):
    path = tmp_path / "m.onnx"
    save_with_data_beside(path, location, within=within)
    (tmp_path / "weights.data").write_bytes(b"\0" * 36)
    assert find_external_data(path) == location
    for runtime in ("onnx", "openvino"):
        with pytest.raises(
            DataError, match=r"its weights are in another file \(.*\), which is not read; export it with"
        ):
            load_network(path, runtime=runtime)


def test_a_file_that_holds_its_weights(tmp_path):
    save_color_map(tmp_path / "m.onnx", metadata="location")
    assert find_external_data(tmp_path / "m.onnx") is None


@pytest.mark.parametrize("content", [b"\x3a\x10", b"\xff" * 20, b"\x3f", b"\x3a"])
def test_damaged_files_are_errors(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"longer than the file|without an end|wire type"):
        find_external_data(tmp_path / "m.onnx")
