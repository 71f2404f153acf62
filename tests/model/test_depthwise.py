"""Oracle: torch's own convolution and its autograd; finite differences (gradcheck)."""

from __future__ import annotations

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from passerby.model.backbone import build_backbone
from passerby.model.depthwise import DepthwiseConv2d, replace_depthwise_convolutions, weight_gradient

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))  # N, C, H, W


def pair(channels: int, size: int, *, bias: bool = True, dtype: torch.dtype = torch.float64) -> tuple[nn.Conv2d, ...]:
    """Torch's convolution and ours with the same weights."""
    theirs = nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels, bias=bias)
    ours = DepthwiseConv2d(channels, size, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    return theirs.to(dtype), ours.to(dtype)


def gradients(conv: nn.Module, x: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    """The result, and what flows back to input and parameters for dL/d(result) = `slope`."""
    x = x.clone().requires_grad_()
    result = conv(x)
    result.backward(slope)
    found = [x.grad, *(parameter.grad for parameter in conv.parameters())]
    return [result.detach(), *(each for each in found if each is not None)]


@given(
    shape=SHAPES,
    size=st.sampled_from([3, 5, 7]),
    bias=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    seed=st.integers(0, 99),
)
def test_result_and_gradients_are_torchs(
    shape: tuple[int, ...], size: int, bias: bool, layout: torch.memory_format, seed: int
) -> None:
    torch.manual_seed(seed)
    theirs, ours = pair(shape[1], size, bias=bias)
    x, slope = (torch.randn(shape, dtype=torch.float64).contiguous(memory_format=layout) for _ in range(2))
    expected, found = gradients(theirs, x, slope), gradients(ours, x, slope)
    assert len(expected) == 3 + bias
    torch.testing.assert_close(found, expected)


def test_finite_differences_agree() -> None:
    torch.manual_seed(0)
    _, ours = pair(3, 3)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)

    def result(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(result, (x, ours.weight, ours.bias))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_sum_does_not_depend_on_the_threads(threads: int) -> None:
    x, slope = torch.randn(5, 4, 6, 6, dtype=torch.float64), torch.randn(5, 4, 6, 6, dtype=torch.float64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = weight_gradient(x, slope, 7)
        torch.set_num_threads(threads)
        torch.testing.assert_close(weight_gradient(x, slope, 7), alone)
    finally:
        torch.set_num_threads(before)


def test_float32_is_as_near_to_float64_as_torchs_is() -> None:
    torch.manual_seed(0)
    x, slope = torch.randn(16, 8, 32, 16), torch.randn(16, 8, 32, 16)
    exact, ours = pair(8, 7)
    theirs, ours = pair(8, 7, dtype=torch.float32)
    exact.load_state_dict(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    truth = gradients(exact, x.double(), slope.double())
    for found, other, true in zip(gradients(ours, x, slope), gradients(theirs, x, slope), truth, strict=True):
        torch.testing.assert_close(found, other, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(found.double(), true, atol=1e-3, rtol=1e-4)


def test_bfloat16_learns_in_its_own_type_and_sums_in_float32() -> None:
    torch.manual_seed(0)
    exact, _ = pair(4, 7)
    ours = DepthwiseConv2d(4, 7)
    ours.load_state_dict(exact.state_dict())
    x, slope = torch.randn(8, 4, 8, 4).bfloat16().float(), torch.randn(8, 4, 8, 4).bfloat16().float()
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = ours(leaf)
    assert result.dtype == torch.bfloat16
    result.backward(slope.bfloat16())
    _, *truth = gradients(exact, x.double(), slope.double())
    for found, true in zip((leaf.grad, ours.weight.grad, ours.bias.grad), truth, strict=True):
        assert found is not None
        assert found.dtype == torch.float32
        assert (found - true).abs().max() < 0.02 * true.abs().max()


def test_a_frozen_weight_gets_no_gradient_and_the_input_still_does() -> None:
    theirs, ours = pair(4, 3)
    for conv in (theirs, ours):
        conv.weight.requires_grad_(False)
    x, slope = torch.randn(2, 4, 5, 5, dtype=torch.float64), torch.randn(2, 4, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(gradients(ours, x, slope), gradients(theirs, x, slope))
    assert ours.weight.grad is None


def test_without_gradients_it_is_torchs_convolution_to_the_bit() -> None:
    theirs, ours = pair(4, 7, dtype=torch.float32)
    x = torch.randn(2, 4, 9, 5)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


def test_only_equivalent_convolutions_are_replaced() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 4, 7, padding=3, groups=4),  # the one
        nn.Conv2d(4, 4, 7, padding=3, groups=2),
        nn.Conv2d(4, 8, 7, padding=3, groups=4),
        nn.Conv2d(4, 4, 7, padding=3, groups=4, stride=2),
        nn.Conv2d(4, 4, 7, padding=6, dilation=2, groups=4),
        nn.Conv2d(4, 4, 7, groups=4),
        nn.Conv2d(4, 4, 4, padding=2, groups=4),
        nn.Conv2d(4, 4, 7, padding=3, groups=4, padding_mode="reflect"),
        nn.Conv2d(1, 1, 7, padding=3),
    )
    before = dict(net.named_parameters())
    replace_depthwise_convolutions(net)
    assert [type(each) is DepthwiseConv2d for each in net] == [True] + [False] * 8
    assert all(parameter is before[name] for name, parameter in net.named_parameters())


def test_gradients_of_a_convnext_equal_timms() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("convnext_atto", num_classes=0, global_pool="")
    ours = build_backbone("convnext_atto", attention=False)
    ours.net.load_state_dict(theirs.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 32)
    theirs.forward_features(images).square().mean().backward()
    ours.before_norm(images).square().mean().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}
    found = {name: parameter.grad for name, parameter in ours.net.named_parameters() if parameter.grad is not None}
    assert sum(isinstance(each, DepthwiseConv2d) for each in ours.modules()) == 12
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()) + 1e-9)
