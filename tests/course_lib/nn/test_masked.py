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


def test_a_mask_need_not_be_saved():
    layer = MaskedLinear(torch.tensor([[True, False]]), save_mask=False)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.to(torch.float64).masked_weight().dtype == torch.float64


def test_the_mask_holds_numbers_of_the_weights_dtype_and_a_saved_bool_mask_is_converted():
    """A product with a bool mask would convert it in every call."""
    mask, other = torch.tensor([[True, False]]), torch.tensor([[False, True]])
    layer = MaskedLinear(mask)
    assert layer.mask.dtype == layer.with_mask(other).mask.dtype == torch.float32
    layer.to(torch.bfloat16)
    assert layer.mask.dtype == layer.with_mask(other).mask.dtype == torch.bfloat16
    layer.load_state_dict({**layer.state_dict(), "mask": other})
    assert layer.mask.tolist() == [[0.0, 1.0]] and layer.mask.dtype == torch.bfloat16


def test_another_mask_shares_weight_and_bias():
    layer = MaskedLinear(torch.tensor([[True, False]]))
    other, x = layer.with_mask(torch.tensor([[False, True]])), torch.randn(4, 2)
    assert other.weight is layer.weight and other.bias is layer.bias
    assert torch.equal(layer(x), x[:, :1] @ layer.weight[:, :1].T + layer.bias)
    assert torch.equal(other(x), x[:, 1:] @ layer.weight[:, 1:].T + layer.bias)


@pytest.mark.parametrize("mask", [torch.ones(2, 2), torch.ones(2, dtype=torch.bool)])
def test_another_kind_of_mask_is_refused(mask):
    with pytest.raises(ValueError, match="bool matrix"):
        MaskedLinear(mask)
