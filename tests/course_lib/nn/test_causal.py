import pytest
import torch
import torch.nn.functional as F

from course_lib.nn import EnlargingConv2d, MaskedConv2d, ShiftedConv2d


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_masked_convolution_is_that_of_the_full_square_with_the_rows_below_at_0(kind, k):
    p = k // 2
    conv = MaskedConv2d(kind, [0, 1, 2], [0, 1, 2, 2], above=p, left=p, right=p).double()
    weight = torch.zeros(4, 3, k, k, dtype=torch.float64)
    for o, of_output in enumerate([0, 1, 2, 2]):
        for i in range(3):
            for row in range(k):
                for column in range(k):
                    own = i < of_output or kind == "B" and i == of_output
                    if row < p or row == p and (column < p or column == p and own):
                        weight[o, i, row, column] = conv.weight[o, i, row, column]
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(conv(x), F.conv2d(x, weight, conv.bias, padding=p))


def test_masked_weights_keep_their_values_and_get_no_gradient():
    conv = MaskedConv2d("A", [0, 1], [0, 1], above=1, left=1, right=1)
    weight = conv.weight.detach().clone()
    conv(torch.randn(2, 2, 4, 4)).square().sum().backward()
    assert torch.equal(conv.weight, weight)
    assert not conv.weight.grad[~conv.mask].any() and conv.weight.grad[conv.mask].all()


def test_there_are_two_masks():
    with pytest.raises(ValueError, match="kind must be 'A' or 'B'; got 'C'"):
        MaskedConv2d("C", [0], [0])


def test_a_layer_prints_what_it_reads():
    assert repr(MaskedConv2d("B", [0, 1], [0, 1, 1])) == "MaskedConv2d('B', 2, 3, above=0, left=0, right=0, colours=2)"
    assert repr(ShiftedConv2d(1, 4, left=1, stride=2)) == "ShiftedConv2d(1, 4, above=0, left=1, right=0, stride=2)"
    assert repr(EnlargingConv2d(1, 4, (5, 6), right=1)) == "EnlargingConv2d(1, 4, size=(5, 6), right=1)"
