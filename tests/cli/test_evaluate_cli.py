"""`passerby evaluate`. Oracle: `scores.json`, and the one sentence that a user should read."""

import json
import shutil

import pytest

from passerby import model_runtimes
from passerby.data.datasets import load_data
from passerby.runtime.model_manifest import DEFAULT_MODEL

OTHER = "synth:identities=8,cameras=2,images=2,seed=9"


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run that may be written to."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def market(tmp_path):
    """Drawn people in a folder that the test may damage."""
    root = tmp_path / "market"
    shutil.copytree(load_data(OTHER)[0].root, root)
    return root


def evaluations(run):
    return json.loads((run / "scores.json").read_text())["evaluations"]


def test_json_and_nothing_else_on_stdout(passerby, run):
    words = ("--data", OTHER, "--protocol", "single-gallery-shot", "--ap", "trapezoid", "--no-flip", "--device", "cpu")
    output = passerby("evaluate", run, *words, "--json")
    assert (output.code, output.err) == (0, "")
    printed = json.loads(output.out)
    assert printed["run"] == str(run)
    (evaluation,) = printed["evaluations"]
    rules = ("data", "protocol", "ap", "flip")
    assert [evaluation[key] for key in rules] == [OTHER, "single-gallery-shot", "trapezoid", False]
    assert evaluations(run)[1:] == [evaluation]


def test_another_precision_is_another_evaluation(passerby, tmp_path):
    """Oracle: the metrics in fp32, of the same model and people."""
    if not model_runtimes("default").choose("bf16"):
        pytest.skip("this processor has no bf16, or OpenVINO is not installed")
    words = ("evaluate", "default", "--data", OTHER, "--out", tmp_path / "m", "--json")
    outputs = [passerby(*words), passerby(*words, "--precision", "bf16")]
    first, second = (json.loads(output.out)["evaluations"][0] for output in outputs)
    assert second["precision"] == "bf16"
    assert second["mAP"] == pytest.approx(first["mAP"], abs=0.02)
    assert evaluations(tmp_path / "m") == [first, second]


def test_a_precision_that_torch_lacks_is_refused(passerby, run):
    message = passerby("evaluate", run, "--precision", "bf16").error
    assert "holds no model.onnx or model.xml of its weights, which bf16 by openvino needs; write it with" in message
    assert "precision: got 'fp8', expected one of fp32, bf16" in passerby("evaluate", run, "--precision", "fp8").error


def test_table_states_the_rules_of_the_measurement(passerby, run):
    output = passerby("evaluate", run, "--device", "cpu")
    assert output.code == 0, output.err
    assert all(word in output.out for word in ("Rank-1", "mAP", "mINP", "market", "step"))
    assert len(evaluations(run)) == 1


def test_re_ranking_and_fusion_are_recorded_as_further_evaluations(passerby, run, tiny_run):
    output = passerby("evaluate", run, "--rerank", "k-reciprocal", "--fuse", tiny_run, "--device", "cpu", "--json")
    assert output.code == 0, output.err
    (evaluation,) = json.loads(output.out)["evaluations"]
    assert evaluation["method"] == f"fused with {tiny_run.name} (reciprocal), re-ranked (k-reciprocal, 20, 6, 0.3)"
    assert [entry["method"] for entry in evaluations(run)] == ["", evaluation["method"]]
    assert evaluation["mAP"] != evaluations(run)[0]["mAP"]


def test_the_parameters_of_re_ranking_are_options(passerby, run):
    """Oracle: with lambda 1 the re-ranked distance is the original one, so that the metrics are the plain ones."""
    words = ("--rerank", "k-reciprocal", "--device", "cpu", "--json")
    (plain,) = evaluations(run)
    for more, title in (
        (("--lambda", 1), "re-ranked (k-reciprocal, 20, 6, 1)"),
        (("--k1", 5, "--k2", 1, "--lambda", 0.5), "re-ranked (k-reciprocal, 5, 1, 0.5)"),
    ):
        (entry,) = json.loads(passerby("evaluate", run, *words, *more).out)["evaluations"]
        assert entry["method"] == title
        assert (entry["mAP"] == pytest.approx(plain["mAP"])) == (more[-1] == 1)
    assert "k1: got 0, expected" in passerby("evaluate", run, *words[:-1], "--k1", 0).error


