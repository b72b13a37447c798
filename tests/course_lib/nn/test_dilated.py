"""Dilated causal convolutions against their definition, and step by step."""

import pytest
import torch

from course_lib.nn import CausalConv1d, RingSteps

SIZES = pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (2, 4), (3, 1), (3, 2), (4, 3)])


def layer_and_input(kernel, dilation, T=23):
    generator = torch.Generator().manual_seed(0)
    conv = CausalConv1d(3, 4, kernel=kernel, dilation=dilation).double()
    return conv, torch.randn(5, 3, T, dtype=torch.float64, generator=generator)


@SIZES
def test_an_output_is_a_sum_over_steps_that_lie_apart(kernel, dilation):
    conv, x = layer_and_input(kernel, dilation)
    y = conv(x)
    for t in range(x.shape[2]):
        expected = conv.bias.expand(5, -1)
        for j in range(kernel):
            if (earlier := t - (kernel - 1 - j) * dilation) >= 0:
                expected = expected + x[:, :, earlier] @ conv.weight[:, :, j].t()
        torch.testing.assert_close(y[:, :, t], expected)


@SIZES
def test_steps_equal_the_convolution(kernel, dilation):
    conv, x = layer_and_input(kernel, dilation)
    for _ in range(2):
        steps = RingSteps(conv, n=5)
        y = torch.stack([steps(step) for step in x.unbind(2)], 2)
        torch.testing.assert_close(y, conv(x), rtol=1e-12, atol=1e-12)
        conv.weight.data.normal_()


def test_an_offset_takes_the_place_of_the_bias():
    conv, x = layer_and_input(2, 2)
    offsets = torch.randn(23, 5, 4, dtype=torch.float64)
    steps = RingSteps(conv, n=5)
    y = torch.stack([steps(step, offset) for step, offset in zip(x.unbind(2), offsets, strict=True)], 2)
    torch.testing.assert_close(y, conv(x) - conv.bias[:, None] + offsets.permute(1, 2, 0))
    steps = RingSteps(conv, n=5)
    first = steps(x[:, :, 0], offsets[0, :1])
    torch.testing.assert_close(first, steps.rows[0] @ steps.weights[0] + offsets[0, :1])


def test_a_step_leaves_its_input_and_needs_no_gradient():
    conv, x = layer_and_input(2, 1, T=3)
    steps, kept = RingSteps(conv, n=5), x.clone()
    for step in x.unbind(2):
        assert not steps(step).requires_grad
    assert torch.equal(x, kept)
