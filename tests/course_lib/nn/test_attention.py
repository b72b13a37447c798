import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.nn import AttentionSteps, CausalSelfAttention, causal_masks, fixed_masks, strided_masks

PATTERNS = {
    "causal": lambda D, stride: causal_masks(D),
    "strided": strided_masks,
    "fixed": fixed_masks,
}
SIZES = [(1, 1), (1, 4), (2, 1), (5, 1), (4, 2), (6, 3), (7, 3), (10, 4), (5, 5), (4, 9), (64, 8), (30, 7)]


def head_reads(kind: str, head: int, i: int, stride: int) -> set[int]:
    """The sets A_i of section 4.3, without positions after i."""
    match kind, head:
        case "causal", _:
            return set(range(i + 1))
        case "strided", 0:
            return set(range(max(0, i - stride), i + 1))
        case "strided", 1:
            return {j for j in range(i + 1) if (i - j) % stride == 0}
        case "fixed", 0:
            return {j for j in range(i + 1) if j // stride == i // stride}
        case "fixed", 1:
            return {j for j in range(i + 1) if j % stride == stride - 1}


@pytest.mark.parametrize("D, stride", SIZES)
@pytest.mark.parametrize("kind", PATTERNS)
def test_each_head_reads_the_sets_of_the_paper(kind, D, stride):
    masks = PATTERNS[kind](D, stride)
    assert masks.dtype == torch.bool and masks.shape == (2, D, D)
    for head, mask in enumerate(masks):
        for i, row in enumerate(mask):
            assert set(row.nonzero().flatten().tolist()) == head_reads(kind, head, i, stride)


@pytest.mark.parametrize("D, stride", SIZES)
@pytest.mark.parametrize("kind", ["strided", "fixed"])
def test_two_layers_reach_everything_at_the_stated_cost(kind, D, stride):
    masks = PATTERNS[kind](D, stride).double()
    either = masks.amax(0)
    assert torch.equal(either @ either > 0, causal_masks(D)[0])
    reads = masks.sum((0, 2)).max()
    assert reads <= (stride + 1 + math.ceil(D / stride) if kind == "strided" else stride + D / stride)


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_number_below_one_is_refused(kind):
    with pytest.raises(ValueError, match="D and stride must be at least 1; got D = 0"):
        PATTERNS[kind](0, 2)
    if kind != "causal":
        with pytest.raises(ValueError, match="got D = 3, stride = 0"):
            PATTERNS[kind](3, 0)


def reaches(layers, D: int) -> torch.Tensor:
    """Whether output i of the layers, one after the other, changes with input j: (D, D) bool, by gradients."""

    def outputs(x):
        for layer in layers:
            x = layer(x[None])[0]
        return x

    jacobian = torch.autograd.functional.jacobian(outputs, torch.randn(D, 8, dtype=torch.float64))
    return jacobian.abs().sum((1, 3)) > 0


@pytest.mark.parametrize("D, stride", [(1, 1), (6, 2), (9, 3), (10, 4), (5, 1), (4, 7)])
@pytest.mark.parametrize("kind", PATTERNS)
def test_a_layer_reads_what_its_masks_say_and_two_layers_everything_earlier(kind, D, stride):
    masks = PATTERNS[kind](D, stride)
    layers = [CausalSelfAttention(8, masks).double() for _ in range(2)]
    assert torch.equal(reaches(layers[:1], D), masks.any(0))
    assert torch.equal(reaches(layers, D), causal_masks(D)[0])


@pytest.mark.parametrize("kind", PATTERNS)
def test_with_inputs_shifted_by_one_no_output_reads_its_own_position(kind):
    layer = CausalSelfAttention(8, PATTERNS[kind](7, 3)).double()
    reads = reaches([lambda x: layer(F.pad(x[:, :-1], (0, 0, 1, 0)))], 7)
    assert not reads.triu().any() and reads.diagonal(-1).all()


def test_the_layer_is_torchs_attention_also_where_a_head_reads_nothing():
    """Outputs and gradients."""
    masks = fixed_masks(10, 4).repeat(2, 1, 1)
    layer = CausalSelfAttention(12, masks).double()
    x = torch.randn(3, 10, 12, dtype=torch.float64, requires_grad=True)
    q, k, v = (part.view(3, 10, 4, 3).transpose(1, 2) for part in layer.heads_in(x).chunk(3, 2))
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=masks)
    expected = layer.heads_out(heads.transpose(1, 2).reshape(3, 10, 12))
    torch.testing.assert_close(layer(x), expected)
    wrt = [x, *layer.parameters()]
    for got, want in zip(*(torch.autograd.grad(y.sin().sum(), wrt) for y in (layer(x), expected)), strict=True):
        assert got.isfinite().all() and got.any()
        torch.testing.assert_close(got, want)


