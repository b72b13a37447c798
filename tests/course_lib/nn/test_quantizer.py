"""Quantizers: codes by brute force, gradients in closed form, moving averages, revival, what is refused."""

import math
from itertools import product

import pytest
import torch
from torch.distributions import Categorical

from course_lib.nn import FiniteScalarQuantizer, VectorQuantizer, perplexity
from tests.course_lib.properties import LOW, unchanged

SPACES = [(), (5,), (3, 4), (2, 3, 2), (0, 4)]
VECTOR = [dict(), dict(decay=None), dict(cosine=True), dict(decay=None, cosine=True)]


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quantizer(codes=7, features=3, **settings):
    torch.manual_seed(1)
    return VectorQuantizer(codes, features, **settings).double()


def unit(z):
    return z / z.square().sum(1, keepdim=True).sqrt()


def by_brute_force(z, rows):
    """The first of the nearest rows at each position, and the row: loops over positions and rows."""
    codes = torch.zeros(len(z), *z.shape[2:], dtype=torch.int64)
    for n, *place in product(*map(range, codes.shape)):
        distances = [((z[(n, slice(None), *place)] - row) ** 2).sum().item() for row in rows]
        codes[(n, *place)] = distances.index(min(distances))
    return codes, rows[codes].movedim(-1, 1)


@pytest.mark.parametrize("settings", VECTOR)
@pytest.mark.parametrize("space", SPACES)
def test_each_vector_gets_the_nearest_row_whatever_the_layout(space, settings):
    q, z = quantizer(**settings).eval(), normal(4, 3, *space)
    points, rows = (unit(z), unit(q.codebook)) if q.cosine else (z, q.codebook)
    codes, vectors = by_brute_force(points, rows.detach())
    values, found, loss = q(z)
    assert found.dtype == torch.int64 and torch.equal(found, codes) and torch.equal(q.nearest(z), codes)
    torch.testing.assert_close(values, vectors)
    assert torch.equal(values, q.embed(found)), "not the row to the last digit"
    again = q(values)
    assert torch.equal(again.codes, codes), "not idempotent"
    torch.testing.assert_close(again.values, values)
    if math.prod(space):
        distance = (points - vectors).square().sum(1).view(4, -1).mean(1)
        torch.testing.assert_close(loss, (0.25 if q.decay else 1.25) * distance)


def test_rows_at_the_same_distance_and_far_from_zero():
    q = quantizer(4, 2)
    q.codebook.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 3.0]]))
    assert q.nearest(torch.tensor([[0.0, 0.5], [2.0, 0.0], [0.0, 9.0]]).double()).tolist() == [0, 0, 3]
    far = 2.0**27  # whose square has no digit left for the differences
    q.codebook += far
    assert q.nearest(torch.tensor([[0.9, 0.0], [-0.9, 0.0]]).double() + far).tolist() == [0, 1]


@pytest.mark.parametrize("settings", VECTOR)
def test_gradients_are_those_of_the_closed_forms(settings):
    q = quantizer(commitment=0.7, **settings)
    z = normal(5, 3, 2, 4).requires_grad_()
    g = normal(5, 3, 2, 4, seed=2)
    trained = [z, q.codebook] if q.decay is None else [z]
    with unchanged(q):
        values, codes, loss = q(z, update=False)
    through = torch.autograd.grad((values * g).sum(), trained, retain_graph=True, materialize_grads=True)
    losses = torch.autograd.grad(loss.mean(), trained)

    points, rows = (unit(z), unit(q.codebook)) if q.cosine else (z, q.codebook)
    e = rows[codes].movedim(-1, 1)
    n = 5 * 2 * 4  # positions
    straight = torch.autograd.grad((points * g).sum(), z, retain_graph=True)[0]
    to_points = 2 * 0.7 * (points - e).detach() / n
    torch.testing.assert_close(through[0], straight)
    torch.testing.assert_close(losses[0], torch.autograd.grad((points * to_points).sum(), z, retain_graph=True)[0])
    if not q.cosine:
        assert torch.equal(through[0], g)
        torch.testing.assert_close(losses[0], to_points)
    if q.decay is None:
        to_rows = 2 * (e - points).detach() / n
        assert not through[1].any(), "the codebook gets a gradient from what reads the codes"
        torch.testing.assert_close(losses[1], torch.autograd.grad((e * to_rows).sum(), q.codebook)[0])


@pytest.mark.parametrize("settings", VECTOR)
def test_training_uses_the_rows_before_the_update_and_evaluation_changes_nothing(settings):
    q, z = quantizer(revive=0.999, **settings), normal(2, 3, 2)  # four vectors leave three codes without any
    before = q.codebook.detach().clone()
    with unchanged(q.eval()):
        expected = q(z)
    with unchanged(q.train()):
        q(z, update=False)
        q.nearest(z)
        q.embed(expected.codes)
    found = q(z.clone().requires_grad_())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(q.codebook, before)
    found.loss.mean().backward()  # the graph survives the update in place


