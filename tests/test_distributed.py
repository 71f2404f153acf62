"""Two processes under torch's own launcher (gloo, CPU). Oracle: one process on the whole batch."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import passerby
import two_processes
from launch import launch
from passerby.distributed import (
    GatheredBatchNorm1d,
    Process,
    average,
    gather,
    join_processes,
    pick_device,
    share_batch_norms,
)
from passerby.errors import PasserbyError

ALONE = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes found."""
    out = tmp_path_factory.mktemp("ranks")
    launch(Path(__file__).parent / "two_processes.py", out, processes=2)
    return [load_file(out / f"{rank}.safetensors") for rank in range(2)]


@pytest.fixture(scope="module")
def one():
    """What a single process finds when it trains alone."""
    return two_processes.trained(ALONE)


def test_rows_are_gathered_in_the_order_of_the_ranks(ranks):
    for found in ranks:
        assert torch.equal(found["gathered"], two_processes.rows())


def test_the_gradient_of_gathered_rows_is_world_times_that_of_one_process(ranks):
    """Every process computes the same loss of all rows, so each row is wanted `world` times; DDP divides again."""
    whole = two_processes.rows().requires_grad_()
    two_processes.weigh(whole).backward()
    found = torch.cat([each["gradient"] for each in ranks])
    torch.testing.assert_close(found, 2 * whole.grad)


def test_batch_norm_uses_the_global_batch(ranks):
    """Oracle: torch's own batch norm of all six rows."""
    norm = nn.BatchNorm1d(5, dtype=torch.float64)
    whole = two_processes.rows().requires_grad_()
    out = norm(whole)
    out.pow(3).sum().backward()
    torch.testing.assert_close(torch.cat([each["normalized"] for each in ranks]), out.detach())
    torch.testing.assert_close(torch.cat([each["input_gradient"] for each in ranks]), whole.grad)
    torch.testing.assert_close(sum(each["weight_gradient"] for each in ranks), norm.weight.grad)
    for each in ranks:
        torch.testing.assert_close(each["running_mean"], norm.running_mean)
        torch.testing.assert_close(each["running_var"], norm.running_var)
    norm.eval()
    torch.testing.assert_close(torch.cat([each["evaluated"] for each in ranks]), norm(whole).detach())


def test_camera_batch_norm_uses_the_cameras_of_the_global_batch(ranks):
    """Oracle: one process. Every rank computes the same loss, so its gradient is world times that of one process."""
    one = two_processes.normalized_by_camera(ALONE)
    torch.testing.assert_close(torch.cat([found["camera_rows"] for found in ranks]), one["camera_rows"])
    torch.testing.assert_close(torch.cat([found["camera_gradient"] for found in ranks]), 2 * one["camera_gradient"])
    for found in ranks:
        for name in ("camera_running_mean", "camera_running_var"):
            torch.testing.assert_close(found[name], one[name])


def test_the_processes_share_each_batch_and_no_identity(ranks, one):
    """Oracle: the batches of one process, cut in two. Plain DDP would hand the same batch to both."""
    first, second = (each["labels"] for each in ranks)  # (batches, B / 2)
    assert torch.equal(torch.cat([first, second], dim=1), one["labels"])
    for mine, yours in zip(first, second, strict=True):
        assert not set(mine.tolist()) & set(yours.tolist())


def test_two_processes_have_the_losses_of_one(ranks, one):
    """Sums run in another order, no more: 1e-4 relative in float32, all four losses and their total, eight steps."""
    assert one["losses"].shape == (8, 5)
    for each in ranks:
        torch.testing.assert_close(each["losses"], one["losses"], rtol=1e-4, atol=1e-5)
    assert one["losses"][0, 0] != one["losses"][-1, 0]


def test_two_processes_end_with_the_same_bits_and_near_one(ranks, one):
    first, second = ranks
    keys = [key for key in one if key.startswith("weights.")]
    assert len(keys) > 20
    for key in keys:
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], one[key], rtol=1e-3, atol=1e-5, msg=key)


