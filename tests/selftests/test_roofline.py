"""Work of a step and its bound. Oracles: operations counted by hand."""

import pytest
import torch

from passerby.selftests.roofline import DeviceRates, StepWork, count_work, measure_rates


def test_a_product_and_its_gradient_are_counted():
    weight = torch.ones(8, 4, requires_grad=True)
    rows = torch.ones(2, 8)
    work = count_work(lambda: (rows @ weight).sum().backward())
    assert work.flops == 2 * (2 * 8 * 4) * 2  # forward, and the gradient of the weight
    assert work.saved == rows.numel() * 4  # the weight is a parameter's memory in a network, here a leaf tensor
    assert ((torch.float32, 128, 4 * (16 + 32 + 8)) in work.operations) is True


def test_views_are_no_work():
    rows = torch.ones(4, 6)
    assert count_work(lambda: rows.view(2, 12).transpose(0, 1)[1:]).operations == []


def test_an_operation_takes_the_longer_of_arithmetic_and_traffic():
    work = StepWork([(torch.float32, 1000, 10), (torch.float32, 0, 400), (torch.bfloat16, 1000, 10)])
    rates = DeviceRates({torch.float32: 100.0, torch.bfloat16: 200.0}, bytes=100.0)
    assert work.least_seconds(rates) == pytest.approx(10 + 4 + 5)


def test_rates_are_positive():
    rates = measure_rates(torch.device("cpu"), side=16, kinds=(torch.float32,))
    assert rates.flops[torch.float32] > 0
    assert rates.bytes > 0