def test_the_moving_averages_are_the_papers():
    q = quantizer(decay=0.9)
    counts, sums = q.counts.clone(), q.codebook.clone()  # counts start at 1
    for step in range(5):
        z = normal(4, 3, 2, 3, seed=step)
        codes = by_brute_force(z, q.codebook)[0].flatten()
        q(z)
        z = torch.stack([z[i, :, r, c] for i in range(4) for r in range(2) for c in range(3)])
        for k in range(7):
            counts[k] = 0.9 * counts[k] + 0.1 * (codes == k).sum()
            sums[k] = 0.9 * sums[k] + 0.1 * z[codes == k].sum(0)
        torch.testing.assert_close(q.counts, counts)
        torch.testing.assert_close(q.codebook, sums / counts[:, None])


def test_an_unused_code_stays_as_it_is_however_long():
    q = quantizer(3, 2, decay=0.5)
    q.codebook.copy_(torch.tensor([[0.1, 0.7], [100.3, 1.7], [-100.9, 2.1]]))
    unused = q.codebook[1:].clone()
    for step in range(1100):  # 2^-1100 is 0
        q(normal(3, 2, seed=step))
    assert torch.equal(q.codebook[1:], unused) and not q.counts[1:].any()
    assert q.codebook.isfinite().all()
    q(torch.tensor([[100.0, 2.0]]).double())
    assert q.codebook[1].tolist() == [100.0, 2.0]  # of a count of 0 one vector is the mean


def test_rows_are_bounded_by_what_they_have_seen():
    q = quantizer(decay=0.99)
    most = q.codebook.abs().amax(0)
    for step in range(50):
        z = normal(30, 3, seed=step)
        q(z)
        most = torch.maximum(most, z.abs().amax(0))
        assert (q.codebook.abs() <= most + 1e-12).all()


@pytest.mark.parametrize("cosine", [False, True])
def test_the_fixed_point_is_the_centroid(cosine):
    q, z = quantizer(4, 2, decay=0.8, cosine=cosine), normal(60, 2)
    for _ in range(400):
        codes = q(z).codes
    points = unit(z) if cosine else z
    assert len(codes.unique()) > 1
    for k in codes.unique():
        centroid = points[codes == k].mean(0)
        torch.testing.assert_close(q.codebook[k], centroid / centroid.norm() if cosine else centroid)


def test_without_decay_an_update_is_a_step_of_k_means():
    q, z = quantizer(decay=0.0), normal(40, 3)
    codes = q(z).codes
    for k in codes.unique():
        torch.testing.assert_close(q.codebook[k], z[codes == k].mean(0))


@pytest.mark.parametrize("settings", VECTOR)
def test_dead_codes_are_revived_at_vectors_of_the_batch(settings):
    q = quantizer(5, 2, revive=0.3, **settings)
    with torch.no_grad():
        q.codebook.copy_(torch.tensor([[1.0, 0.1], [0.1, 1.0], [-50.0, -60.0], [-70.0, -50.0], [-60.0, -60.0]]))
    z, alive = normal(50, 2).abs(), q.codebook[:2].detach().clone()
    q.counts.copy_(torch.tensor([1.0, 1.0, 0.31, 0.30, 0.2]))
    q(z)  # counts of 0.31, 0.30, 0.2 fall by 1 %
    points = unit(z) if q.cosine else z
    drawn = (q.codebook[:, None] == points).all(2).any(1)
    assert drawn.tolist() == [False, False, False, True, True]
    assert q.counts[3:].tolist() == [1, 1] and q.counts[2] == pytest.approx(0.99 * 0.31)
    if q.decay is None:
        assert torch.equal(q.codebook[:2], alive)


def test_revival_cures_a_collapse():
    z = 5 + 0.1 * normal(400, 2)
    used = {}
    for revive in (0.0, 0.5):
        q = quantizer(16, 2, revive=revive)
        for _ in range(300):
            q(z)
        used[revive] = perplexity(q.nearest(z), 16)
    assert used[0.0] < 3 and used[0.5] > 10


@pytest.mark.parametrize("make", [lambda: quantizer(40, 8), lambda: FiniteScalarQuantizer([5, 4, 3])])
def test_low_precision_is_computed_in_float32(make):
    for precision in LOW:
        q = make().to(precision.weights).eval()
        z = normal(6, q.features, 4, 4).to(torch.bfloat16 if precision.autocast else precision.weights)
        with precision.active():
            values, codes, loss = q(z)
        exact = q.double()(z.double())
        assert torch.equal(codes, exact.codes) and values.dtype == z.dtype and loss.dtype == torch.float32
        assert torch.equal(values, exact.values.to(z.dtype))
        torch.testing.assert_close(loss.double(), exact.loss, rtol=1e-5, atol=1e-6)


