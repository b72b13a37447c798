"""Parallel WaveNet against the paper's formulas. What all models share is in the generic suite."""

import math

import pytest
import torch

from course_lib import distributions
from course_lib.models import ParallelWaveNet, WaveNet
from course_lib.models.parallel_wavenet import distillation_loss, power_loss
from course_lib.saving import load, save
from tests.course_lib.properties import randomize


def tiny(length=12, *, scale=0.3, **settings):
    model = ParallelWaveNet(length, 4, settings.pop("dilations", [1, 2]), skip=8, **settings).double().eval()
    randomize(model, 0, scale)
    return model


def a_teacher(length=12, *, scale=0.3, **settings):
    model = WaveNet(length, 65536, 4, [1, 2], skip=8, mixtures=3, **settings).double().eval()
    randomize(model, 1, scale)
    return model.requires_grad_(False)


def given(model, n, length):
    generator, arguments = torch.Generator().manual_seed(1), {}
    if model.classes:
        arguments["labels"] = torch.randint(model.classes[0], (n,), generator=generator)
    if model.context_channels:
        arguments["context"] = torch.randn(n, model.context_channels, length, generator=generator).double()
    return arguments


def uniforms(*shape):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


conditions = pytest.mark.parametrize("settings", [{}, dict(classes=3, context_channels=2)], ids=str)


@conditions
def test_a_draw_passes_flow_after_flow(settings):
    """With every formula of the file's head written out."""
    model, u = tiny(flows=3, **settings), uniforms(5, 20)
    arguments = given(model, 5, 20)
    x, parameters = model.draw(u, **arguments)
    y, log_slope = torch.log(u) - torch.log1p(-u), 0
    for flow in model.flows:
        m, s = flow(y, *arguments.values()).unbind(1)
        s = s + math.log(0.1) / 3
        y, log_slope = m + s.exp() * y, log_slope + s
    torch.testing.assert_close(x, y)
    torch.testing.assert_close(parameters[:, 1], log_slope)
    torch.testing.assert_close(model.sample(5, length=20, uniforms=u, **arguments), y)


@conditions
def test_the_likelihood_of_a_draw_is_that_of_its_noise_and_of_the_change_of_variables(settings):
    model, u = tiny(flows=3, **settings), uniforms(4, 9)
    arguments = given(model, 4, 9)
    x, (_, log_scale) = model.draw(u, **arguments)[0], model.draw(u, **arguments)[1].unbind(1)
    # The density of logit(u) is u (1 - u), and log |dx / dlogit(u)| is the sum of the log scales.
    expected = (torch.log(u) + torch.log1p(-u) - log_scale).sum(1)
    torch.testing.assert_close(model.log_prob(x.detach(), **arguments), expected)
    jacobian = torch.func.jacrev(lambda z: model.given_noise(z[None], **given(model, 1, 9))[0])(torch.randn(9).double())
    assert not jacobian.triu().any(), "x_t is shifted by noise that is not strictly before t"
    earlier = torch.ones(9, 9).tril(-1).triu(1 - model.receptive_field) > 0
    assert (jacobian.abs().sum(0)[earlier] > 0).all()


def test_the_noise_is_found_alike_with_and_without_gradients():
    model, x = tiny(flows=2, context_channels=1), torch.randn(3, 15).double()
    context = torch.randn(3, 1, 15).double()
    by_passes = model.log_prob(x, context=context)
    assert by_passes.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(x, context=context), by_passes)


def test_the_distribution_of_a_step_reads_the_noise_of_the_declared_steps():
    model = tiny(flows=2, dilations=[1, 2, 1])
    noise = torch.randn(1, 30).double().requires_grad_()
    (slope,) = torch.autograd.grad(model.given_noise(noise)[0, :, -1].sum(), noise)
    assert slope[0].nonzero().flatten().tolist() == list(range(29 - model.receptive_field, 29))


def test_draws_have_gradients_for_every_weight():
    model, teacher = tiny(flows=3, classes=2, context_channels=1), a_teacher(classes=2, context_channels=1)
    arguments = given(model, 6, 12)
    distillation_loss(*model.draw(uniforms(6, 12), **arguments), teacher, **arguments).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} gets no gradient"


def test_the_scale_is_that_of_outputs_of_zero():
    model = ParallelWaveNet(50, 8, [1, 2, 4], flows=3, scale=0.02)
    for flow in model.flows:
        torch.nn.init.zeros_(flow.output.weight)
        torch.nn.init.zeros_(flow.output.bias)
    u = uniforms(2, 50)
    torch.testing.assert_close(model.sample(2, uniforms=u), 0.02 * torch.logit(u).float())


