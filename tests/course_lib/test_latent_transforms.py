"""Every latent-variable model under torch.func, torch.export and `model.compile()`."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vmap

from tests.course_lib.latent_instances import LATENT_INSTANCES
from tests.course_lib.latent_properties import gradients, random_model, some_x

every_instance = pytest.mark.parametrize("instance", LATENT_INSTANCES, ids=str)
# One of each class: compiling takes seconds. `make soak` compiles all, and with Inductor.
ONE_EACH = list({type(instance.build()): instance for instance in reversed(LATENT_INSTANCES)}.values())


class Bound(nn.Module):
    """elbo as a forward pass, for `functional_call`."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return self.model.elbo(x, uniforms=uniforms)


def inputs(model):
    u = torch.rand(3, model.latents, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return some_x(model, 3), u


@every_instance
def test_torch_func_differentiates_the_bound(instance):
    """Each image's gradient as the rows of a Jacobian, which is a vmap over vjp, and a direction by jvp."""
    model = random_model(instance)
    (x, u), module = inputs(model), Bound(model)
    parameters = dict(module.named_parameters())
    generator = torch.Generator().manual_seed(1)
    direction = {name: torch.randn(p.shape, dtype=p.dtype, generator=generator) for name, p in parameters.items()}

    def bound(parameters):
        return functional_call(module, parameters, (x, u))

    rows = jacrev(bound)(parameters)
    _, slopes = jvp(bound, (parameters,), (direction,))
    for i, elbo in enumerate(model.elbo(x, uniforms=u)):
        expected = gradients(elbo, model)
        torch.testing.assert_close([row[i] for row in rows.values()], list(expected))
        slope = sum((g * v).sum() for g, v in zip(expected, direction.values(), strict=True))
        torch.testing.assert_close(slopes[i], slope)


class Unchecked(nn.Module):
    """The ELBO without the checks: `elbo` itself looks at the values of x, which vmap forbids."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        terms = self.model._terms(x, *self.model(x, uniforms[None]))
        return terms.reconstruction - terms.kl


@every_instance
def test_torch_func_gives_each_images_gradient(instance):
    """vmap over the images of grad, as for differential privacy."""
    model = random_model(instance)
    (x, u), module = inputs(model), Unchecked(model)

    def elbo(parameters, image, uniforms):
        return functional_call(module, parameters, (image[None], uniforms[None])).sum()

    each = vmap(grad(elbo), in_dims=(None, 0, 0))(dict(module.named_parameters()), x, u)
    total = gradients(model.elbo(x, uniforms=u).sum(), model)
    torch.testing.assert_close([rows.sum(0) for rows in each.values()], list(total))


@every_instance
def test_the_exported_network_is_the_network(instance):
    """It has the same outputs, and trains."""
    model = random_model(instance)
    x, u = inputs(model)
    exported = torch.export.export(model, (x, u[None])).module()
    posterior, draws, outputs = exported(x, u[None])
    expected_posterior, expected_draws, expected = model(x, u[None])
    torch.testing.assert_close([*posterior, *draws, outputs], [*expected_posterior, *expected_draws, expected])
    outputs.sum().backward()
    assert any(parameter.grad is not None for parameter in exported.parameters())


def check_compiled(instance, backend: str) -> None:
    """A compiled model has the same bounds, and trains. They run compiled code."""
    model, compiled = random_model(instance), random_model(instance)
    x, u = inputs(model)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled.compile(backend=backend)
    elbo = compiled.elbo(x, uniforms=u)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"], "nothing was compiled"
    torch.testing.assert_close(elbo, model.elbo(x, uniforms=u))
    torch.testing.assert_close(gradients(elbo.sum(), compiled), gradients(model.elbo(x, uniforms=u).sum(), model))


@pytest.mark.parametrize("instance", ONE_EACH, ids=str)
def test_a_compiled_model_is_the_model(instance):
    check_compiled(instance, "aot_eager")


@pytest.mark.long
@every_instance
def test_every_compiled_model_is_the_model(instance):
    check_compiled(instance, "aot_eager")


@pytest.mark.long
@pytest.mark.parametrize("instance", ONE_EACH, ids=str)
def test_a_model_compiled_by_inductor_is_the_model(instance):
    check_compiled(instance, "inductor")
