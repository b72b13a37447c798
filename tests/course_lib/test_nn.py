import pytest
import torch

from course_lib.nn import MaskedLinear


def test_masked_entries_have_no_effect_and_keep_their_values():
    mask = torch.tensor([[True, False, True], [False, False, True]])
    layer = MaskedLinear(mask)
    weight = layer.weight.detach().clone()
    x = torch.randn(5, 3)
    expected = x @ torch.where(mask, weight, 0.0).T + layer.bias
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.weight.grad != 0, mask)


def test_the_mask_travels_with_the_weights():
    layer, other = MaskedLinear(torch.tensor([[True, False]])), MaskedLinear(torch.tensor([[False, True]]))
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2)
    assert torch.equal(layer(x), other(x))


@pytest.mark.parametrize("mask", [torch.ones(2, 2), torch.ones(2, dtype=torch.bool)])
def test_another_kind_of_mask_is_refused(mask):
    with pytest.raises(ValueError, match="bool matrix"):
        MaskedLinear(mask)
