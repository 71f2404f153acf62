"""Networks from files. Oracle: the mean of each channel, computed by NumPy."""

import os
import subprocess
import sys

import numpy as np
import pytest

from passerby.errors import DataError, MissingExtraError
from passerby.runtime import networks
from passerby.runtime.networks import load_network
from programs import require_module
from runtime.small_networks import save_channel_means, save_constant

require_module("onnx")
require_module("onnxruntime")


def save_as_openvino(source, target):
    openvino = require_module("openvino")
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
        ("alone.xml", r"alone\.bin: no such file; expected the weights of alone\.xml beside it"),
    ):
        if not name.startswith("none"):
            (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            load_network(tmp_path / name)
    require_module("openvino")
    (tmp_path / "alone.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"alone\.xml: cannot be read as OpenVINO IR"):
        load_network(tmp_path / "alone.xml")
    save_constant(tmp_path / "two.onnx", np.zeros(3), inputs=2)
    save_as_openvino(tmp_path / "two.onnx", tmp_path / "two.xml")
    for name in ("two.onnx", "two.xml"):
        with pytest.raises(DataError, match=r"inputs images .*, other .*; expected one input .*; export the network"):
            load_network(tmp_path / name)
    save_channel_means(tmp_path / "means.onnx")
    save_as_openvino(tmp_path / "means.onnx", tmp_path / "means.xml")
    text = (tmp_path / "means.xml").read_text()
    (tmp_path / "means.xml").write_text(text.replace('type="ReduceMean"', 'type="NoSuchOperator"'))
    with pytest.raises(DataError, match=r"means\.xml: uses the operator NoSuchOperator, which openvino \S+ lacks"):
        load_network(tmp_path / "means.xml")


def test_a_missing_runtime_raises_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    for suffix in (".xml", ".bin"):
        (tmp_path / "a").with_suffix(suffix).write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r'pip install "passerby\[openvino\]"'):
        load_network(tmp_path / "a.xml")


def test_a_signal_after_two_networks_were_released_reaches_its_handler(tmp_path):
    """Two cores of OpenVINO leave an unmapped signal stack, on which the kernel cannot call the handler."""
    save_channel_means(tmp_path / "means.onnx")
    save_as_openvino(tmp_path / "means.onnx", tmp_path / "means.xml")
    program = (
        "import faulthandler, signal\n"
        "from passerby.runtime.networks import load_network\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "networks = [load_network('means.xml', threads=1) for _ in range(2)]\n"
        "while networks:\n"
        "    del networks[0]\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    print('handled')\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")


def test_openvino_is_imported_for_a_user_without_a_home(monkeypatch, tmp_path):
    """Its telemetry looks for a home folder at import; the folder is given for the import only."""
    homes = []
    monkeypatch.setattr(networks, "has_home", lambda: False)
    monkeypatch.setattr(networks, "require_extra", lambda name: homes.append((name, os.environ["HOME"])))
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    for before in (None, "relative"):
        if before is None:
            monkeypatch.delenv("HOME", raising=False)
        else:
            monkeypatch.setenv("HOME", before)
        networks.require_openvino()
        assert os.environ.get("HOME") == before
    assert homes == [("openvino", str(tmp_path))] * 2
