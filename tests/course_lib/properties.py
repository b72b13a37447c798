"""What must be true of every autoregressive model. Each property is a function that raises AssertionError.

Models are compared with what they say of themselves: `log_prob` summed over all states, `forward` against itself with
an input changed, samplers against `log_prob`. Samplers are tested by chi-square at a false-alarm rate of 1e-6 a test
(over the choice of the seed; the seeds are fixed, so a test passes always or never).
"""

import math

import pytest
import torch
from scipy.stats import chi2

from course_lib import distributions
from course_lib.models import AutoregressiveModel
from tests.course_lib.instances import Instance

FALSE_ALARMS = 1e-6
PROPERTIES = {}


def prop(check):
    """Enter a check into PROPERTIES under its function's name."""
    PROPERTIES[check.__name__] = check
    return check


@prop
def leak(instance: Instance) -> None:
    """No output depends on its own dimension, on a later one, or on another image: exactly, in both modes."""
    for training in (False, True):
        model = random_model(instance).train(training)
        depends, others = dependence(model)
        for i, j in (depends & ~before(model)).nonzero().tolist():
            raise AssertionError(f"output {i} reads input {j}, which does not come before it (train={training})")
        assert not others, f"the output for one image depends on another image (train={training})"


@prop
def reach(instance: Instance) -> None:
    """Of the dimensions before it, each output depends on just those that the model declares."""
    model = random_model(instance)
    declared = before(model) if instance.sees is None else instance.sees(model)
    depends, _ = dependence(model)
    for i, j in ((depends != declared) & before(model)).nonzero().tolist():
        raise AssertionError(f"output {i} {'reads' if depends[i, j] else 'ignores'} input {j}, unlike declared")


@prop
def mass(instance: Instance) -> None:
    """The probabilities of all states sum to 1."""
    model = random_model(instance)
    total = table(model).sum().item()
    assert abs(total - 1) < 1e-9, f"the probabilities sum to {total}"


@prop
def sampler(instance: Instance) -> None:
    """Samples have the frequencies that log_prob gives."""
    model = random_model(instance)
    x = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    assert tuple(x.shape) == (20_000, *model.event_shape)
    assert x.dtype == torch.int64
    chi_square(numbers(model, x), table(model))


