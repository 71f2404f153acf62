"""Measure the weight gradient of a depthwise convolution on the CPU, oneDNN's and Passerby's, and a training step.

    python benchmarks/depthwise.py [--threads 1] [--repeats 9]

The maps are those of ConvNeXt-Atto for 64 images of 128 x 64 (last stride 1), channels last as in training.
Alternatives run in turns in one process; times are medians. bf16 needs a CPU with instructions for it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from measure import machine
from passerby.model.depthwise import DepthwiseConv2d, weight_gradient
from passerby.model.methods import build_model
from passerby.recipe import load_recipe
from passerby.runs.arguments import build_losses, model_arguments

MAPS = ((40, 32, 16), (80, 16, 8), (160, 8, 4), (320, 8, 4))  # C, H, W
BATCH = (16, 4)


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}, torch {torch.__version__}, {options.threads} threads\n")
    print("| map, 64 images | | convolution ms | weight gradient, torch ms | ours ms | torch / ours |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for kind in (torch.float32, torch.bfloat16):
        for shape in MAPS:
            whole, theirs, ours = _gradients(shape, kind, options.repeats)
            print(f"| {' x '.join(map(str, shape))} | {_name(kind)} | {whole:.1f} | {theirs:.1f} | {ours:.1f} "
                  f"| {theirs / ours:.1f} |")  # fmt: skip
    print("\n| a step of 64 images, without reading them | torch s | ours s | torch / ours |")
    print("| --- | ---: | ---: | ---: |")
    for name, (theirs, ours) in _steps(options.repeats).items():
        print(f"| {name} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} |")


def _gradients(shape: tuple[int, int, int], kind: torch.dtype, repeats: int) -> tuple[float, float, float]:
    """Measure milliseconds of the convolution, and of its weight gradient by torch and by Passerby."""
    channels = shape[0]
    x, slope = (torch.randn(64, *shape).to(kind).contiguous(memory_format=torch.channels_last) for _ in range(2))
    weight = torch.randn(channels, 1, 7, 7).to(kind)

    def theirs() -> Tensor:
        gradient: Tensor = torch.ops.aten.convolution_backward(
            slope, x, weight, None, [1, 1], [3, 3], [1, 1], False, [0, 0], channels, [False, True, False]
        )[1]
        return gradient

    times = _turns(
        {
            "whole": lambda: nn.functional.conv2d(x, weight, padding=3, groups=channels),
            "theirs": theirs,
            "ours": lambda: weight_gradient(x, slope, 7),
        },
        repeats,
    )
    return 1000 * times["whole"], 1000 * times["theirs"], 1000 * times["ours"]


def _steps(repeats: int) -> dict[str, tuple[float, float]]:
    """Measure seconds of a step of the default recipe's network, with torch's convolutions and with Passerby's."""
    recipe = load_recipe("default")
    losses = build_losses(recipe)
    images = torch.randn(BATCH[0] * BATCH[1], 3, 128, 64).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH[0]).repeat_interleave(BATCH[1])

    def step(network: nn.Module, kind: torch.dtype) -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", kind, enabled=kind != torch.float32):
            output = network(images)
        losses(output, labels)[0].backward()

    networks = [
        build_model(**model_arguments(recipe), identities=7500).to(memory_format=torch.channels_last) for _ in range(2)
    ]
    _with_torchs(networks[0])
    kinds = (torch.float32, torch.bfloat16)
    times = _turns(
        {
            f"{_name(kind)} {index}": partial(step, network, kind)
            for kind in kinds
            for index, network in enumerate(networks)
        },
        repeats,
    )
    return {_name(kind): (times[f"{_name(kind)} 0"], times[f"{_name(kind)} 1"]) for kind in kinds}


def _with_torchs(network: nn.Module) -> None:
    """Replace `DepthwiseConv2d` by `nn.Conv2d`."""
    for name, ours in list(network.named_modules()):
        if isinstance(ours, DepthwiseConv2d):
            theirs = nn.Conv2d(ours.in_channels, ours.in_channels, 7, padding=3, groups=ours.in_channels)
            network.set_submodule(name, theirs)


def _turns(alternatives: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Measure the median seconds of each alternative, in turns, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for repeat in range(repeats + 1):
        for name, work in alternatives.items():
            started = time.perf_counter()
            work()
            if repeat:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


if __name__ == "__main__":
    main()
