"""Texts for files that are published. Oracle: the last component of each path, by hand."""

import pytest

from passerby.data.datasets.public_spec import hide_folders, public_name, public_spec


@pytest.mark.parametrize(
    ("spec", "public"),
    [
        ("market1501:/home/ana/Market-1501?camera=none", "market1501:Market-1501?camera=none"),
        ("table:/home/ana/a.csv?camera=x+synth:identities=4", "table:a.csv?camera=x+synth:identities=4"),
        ("table:a.csv?root=/home/ana/images/&train=0.5", "table:a.csv?root=images&train=0.5"),
        ("market1501:x?distractors=~/ana/500k&camera=none", "market1501:x?distractors=500k&camera=none"),
        (r"folder:C:\Users\ana\people?junk=../a/b", "folder:people?junk=b"),
        ("gone:/home/ana/x", "gone:x"),
        ("synth:identities=24,cameras=2", "synth:identities=24,cameras=2"),
    ],
)
def test_published_specs_have_no_folders(spec, public):
    assert public_spec(spec) == public


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/ana/m/", "m"),
        ("~/m", "m"),
        ("../../ana/m", "m"),
        (r"C:\ana\m", "m"),
        ("runs/m", "runs/m"),
        ("timm: convnext_atto", "timm: convnext_atto"),
        ("a..b", "a..b"),
        ("", ""),
    ],
)
def test_paths_that_leave_the_working_directory_are_shortened(text, public):
    assert hide_folders(text) == public
    assert public_name(text) in text