@prop
def cached(instance: Instance) -> None:
    """The cached sampler draws what the plain one draws from the same uniforms, also after the weights change."""
    model = random_model(instance)
    for seed in (1, 2):
        randomize(model, seed)
        u = torch.rand(200, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        x = model.sample(200, uniforms=u, cached=False)
        assert torch.equal(model.sample(200, uniforms=u), x), "in float64 the two samplers differ"
        with torch.no_grad():
            at_once = model(x).flatten(-len(model.event_shape))
            for d, step in zip(model.order.tolist(), model.conditionals(x), strict=True):
                torch.testing.assert_close(step, at_once[..., d], rtol=1e-10, atol=1e-10, msg=f"conditional of {d}")

        single = random_model(instance).float()
        randomize(single, seed)
        x, fast = single.sample(200, uniforms=u, cached=False), single.sample(200, uniforms=u)
        with torch.no_grad():
            at_once = single(x).flatten(-len(model.event_shape))
        differs = (fast.flatten(1) != x.flatten(1))[:, single.order]
        for i in differs.any(1).nonzero().flatten().tolist():
            d = single.order[differs[i].long().argmax()]
            gap = (distributions.cumulative(at_once[i, ..., d], model.levels) - u[i, d]).abs().min().item()
            assert gap <= 1e-5, f"in float32 sample {i} first differs where the uniform is {gap} away from a step"


@prop
def complete(instance: Instance) -> None:
    """Completions have the frequencies of p(unknown | known); a known set that cannot be had is refused."""
    model = random_model(instance)
    D, order = len(model.order), model.order.tolist()
    generator = torch.Generator().manual_seed(3)
    last_known = torch.zeros(model.event_shape, dtype=torch.bool)
    last_known.view(-1)[order[-1]] = True
    example = model.sample(1, generator=generator)

    known = torch.zeros(model.event_shape, dtype=torch.bool)
    known.view(-1)[order[: D // 2]] = True
    for mask in [known, last_known] if instance.any_known else [known]:
        # What stands at the unknown dimensions must not matter.
        x = torch.where(mask, example, torch.randint(model.levels, (20_000, *model.event_shape), generator=generator))
        given = x.clone()
        y = model.complete(x, mask, generator=generator)
        assert torch.equal(x, given), "complete changed its input"
        assert torch.equal(y[:, mask], x[:, mask]), "complete changed a known dimension"
        agrees = (states(model)[:, mask] == example[:, mask]).all(1)
        p = torch.where(agrees, table(model), 0.0)
        chi_square(numbers(model, y), p / p.sum())
    if D > 1 and not instance.any_known:
        with pytest.raises(ValueError, match="ordering"):
            model.complete(example, last_known)


@prop
def state(instance: Instance) -> None:
    """Evaluating and sampling change neither weights, nor buffers, nor mode, nor torch's own generator."""
    for training in (False, True):
        model = random_model(instance).train(training)
        x = states(model)[::3]
        kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        stream = torch.get_rng_state()
        model(x)
        model.log_prob(x)
        model.sample(3, generator=torch.Generator().manual_seed(0))
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, kept[name]), f"{name} changed"
        assert model.training is training
        assert torch.equal(torch.get_rng_state(), stream), "torch's generator was used although another was given"


@prop
def gradients(instance: Instance) -> None:
    """Every parameter gets a gradient, and no masked weight does."""
    model = random_model(instance)
    x = torch.randint(model.levels, (32, *model.event_shape), generator=torch.Generator().manual_seed(0))
    loss = -model.log_prob(x).mean()
    parameters = dict(model.named_parameters())
    if parameters:
        loss.backward()
    for name, parameter in parameters.items():
        can_matter = parameter.new_ones(parameter.shape, dtype=torch.bool)
        owner = model.get_submodule(name.rpartition(".")[0])
        if name.endswith("weight") and hasattr(owner, "mask"):
            can_matter &= owner.mask
        if can_matter.any():
            assert parameter.grad is not None and parameter.grad.any(), f"{name} gets no gradient"
            assert not parameter.grad[~can_matter].any(), f"a masked entry of {name} gets a gradient"


@prop
def zero(instance: Instance) -> None:
    """Where all-zero parameters mean a uniform model, every image costs exactly log2 K bits a dimension."""
    if not instance.zero_is_uniform:
        return
    model = random_model(instance)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    bits = -model.log_prob(states(model)) / (len(model.order) * math.log(2))
    torch.testing.assert_close(bits, torch.full_like(bits, math.log2(model.levels)), rtol=1e-12, atol=0)


@prop
def inputs(instance: Instance) -> None:
    """Integers of every dtype mean the same; another dtype, shape or range is refused."""
    model = random_model(instance)
    x = states(model)
    assert torch.equal(model.log_prob(x.to(torch.uint8)), model.log_prob(x))
    for wrong, message in [
        (x.double(), "integers"),
        (torch.full_like(x, model.levels), "lie in"),
        (torch.full_like(x, -1), "lie in"),
        (x[..., :-1], "shape"),
        (x[0], "shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.log_prob(wrong)


# What the properties are made of


def random_model(instance: Instance, seed: int = 0) -> AutoregressiveModel:
    """A float64 model in eval mode with random parameters, large enough that every connection matters."""
    model = instance.build().double().eval()
    randomize(model, seed)
    return model


def randomize(model: AutoregressiveModel, seed: int) -> None:
    """Draw all parameters from N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=generator))


def before(model: AutoregressiveModel) -> torch.Tensor:
    """(D, D) bool: entry (i, j) is true where dimension j comes before dimension i."""
    step = model.order.argsort()
    return step[:, None] > step


def dependence(model: AutoregressiveModel, batches: int = 8) -> tuple[torch.Tensor, bool]:
    """(D, D) bool: does output i change with x_j; and whether any other image's output changes with it.

    Found by changing one dimension of one image in a batch of random ones, with everything random in the model
    (such as dropout) repeated.
    """
    D, generator = len(model.order), torch.Generator().manual_seed(0)
    depends, others = torch.zeros(D, D, dtype=torch.bool), False

    def outputs(x):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            return model(x).flatten(-len(model.event_shape))

    for _ in range(batches):
        x = torch.randint(model.levels, (4, *model.event_shape), generator=generator)
        reference = outputs(x)
        for j in range(D):
            changed = x.clone()
            step = int(torch.randint(1, model.levels, (), generator=generator))
            changed[0].view(-1)[j] = (changed[0].view(-1)[j] + step) % model.levels
            moved = outputs(changed) != reference
            depends[:, j] |= moved[0].view(-1, D).any(0)
            others |= bool(moved[1:].any())
    return depends, others


def states(model: AutoregressiveModel) -> torch.Tensor:
    """All K^D states, the last dimension fastest: (K^D, *event_shape)."""
    D = len(model.order)
    return torch.cartesian_prod(*[torch.arange(model.levels)] * D).view(-1, *model.event_shape)


def numbers(model: AutoregressiveModel, x: torch.Tensor) -> torch.Tensor:
    """Where each x stands in `states`."""
    digits = x.flatten(1)
    return (digits * model.levels ** torch.arange(digits.shape[1] - 1, -1, -1)).sum(1)


def table(model: AutoregressiveModel) -> torch.Tensor:
    """p of all states."""
    with torch.no_grad():
        return model.log_prob(states(model)).exp()


def chi_square(found: torch.Tensor, p: torch.Tensor) -> None:
    """Pearson's test of state numbers against probabilities; states expected less than 5 times are taken together.

    A table that does not sum to 1 is scaled first: that it should is another property.
    """
    counts = torch.bincount(found, minlength=len(p)).double()
    expected = len(found) * p / p.sum()
    assert not counts[expected == 0].any(), "an impossible state was drawn"
    rare = expected < 5
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    possible = expected > 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum().item()
    p_value = chi2.sf(statistic, max(1, int(possible.sum()) - 1))
    assert p_value > FALSE_ALARMS, f"chi-square {statistic:.1f}: p-value {p_value:.1e}"
