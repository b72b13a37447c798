import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.coding import TOTAL, compress, cumulative_counts, decode, decompress, encode
from course_lib.models import FVBN, MADEEnsemble
from course_lib.models.base import AutoregressiveModel


class SixteenLevels(AutoregressiveModel):
    """Each dimension's softmax reads the dimensions before it: a tiny model with K > 2 and an image's shape."""

    def __init__(self):
        super().__init__((1, 2, 3), levels=16, order=[3, 0, 5, 1, 4, 2])
        generator = torch.Generator().manual_seed(0)
        step = self.order.argsort()
        self.weight = torch.nn.Parameter(torch.randn(16, 6, 6, generator=generator))
        self.register_buffer("mask", step[:, None] > step[None, :])

    def forward(self, x):
        logits = torch.einsum("kij,bj->bki", self.weight * self.mask, x.flatten(1).to(self.weight.dtype) / 8)
        return logits.view(len(x), 16, *self.event_shape)


def random_fvbn(D: int, scale: float = 1.0) -> FVBN:
    model = FVBN(D, order=torch.randperm(D, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return model


@st.composite
def messages(draw):
    """Symbols with a table of probabilities for each, from uniform to so skewed that they reach 1e-9 and 0."""
    levels, n = draw(st.integers(1, 12)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exponents = rng.uniform(-draw(st.sampled_from([0, 1, 9])), 0, (n, levels))
    p = 10.0**exponents * (rng.random((n, levels)) < draw(st.sampled_from([0.5, 1.0])))
    p[:, 0] += 1e-12
    p /= p.sum(1, keepdims=True)
    likely = [int(rng.choice(levels, p=row)) for row in p]
    symbols = draw(st.sampled_from([likely, rng.integers(0, levels, n).tolist()]))
    return symbols, p


@given(messages())
def test_a_message_comes_back_and_is_as_short_as_its_symbols_are_probable(message):
    symbols, p = message
    data = encode(symbols, lambda prefix: p[len(prefix)])
    assert decode(data, lambda prefix: p[len(prefix)], len(symbols)) == symbols
    counts = np.diff(cumulative_counts(p))[np.arange(len(symbols)), symbols]
    bits = -np.log2(counts / TOTAL).sum()
    rounding = -np.log2(1 - 1 / (64 * counts)).sum()
    assert 8 * (len(data) - 4) <= bits + rounding + 2 + 7 + 1e-6


@given(messages())
def test_whole_counts_cost_no_more_than_stated(message):
    _, p = message
    counts = np.diff(cumulative_counts(p))
    assert np.all(counts >= 1) and np.all(counts.sum(-1) == TOTAL)
    assert np.all(counts >= p * (TOTAL - p.shape[-1]))


def test_a_long_run_of_bits_that_stay_uncertain_comes_back():
    symbols = [1] * 3000  # the middle third, again and again: the interval closes in on 1/2 from both sides
    thirds = np.full(3, 1 / 3)
    data = encode(symbols, lambda prefix: thirds)
    assert decode(data, lambda prefix: thirds, 3000) == symbols
    assert len(data) - 4 == math.ceil(3000 * math.log2(3) / 8)


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [0.5, math.nan], []])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(ValueError, match="expected probabilities"):
        encode([0], lambda prefix: np.array(p))


@pytest.mark.parametrize("symbol", [-1, 2])
def test_a_symbol_out_of_range_is_refused(symbol):
    with pytest.raises(ValueError, match=f"symbol 1 is {symbol}; expected 0..1"):
        encode([0, symbol], lambda prefix: np.array([0.5, 0.5]))


@given(st.data())
def test_damage_is_found(data):
    coin = np.array([0.9, 0.1])
    symbols = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=100))
    message = encode(symbols, lambda prefix: coin)
    damaged = data.draw(
        st.one_of(
            st.integers(0, len(message) - 1).map(lambda length: message[:length]),
            st.binary(min_size=1, max_size=20).map(lambda more: message + more),
            st.tuples(st.integers(0, len(message) - 1), st.integers(1, 255)).map(
                lambda change: bytes(b ^ change[1] * (i == change[0]) for i, b in enumerate(message))
            ),
            st.binary(max_size=200).filter(lambda other: other != message),
        )
    )
    with pytest.raises(ValueError, match="checksum"):
        decode(damaged, lambda prefix: coin, len(symbols))


def test_another_number_of_symbols_or_another_distribution_is_found():
    message = encode([0, 1, 1, 0], lambda prefix: np.array([0.5, 0.5]))
    for n, p in ((3, [0.5, 0.5]), (5, [0.5, 0.5]), (4, [0.1, 0.9])):
        with pytest.raises(ValueError, match="checksum"):
            decode(message, lambda prefix, p=p: np.array(p), n)


@pytest.mark.parametrize("model", [random_fvbn(20), random_fvbn(20, scale=6.0), SixteenLevels()])
def test_a_file_is_as_long_as_the_negative_log_likelihood(model):
    x = model.sample(200, generator=torch.Generator().manual_seed(3))
    data = compress(model, x)
    assert torch.equal(decompress(model, data, 200), x)
    exact_bytes = -model.double().log_prob(x).sum().item() / (8 * math.log(2))
    assert exact_bytes - 1 < len(data) - 4 < exact_bytes + 4


def test_compression_leaves_the_model_as_it_was():
    model = random_fvbn(6).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compress(model, torch.zeros(2, 6, dtype=torch.int64))
    assert model.training
    assert all(
        tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
        for name, tensor in model.state_dict().items()
    )


def test_another_model_is_found():
    x = FVBN(8).sample(5, generator=torch.Generator().manual_seed(4))
    data = compress(random_fvbn(8), x)
    with pytest.raises(ValueError, match="checksum"):
        decompress(FVBN(8), data, 5)


def test_images_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="shape"):
        compress(FVBN(8), torch.zeros(5, 9, dtype=torch.int64))


def test_a_mixture_codes_no_images():
    ensemble = MADEEnsemble(4, [5], masks=2)
    with pytest.raises(
        ValueError, match="a product of conditionals, .*; got MADEEnsemble. Of a mixture, take one member"
    ):
        compress(ensemble, torch.zeros(3, 4).long())
    x = torch.randint(2, (3, 4))
    assert torch.equal(decompress(ensemble.member(1), compress(ensemble.member(1), x), 3), x)
