"""What a published page shows of a manifest. Oracle: names worked by hand."""

import pytest

from passerby.reporting.manifest_section import _name_weights


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("/home/ana/runs/m/model.safetensors", "model.safetensors"),
        ("runs/m", "m"),
        ("C:\\Users\\ana\\m\\", "m"),
        ("timm: hf-hub:timm/convnext", "timm: hf-hub:timm/convnext"),
        ("random", "random"),
        ("adapted from default", "adapted from default"),
        ("adapted from /home/ana/runs/m", "adapted from m"),
    ],
)
def test_initial_weights_are_shown_without_their_folder(recorded, shown):
    assert _name_weights(recorded) == shown