def test_each_head_has_its_own_mask():
    """A head that reads its own position only passes its value on, whatever the other heads do."""
    masks = torch.stack([torch.eye(5, dtype=torch.bool), *causal_masks(5)])
    layer = CausalSelfAttention(6, masks).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    q, k, v = layer.project(x)
    layer.heads_out = torch.nn.Identity()
    torch.testing.assert_close(layer(x)[:, :, :2], v[:, 0])
    scores = torch.einsum("nf,njf->nj", q[:, 1, 1], k[:, 1, :2]) / math.sqrt(2)
    torch.testing.assert_close(layer(x)[:, 1, 2:4], torch.einsum("nj,njf->nf", scores.softmax(1), v[:, 1, :2]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("D, stride", [(1, 1), (7, 3), (16, 4)])
@pytest.mark.parametrize("kind", PATTERNS)
def test_position_by_position_is_the_whole_pass(kind, D, stride, dtype):
    layer = CausalSelfAttention(8, PATTERNS[kind](D, stride)).to(dtype)
    x = torch.randn(3, D, 8, dtype=dtype)
    steps = AttentionSteps(layer, 3)
    found = torch.stack([steps(position) for position in x.unbind(1)], 1)
    assert found.dtype == dtype and not found.requires_grad
    rounding = dict(atol=0.01, rtol=0.02) if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found, layer(x).detach(), **rounding)


def test_a_beginning_of_the_sequence_has_the_same_outputs():
    layer = CausalSelfAttention(8, strided_masks(9, 3)).double()
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    for length in (1, 4, 9):
        torch.testing.assert_close(layer(x[:, :length]), layer(x)[:, :length])


@pytest.mark.parametrize("kind", PATTERNS)
def test_mixed_precision_is_close_and_does_not_leak(kind):
    layer = CausalSelfAttention(16, PATTERNS[kind](12, 4))
    x = torch.randn(2, 12, 16)
    later = x.clone()
    later[:, 6:] = 100.0
    steps = AttentionSteps(layer, 2)
    with torch.autocast("cpu", torch.bfloat16):
        got, got_later = layer(x), layer(later)
        stepped = torch.stack([steps(position) for position in x.unbind(1)], 1)
    assert torch.equal(got[:, :6], got_later[:, :6])
    torch.testing.assert_close(got.float(), layer(x), atol=0.03, rtol=0.03)
    torch.testing.assert_close(stepped.float(), layer(x).detach(), atol=0.03, rtol=0.03)


def test_large_scores_stay_finite():
    layer = CausalSelfAttention(8, fixed_masks(6, 3))
    x = (1e4 * torch.randn(2, 6, 8)).requires_grad_()
    layer(x).sum().backward()
    assert x.grad.isfinite().all()


def test_the_masks_are_not_saved():
    assert set(CausalSelfAttention(4, causal_masks(3)).state_dict()) == {
        f"{layer}.{parameter}" for layer in ("heads_in", "heads_out") for parameter in ("weight", "bias")
    }


@pytest.mark.parametrize(
    "features, masks, message",
    [
        (4, torch.ones(2, 3, 3).tril(), r"bool of shape \(heads, D, D\); got torch.float32, \(2, 3, 3\)"),
        (4, causal_masks(3)[0], r"bool of shape \(heads, D, D\); got torch.bool, \(3, 3\)"),
        (4, causal_masks(3)[:0], r"bool of shape \(heads, D, D\); got torch.bool, \(0, 3, 3\)"),
        (4, causal_masks(3)[:, :2], r"bool of shape \(heads, D, D\); got torch.bool, \(2, 2, 3\)"),
        (4, torch.ones(2, 3, 3, dtype=torch.bool), "causal; in head 0 position 0 reads position 1"),
        (5, causal_masks(3), "positive multiple of the 2 heads; got 5"),
        (0, causal_masks(3), "positive multiple of the 2 heads; got 0"),
    ],
)
def test_impossible_layers_are_refused(features, masks, message):
    with pytest.raises(ValueError, match=message):
        CausalSelfAttention(features, masks)


def test_too_many_positions_are_refused():
    layer = CausalSelfAttention(4, causal_masks(3))
    with pytest.raises(ValueError, match="at most 3 positions; got 4"):
        layer(torch.zeros(1, 4, 4))
    steps = AttentionSteps(layer, 1)
    for _ in range(3):
        steps(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="all 3 positions are known already"):
        steps(torch.zeros(1, 4))
