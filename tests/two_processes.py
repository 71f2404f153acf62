"""Run by torchrun for test_distributed.py: each of two processes writes what it finds to OUT/RANK.safetensors."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import gather, join_processes, share_batch_norms
from passerby.losses.combine import Losses
from passerby.model.camera_batch_norm import camera_statistics, normalize_by_camera
from passerby.runs.assemble import training_loader, training_state, training_steps

SAME = ("model.drop_path=0", "optimizer.name=sgd", "schedule.lr_init=1e-3", "schedule.lr_max=1e-2", "model.parts=3")
CAMERAS = torch.tensor([0, 0, 3, 0, 1, 1])
EVERY_LOSS = ("loss.triplet.margin=0.3", "loss.contrastive.margin=1.0")


def rows():
    """(6, 5) float64, the same in every process."""
    return torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def weigh(everyone):
    """A loss that sees pairs of rows, so that a row's gradient depends on all the others."""
    return (everyone @ everyone.T).sin().sum()


def gathered(process):
    mine = rows().chunk(process.world)[process.rank].clone().requires_grad_()
    everyone = gather(mine)
    weigh(everyone).backward()
    return {"gathered": everyone.detach(), "gradient": mine.grad}


def normalized(process):
    norm = nn.Sequential(nn.BatchNorm1d(5, dtype=torch.float64))
    share_batch_norms(norm, process)
    mine = rows().chunk(process.world)[process.rank].clone().requires_grad_()
    out = norm(mine)
    out.pow(3).sum().backward()
    norm.eval()
    return {
        "normalized": out.detach(),
        "input_gradient": mine.grad,
        "weight_gradient": norm[0].weight.grad,
        "running_mean": norm[0].running_mean,
        "running_var": norm[0].running_var,
        "evaluated": norm(mine.detach()).detach(),
    }


class ByCamera(nn.Module):
    """A camera-based batch norm alone."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5, dtype=torch.float64)
        self.cameras = normalize_by_camera(self)

    def forward(self, images, cameras):
        self.cameras.ids = cameras
        return self.norm(images)


def normalized_by_camera(process):
    """Cameras of the six rows: one is in both processes, one in the second only, and one has a single row.

    Then the first process computes the statistics of a camera by itself, as in an evaluation.
    """
    network = ByCamera()
    mine = rows().chunk(process.world)[process.rank].clone().requires_grad_()
    out = network(mine, CAMERAS.chunk(process.world)[process.rank])
    weigh(gather(out)).backward()
    if process.first:
        with camera_statistics(network.eval(), [rows()]):
            torch.testing.assert_close(network.norm.running_mean, rows().mean(dim=0))
    return {
        "camera_rows": out.detach(),
        "camera_gradient": mine.grad,
        "camera_running_mean": network.norm.running_mean,
        "camera_running_var": network.norm.running_var,
    }


def trained(process):
    """Eight steps (an epoch has six): the losses of each, the identities of each batch, the weights in the end."""
    recipe = tiny_recipe(*SAME, *EVERY_LOSS)
    people = join_training(load_data(SIMPLE))
    network, state = training_state(recipe, people.identities, process)
    loader = training_loader(recipe, people, process)
    labels = torch.stack([batch.labels for batch in loader.epoch(0)])
    steps = training_steps(state, loader, recipe, process, people)
    found = [list(next(steps).losses.values()) for _ in range(8)]
    assert list(Losses(**recipe.loss.model_dump()).weights) == ["identity", "circle", "triplet", "contrastive"]
    weights = {f"weights.{key}": value.contiguous() for key, value in network.state_dict().items()}
    return {"losses": torch.tensor(found, dtype=torch.float64), "labels": labels, **weights}


def everything(process):
    return (
        trained(process)
        if process.world == 1
        else gathered(process) | normalized(process) | normalized_by_camera(process) | trained(process)
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_processes("cpu") as me:
        tensors = {key: value.contiguous().clone() for key, value in everything(me).items()}
        save_file(tensors, Path(sys.argv[1]) / f"{me.rank}.safetensors")
