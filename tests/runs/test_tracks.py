"""Evaluation of a data set of tracks. Oracle: the embeddings of the images, averaged by track and scored."""

import numpy as np
import pytest

import passerby
from passerby.data.datasets import load_data
from passerby.runs.evaluate import evaluate


def test_tracks_are_evaluated_by_their_mean_vectors(workspace):
    (people,) = load_data("market1501:people")
    for camera in (0, 1):
        for sample in (*people.query, *people.gallery):
            if sample.camera_id == camera and sample.person_id:
                folder = f"ilids/sequences/cam{camera + 1}/person{sample.person_id:03}"
                (workspace / folder).mkdir(parents=True, exist_ok=True)
                (workspace / folder / sample.path.name).symlink_to(sample.path.resolve())
    (result,) = evaluate("runs/m", "ilidsvid:ilids", out="out", device="cpu")
    (data,) = load_data("ilidsvid:ilids")
    embedder = passerby.load("runs/m", device="cpu")
    sides = [embedder.embed_samples(samples, flip=result.flip) for samples in (data.query, data.gallery)]
    tracks = [
        np.unique([sample.track for sample in samples], return_inverse=True)[1]
        for samples in (data.query, data.gallery)
    ]
    expected = passerby.score(*(passerby.pool(side, numbers) for side, numbers in zip(sides, tracks, strict=True)))
    assert result.scores.queries == expected.queries == len({sample.track for sample in data.query}) < len(data.query)
    assert result.scores.mAP == pytest.approx(expected.mAP, abs=1e-6)
    assert [sample.person_id for sample in result.query_samples] == list(
        dict.fromkeys(sample.person_id for sample in data.query)
    )
    assert result.title == "ilidsvid (tracks, own split 0), sets of images (mean)"
    assert evaluate("runs/m", "ilidsvid:ilids", out="out", ranking=passerby.RankingMethod(sets="best"), device="cpu")
