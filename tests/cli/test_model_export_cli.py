"""`passerby model export`. Oracle: the function in Python and its messages."""

import json


def test_a_run_is_exported_and_its_certificate_printed(passerby, workspace):
    done = passerby(*["model", "export", "runs/m", "--precision", "int8", "--images", "crops", "--out", "m.onnx"])
    assert done.code == 0, done.err
    first, second, third = done.out.splitlines()
    assert first.startswith("m.onnx: int8, 0.")
    assert second.startswith("cosine to the model's vectors: least 0.9")
    assert second.endswith("crops of crops)")
    assert third == "accuracy not verified: name a labeled data set with --check"
    certificate = json.loads((workspace / "m.onnx.json").read_text())["certificate"]
    assert certificate["accuracy"] == "not verified"
    again = passerby(*["model", "export", "runs/m", "--images", "crops", "--out", "m.onnx"])
    assert again.error == "m.onnx: the file exists; give another --out, or move it"


def test_messages_name_the_options(passerby, workspace):
    for words, message in (
        ("--out m.xml", "--out: got m.xml, expected a name in .onnx, as --to is onnx"),
        ("--to jax --out m.onnx", "--to: got 'jax', expected one of onnx, openvino"),
        ("--images nothing --out m.onnx", "--images: no folder nothing; expected a folder of crops or a data set"),
        ("--images a.jpg --out m.onnx", "--images: a.jpg is no folder; expected a folder of crops or a data set"),
        (
            "--check crops --out m.onnx",
            "--check 'crops': a path without the name of its layout; expected such as folder:crops",
        ),
    ):
        assert passerby("model", "export", "runs/m", *words.split()).error == message
    assert not [*workspace.glob("m.*")]