LEVELS = [[3], [5, 3], [4, 3, 2], [2, 2], [8, 5, 5]]


@pytest.mark.parametrize("levels", LEVELS)
def test_finite_scalars_are_rounded_and_numbered(levels):
    q, z = FiniteScalarQuantizer(levels), 2 * normal(50, len(levels), 3)
    values, codes, loss = q(z)
    assert (q.codes, q.features) == (math.prod(levels), len(levels)) and not loss.any()
    for n, c in product(range(50), range(3)):
        index, place = 0, 1
        for d, L in enumerate(levels):
            h = (L - 1) / 2 * math.tanh(z[n, d, c])
            choices = [k - (L - 1) / 2 for k in range(L)]
            digit = min(range(L), key=lambda k: abs(choices[k] - h))
            assert values[n, d, c].item() == pytest.approx(choices[digit] / ((L - 1) / 2), abs=1e-6)
            index, place = index + digit * place, place * L
        assert codes[n, c] == index
    everything = torch.arange(q.codes)
    vectors = q.embed(everything)
    assert len(vectors.unique(dim=0)) == q.codes, "two codes are one vector"
    assert torch.equal(q(torch.atanh(0.999 * vectors)).codes, everything)
    assert torch.equal(q.embed(codes).double(), values)


def test_finite_scalars_have_the_gradient_of_tanh():
    z = normal(6, 2, 4).requires_grad_()
    g = normal(6, 2, 4, seed=1)
    (found,) = torch.autograd.grad((FiniteScalarQuantizer([5, 4])(z).values * g).sum(), z)
    torch.testing.assert_close(found, g * (1 - torch.tanh(z) ** 2))


def test_finite_scalars_far_out_are_the_first_and_last_value():
    q = FiniteScalarQuantizer([5, 4])
    assert q(torch.tensor([[1e4, -1e4], [-1e4, 1e4]])).values.tolist() == [[1, -1], [-1, 1]]


def test_perplexity_is_the_exponential_of_the_entropy():
    codes = torch.randint(5, (4, 6, 2), generator=torch.Generator().manual_seed(0))
    p = torch.bincount(codes.flatten(), minlength=9).double()
    assert perplexity(codes, 9) == pytest.approx(Categorical(probs=p).entropy().exp().item())
    assert perplexity(torch.full((3, 2), 4), 5) == 1
    assert perplexity(torch.arange(6).to(torch.uint8), 6) == pytest.approx(6)
    for wrong in (torch.zeros(0, dtype=torch.long), torch.tensor([3]), torch.tensor([-1]), torch.zeros(2)):
        with pytest.raises(ValueError, match="expected one integer of 0..2 or more"):
            perplexity(wrong, 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: VectorQuantizer(1, 2), "at least 2 codes and 1 feature; got codes = 1, features = 2"),
        (lambda: VectorQuantizer(2, 0), "features = 0"),
        (lambda: VectorQuantizer(2, 1, decay=1.0), "decay is 1.0"),
        (lambda: VectorQuantizer(2, 1, decay=-0.1), "decay is -0.1"),
        (lambda: VectorQuantizer(2, 1, commitment=-1), "commitment is -1"),
        (lambda: VectorQuantizer(2, 1, commitment=math.nan), "commitment is nan"),
        (lambda: VectorQuantizer(2, 1, revive=1.0), "revive is 1.0"),
        (lambda: FiniteScalarQuantizer([]), r"levels is \[\]"),
        (lambda: FiniteScalarQuantizer([3, 1]), r"levels is \[3, 1\]"),
        (lambda: VectorQuantizer(4, 3)(torch.zeros(2, 4, 3)), r"shape \(n, 3, ...\); got torch.float32, \(2, 4, 3\)"),
        (lambda: VectorQuantizer(4, 3).nearest(torch.zeros(3)), r"got torch.float32, \(3,\)"),
        (lambda: VectorQuantizer(4, 3)(torch.zeros(2, 3).long()), "got torch.int64"),
        (lambda: FiniteScalarQuantizer([3])(torch.zeros(2, 2)), r"shape \(n, 1, ...\)"),
        (lambda: VectorQuantizer(4, 3).embed(torch.tensor([4])), "integers 0..3; got torch.int64, 4 to 4"),
        (lambda: FiniteScalarQuantizer([3]).embed(torch.tensor([-1])), "codes must be integers 0..2"),
        (lambda: VectorQuantizer(4, 3).embed(torch.zeros(2)), "got torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
