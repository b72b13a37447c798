"""Every model under torch.func, torch.export and `model.compile`: as other people's tools use it.

A table has no parameters: nothing to differentiate, and no network to export or compile. A mixture has no `forward`,
which is what export and compile act on, so only its likelihood is differentiated.
"""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, vmap

from course_lib.models import AutoregressiveModel
from tests.course_lib.instances import INSTANCES, Instance
from tests.course_lib.properties import random_model, random_x

TRAINABLE = [instance for instance in INSTANCES if next(instance.build().parameters(), None) is not None]
NETWORKS = [instance for instance in TRAINABLE if instance.one_order]
# One of each class: compiling takes seconds. `make soak` compiles all, and with Inductor.
ONE_EACH = list({type(instance.build()): instance for instance in reversed(NETWORKS)}.values())


class Likelihood(nn.Module):
    """log_prob as a forward pass, for `functional_call`."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.log_prob(x)


def inputs(model: AutoregressiveModel) -> torch.Tensor:
    return random_x(model, 3, torch.Generator().manual_seed(0))


def gradients(value: torch.Tensor, model: nn.Module) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, tuple(model.parameters()), retain_graph=True, materialize_grads=True)


@pytest.mark.parametrize("instance", TRAINABLE, ids=str)
def test_torch_func_differentiates_the_likelihood(instance):
    """Each image's gradient as the rows of a Jacobian, which is a vmap over vjp, and a direction by jvp."""
    model = random_model(instance)
    x, module = inputs(model), Likelihood(model)
    parameters = dict(module.named_parameters())
    generator = torch.Generator().manual_seed(1)
    direction = {
        name: torch.randn(tensor.shape, dtype=tensor.dtype, generator=generator) for name, tensor in parameters.items()
    }

    def likelihood(parameters):
        return functional_call(module, parameters, (x,))

    rows = jacrev(likelihood)(parameters)
    _, slopes = jvp(likelihood, (parameters,), (direction,))
    for i, log_p in enumerate(model.log_prob(x)):
        expected = gradients(log_p, model)
        torch.testing.assert_close([row[i] for row in rows.values()], list(expected))
        slope = sum((g * v).sum() for g, v in zip(expected, direction.values(), strict=True))
        torch.testing.assert_close(slopes[i], slope)


@pytest.mark.parametrize("instance", NETWORKS, ids=str)
def test_torch_func_gives_each_images_gradient(instance):
    """vmap over the images of grad, as for differential privacy. log_prob itself looks at the values of x."""
    model = random_model(instance)
    x, parameters = inputs(model), dict(model.named_parameters())

    def log_p(parameters, image):
        outputs = functional_call(model, parameters, (image[None],))
        return model._log_likelihood(outputs, image[None]).sum()

    each = vmap(grad(log_p), in_dims=(None, 0))(parameters, x)
    total = gradients(model.log_prob(x).sum(), model)
    torch.testing.assert_close([rows.sum(0) for rows in each.values()], list(total))


@pytest.mark.parametrize("instance", NETWORKS, ids=str)
def test_the_exported_network_is_the_network(instance):
    """It has the same outputs, and trains."""
    model = random_model(instance)
    x = inputs(model)
    exported = torch.export.export(model, (x,)).module()
    outputs = exported(x)
    torch.testing.assert_close(outputs, model(x))
    (-outputs.sum()).backward()
    assert any(parameter.grad is not None for parameter in exported.parameters())


def check_compiled(instance: Instance, backend: str) -> None:
    """A compiled model has the same likelihoods, and trains. Its `log_prob` runs compiled code."""
    model, compiled = random_model(instance), random_model(instance)
    x = inputs(model)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled.compile(backend=backend)
    log_p = compiled.log_prob(x)
    orderless = hasattr(model, "network")  # its log_prob goes step by step, without `forward`
    assert orderless or torch._dynamo.utils.counters["stats"]["unique_graphs"], "nothing was compiled"
    torch.testing.assert_close(log_p, model.log_prob(x))
    torch.testing.assert_close(gradients(log_p.sum(), compiled), gradients(model.log_prob(x).sum(), model))


@pytest.mark.parametrize("instance", ONE_EACH, ids=str)
def test_a_compiled_model_is_the_model(instance):
    check_compiled(instance, "aot_eager")


@pytest.mark.long
@pytest.mark.parametrize("instance", NETWORKS, ids=str)
def test_every_compiled_model_is_the_model(instance):
    check_compiled(instance, "aot_eager")


@pytest.mark.long
@pytest.mark.parametrize("instance", ONE_EACH, ids=str)
def test_a_model_compiled_by_inductor_is_the_model(instance):
    check_compiled(instance, "inductor")