def test_a_student_comes_back_from_its_file(tmp_path):
    model = tiny(flows=2, classes=3)
    save(model, tmp_path / "student")
    labels = torch.tensor([0, 1, 2])
    again = load(tmp_path / "student").sample(3, labels=labels, uniforms=uniforms(3, 12))
    assert torch.equal(again, model.sample(3, labels=labels, uniforms=uniforms(3, 12)))


@pytest.mark.parametrize("end", [0.0, 1 - 2.0**-53])
def test_the_ends_of_the_uniforms_make_finite_sound(end):
    model = tiny()
    x = model.sample(1, uniforms=torch.full((1, 12), end, dtype=torch.float64))
    assert x.isfinite().all() and model.log_prob(x).isfinite().all()


# Distillation


def as_logistics(model, means, log_scales):
    """A WaveNet or a student of one flow whose weights give the same logistic distribution at all steps."""
    output = (model.network if isinstance(model, WaveNet) else model.flows[0]).output
    torch.nn.init.zeros_(output.weight)
    with torch.no_grad():
        output.bias.copy_(torch.tensor([*means, *log_scales], dtype=torch.float64))
    return model


def grid(T, n=400):
    """Midpoints of equal cells of the noise, (n^T, T): a mean over them is an integral over uniforms."""
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.cartesian_prod(*[u] * T).view(-1, T)


def test_the_loss_is_zero_where_the_student_is_the_teacher():
    teacher = WaveNet(2, 65536, 4, [1], skip=8, mixtures=1).double()
    as_logistics(teacher, [0.0, 0.2], [-1.0])
    student = as_logistics(ParallelWaveNet(2, 4, [1], flows=1, skip=8, scale=1).double(), [0.2], [-1.0])
    loss = distillation_loss(*student.draw(grid(2)), teacher)
    # Each draw's loss is -log f(v) - 2, whose mean is 0: an integral over u with singular ends.
    assert loss.std() > 0.5 and abs(loss.mean()) < 0.02
    wrong = as_logistics(ParallelWaveNet(2, 4, [1], flows=1, skip=8, scale=1).double(), [0.5], [-1.0])
    assert distillation_loss(*wrong.draw(grid(2)), teacher).mean() > 0.1


def test_the_loss_is_in_the_mean_the_kl_divergence():
    """By quadrature, against log q - log p of the draws."""
    student, teacher = tiny(2, flows=2), a_teacher(2)
    u = grid(2, 150)
    with torch.no_grad():
        x, parameters = student.draw(u)
        log_q = distributions.logistic_log_prob(*parameters.unbind(1), x)
        log_p = distributions.logistic_mixture_log_prob(teacher.logistics(x), x)
        kl = (log_q - log_p).sum(1).mean()
        loss = distillation_loss(x, parameters, teacher).mean()
        assert kl > 0.1 and float(loss) == pytest.approx(float(kl), abs=0.03)