def test_runs_that_are_calibrated_are_averaged_by_probability(passerby, run, tiny_run):
    """The tiny run, calibrated while it trained; a copy without its calibration leaves standardized distances."""
    words = ("--fuse", tiny_run, "--fuse-by", "average", "--device", "cpu", "--json")
    (evaluation,) = json.loads(passerby("evaluate", run, *words).out)["evaluations"]
    assert evaluation["method"] == f"fused with {tiny_run.name} (average of probabilities)"
    (run / "calibration.json").unlink()
    (evaluation,) = json.loads(passerby("evaluate", run, *words).out)["evaluations"]
    assert evaluation["method"] == f"fused with {tiny_run.name} (average of standardized distances)"


def test_sets_of_images_are_fewer_queries(passerby, run):
    more = "synth:identities=8,cameras=2,images=3,seed=9"
    for words in ((), ("--sets", "mean")):
        output = passerby("evaluate", run, "--data", more, *words, "--device", "cpu")
        assert output.code == 0, output.err
    plain, sets = evaluations(run)[1:]
    assert sets["queries"] == plain["queries"]
    assert sets["gallery"] < plain["gallery"]
    assert sets["method"] == "sets of images (mean)"


def test_open_set_metrics_are_added_to_the_evaluation(passerby, run):
    other = "synth:identities=40,cameras=2,images=2,seed=5"
    output = passerby("evaluate", run, "--data", other, "--open-set", "--device", "cpu")
    assert output.code == 0, output.err
    assert all(words in output.out for words in ("DIR at FAR 10 %", "equal error rate", "calibration"))
    evaluation = evaluations(run)[-1]
    tenth, *_ = (rate for rate in evaluation["open_set"]["rates"] if rate["far"] == 0.1)
    assert 0 <= tenth["dir"] <= 1
    (unresolved,) = (rate for rate in evaluation["open_set"]["rates"] if rate["far"] == 0.001)
    assert unresolved["dir"] is None
    assert "queries" in unresolved["reason"]
    assert 0 <= evaluation["verification"]["equal_error_rate"] <= 0.5
    assert evaluation["reliability"]["same"] > 0


def test_open_set_metrics_survive_an_evaluation_without_them(passerby, run):
    words = ("--data", OTHER, "--device", "cpu")
    for more in (("--open-set",), ()):
        assert passerby("evaluate", run, *words, *more).code == 0
    (evaluation,) = (entry for entry in evaluations(run) if entry["data"] == OTHER)
    assert "open_set" in evaluation


def test_default_model_is_evaluated_into_the_out_folder(passerby, tmp_path):
    """The package's folder is never written to: an installed one may be read-only."""
    out = tmp_path / "new" / "folder"
    output = passerby("evaluate", "default", "--data", OTHER, "--out", out, "--device", "cpu")
    assert output.code == 0, output.err
    (evaluation,) = evaluations(out)
    assert evaluation["rank1"] > 0.2
    assert not (DEFAULT_MODEL / "scores.json").exists()
    for name in ("default", DEFAULT_MODEL / ".." / DEFAULT_MODEL.name):
        error = passerby("evaluate", name, "--data", OTHER).error
        assert f"{name}: the folder of the default model is not written to; name another one with --out" in error


