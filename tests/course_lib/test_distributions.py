import itertools
import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal

from course_lib.distributions import (
    below_one,
    bernoulli_log_prob,
    categorical_log_prob,
    cumulative,
    discretized_logistic_mixture_cumulative,
    discretized_logistic_mixture_invert,
    discretized_logistic_mixture_log_prob,
    invert,
    mixture_of_gaussians_cumulative,
    mixture_of_gaussians_invert,
    mixture_of_gaussians_log_prob,
    sub_pixel_chain,
)


def test_bernoulli_agrees_with_torch():
    logits = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.arange(50) % 2
    torch.testing.assert_close(bernoulli_log_prob(logits, x), Bernoulli(logits=logits).log_prob(x.double()))


def test_bernoulli_is_exact_far_out():
    logits = torch.tensor([1000.0, -1000.0, math.inf, -math.inf, math.inf], dtype=torch.float64)
    x = torch.tensor([0, 1, 1, 0, 0])
    assert bernoulli_log_prob(logits, x).tolist() == [-1000, -1000, 0, 0, -math.inf]
    finite = logits[:2].clone().requires_grad_()
    bernoulli_log_prob(finite, x[:2]).sum().backward()
    assert finite.grad.tolist() == [-1, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_categorical_agrees_with_torch_and_keeps_the_class_axis_first(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, 2, 3, dtype=torch.float64, generator=generator)
    x = torch.randint(5, (4, 2, 3), generator=generator)
    expected = Categorical(logits=logits.permute(0, 2, 3, 1)).log_prob(x)
    torch.testing.assert_close(categorical_log_prob(logits, x.to(dtype)), expected)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_every_level_gets_its_share_of_the_uniforms(levels):
    logits = torch.randn(levels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(0)
    if levels == 2:
        logits = logits[1] - logits[0]
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    x = invert(logits.expand(len(u), *logits.shape), u, levels)
    assert x.dtype == torch.int64
    assert (x.diff() >= 0).all()
    torch.testing.assert_close(torch.bincount(x, minlength=levels) / len(u), p.float(), atol=2e-5, rtol=0)


def test_the_ends_of_the_unit_interval_stay_in_range():
    u = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert invert(torch.zeros(2, 7), u, 7).tolist() == [0, 6]
    assert invert(torch.zeros(2), u, 2).tolist() == [0, 1]


def test_a_uniform_on_a_step_belongs_to_the_level_above():
    assert invert(torch.zeros(1), torch.tensor([0.5]), 2).item() == 1
    assert invert(torch.zeros(1, 4), torch.tensor([0.25]), 4).item() == 1


def test_certain_levels_are_never_missed():
    u = torch.linspace(0, 1 - 1e-7, 9)
    for logit, value in [(-math.inf, 0), (math.inf, 1)]:
        assert (invert(torch.full_like(u, logit), u, 2) == value).all()
    assert cumulative(torch.tensor(-math.inf), 2).tolist() == [1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_of_probability_zero_is_never_drawn(dtype):
    """The sums of these probabilities are rounded to less than 1: the last level would get what is missing."""
    logits = torch.randn(200, 999, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for impossible in (0, 500, 998):
        u = torch.full((200,), 1 - 2**-53 if impossible else 0.0, dtype=torch.float64)
        x = invert(logits.index_fill(1, torch.tensor(impossible), -math.inf), u, 999)
        assert categorical_log_prob(logits, x).isfinite().all() and (x != impossible).all()


@pytest.mark.parametrize("logits", [torch.tensor([-20.0]), torch.tensor([[0.0, 0.0, -19.0]])])
def test_a_level_too_rare_for_sums_in_float32_is_drawn(logits):
    """The sum of all other levels' probabilities is 1 in float32."""
    levels = 1 + logits.ndim
    rare = 1 - cumulative(logits.double(), levels)[..., -1]
    assert invert(logits, 1 - 1.01 * rare, levels).item() == levels - 2
    assert invert(logits, 1 - 0.99 * rare, levels).item() == levels - 1


# Half precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_half_precision_mean_the_same_as_in_float32(dtype):
    def random(*shape):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)

    n, K = 500, 256
    logits, bits, x = random(n, K), random(n), torch.arange(n) % K
    mixture = random(n, 3, 2, 3)
    mixture[:, 1] = (128 + 50 * mixture[:, 1]).clamp(-20, 280)
    one, real = mixture[..., 0], random(n)
    u = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    colours = torch.stack([x, (x * x) % K, (3 * x) % K], 1)
    for compute in (
        lambda number: bernoulli_log_prob(number(bits), x % 2),
        lambda number: categorical_log_prob(number(logits), x),
        lambda number: cumulative(number(bits), 2),
        lambda number: cumulative(number(logits), K),
        lambda number: invert(number(bits), u, 2),
        lambda number: invert(number(logits), u, K),
        lambda number: mixture_of_gaussians_log_prob(number(one), real.float()),
        lambda number: mixture_of_gaussians_cumulative(number(one), real.float()),
        lambda number: mixture_of_gaussians_invert(number(one), u),
        lambda number: discretized_logistic_mixture_log_prob(number(one), x, K),
        lambda number: discretized_logistic_mixture_cumulative(number(one), K),
        lambda number: discretized_logistic_mixture_invert(number(one), u, K),
        lambda number: sub_pixel_chain(number(mixture), number(mixture[:, 0].transpose(1, 2)), colours, K),
    ):
        ours, expected = compute(lambda parameters: parameters), compute(lambda parameters: parameters.float())
        assert ours.dtype == expected.dtype and torch.equal(ours, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_pixel_of_half_precision_that_is_rarely_on_is_rarely_on(dtype):
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    logit = torch.tensor(-6.9, dtype=dtype)
    assert invert(logit.expand(len(u)), u, 2).sum().item() == pytest.approx(1e5 * logit.double().sigmoid(), abs=1)


def random_mixture(*shape: int) -> torch.Tensor:
    """(*shape, 3, 5): five Gaussians, of very different widths."""
    return torch.randn(*shape, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_mixture_of_gaussians_agrees_with_torch():
    parameters = random_mixture(4, 2)
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    logits, mean, log_std = parameters.unbind(-2)
    expected = MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_std.exp()))
    log_p = mixture_of_gaussians_log_prob(parameters.permute(0, 2, 3, 1), x)
    torch.testing.assert_close(log_p, expected.log_prob(x))
    torch.testing.assert_close(mixture_of_gaussians_cumulative(parameters, x), expected.cdf(x))


@pytest.mark.parametrize("log_std", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("x", [0.0, 1.0, -1e6])
def test_a_mixture_of_gaussians_stays_finite(log_std, x):
    parameters = torch.tensor([[0.0, -1e4, 50.0], [0.0, 1.0, 2.0], [0.0, 0.0, log_std]], requires_grad=True)
    x = torch.tensor([[x]], requires_grad=True)
    log_p = mixture_of_gaussians_log_prob(parameters.view(1, 3, 3, 1), x)
    log_p.backward()
    assert log_p.isfinite().all() and parameters.grad.isfinite().all() and x.grad.isfinite().all()


def test_inverting_a_mixture_of_gaussians():
    parameters, u = random_mixture(), torch.linspace(0.001, 0.999, 101, dtype=torch.float64)
    x = mixture_of_gaussians_invert(parameters.expand(101, 3, 5), u)
    assert (x.diff() > 0).all()
    torch.testing.assert_close(mixture_of_gaussians_cumulative(parameters, x), u, atol=1e-13, rtol=0)


def test_small_probabilities_of_a_mixture_are_not_rounded_off():
    x = torch.tensor([-37.0, -8.0, -1.0], dtype=torch.float64)
    below = mixture_of_gaussians_cumulative(torch.zeros(3, 3, 2, dtype=torch.float64), x)
    torch.testing.assert_close(below, torch.special.log_ndtr(x).exp(), rtol=1e-12, atol=0)


def test_the_quantiles_of_one_gaussian():
    u = torch.tensor([0.0, 2.0**-54, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    x = mixture_of_gaussians_invert(torch.tensor([[0.0], [3.0], [math.log(2)]]).expand(4, 3, 1), u)
    torch.testing.assert_close(x, 3 + 2 * torch.special.ndtri(u.clamp_min(2.0**-54)))
    assert x.isfinite().all()


def test_a_uniform_that_float32_rounds_to_one_has_a_finite_quantile():
    below = 1 - torch.tensor([2.0**-53, 2.0**-26, 0.5], dtype=torch.float64)
    assert below_one(below, torch.float64).tolist() == below.tolist()
    assert below_one(below, torch.float32).tolist() == [1 - 2.0**-24, 1 - 2.0**-24, 0.5]
    assert mixture_of_gaussians_invert(torch.zeros(3, 3, 2), below.float()).isfinite().all()


def test_a_gap_between_two_gaussians_is_bridged():
    parameters = torch.tensor([[0.0, 0.0], [-1e3, 1e3], [-10.0, -10.0]], dtype=torch.float64)
    u = torch.tensor([0.25, 0.75], dtype=torch.float64)
    x = mixture_of_gaussians_invert(parameters.expand(2, 3, 2), u)
    torch.testing.assert_close(x, torch.tensor([-1e3, 1e3], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread, stds", [(1, (-1, 1)), (100, (-3, 1)), (1, (-9, 0)), (1e4, (-6, 2)), (0, (-2, 2))])
def test_quantiles_of_mixtures_of_every_kind(spread, stds, dtype):
    """Near each x is another where the cumulative probability lies on the other side of u, up to its rounding."""
    generator, n = torch.Generator().manual_seed(0), 2000
    logits, means = 3 * torch.randn(2, n, 10, generator=generator, dtype=torch.float64)
    log_stds = torch.empty(n, 10, dtype=torch.float64).uniform_(*stds, generator=generator)
    parameters = torch.stack([logits, spread * means, log_stds], 1).to(dtype)
    u = torch.rand(n, dtype=torch.float64, generator=generator)
    u[:100], u[100:200], u[200] = u[:100] ** 9, 1 - u[100:200] ** 9, 0.0
    u = below_one(u, dtype)
    x = mixture_of_gaussians_invert(parameters, u)
    exact, eps, u = parameters.double(), torch.finfo(dtype).eps, u.double().clamp_min(2.0**-54)
    gap = 4 * eps * x.double().abs()
    below, above = (mixture_of_gaussians_cumulative(exact, x.double() + side) for side in (-gap, gap))
    size = u * (1 + torch.special.ndtri(u) ** 2) if dtype == torch.float64 else 1  # far out, float32's ndtr is coarse
    rounding = 8 * eps * size
    assert x.dtype == dtype and (below - rounding <= u).all() and (u <= above + rounding).all()


def test_a_quantile_takes_few_evaluations(monkeypatch):
    evaluations, erfc = [], torch.erfc
    monkeypatch.setattr(torch, "erfc", lambda x: evaluations.append(x) or erfc(x))
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(100, 3, 10, generator=generator, dtype=torch.float64) * 0.5
    mixture_of_gaussians_invert(parameters, torch.linspace(0.001, 0.999, 100, dtype=torch.float64))
    assert 2 <= len(evaluations) <= 16


# Discretized logistics

MEANS = [-1e3, -0.5, 0.0, 0.3, 0.5, 1.0, 7.2, 1e3]
SCALES = [1e-3, 0.03, 0.4, 1.0, 30.0, 1e3]


def logistics(mean, scale, log_weight=0.0) -> torch.Tensor:
    """(3, M) parameters from lists of M numbers, or from one."""
    mean, scale, log_weight = torch.broadcast_tensors(
        *(torch.atleast_1d(torch.tensor(each, dtype=torch.float64)) for each in (mean, scale, log_weight))
    )
    return torch.stack([log_weight, mean, scale.log()])


def of_levels(parameters: torch.Tensor, levels: int) -> torch.Tensor:
    """log p of every level: (levels,)."""
    expanded = parameters.view(1, 3, -1, 1).expand(levels, 3, parameters.shape[-1], 1)
    return discretized_logistic_mixture_log_prob(expanded, torch.arange(levels).view(-1, 1), levels)[:, 0]


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("scale", SCALES)
def test_the_levels_share_a_mass_of_one_wherever_the_mean_is(scale, levels):
    for mean in [*MEANS, levels - 1.5, levels - 1, levels - 0.5, levels + 40]:
        log_p = of_levels(logistics(mean, scale), levels)
        assert log_p.isfinite().all() and log_p.exp().sum().item() == pytest.approx(1, abs=1e-12), mean
    mixture = logistics(MEANS, scale, list(range(len(MEANS))))
    assert of_levels(mixture, levels).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_discretized_logistic_is_a_difference_of_sigmoids():
    """Written out in numbers, with the tails at the first and the last level."""
    mean, scale, weight, levels = [1.3, 4.0], [0.7, 2.0], [0.25, 0.75], 6
    log_p = of_levels(logistics(mean, scale, [math.log(w) for w in weight]), levels)

    def sigmoid(z):
        return 1 / (1 + math.exp(-z))

    for x in range(levels):
        p = 0.0
        for m, s, w in zip(mean, scale, weight, strict=True):
            upper = 1 if x == levels - 1 else sigmoid((x + 0.5 - m) / s)
            p += w * (upper - (0 if x == 0 else sigmoid((x - 0.5 - m) / s)))
        assert log_p[x].item() == pytest.approx(math.log(p), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
def test_a_discretized_logistic_far_from_its_mean_has_finite_values_and_gradients(scale, dtype):
    levels = 256
    for mean in [*MEANS, 128.0, 250.0]:
        parameters = logistics([mean, 60.0], scale).to(dtype).requires_grad_()
        log_p = of_levels(parameters, levels)
        log_p.sum().backward()
        assert log_p.isfinite().all() and (log_p < 1e-6).all() and parameters.grad.isfinite().all(), mean


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [39.9, 40.1, 90.0, 104.0, 700.0, 800.0, 1e4])
def test_a_logistic_that_is_wider_than_floating_point_has_finite_values_and_gradients(log_scale, dtype):
    """An inner level has 1/4 of the density's height, 1 / scale; the end levels share the rest."""
    parameters = torch.tensor([[0.0], [1.0], [log_scale]], dtype=dtype, requires_grad=True)
    log_p = of_levels(parameters, 3)
    expected = torch.tensor([math.log(0.5), math.log(0.25) - log_scale, math.log(0.5)], dtype=dtype)
    torch.testing.assert_close(log_p, expected)
    (gradient,) = torch.autograd.grad(log_p.sum(), parameters)
    torch.testing.assert_close(gradient, torch.tensor([[0.0], [0.0], [-1.0]], dtype=dtype))


def test_far_from_its_mean_a_discretized_logistic_falls_linearly():
    """Two sigmoids' difference would be 0 there, and its logarithm minus infinity."""
    log_p = of_levels(logistics(0.0, 0.1), 256)
    torch.testing.assert_close(log_p[101:255].diff(), torch.full((153,), -10.0, dtype=torch.float64))


def test_the_gradients_of_a_mixture_of_discretized_logistics_are_right():
    parameters = logistics([0.3, 2.9], [0.4, 1.5], [0.2, -0.1]).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: of_levels(p, 5), parameters)


@pytest.mark.parametrize("levels", [2, 3, 16])
def test_the_cumulative_probabilities_are_sums_of_the_levels(levels):
    parameters = logistics([-2.0, 0.4, 1.1, 40.0], [0.01, 3.0, 0.2, 9.0], [0.0, 1.0, -1.0, 0.5])
    expected = of_levels(parameters, levels).exp().cumsum(0)[:-1]
    torch.testing.assert_close(discretized_logistic_mixture_cumulative(parameters, levels), expected)


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_every_level_of_discretized_logistics_gets_its_share_of_the_uniforms(levels):
    parameters = logistics([-2.0, 0.4, 0.9 * levels], [0.01, 3.0, 0.2 * levels], [0.0, 1.0, 0.5])
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    x = discretized_logistic_mixture_invert(parameters.expand(len(u), 3, 3), u, levels)
    assert x.dtype == torch.int64 and (x.diff() >= 0).all()
    found = torch.bincount(x, minlength=levels) / len(u)
    torch.testing.assert_close(found.double(), of_levels(parameters, levels).exp(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 3, 7, 256])
def test_the_search_for_a_level_agrees_with_the_table(levels, dtype):
    generator, n = torch.Generator().manual_seed(0), 3000
    logits, mean, log_scale = torch.rand(3, n, 4, generator=generator, dtype=dtype)
    parameters = torch.stack([logits, (1.4 * mean - 0.2) * levels, 8 * log_scale - 4], 1)
    table = discretized_logistic_mixture_cumulative(parameters, levels)
    entries = table.gather(1, torch.randint(levels - 1, (n, 1), generator=generator))[:, 0]
    ties = below_one(entries, dtype)
    for u in (torch.rand(n, generator=generator, dtype=torch.float64), torch.zeros(n, dtype=dtype), ties):
        expected = (table <= u[:, None]).sum(1)
        assert torch.equal(discretized_logistic_mixture_invert(parameters, u, levels), expected)


def test_a_level_of_65536_takes_16_evaluations(monkeypatch):
    evaluations, sigmoid = [], torch.sigmoid
    monkeypatch.setattr(torch, "sigmoid", lambda x: evaluations.append(x.numel()) or sigmoid(x))
    u = torch.tensor([0.0, 0.5, 1 - 2.0**-24])
    x = discretized_logistic_mixture_invert(logistics(4e4, 1e-3).expand(3, 3, 1), u, 2**16)
    assert evaluations == [3] * 16 and x[1:].tolist() == [40000] * 2


def test_the_colours_of_a_pixel_share_their_component():
    """Against the joint distribution written out: a sum over components of a product over colours."""
    generator, K, M, C = torch.Generator().manual_seed(0), 3, 2, 3
    parameters = torch.randn(3, M, C, dtype=torch.float64, generator=generator)
    parameters[1] += torch.tensor([[0.0], [2.0]])
    a = torch.randn(C, M, dtype=torch.float64, generator=generator)
    pair = {(0, 1): 0, (0, 2): 1, (1, 2): 2}
    x = torch.tensor(list(itertools.product(range(K), repeat=C)))
    n = len(x)
    chain = sub_pixel_chain(parameters.expand(n, 3, M, C), a.expand(n, C, M), x, K)
    log_p = discretized_logistic_mixture_log_prob(chain, x, K).sum(1)
    weights = parameters[0, :, 0].softmax(0)
    for image, value in zip(x.tolist(), log_p.exp().tolist(), strict=True):
        joint = 0.0
        for m in range(M):
            p = weights[m].item()
            for c in range(C):
                mean = parameters[1, m, c] + sum(a[pair[b, c], m] * image[b] for b in range(c))
                p *= of_levels(logistics(mean.item(), parameters[2, m, c].exp().item()), K)[image[c]].exp().item()
            joint += p
        assert value == pytest.approx(joint, rel=1e-9)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
