"""The check of `degrees` names the rule that narrow layers break."""

import pytest
import torch

from autograder.checks.made_masks import degrees


def from_the_lowest(D, widths, order, seed):
    """A layer narrower than D - 1 lacks the highest degrees."""
    return [order.argsort() + 1, *(torch.arange(width) % (D - 1) + 1 for width in widths)]


def from_the_highest(D, widths, order, seed):
    """A wide layer above a narrow one has degrees that find nothing to read."""
    return [order.argsort() + 1, *(D - 1 - torch.arange(width) % (D - 1) for width in widths)]


@pytest.mark.parametrize(
    "answer, rule",
    [
        (from_the_lowest, "every input but the last in the ordering should have a path to the last output"),
        (from_the_highest, "every hidden unit should have a path from an input and a path to an output"),
    ],
)
def test_the_message_for_narrow_layers_names_its_rule(answer, rule):
    report = degrees.run(answer)
    assert report.failed == {"narrow layers"}
    assert rule in str(report)