def test_a_run_may_be_evaluated_elsewhere(passerby, tiny_run, tmp_path):
    before = evaluations(tiny_run)
    assert passerby("evaluate", tiny_run, "--out", tmp_path / "other", "--device", "cpu").code == 0
    assert evaluations(tiny_run) == before
    assert len(evaluations(tmp_path / "other")) == 1
    (tmp_path / "file").touch()
    assert "file: cannot be created" in passerby("evaluate", tiny_run, "--out", tmp_path / "file").error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rerank", "magic"], "rerank: got 'magic', expected one of k-reciprocal"),
        (["--fuse", "/no/where"], "/no/where: not a run or a saved model"),
        (["--sets", "best", "--expand", "alpha"], "sets: 'best' gives distances and no vectors"),
        (["--protocol", "duke"], "protocol: got 'duke', expected one of market, single-gallery-shot, multi-query"),
        (["--ap", "area"], "ap: got 'area', expected one of step, trapezoid"),
        (["--data", "market1501:/no/where"], "/no/where"),
        (["--device", "gpu"], "--device: got 'gpu', expected auto, cpu, cuda, cuda:0 or mps"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_recorded(passerby, tiny_run, words, message):
    before = evaluations(tiny_run)
    assert message in passerby("evaluate", tiny_run, "--device", "cpu", *words).error
    assert evaluations(tiny_run) == before


def test_folder_without_a_run_is_named(passerby, tmp_path):
    assert f"{tmp_path}: not a run or a saved model" in passerby("evaluate", tmp_path).error
    assert "not a run" in passerby("evaluate", tmp_path / "nowhere").error


def test_unfinished_run_error_names_resume(passerby, run):
    (run / "model.safetensors").unlink()
    assert "model.safetensors is missing; if the training was stopped, resume" in passerby("evaluate", run).error


def test_weights_of_another_network_are_named(passerby, run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["model"]["part_dim"] = 32
    (run / "manifest.json").write_text(json.dumps(manifest))
    error = passerby("evaluate", run).error
    assert "of another architecture" in error
    assert "expected (32," in error


def test_data_without_a_query_is_refused(passerby, tiny_run, market, tmp_path):
    for number in range(2):
        shutil.copytree(market / "bounding_box_train", tmp_path / "people" / "train" / f"copy{number}")
    error = passerby("evaluate", tiny_run, "--data", f"folder:{tmp_path / 'people'}?camera=market").error
    assert f"{tmp_path / 'people'} has no query split" in error


def test_one_camera_is_refused(passerby, tiny_run, market):
    for path in market.glob("*/*_c2s*.jpg"):
        path.unlink()
    error = passerby("evaluate", tiny_run, "--data", f"market1501:{market}").error
    assert "no query has its identity in the gallery in another camera" in error
    assert "1 camera)" in error
    assert "the option camera=none of the data set counts matches within a camera too" in error


def test_a_query_whose_only_match_is_its_own_file_is_refused(passerby, tiny_run, market, tmp_path):
    folder, path = tmp_path / "people", next((market / "query").iterdir())
    for split in ("query", "gallery"):
        (folder / split / "1").mkdir(parents=True)
        (folder / split / "1" / path.name).symlink_to(path)
    error = passerby("evaluate", tiny_run, "--data", f"folder:{folder}?camera=none").error
    assert "no query has another image of its identity in the gallery (1 query, 1 gallery image)" in error
    assert "a query's own file is not a match" in error


def test_a_truncated_image_is_named_and_nothing_is_recorded(passerby, tiny_run, market):
    before = evaluations(tiny_run)
    damaged = next((market / "query").glob("*.jpg"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert str(damaged) in passerby("evaluate", tiny_run, "--data", f"market1501:{market}", "--device", "cpu").error
    assert evaluations(tiny_run) == before


@pytest.mark.parametrize(
    ("words", "needed"),
    [(("--k1", 5), "--rerank"), (("--lambda", 0.5), "--rerank"), (("--fuse-by", "borda"), "--fuse")],
)
def test_options_without_the_one_they_belong_to_are_refused(passerby, words, needed):
    assert passerby("evaluate", "runs/m", *words).error == f"{words[0]} has no effect without {needed}; add {needed}"
