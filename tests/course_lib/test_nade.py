import math

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.models import NADE, nade
from tests.course_lib.instances import ORDER


@pytest.fixture(params=["step by step", "in blocks"])
def recursion(request, monkeypatch):
    """Both ways to compute the recursion, on the CPU: that of a CPU, and that of a GPU in blocks of two dimensions."""
    if request.param == "in blocks":
        monkeypatch.setattr(nade, "_Recursion", nade._BlockRecursion)
        monkeypatch.setattr(nade, "_BLOCK", 31)  # for 3 images and 4 hidden units


def random_nade(D: int, hidden: int, order=None) -> NADE:
    generator = torch.Generator().manual_seed(0)
    model = NADE(D, hidden, order).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


@pytest.mark.usefixtures("recursion")
def test_it_is_the_papers_recursion():
    model = random_nade(5, 3, ORDER)
    W, V, b, c = (p.tolist() for p in (model.W, model.V, model.b, model.c))
    x = torch.randint(2, (8, 5))
    for image, log_p in zip(x.tolist(), model.log_prob(x).tolist(), strict=True):
        a, nats = list(c), 0.0
        for d in ORDER:
            h = [1 / (1 + math.exp(-a_j)) for a_j in a]
            p = 1 / (1 + math.exp(-b[d] - sum(V[d][j] * h[j] for j in range(3))))
            nats += math.log(p if image[d] else 1 - p)
            a = [a[j] + W[j][d] * image[d] for j in range(3)]
        assert math.isclose(log_p, nats, rel_tol=1e-12)


@pytest.mark.usefixtures("recursion")
@pytest.mark.parametrize("order", [None, ORDER])
def test_the_gradients_are_right(order):
    model = random_nade(5, 4, order)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)

    def logits(x, *parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), x)

    names, parameters = zip(*model.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(logits, (x, *parameters), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(logits, (x, *parameters))


@pytest.mark.usefixtures("recursion")
def test_autocast_does_not_reach_the_recursion():
    model, x = NADE(5, 4, ORDER), torch.randint(2, (6, 5))
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    assert torch.equal(logits, exact)


def test_an_exported_network_takes_other_batches_and_orderings():
    model = random_nade(5, 4, ORDER)
    shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(model, (torch.zeros(2, 5).long(),), dynamic_shapes=shapes).module()
    other, x = random_nade(5, 4), torch.randint(2, (7, 5))
    exported.load_state_dict(other.state_dict())
    torch.testing.assert_close(exported(x), other(x))


@pytest.mark.usefixtures("recursion")
def test_the_backward_pass_keeps_no_hidden_layers():
    batch, D, H = 16, 200, 50
    model, kept = NADE(D, H), []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randint(2, (batch, D)))
    orderings = 3 * D  # each gather keeps its index
    assert kept and sum(kept) <= batch * (D + H) + 2 * D * H + orderings


@pytest.mark.usefixtures("recursion")
def test_undoing_784_steps_costs_no_accuracy():
    torch.manual_seed(0)
    model, x = NADE(784, 50), torch.randint(2, (20, 784))
    model.W.data *= 10
    double = NADE(784, 50).double()
    double.load_state_dict(model.state_dict())
    for each in (model, double):
        each.log_prob(x).mean().backward()
    for (name, ours), exact in zip(model.named_parameters(), double.parameters(), strict=True):
        error = (ours.grad - exact.grad).norm() / exact.grad.norm()
        assert error < 1e-4, f"{name}: {error}"


@pytest.mark.parametrize("block", [1, 31, 10**6])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_blocks_of_dimensions_give_the_same(batch, block, monkeypatch):
    model = random_nade(5, 4, ORDER)
    x = torch.randn(batch, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(batch, 5, dtype=torch.float64)

    def logits_and_gradients():
        logits = model(x)
        return logits, torch.autograd.grad((weights * logits).sum(), (x, *model.parameters()))

    by_steps = logits_and_gradients()
    monkeypatch.setattr(nade, "_Recursion", nade._BlockRecursion)
    monkeypatch.setattr(nade, "_BLOCK", block)
    torch.testing.assert_close(logits_and_gradients(), by_steps, rtol=1e-12, atol=1e-12)


def test_blocks_launch_fewer_operations(monkeypatch):
    def operations():
        with OperationCounter() as counter:
            NADE(784, 10).log_prob(torch.randint(2, (4, 784))).mean().backward()
        return counter.number

    by_steps = operations()
    monkeypatch.setattr(nade, "_Recursion", nade._BlockRecursion)
    assert operations() < by_steps / 50


class OperationCounter(TorchDispatchMode):
    number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.number += 1
        return function(*args, **(kwargs or {}))


def test_the_cached_recursion_can_be_differentiated_too():
    model, x = random_nade(5, 4, ORDER), torch.randint(2, (6, 5))
    by_hand = torch.autograd.grad(model(x)[:, model.order].square().sum(), model.parameters())
    steps = torch.stack(list(model.conditionals(x)), 1)
    for ours, theirs in zip(by_hand, torch.autograd.grad(steps.square().sum(), model.parameters()), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_hidden_units_are_needed():
    with pytest.raises(ValueError, match="hidden is 0; expected at least 1"):
        NADE(4, hidden=0)
