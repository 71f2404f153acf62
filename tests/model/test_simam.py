import math

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.model.simam import AttendedBlock, SimAM, simam


def naive(x, lambda_=1e-4):
    """Oracle: the closed form of the paper's equations 3 to 6, one position at a time, in Python's float64."""
    out = torch.empty_like(x, dtype=torch.float64)
    for b, c in torch.cartesian_prod(torch.arange(x.shape[0]), torch.arange(x.shape[1])):
        values = x[b, c].flatten().tolist()
        mu = math.fsum(values) / len(values)
        d = [(value - mu) ** 2 for value in values]
        v = math.fsum(d) / max(len(values) - 1, 1)
        weighed = [
            value / (1 + math.exp(-(di / (4 * (v + lambda_)) + 0.5))) for value, di in zip(values, d, strict=True)
        ]
        out[b, c] = torch.tensor(weighed, dtype=torch.float64).reshape(x.shape[2:])
    return out


@settings(max_examples=25)
@given(
    shape=st.tuples(*(st.integers(1, 6) for _ in range(4))),
    scale=st.sampled_from([1e-4, 0.1, 1.0]),
    lambda_=st.sampled_from([1e-6, 1e-4, 0.5]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_closed_form_to_1e_6_in_float32(shape, scale, lambda_, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale
    expected = naive(x, lambda_)
    for given_ in (x, x.clone().requires_grad_()):  # without and with a graph are two ways through the code
        assert (simam(given_, lambda_).detach() - expected).abs().max() < 1e-6


def test_a_map_worked_by_hand():
    # values 0, 0, 0, 4: mu 1, d 1, 1, 1, 9, v 12 / 3 = 4; with lambda 0.5: 4 / (1 + e^-(9 / 18 + 1/2))
    x = torch.tensor([[[[0.0, 0.0], [0.0, 4.0]]]])
    assert simam(x, 0.5).flatten().tolist() == pytest.approx([0, 0, 0, 4 / (1 + math.exp(-1))], abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 4, 2)])
def test_one_position_and_a_constant_map_keep_their_value_times_sigmoid_of_a_half(shape):
    x = torch.full(shape, 3.0, requires_grad=True)
    y = simam(x)
    y.sum().backward()
    half = 1 / (1 + math.exp(-0.5))
    torch.testing.assert_close(y, torch.full(shape, 3 * half))
    torch.testing.assert_close(x.grad, torch.full(shape, half))


def test_gradient_is_that_of_finite_differences():
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for lambda_ in (1e-4, 0.3):
        assert torch.autograd.gradcheck(lambda t, lambda_=lambda_: simam(t, lambda_), x)
    single = torch.randn(2, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(simam, single)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e4])
def test_half_precision_is_finite_and_near_float32(dtype, scale):
    x = (torch.randn(2, 3, 8, 4, generator=torch.Generator().manual_seed(0)).clamp(-2, 2) * scale).to(dtype)
    graph = x.clone().requires_grad_()
    y = simam(graph)
    y.backward(torch.ones_like(y))
    assert y.dtype == graph.grad.dtype == dtype
    assert graph.grad.isfinite().all()
    torch.testing.assert_close(y.detach().double(), naive(x.double()), rtol=1e-2, atol=1e-2 * scale)


def test_memory_layout_is_kept():
    x = torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    assert simam(x).is_contiguous(memory_format=torch.channels_last)
    assert simam(x.requires_grad_()).is_contiguous(memory_format=torch.channels_last)


def test_the_graph_keeps_nothing_but_the_input():
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda _: None):
        simam(x)
    assert kept == [x.data_ptr()]


def test_the_module_has_no_state():
    module = SimAM(0.5)
    x = torch.randn(1, 2, 3, 3)
    assert not module.state_dict()
    assert torch.equal(module(x), simam(x, 0.5))
    assert "0.5" in repr(module)


@pytest.mark.parametrize("backbone", ["convnext_atto", "convnext_zepto_rms", "convnext_tiny", "convnextv2_atto"])
@pytest.mark.parametrize("position", ["depthwise", "block"])
def test_attended_block_is_timms_block_with_simam_at_one_place(backbone, position):
    """Oracle: timm's own block, with a hook that weighs what the depthwise convolution or the MLP puts out."""
    block = timm.create_model(backbone, num_classes=0).stages[1].blocks[0].eval()
    if block.gamma is not None:
        torch.nn.init.ones_(block.gamma)
    x = torch.randn(2, block.conv_dw.in_channels, 6, 4)
    attended = AttendedBlock(block, position=position)
    assert attended.state_dict().keys() == block.state_dict().keys()

    def weigh(_module, _inputs, y):
        as_map = position == "depthwise" or block.use_conv_mlp
        return simam(y) if as_map else simam(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    plain = block(x)
    actual = attended(x)
    (block.conv_dw if position == "depthwise" else block.mlp).register_forward_hook(weigh)
    torch.testing.assert_close(actual, block(x))
    assert not torch.allclose(actual, plain)
