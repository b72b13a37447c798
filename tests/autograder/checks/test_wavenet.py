"""Messages of lesson 06's checks name the slip where the result shows it."""

import pytest
import torch

from autograder.checks.wavenet import causal_conv, ring_step
from banks import all_banks

BANK = next(bank for bank in all_banks() if bank.lesson == "wavenet")


def convolved(x, w, dilation):
    return torch.conv1d(torch.nn.functional.pad(x, ((w.shape[2] - 1) * dilation, 0)), w, dilation=dilation)


@pytest.mark.parametrize(
    "answer, slip",
    [
        (lambda x, w, d: convolved(x, w.flip(2), d), "taps in reversed order"),
        (lambda x, w, d: torch.nn.functional.pad(convolved(x, w, d), (1, -1)), "taps one step too far back"),
        (lambda x, w, d: convolved(x, w, 1), "taps next to one another"),
    ],
)
def test_a_convolution_with_its_taps_elsewhere(answer, slip):
    report = causal_conv.run(answer)
    assert "taps" in report.failed and slip in str(report)


def test_a_buffer_that_is_written_too_early():
    right = BANK.of("ring_step", right=True)[0].function

    def early(state, x, t, w, dilation):
        state[:, :, t % state.shape[2]] = x
        return right(state, x, t, w, dilation)

    assert "if x is in place 0 before that place is read" in str(ring_step.run(early))
