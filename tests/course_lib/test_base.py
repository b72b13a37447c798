"""The contracts of the base classes, beyond the properties that every autoregressive model is tested for."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal

from course_lib.models import (
    FVBN,
    MADE,
    AutoregressiveModel,
    EoNADE,
    GatedPixelCNN,
    GenerativeModel,
    IndependentPixels,
    MADEEnsemble,
    OrderlessNADE,
    PixelCNN,
    PixelCNNPlusPlus,
)
from course_lib.models.base import on_host
from course_lib.models.mixture import Mixture
from tests.course_lib.instances import ORDER


class TwoClusters(GenerativeModel):
    """A latent-variable model of binary images: z is a fair coin, and p(x | z) has independent pixels."""

    def __init__(self, event_shape):
        super().__init__(event_shape, levels=2)
        self.logits = nn.Parameter(torch.randn(2, *event_shape, generator=torch.Generator().manual_seed(0)))

    def elbo(self, x):
        """E_q[log p(x, z) - log q(z)] in nats, (batch,), with q(z | x) = p(z)."""
        self._check(x)
        each = Bernoulli(logits=self.logits).log_prob(x.unsqueeze(1).to(self.logits.dtype))
        return each.flatten(2).sum(2).mean(1)

    @torch.no_grad()
    def sample(self, n, *, generator=None):
        z = torch.randint(2, (n,), generator=generator)
        return torch.bernoulli(self.logits.sigmoid()[z], generator=generator).long()


class GaussianChain(AutoregressiveModel):
    """Real-valued: each dimension is normal around half the one before it. `forward` gives the means, (batch, D)."""

    def __init__(self, D: int):
        super().__init__((D,), levels=None)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1] / 2], 1)

    def _log_likelihood(self, parameters, x):
        return Normal(parameters, self.scale).log_prob(x)

    def _invert(self, parameters, u):
        return Normal(parameters, self.scale).icdf(u)

    def _conditionals(self, x):
        yield torch.zeros_like(x[:, 0])
        for d in range(1, x.shape[1]):
            yield x[:, d - 1] / 2


def trained_fvbn() -> FVBN:
    model = FVBN(5, ORDER).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return model


def test_an_ordering_is_read_from_its_device_once_after_each_change():
    model, other = FVBN(5), FVBN(5, ORDER)
    read = on_host(model.order)
    assert read == [0, 1, 2, 3, 4]
    assert on_host(model.order) is read
    model.load_state_dict(other.state_dict())
    assert on_host(model.order) == list(ORDER)
    model.order = torch.arange(5).flip(0)
    assert on_host(model.order) == [4, 3, 2, 1, 0]
    with torch.inference_mode():
        order = torch.arange(3)
        assert on_host(order) == [0, 1, 2]
        order += 1
        assert on_host(order) == [1, 2, 3]


def test_uniforms_belong_to_dimensions_not_to_steps():
    u = torch.tensor([[0.9, 0.1, 0.9, 0.1, 0.1]], dtype=torch.float64)
    assert FVBN(5, ORDER).sample(1, uniforms=u).tolist() == [[1, 0, 1, 0, 0]]


def test_a_generator_decides_the_samples():
    model = trained_fvbn()
    first, again = (model.sample(50, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert first.equal(again)
    assert not first.equal(model.sample(50, generator=torch.Generator().manual_seed(1)))
    assert model.sample(0).shape == (0, 5)


@pytest.mark.parametrize(
    "u",
    [torch.zeros(3, 4), torch.ones(3, 5), torch.full((3, 5), -0.1), torch.full((3, 5), torch.nan), np.zeros((3, 5))],
)
def test_other_uniforms_are_refused(u):
    with pytest.raises(ValueError, match="uniforms"):
        FVBN(5).sample(3, uniforms=u)


@pytest.mark.parametrize("cached", [True, False])
def test_real_valued_models_sample_by_the_same_rule(cached):
    model = GaussianChain(4).double()
    u = torch.rand(1000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(1000, uniforms=u, cached=cached)
    assert x.dtype == torch.float64
    torch.testing.assert_close(Normal(model(x), 1.0).cdf(x), u, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.log_prob(x), Normal(model(x), 1.0).log_prob(x).sum(1))
    with pytest.raises(ValueError, match="real-valued"):
        model.log_prob(torch.zeros(1, 4, dtype=torch.long))


@pytest.mark.parametrize("cached", [True, False])
def test_samples_may_take_part_in_training(cached):
    model = GaussianChain(4)
    drawn = model.sample(3, cached=cached)
    for x in (drawn, model.complete(drawn, torch.tensor([True, False, False, False]), cached=cached)):
        x.requires_grad_()
        model.log_prob(2 * x).sum().backward()
        assert x.grad.all() and model.scale.grad.all()


def test_nothing_known_is_sampling_and_all_known_is_the_input():
    model = trained_fvbn()
    u = torch.rand(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randint(2, (20, 5), generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(5, dtype=torch.bool)
    assert model.complete(x, nothing, uniforms=u).equal(model.sample(20, uniforms=u))
    assert model.complete(x, ~nothing, uniforms=u).equal(x)


@pytest.mark.parametrize("cached", [True, False])
def test_completion_uses_the_uniforms_of_the_unknown_dimensions(cached):
    model = trained_fvbn()
    u = torch.rand(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = model.sample(20, uniforms=u)
    known = torch.zeros(5, dtype=torch.bool)
    known[[2, 0]] = True
    assert model.complete(x, known, uniforms=u, cached=cached).equal(x)


def test_the_message_names_the_dimension_that_is_known_too_early():
    known = torch.zeros(5, dtype=torch.bool)
    known[[2, 3]] = True
    with pytest.raises(ValueError, match=r"dimension 3 is known, but dimension 0, which comes before it, is not"):
        trained_fvbn().complete(torch.zeros(1, 5, dtype=torch.long), known)


@pytest.mark.parametrize(
    ("x", "known", "message"),
    [
        (torch.zeros(1, 5, dtype=torch.long), torch.zeros(5), "bool mask"),
        (torch.zeros(1, 5, dtype=torch.long), np.zeros(5, dtype=bool), "in a tensor; got ndarray"),
        (torch.zeros(1, 5, dtype=torch.long), [False] * 5, "in a tensor; got list"),
        (np.zeros((1, 5), dtype=int), torch.zeros(5, dtype=torch.bool), "x must be a tensor; got ndarray"),
        (torch.zeros(1, 5, dtype=torch.long), torch.zeros(4, dtype=torch.bool), "bool mask"),
        (torch.zeros(1, 4, dtype=torch.long), torch.zeros(5, dtype=torch.bool), "shape"),
        (torch.zeros(1, 5), torch.zeros(5, dtype=torch.bool), "integers"),
        (torch.full((1, 5), 2), torch.ones(5, dtype=torch.bool), "lie in"),
    ],
)
def test_other_evidence_is_refused(x, known, message):
    with pytest.raises(ValueError, match=message):
        FVBN(5).complete(x, known)


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [0.0, 1.0, 2.0]])
def test_an_order_is_a_permutation(order):
    with pytest.raises(ValueError, match="order must hold each of 0..2"):
        FVBN(3, order)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (-2, -3), (2.0,)])
def test_an_event_has_dimensions(shape):
    with pytest.raises(ValueError, match="event_shape"):
        AutoregressiveModel(shape, levels=2)


def test_images_for_a_model_of_vectors_are_told_how_to_fit():
    with pytest.raises(ValueError, match=r"\(batch, 4\); got \(3, 1, 2, 2\)\. Reshape it with x.reshape\(-1, 4\)"):
        FVBN(4).log_prob(torch.zeros(3, 1, 2, 2, dtype=torch.long))


@pytest.mark.parametrize("levels", [1, 2.0, "2"])
def test_levels_are_two_or_more_and_whole(levels):
    with pytest.raises(ValueError, match=f"levels is {levels!r}; expected an integer of at least 2"):
        IndependentPixels(3, levels=levels)


@pytest.mark.parametrize("levels", [np.int64(3), torch.tensor(3)])
def test_levels_may_come_from_an_array(levels):
    model = IndependentPixels(2, levels=levels)
    assert model.levels == 3 and type(model.levels) is int


@pytest.mark.parametrize("build", [PixelCNN, GatedPixelCNN, PixelCNNPlusPlus])
def test_a_model_of_images_has_levels(build):
    with pytest.raises(ValueError, match="levels is None; expected an integer"):
        build((1, 4, 4), None)


@pytest.mark.parametrize("build", [MADE, OrderlessNADE, lambda D, widths: MADEEnsemble(D, widths, masks=2)])
def test_one_width_is_no_list_of_widths(build):
    with pytest.raises(ValueError, match=r"widths is 500; expected a list, such as \[500\]"):
        build(4, 500)


def test_a_mixture_of_no_models_is_refused():
    with pytest.raises(ValueError, match="orders is empty"):
        EoNADE(OrderlessNADE(4, [3]), [])


def test_a_mixture_defines_its_members():
    with pytest.raises(NotImplementedError, match="Mixture must define member"):
        Mixture((2,), levels=2).member(0)


def test_a_latent_variable_model_has_shape_levels_checks_and_sampler_from_the_base():
    model = TwoClusters((1, 2, 3))
    first, again = (model.sample(50, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert first.equal(again) and first.dtype == torch.int64 and first.shape == (50, *model.event_shape)
    assert model.elbo(first).shape == (50,)
    for wrong, message in [
        (first[0], "shape"),
        (first.flatten(1), r"Reshape it with x.reshape\(-1, 1, 2, 3\)"),
        (first.double(), "integers"),
        (first + 1, r"lie in 0\.\.1"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.elbo(wrong)
    assert not isinstance(model, AutoregressiveModel)


def test_mixtures_of_autoregressive_models_have_the_same_base():
    for ensemble in (EoNADE, MADEEnsemble):
        assert issubclass(ensemble, GenerativeModel) and not issubclass(ensemble, AutoregressiveModel)


def test_sample_must_be_defined():
    with pytest.raises(NotImplementedError, match="GenerativeModel must define sample"):
        GenerativeModel((2,), levels=None).sample(1)


def test_forward_must_be_defined():
    with pytest.raises(NotImplementedError, match="AutoregressiveModel must define forward"):
        AutoregressiveModel((2,), levels=2).log_prob(torch.zeros(1, 2, dtype=torch.long))
