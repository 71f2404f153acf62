"""Commands with all extras hidden, torch among them, as after `pip install passerby`.

Oracles: exit codes and the extra that is named.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import passerby
from passerby.extras import EXTRAS as EXTRA_MODULES
from passerby.runtime.model_manifest import DEFAULT_MODEL

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - {"dev", "all"})
RUN = """
import json, sys
from importlib.machinery import PathFinder
hidden, commands = map(json.loads, sys.argv[1:])

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
from passerby.cli.main import main
for command in commands:
    sys.argv = ["passerby", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def modules_of(*extras):
    """Importable names of the distributions that extras install."""
    requirements = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    wanted = {re.split(r"[\[<>=~; ]", line)[0].lower().replace("_", "-") for line in requirements} - {"passerby"}
    return sorted(
        module
        for module, distributions in packages_distributions().items()
        if wanted & {name.lower().replace("_", "-") for name in distributions}
    )


def run(*commands, hide):
    """Run commands in one new interpreter, until one fails."""
    words = [sys.executable, "-c", RUN, json.dumps(modules_of(*hide)), json.dumps(commands)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_of_extras_agrees_with_the_project(extra):
    if installed := {*modules_of(extra)} - {"mpl_toolkits", "pylab", "functorch", "torchgen"}:
        assert installed == {*EXTRA_MODULES[extra]}


def test_extras_are_hidden():
    assert {"numba", "scipy", "matplotlib", "pyarrow", "torch", "timm"} <= set(modules_of(*EXTRAS))
    assert not {"numpy", "faiss", "PIL", "onnxruntime"} & set(modules_of(*EXTRAS))


def test_people_are_enrolled_searched_and_identified_without_extras(workspace):
    done = run(
        ("enroll", "gallery", "--images", "crops", "--folders", "camera"),  # by the default model's ONNX file
        ("search", "gallery", "--image", "a.jpg"),
        ("identify", "gallery", "--image", "a.jpg"),
        ("gallery", "stats", "gallery"),
        ("enroll", "plain", "--images", "a.jpg", "--camera", "north", "--no-flip"),
        ("search", "plain", "--image", "a.jpg"),
        ("model", "runtimes"),
        ("data", "check", "market1501:people"),
        hide=EXTRAS,
    )
    assert done.returncode == 0, done.stderr
    assert "Fit for training" in done.stdout  # of the last command
    assert re.search(r"torch +│ fp32 +│ not installed", done.stdout), done.stdout
    assert "fp32: onnx, batches of 1" in done.stdout


def test_models_are_evaluated_calibrated_and_clustered_without_torch(workspace):
    shutil.copytree(DEFAULT_MODEL, "copy")
    done = run(
        ("evaluate", "default", "--data", "market1501:people", "--out", "scores"),
        ("calibrate", "copy", "--data", "market1501:people"),
        ("threshold", "copy", "--data", "market1501:people", "--far", "0.1"),
        ("enroll", "gallery", "--images", "crops", "--folders", "camera", "--model", "copy"),
        ("cluster", "gallery"),
        hide=sorted({*EXTRAS} - {"eval"}),
    )
    assert done.returncode == 0, done.stderr
    assert "no plots of the evaluation: matplotlib is not installed; this needs the extra 'report'" in done.stderr
    assert (workspace / "scores" / "scores.json").is_file()


def test_a_gallery_holds_vectors_of_the_default_model_by_either_runtime(workspace):
    """Oracle: the vectors of torch; the gallery is made without it and opened with it."""
    done = run(("enroll", "gallery", "--images", "a.jpg", "--camera", "north"), hide=EXTRAS)
    assert done.returncode == 0, done.stderr
    with passerby.Gallery("gallery", model="default") as gallery:
        (vector,) = passerby.load("default", runtime="torch").embed("a.jpg")
        [[hit]] = gallery.store.search(vector[None], top=1)
    assert hit.distance < 1e-4


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("evaluate", "default", "--data", "market1501:people", "--out", "scores"), "eval"),
        (("evaluate", "runs/m"), "train"),
        (("synth", "--out", "rendered", "--identities", "6"), "eval"),
        (("train", "--recipe", "demo", "--data", "market1501:people", "--out", "runs/new"), "train"),
        (("report", "runs/m", "--out", "page.html"), "report"),
    ],
)
def test_a_missing_extra_is_named(words, extra, workspace):
    done = run(words, hide=[extra])
    assert done.returncode == 1, done.stderr
    assert f'pip install "passerby[{extra}]"' in done.stderr, done.stderr


CALLS = """
import passerby
for call in (
    lambda: passerby.load("runs/m", runtime="torch"),
    lambda: passerby.load("default").network,
    lambda: passerby.import_model("runs/m/model.safetensors", "imported"),
    lambda: passerby.import_model("hf_hub:owner/name", "imported"),
    lambda: passerby.train("demo", "market1501:people", "runs/new"),
    lambda: passerby.export_model("default", "m.onnx"),
):
    try:
        call()
    except passerby.PasserbyError as error:
        print(error)
"""


def test_a_missing_extra_is_named_in_python(workspace):
    script = RUN.replace("from passerby.cli.main import main", CALLS)
    words = [sys.executable, "-c", script, json.dumps(modules_of("train")), "[]"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert all('pip install "passerby[train]"' in line for line in lines), lines
    assert not {"imported", "m.onnx"} & {path.name for path in workspace.iterdir()}


SERVED = """
import json, sys, threading, time
from importlib.machinery import PathFinder
hidden = json.loads(sys.argv[1])

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
from passerby.serving.server import serve
serve("gallery", port=0, started=lambda address: print(address, flush=True))
"""


def test_a_service_starts_with_its_own_extra_alone(workspace):
    import httpx

    done = run(("enroll", "gallery", "--images", "crops", "--folders", "camera"), hide=EXTRAS)
    assert done.returncode == 0, done.stderr
    hidden = sorted({*modules_of(*EXTRAS)} - {*modules_of("serve")})
    assert {"numba", "scipy", "pyarrow"} <= {*hidden}
    words = [sys.executable, "-c", SERVED, json.dumps(hidden)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            with httpx.Client(base_url=address, timeout=60) as http:
                picture = {"images": Path("a.jpg").read_bytes()}
                assert http.post("/v1/search", files=picture).status_code == 200
                assert http.get("/").headers["location"] == "/find"
                assert [http.get(path).status_code for path in ("/find", "/cameras", "/settings", "/docs")] == 4 * [200]
                for method, path, body in (
                    ("POST", "/v1/cluster", {}),
                    ("POST", "/v1/export", {}),
                    ("GET", "/v1/questions", None),
                    ("GET", "/v1/identities", None),
                    ("POST", "/v1/import", None),
                ):
                    reply = http.request(method, path, json=body)
                    assert reply.status_code == 501, path
                    assert reply.json()["error"]["message"].endswith("extra 'eval': pip install \"passerby[eval]\"")
                assert 'pip install "passerby[eval]"' in http.get("/people").text.replace("&#34;", '"')
        finally:
            process.terminate()
            process.communicate(timeout=60)
