"""Files that are not imported: one message each, and nothing is written. Oracle: the messages."""

import collections
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import passerby
from importers.peer_files import peer_shapes, peer_state, write
from passerby.errors import RecipeError, TrainingError, WeightsError
from passerby.importers.pickle_worker import find_state, read
from passerby.importers.recognize import recognize
from passerby.model.methods import build_model

CASE = ("torchreid", "osnet_x0_25")


@pytest.fixture(scope="module")
def state():
    return peer_state(*CASE)


def refuse(path, *, out=None, error=WeightsError, **options):
    """The message with which a file is refused; the output folder does not exist then."""
    out = out or path.parent / "run"
    with pytest.raises(error) as caught:
        passerby.import_model(path, out, **options)
    assert not (out / "manifest.json").exists()
    assert not (out / "model.safetensors").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def explain(tree, path, **options):
    """The message of the process that reads pickles, called in this one."""
    torch.save(tree, path, **options)
    with pytest.raises(ValueError, match=r".") as caught:
        read(path)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert "no such file" in refuse(tmp_path / "none.pth")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.pth").touch()
    assert "the file is empty (0 bytes)" in refuse(tmp_path / "a.pth")


def test_a_file_of_something_else(tmp_path):
    (tmp_path / "a.pth").write_text("hello, this is text")
    assert "not a model file (starts with b'hello, t')" in refuse(tmp_path / "a.pth")


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_truncated_file(state, tmp_path, ending):
    path = write(state, tmp_path / f"a{ending}")
    path.write_bytes(path.read_bytes()[:-5000])
    assert any(part in refuse(path) for part in ("truncated or damaged", "not a complete safetensors file"))


class Trainer:
    """A class that is not a tensor."""


def test_a_class_in_the_pickle_is_named(state, tmp_path):
    torch.save({"state_dict": state, "trainer": Trainer()}, tmp_path / "a.pth")
    message = refuse(tmp_path / "a.pth")
    assert f"its pickle holds {Trainer.__module__}.Trainer, which is not a tensor" in message
    assert "save the network's state_dict() alone" in message


