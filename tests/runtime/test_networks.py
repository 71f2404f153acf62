"""Networks from files. Oracle: the mean of each channel, computed by NumPy."""

import numpy as np
import pytest

from passerby.errors import DataError, MissingExtraError
from passerby.runtime.networks import load_network
from runtime.small_networks import save_channel_means, save_constant

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def save_as_openvino(source, target):
    openvino = pytest.importorskip("openvino")
    openvino.save_model(openvino.convert_model(str(source)), str(target), compress_to_fp16=False)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_outputs_are_those_of_the_network(tmp_path, suffix):
    save_channel_means(tmp_path / "means.onnx")
    if suffix == ".xml":
        save_as_openvino(tmp_path / "means.onnx", tmp_path / "means.xml")
    network = load_network(tmp_path / f"means{suffix}", threads=1)
    assert network.input_shape == (None, 3, 4, 6)
    assert repr(network) == f"FileNetwork(means{suffix}, input (None, 3, 4, 6))"
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 6), dtype=np.uint8)
    (means,) = network(images)
    assert means[:, :, 0, 0] == pytest.approx(images.mean(axis=(2, 3)), rel=1e-5)
    with pytest.raises(DataError, match=r"input of shape \(2, 3, 4, 5\), expected \(None, 3, 4, 6\)"):
        network(images[..., :5])


def test_files_that_are_no_networks_raise(tmp_path):
    for name, message in (
        ("a.pt", r"a\.pt: expected a network as \.onnx or \.xml"),
        ("none.onnx", r"none\.onnx: no such file; expected a network"),
        ("bad.onnx", r"bad\.onnx: cannot be read as ONNX"),
        ("alone.xml", r"alone\.bin: no such file; expected a network"),
    ):
        if not name.startswith("none"):
            (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            load_network(tmp_path / name)
    pytest.importorskip("openvino")
    (tmp_path / "alone.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"alone\.xml: cannot be read as OpenVINO IR"):
        load_network(tmp_path / "alone.xml")
    save_constant(tmp_path / "two.onnx", np.zeros(3), inputs=2)
    with pytest.raises(DataError, match=r"inputs images .*, other .*; expected one input"):
        load_network(tmp_path / "two.onnx")


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("a.onnx", "onnxruntime", "video"), ("a.xml", "openvino", "openvino")]
)
def test_a_missing_runtime_raises_with_the_extra(tmp_path, monkeypatch, name, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    for suffix in (".onnx", ".xml", ".bin"):
        (tmp_path / "a").with_suffix(suffix).write_bytes(b"")
    with pytest.raises(MissingExtraError, match=rf'pip install "passerby\[{extra}\]"'):
        load_network(tmp_path / name)
