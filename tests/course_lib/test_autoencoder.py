"""Autoencoders: the linear one is PCA."""

import pytest
import torch

from course_lib import data
from course_lib.metrics import principal_angles
from course_lib.models import Autoencoder, ProbabilisticPCA
from course_lib.training import fit


def test_a_linear_autoencoder_spans_the_principal_subspace():
    x = data.digits("levels").flatten().train.x.double() / 15
    torch.manual_seed(0)
    model = Autoencoder((64,), None, latents=3).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = model.loss(x)
        value.backward()
        return value

    optimizer.step(loss)
    best = ProbabilisticPCA.of(x, 3)
    angles = principal_angles(model.decoder.layers[0].weight, best.W)
    assert angles.max() < 0.5, f"the subspaces are {angles.tolist()} degrees apart"
    centred = x - x.mean(0)
    smallest = torch.linalg.eigvalsh(centred.T @ centred / len(x))[:-3].sum()  # the error of PCA
    assert smallest - 1e-9 <= model.loss(x) < 1.0001 * smallest


def test_a_convolutional_autoencoder_learns():
    ds = data.digits("levels")
    torch.manual_seed(0)
    model = Autoencoder((1, 8, 8), 16, 8, channels=[8, 16])
    history = fit(model, ds, epochs=10, batch_size=64, lr=5e-3)
    assert history.valid[-1] < 0.6 * history.valid[0] and not history.terms
    assert f"valid {history.valid[-1]:.2f} squared error;" in str(history)


@pytest.mark.parametrize("build", [
    lambda: Autoencoder((64,), 16, 5, [30]),
    lambda: Autoencoder((1, 8, 8), 16, 5, [30], channels=[4, 8]),
    lambda: Autoencoder((1, 7, 9), 16, 5, channels=[4, 8, 8]),
])  # fmt: skip
def test_codes_and_reconstructions_have_their_shapes(build):
    torch.manual_seed(0)
    model = build()
    x = torch.randint(16, (6, *model.event_shape))
    z = model.encode(x)
    assert z.shape == (6, 5) and model.decode(z).shape == x.shape
    assert torch.equal(model.reconstruct(x), model.decode(z).detach())
    error = (x / 15 - model.reconstruct(x) / 15).square().flatten(1).sum(1)
    torch.testing.assert_close(model.squared_error(x).detach(), error)
    torch.testing.assert_close(model.loss(x), error.mean())
    for name, parameter in model.named_parameters():
        (gradient,) = torch.autograd.grad(model.loss(x), parameter)
        assert gradient.any(), name


def test_images_on_odd_grids_come_back_in_their_size():
    for height, width in [(5, 8), (1, 1), (3, 2), (28, 28)]:
        model = Autoencoder((2, height, width), 2, 3, channels=[4, 4])
        assert model.reconstruct(torch.zeros(2, 2, height, width, dtype=torch.long)).shape == (2, 2, height, width)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((4,), 2, 0), "latents is 0"),
        (((4,), 2, 1, [0]), "hidden must be at least 1"),
        (((4,), 2, 1, 5), r"hidden is 5; expected a list, such as \[5\]"),
        (((4,), 1, 1), "levels is 1"),
    ],
)
def test_wrong_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder(*arguments)


def test_wrong_inputs_are_refused():
    model = Autoencoder((4,), 2, 3)
    with pytest.raises(ValueError, match="convolutions need"):
        Autoencoder((4,), 2, 3, channels=[2])
    with pytest.raises(ValueError, match="channels must be at least 1"):
        Autoencoder((1, 4, 4), 2, 3, channels=[0])
    for call in (model.encode, model.loss, model.reconstruct):
        with pytest.raises(ValueError, match="integers"):
            call(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"z must have shape \(n, 3\)"):
        model.decode(torch.zeros(2, 4))