def test_a_class_in_a_pickle_of_torchs_first_format_is_named(state, tmp_path):
    tree = {"state_dict": state, "trainer": Trainer()}
    message = explain(tree, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert "Trainer, which is not a tensor" in message


def test_code_in_a_pickle_does_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return open, (str(tmp_path / "it-ran"), "w")

    torch.save({"state_dict": Code()}, tmp_path / "a.pth")
    assert "io.open, which is not a tensor and would run code" in refuse(tmp_path / "a.pth")
    assert not (tmp_path / "it-ran").exists()


def test_a_whole_network_is_refused(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    message = explain(network, tmp_path / "a.pth")
    assert "torch.nn.modules.container.Sequential" in message
    assert "which are not tensors" in message


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_torch_did_not_write(protocol, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(
        ValueError, match=r"a pickle that torch\.save did not write; load it where it was made and save"
    ):
        read(tmp_path / "a.pkl")
    torch.save({"a": torch.zeros(2), "b": torch.zeros(3)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:-40])
    with pytest.raises(ValueError, match="a truncated or damaged checkpoint"):
        read(tmp_path / "a.pth")


def test_numbers_that_are_not_finite_are_listed(state, tmp_path):
    damaged = state | {"conv1.conv.weight": state["conv1.conv.weight"] * float("nan")}
    message = refuse(write(damaged, tmp_path / "a.safetensors"))
    assert "1 with numbers that are not finite: backbone.net.stem.0.0.weight" in message


def test_weights_without_different_embeddings_are_refused(state, tmp_path):
    """All weights are 0, so that all embeddings are."""
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    message = refuse(write(zeros, tmp_path / "a.safetensors"))
    assert "its embedding of a test image holds zeros; the weights are damaged" in message


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning", "ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*TorchScript archive.*:UserWarning")
def test_a_torchscript_archive(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "a.pt")
    with pytest.raises(ValueError, match="a TorchScript archive, which is code"):
        read(tmp_path / "a.pt")


def test_a_file_without_named_tensors(tmp_path):
    message = explain({"epoch": 3, "names": ["a"]}, tmp_path / "a.pth")
    assert "holds no tensors by name, but epoch (int), names (list)" in message
    assert "holds a Tensor, expected the state_dict" in explain(torch.zeros(3), tmp_path / "b.pth")


def test_an_unknown_network_shows_its_tensors_and_the_families(tmp_path):
    counters = {f"a.{number}.num_batches_tracked": torch.tensor(0) for number in range(4)}
    tensors = {**counters, "body.weight": torch.zeros(3, 2), "body.bias": torch.zeros(3)}
    message = refuse(write(tensors, tmp_path / "a.safetensors"))
    assert "an unknown network; it has 6 tensors: body.weight 3x2, body.bias 3, a.0" in message
    assert "torchreid" in message


@pytest.mark.parametrize(
    "name",
    ["rpn.head.conv.0.0.weight", "bbox_head.fc_cls.weight", "model.22.cv2.0.0.conv.weight", "class_embed.weight"],
)
def test_a_detector(name, tmp_path):
    path = write({name: torch.zeros(3, 2), "other.weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    assert "the checkpoint of a detector" in refuse(path)


def test_a_missing_backbone_tensor_fails(state, tmp_path):
    part = {name: value for name, value in state.items() if name != "conv3.0.conv1.conv.weight"}
    message = refuse(write(part, tmp_path / "a.safetensors"))
    assert "1 missing: backbone.net.stages.1.0.reduce.0.weight" in message


def test_unexpected_tensors_are_listed(state, tmp_path):
    message = refuse(write(state | {"extra.weight": torch.zeros(2)}, tmp_path / "a.safetensors"))
    assert "1 unexpected: backbone.net.extra.weight" in message


def test_tensors_of_another_shape_are_listed(state, tmp_path):
    message = refuse(write(state | {"conv5.conv.weight": torch.zeros(2, 128, 1, 1)}, tmp_path / "a.safetensors"))
    assert (
        "1 of another shape: backbone.net.stages.2.2.0.weight is (2, 128, 1, 1), expected (128, 128, 1, 1)" in message
    )


def test_an_unknown_family_lists_the_known_ones(state, tmp_path):
    message = refuse(write(state, tmp_path / "a.safetensors"), family="nobody")
    assert "family 'nobody': unknown; expected one of torchreid" in message


def test_an_option_that_the_network_lacks(state, tmp_path):
    path = write(state, tmp_path / "a.safetensors")
    assert "last_stride 1 works on" in refuse(path, overrides=["model.last_stride=1"], error=RecipeError)
    assert "images.nothing" in refuse(path, overrides=["images.nothing=1"], error=RecipeError)


def test_a_folder_with_other_files_is_not_written(state, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    message = refuse(write(state, tmp_path / "a.safetensors"), error=TrainingError)
    assert "holds other files, such as mine.txt" in message


def test_a_tensor_that_is_larger_than_its_file_is_not_copied(tmp_path):
    """3 GiB of zeros as one number with strides of 0: the copy would be written out."""
    message = explain({"a": torch.zeros(1).expand(800 * 1024**2), "b": torch.zeros(1)}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size < 10_000
    assert "holds tensors of 3,355,443,204 bytes, expected at most 67,1" in message


def test_a_small_archive_with_a_huge_member_is_not_unpacked(tmp_path, monkeypatch):
    """200 MB of zeros in 200 kB, as an archive that torch reads."""
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "a.pth", "w") as bomb:
        for member in plain.infolist():
            data = b"\0" * 200_000_000 if member.filename.endswith("data/0") else plain.read(member)
            bomb.writestr(member.filename, data, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "a.pth").stat().st_size < 250_000
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the archive is unpacked"))
    with pytest.raises(
        ValueError, match=r"unpacks to 200,0\d\d,\d\d\d bytes, expected at most 6\d,\d+,\d+ \(4 times the"
    ):
        read(tmp_path / "a.pth")


def test_an_archive_without_a_directory_is_damaged(tmp_path):
    torch.save({"a": torch.zeros(2), "b": torch.zeros(2)}, tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:-30])
    with pytest.raises(ValueError, match="a truncated or damaged checkpoint"):
        read(tmp_path / "a.pth")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not apply a limit on memory")
def test_the_process_that_reads_a_pickle_has_a_limit_on_memory(tmp_path):
    program = "import sys; from passerby.importers.pickle_worker import *; set_limits(0); bytearray(3 * 1024**3)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True)
    assert b"MemoryError" in done.stderr


@pytest.mark.parametrize(
    ("toolkit", "case", "name"),
    [
        ("transreid", "vit", "base.blocks.999999999.norm1.weight"),
        ("clip-reid", "vit", "image_encoder.transformer.resblocks.99999999999999999999.ln_1.weight"),
        ("solider", "tiny", "base.stages.2.blocks.1000000.norm1.weight"),
        ("fastreid", "bot_R50", "backbone.layer3.100000000.conv1.weight"),
        ("strong-baseline", "resnet50", "base.layer4.12.conv1.weight"),
        ("layumi", "ft_net", "model.layer1.4.conv1.weight"),
        ("torchreid", "resnet50", "layer2.00.conv1.weight"),
    ],
)
def test_the_numbers_of_blocks_are_bounded(toolkit, case, name):
    shapes = {key: tuple(shape) for key, shape in peer_shapes(toolkit, case)} | {name: (1,)}
    with pytest.raises(WeightsError, match=r"a\.pth: the number of a block is \d+ in .*, expected 0 to \d+ for its"):
        recognize(shapes, family=None, source=Path("a.pth"))
    many = shapes | {name.replace(re.findall(r"\d+", name)[-2], str(number)): (1,) for number in range(5000)}
    with pytest.raises(WeightsError, match=r"500\d blocks as that of .*, expected at most 64|number of a block"):
        recognize(many, family=None, source=Path("a.pth"))


def test_a_network_that_the_file_does_not_hold_takes_no_memory(tmp_path, monkeypatch):
    """A ViT of 1 billion weights, of which the file holds few: it is compared on torch's meta device."""
    tensors = {
        **{f"base.blocks.{number}.norm1.weight": torch.zeros(1) for number in range(20)},
        "base.patch_embed.proj.weight": torch.zeros(2048, 3, 16, 16),
        "base.pos_embed": torch.zeros(1, 129, 1),
        "base.blocks.0.attn.qkv.bias": torch.zeros(1),
    }
    devices = []

    def build(**options):
        devices.append(torch.get_default_device().type)
        return build_model(**options)

    monkeypatch.setattr("passerby.model.methods.build_model", build)
    message = refuse(write(tensors, tmp_path / "a.safetensors"))
    assert re.search(r"\d+ missing: backbone\.net\.blocks\.0\.attn\.proj\.bias", message)
    assert devices == ["meta"]


@pytest.mark.parametrize("name", ["transreid_vit_9984x99_s16_256x128", "clip_vit_4096x40_s16_256x128"])
def test_the_size_of_a_vit_in_a_recipe_is_bounded(name):
    with pytest.raises(RecipeError, match=r"model\.backbone: got '.*', expected a multiple of 64 up to 2048, 2 to 64"):
        build_model(method="imported", identities=0, backbone=name, head="token" if "transreid" in name else "clip512")


def test_the_state_dict_is_found_below_the_usual_keys():
    weights = {"a": 1.0, "b": 2.0, "epoch": "x"}
    for tree in (weights, {"state_dict": weights, "epoch": 3}, {"model": {"state_dict": weights}, "optimizer": {}}):
        assert find_state(collections.OrderedDict(tree), float)[0] == weights