def test_further_draws_leave_the_mean_and_lower_the_variance():
    student, teacher = tiny(2, flows=2), a_teacher(2)
    u = torch.rand(8, 20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        draw = student.draw(u[0])
        one, several = (distillation_loss(*draw, teacher, uniforms=further) for further in (None, u[1:]))
    error = math.sqrt((one.var() + several.var()) / 20_000)
    assert abs(one.mean() - several.mean()) < 5 * error and several.var() < 0.5 * one.var()


def test_further_draws_are_given_the_same_past():
    """The teacher's mixture and the student's distribution come from the first draw alone."""
    student, teacher = tiny(6, flows=2), a_teacher(6)
    u = uniforms(3, 5, 6)
    x, parameters = student.draw(u[0])
    mean, log_scale = parameters.unbind(1)
    each = [
        distributions.logistic_mixture_log_prob(teacher.logistics(x), mean + log_scale.exp() * torch.logit(u[k]))
        for k in range(3)
    ]
    expected = -(sum(each) / 3 + log_scale + 2).sum(1)
    torch.testing.assert_close(distillation_loss(x, parameters, teacher, uniforms=u[1:]), expected)


def test_a_student_learns_a_teacher_of_one_logistic():
    torch.manual_seed(0)
    teacher = as_logistics(WaveNet(5, 65536, 4, [1], skip=8, mixtures=1).requires_grad_(False), [0.0, 0.3], [-3.0])
    student = ParallelWaveNet(5, 4, [1], flows=2, skip=8)
    adam = torch.optim.Adam(student.parameters(), lr=0.02)
    for _ in range(150):
        loss = distillation_loss(*student.draw(torch.rand(32, 5)), teacher).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    x = student.sample(2000, generator=torch.Generator().manual_seed(0))
    assert abs(x.mean() - 0.3) < 0.02 and abs(x.std() / (math.exp(-3) * math.pi / math.sqrt(3)) - 1) < 0.2


def test_a_teachers_logistics_are_those_of_its_levels():
    """Rounded to levels, they give the teacher's probabilities; at levels, sound and levels mean the same."""
    teacher = a_teacher(9, classes=2)
    x, labels = torch.randint(65536, (4, 9)), torch.tensor([0, 1, 1, 0])
    density = teacher.logistics(2 * x.double() / 65535 - 1, labels=labels)
    logits, means, log_scales = teacher(x, labels=labels).unbind(1)
    level = 2 / 65535
    torch.testing.assert_close(density[:, 0], logits)
    torch.testing.assert_close(density[:, 1], level * means - 1)
    torch.testing.assert_close(density[:, 2], log_scales + math.log(level))
    log_p = distributions.logistic_mixture_log_prob(density, 2 * x.double() / 65535 - 1) + math.log(level)
    torch.testing.assert_close(log_p.sum(1), teacher.log_prob(x, labels=labels), rtol=1e-3, atol=1e-3)


# The power loss


def test_the_power_loss_sees_loudness_and_pitch_but_not_phase():
    t = torch.arange(4096, dtype=torch.float64)
    sine = torch.sin(2 * math.pi * 0.0625 * t)[None]
    assert power_loss(sine, torch.cos(2 * math.pi * 0.0625 * t)[None]) < 1e-6 * power_loss(sine, 0 * sine)
    assert power_loss(sine, 0.5 * sine) > 0.5 * power_loss(sine, 0 * sine)
    assert power_loss(sine, torch.sin(2 * math.pi * 0.125 * t)[None]) > power_loss(sine, 0 * sine)


def test_the_power_spectrum_of_white_noise_is_its_variance():
    noise = 0.3 * torch.randn(1, 200_000, generator=torch.Generator().manual_seed(0)).double()
    per_bin = (power_loss(noise, 0 * noise, window=64) / 33).sqrt()
    assert float(per_bin) == pytest.approx(0.09, rel=0.05)


def test_the_power_loss_takes_pairs_and_has_gradients():
    x, y = torch.randn(3, 600, requires_grad=True), torch.randn(3, 600)
    each = power_loss(x, y)
    torch.testing.assert_close(each[1:2], power_loss(x[1:2], y[1:2]))
    each[0].backward()
    assert x.grad[0].any() and not x.grad[1:].any()


def of_draw(teacher, **settings):
    return distillation_loss(*tiny().draw(uniforms(3, 4)), teacher, **settings)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ParallelWaveNet(8, flows=0), "flows must be at least 1"),
        (lambda: ParallelWaveNet(8, scale=0.0), "scale positive"),
        (lambda: ParallelWaveNet(8, scale=math.inf), "scale positive"),
        (lambda: ParallelWaveNet(8, channels=0), "channels and skip must be at least 1"),
        (lambda: ParallelWaveNet(0), "expected one or more positive integers"),
        (lambda: tiny().draw(torch.rand(3, 4) + 1), r"uniforms must be \(3, 4\) numbers in \[0, 1\)"),
        (lambda: tiny(classes=2).draw(torch.rand(3, 4)), "labels must be"),
        (lambda: of_draw(a_teacher(), uniforms=torch.rand(1, 3, 5)), r"uniforms must have shape \(k, 3, 4\)"),
        (lambda: of_draw(a_teacher(), uniforms=torch.rand(1, 3, 4) + 1), r"numbers in \[0, 1\)"),
        (lambda: of_draw(WaveNet(12, 5, 4, [1]).double()), "has a softmax"),
        (lambda: of_draw(a_teacher(classes=2)), "labels must be"),
        (
            lambda: distillation_loss(torch.zeros(3, 4), torch.zeros(3, 4, 2), a_teacher()),
            r"got \(3, 4\) and \(3, 4, 2",
        ),
        (lambda: a_teacher().logistics(torch.zeros(2, 9).long()), r"real numbers of shape \(n, T\); got torch.int64"),
        (lambda: a_teacher().logistics(None), "got NoneType"),
        (lambda: power_loss(torch.zeros(1, 600), torch.zeros(1, 601)), "of one shape"),
        (lambda: power_loss(torch.zeros(1, 60), torch.zeros(1, 60)), "at least the window; got .* window of 512"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