def test_alone_nothing_is_shared(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as me:
        assert (me, me.first) == (ALONE, True)
        rows = two_processes.rows()
        assert gather(rows) is rows
        assert average(rows, me) is rows
        norm = nn.Sequential(nn.BatchNorm1d(5))
        share_batch_norms(norm, me)
        assert type(norm[0]) is nn.BatchNorm1d
    assert not Process(1, 2, torch.device("cpu")).first


def test_an_empty_world_size_is_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "")
    with join_processes("cpu") as process:
        assert process == ALONE


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is '2': RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set; .*torchrun",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "1"},
            "'2': MASTER_ADDR not set; .*torchrun",
        ),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many': expected the number of processes; .*unset WORLD_SIZE"),
        (
            {"WORLD_SIZE": "2", "RANK": "x", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "y"},
            "'2': RANK is 'x', MASTER_PORT is 'y', expected a number; .*torchrun",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "'2': RANK is '2', expected a number below it; .*torchrun",
        ),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0': expected the number of processes"),
    ],
)
def test_incomplete_variables_of_torchrun_are_named(monkeypatch, variables, message):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PasserbyError, match=message), join_processes("cpu"):
        pass


def test_replaced_batch_norms_keep_values_types_and_names():
    """Oracle: the state of the network before. No process group is needed to replace them."""
    network = nn.Sequential(nn.BatchNorm1d(5, eps=0.1, momentum=0.3, dtype=torch.float64), nn.BatchNorm2d(2)).eval()
    nn.init.normal_(network[0].running_mean)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    share_batch_norms(network, Process(0, 2, torch.device("cpu"), alone=False))
    assert [type(module) for module in network] == [GatheredBatchNorm1d, nn.BatchNorm2d]
    assert (network[0].eps, network[0].momentum, network[0].training) == (0.1, 0.3, False)
    assert network[0].weight.requires_grad
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["gpu", "cpu:3", "cpu:x", "cuda:", "cuda:-1", "meta", "mps:0", "CPU", "cpu\n", ""])
def test_a_name_that_is_no_device_is_refused(name):
    """torch takes cpu:3 for the CPU, and meta for a device without numbers."""
    with pytest.raises(PasserbyError, match=r"^device: got '.*', expected auto, cpu, cuda, cuda:0 or mps$"):
        pick_device(name)
    with pytest.raises(PasserbyError, match=r"^device: got '.*', expected auto, cpu, cuda, cuda:0 or mps$"):
        passerby.load("default", device=name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has the device")
@pytest.mark.parametrize("name", ["cuda:99", "mps"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(PasserbyError, match=rf"device '{name}': .*; use auto, cpu, cuda, cuda:0 or mps") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)
    assert "opengl" not in str(caught.value)


def test_auto_is_a_device_that_works():
    assert torch.zeros(1, device=pick_device()).item() == 0


def test_a_group_of_one_process_takes_the_steps_of_several():
    with join_processes("cpu", group=True) as process:
        assert (process.rank, process.world, process.alone) == (0, 1, False)
        rows = torch.ones(2, 3, requires_grad=True)
        gather(rows).sum().backward()
        assert average(torch.tensor(2.0), process) == 2
    assert torch.equal(rows.grad, torch.ones(2, 3))
    assert not torch.distributed.is_initialized()


def test_processes_that_cannot_connect_end_with_one_message(monkeypatch):
    """The stale address of a worker that torchrun has replaced, as gloo reports it."""

    def refuse(*_, **__):
        raise RuntimeError("Gloo connectFullMesh failed with timed out connecting\nremote=[127.0.0.1]:37300")

    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr("torch.distributed.init_process_group", refuse)
    message = (
        r"the 2 processes of torchrun cannot connect to each other \(Gloo connectFullMesh .* connecting\); check .*=1"
    )
    with pytest.raises(PasserbyError, match=message), join_processes("cpu"):
        pass
