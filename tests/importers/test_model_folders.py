"""Folders of reid, timm and OpenCLIP. Oracles: timm's `local-dir:`, golden vectors of reid's and OpenCLIP's code."""

import json

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_for_hf

import passerby
from importers.peer_files import assert_same_vectors, peer_state, write
from passerby.errors import RecipeError, WeightsError
from tools.peers.random_weights import block_images

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PREPROCESSING = {
    "input_size": [64, 32],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "interpolation": "bilinear",
    "to_rgb": True,
    "resize_mode": "stretch",
}


def save_reid(folder, *, architecture="osnet_x0_25", state=None, **changes):
    """A folder as `ReIDModel.save_pretrained` writes it."""
    folder.mkdir()
    config = {"architecture": architecture, "preprocessing": PREPROCESSING | changes}
    (folder / "reid_config.json").write_text(json.dumps(config))
    state = peer_state("reid", "osnet_x0_25") if state is None else state
    write(state, folder / "weights.safetensors")
    return folder


def save_timm(folder, name="test_resnet", **options):
    """A folder as timm writes it for the hub."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5, **options)
    for module in network.modules():  # statistics that a training would leave
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    config = {"pretrained_cfg": {"mean": MEAN, "std": STD}}
    save_for_hf(network, str(folder), model_config=config, safe_serialization=True)
    return folder


def timm_vectors(folder, size):
    """What timm computes from the same folder, without its classifier."""
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    pixels = (block_images(size).astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    with torch.no_grad():
        vectors = network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    return torch.nn.functional.normalize(vectors).numpy()


def test_a_folder_of_reid_embeds_as_reid_does(tmp_path):
    model = passerby.import_model(save_reid(tmp_path / "source"), tmp_path / "run")
    assert (model.family, model.model["backbone"], model.interpolation) == ("torchreid", "osnet_x0_25", "bilinear")
    assert model.preprocessing == {
        key: PREPROCESSING[name] for key, name in (("size", "input_size"), ("mean", "mean"), ("std", "std"))
    }
    assert_same_vectors("reid", "osnet_x0_25", tmp_path / "run", size=(64, 32))


def test_a_folder_of_reid_with_a_network_of_timm(tmp_path):
    network = timm.create_model("test_resnet", num_classes=0)
    folder = save_reid(tmp_path / "source", architecture="timm:test_resnet", state=network.state_dict())
    model = passerby.import_model(folder, tmp_path / "run")
    assert (model.model["backbone"], model.model["head"], model.width) == (
        "timm:test_resnet",
        "own",
        network.num_features,
    )


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("test_resnet", {}, (160, 160)),
        ("test_vit", {}, (160, 160)),
        ("test_vit", {"img_size": (64, 32)}, (64, 32)),
        ("test_vit", {"img_size": (64, 32), "global_pool": "avg"}, (64, 32)),
        ("test_convnext", {}, (160, 160)),
        ("test_efficientnet", {}, (160, 160)),
    ],
)
def test_a_folder_of_timm_embeds_as_timm_does(name, options, size, tmp_path):
    folder = save_timm(tmp_path / "source", name, **options)
    model = passerby.import_model(folder, tmp_path / "run")
    assert (model.family, tuple(model.preprocessing["size"])) == ("timm", size)
    assert (tuple(model.preprocessing["mean"]), tuple(model.preprocessing["std"])) == (MEAN, STD)
    assert model.dropped == tuple(sorted(key for key in model.dropped if key.endswith((".weight", ".bias"))))
    assert len(model.dropped) == 2
    vectors = passerby.load(tmp_path / "run", device="cpu").embed(block_images(size), flip=False)
    np.testing.assert_allclose(vectors, timm_vectors(folder, size), atol=1e-5)


def test_an_imported_network_of_timm_has_a_map_and_exports(tmp_path):
    from passerby.exporting.exported_encoder import open_file
    from passerby.exporting.onnx_model import save_onnx, trace_model

    passerby.import_model(save_timm(tmp_path / "source", "test_vit", img_size=(64, 32)), tmp_path / "run")
    embedder = passerby.load(tmp_path / "run", device="cpu")
    network = embedder.network
    assert network(torch.zeros(1, 3, 64, 32)).map.shape == (1, network.backbone.channels, 4, 2)
    save_onnx(trace_model(embedder, flip=False), tmp_path / "m.onnx", "")
    images = block_images((64, 32))
    np.testing.assert_allclose(open_file(tmp_path / "m.onnx")(images), embedder.embed(images, flip=False), atol=1e-5)


def test_a_vision_tower_of_open_clip_embeds_as_open_clip_does(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    config = {
        "model_cfg": {
            "embed_dim": 512,
            "quick_gelu": True,
            "vision_cfg": {"image_size": 64, "layers": 12, "width": 768, "patch_size": 32},
            "text_cfg": {"width": 512},
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = peer_state("open-clip", "vit_b_32") | {"logit_scale": torch.zeros(()), "ln_final.weight": torch.zeros(2)}
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")
    model = passerby.import_model(folder, tmp_path / "run")
    assert model.family == "open-clip"
    assert model.dropped == ("ln_final.weight", "logit_scale")
    assert_same_vectors("open-clip", "vit_b_32", tmp_path / "run", size=(64, 64))


def test_a_name_of_the_hub_is_downloaded_and_imported(tmp_path, monkeypatch):
    """The download is huggingface_hub's; here it returns a folder."""
    folder, calls = save_timm(tmp_path / "source"), []

    def download(name, *, revision, allow_patterns):
        calls.append((name, revision))
        assert {"config.json", "model.safetensors", "reid_config.json"} <= set(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert passerby.import_model("hf_hub:owner/name@v1.0", tmp_path / "run").family == "timm"
    assert calls == [("owner/name", "v1.0")]
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("offline"))
    )
    with pytest.raises(WeightsError, match=r"hf_hub:owner/name: not downloaded \(offline\); download the repository"):
        passerby.import_model("hf_hub:owner/name", tmp_path / "other")
    with pytest.raises(WeightsError, match="hf_hub:name: expected hf_hub:OWNER/NAME"):
        passerby.import_model("hf_hub:name", tmp_path / "other")


def edit(folder, name, change):
    config = json.loads((folder / name).read_text())
    change(config)
    (folder / name).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(architecture="no_such"), "model.backbone: got 'timm:no_such,.*', expected timm:NAME"),
        (lambda c: c.update(model_args={"embed_dim": 10**9}), "model_args has embed_dim, which are not imported"),
        (lambda c: c.update(model_args={"img_size": [10**6, 32]}), "expected height and width, 1 to 4096 pixels"),
        (lambda c: c["pretrained_cfg"].update(input_size=[1, 64, 64]), "input_size has 1 channels, expected 3"),
        (
            lambda c: c["pretrained_cfg"].update(mean=[0.5]),
            r"mean is \[0\.5\], expected 3 numbers.*description of timm",
        ),
        (lambda c: c["pretrained_cfg"].update(std="abc"), r"std is 'abc', expected 3 numbers"),
        (lambda c: c["pretrained_cfg"].update(input_size=3), r"input_size is 3, expected channels, height and width"),
        (lambda c: c.update(pretrained_cfg=3), r"pretrained_cfg is 3, expected an object"),
        (lambda c: c.update(model_args=[1]), r"model_args is \[1\], expected an object"),
        (
            lambda c: c.update(model_args={"img_size": "big"}),
            r"image size is 'big', expected height and width, 1 to 4096",
        ),
        (lambda c: c.pop("architecture"), r"config\.json: cannot be read \(lacks 'architecture'\)"),
        (
            lambda c: c.update(architecture="test_vit"),
            r"recognized as timm, timm:test_vit\S*, but \d+ missing: backbone\.net",
        ),
    ],
)
def test_a_description_of_timm_that_does_not_fit(change, message, tmp_path):
    folder = save_timm(tmp_path / "source")
    edit(folder, "config.json", change)
    with pytest.raises((WeightsError, RecipeError), match=message):
        passerby.import_model(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_that_are_no_models(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        WeightsError, match=r"empty: a folder without reid_config\.json, .*expected a file, or a folder of"
    ):
        passerby.import_model(tmp_path / "empty", tmp_path / "run")
    (tmp_path / "empty" / "manifest.json").touch()
    with pytest.raises(WeightsError, match=r"it is a run of this package, which needs no import"):
        passerby.import_model(tmp_path / "empty", tmp_path / "run")
    (tmp_path / "empty" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"has config\.json, but no model\.safetensors or pytorch_model\.bin"):
        passerby.import_model(tmp_path / "empty", tmp_path / "run")
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match=r"config\.json: cannot be read .*expected a description of timm"):
        passerby.import_model(tmp_path / "empty", tmp_path / "run")
    folder = save_reid(tmp_path / "letterbox", resize_mode="letterbox")
    with pytest.raises(WeightsError, match="resize_mode is 'letterbox', expected stretch"):
        passerby.import_model(folder, tmp_path / "run")
    folder = save_reid(tmp_path / "other", architecture="osnet_x1_0")
    with pytest.raises(WeightsError, match=r"architecture is 'osnet_x1_0', but weights\.safetensors holds osnet_x0_25"):
        passerby.import_model(folder, tmp_path / "run")
    with pytest.raises(WeightsError, match=r"reid_config\.json: describes the network; leave family out"):
        passerby.import_model(folder, tmp_path / "run", family="torchreid")


def test_another_vision_tower_of_open_clip_is_refused(tmp_path):
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    for vision in ({"layers": [3, 4, 6, 3], "width": 64}, {"layers": 13}, {"timm_model_name": "convnext_base"}):
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"embed_dim": 512, "vision_cfg": vision}))
        with pytest.raises(WeightsError, match=r"a vision tower of .*; expected one of vit_base_patch32_clip_224"):
            passerby.import_model(tmp_path, tmp_path / "run")
    for config in ({"embed_dim": 512}, {"embed_dim": 512, "vision_cfg": 3}):
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=r"vision_cfg is missing or no object.*a description of OpenCLIP"):
            passerby.import_model(tmp_path, tmp_path / "run")
