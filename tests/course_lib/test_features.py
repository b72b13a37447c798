"""The networks behind FIDs: the course's own, from their files, and the Inception network, or why it is not there."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.image import fid

from course_lib import data, features
from course_lib.data import Dataset, Split
from course_lib.features import FILES, FeatureNetwork, accuracy, feature_network, inception, train


@pytest.mark.parametrize("view", ["binary", "levels"])
def test_a_saved_network_reads_the_digits_as_its_row_says(view):
    ds = data.digits(view)
    network = feature_network(ds)
    assert accuracy(network, ds.test.x, ds.test.y) == pytest.approx(FILES[ds.name].accuracy, abs=0.004)
    assert FILES[ds.name].accuracy > 0.95
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert network.features(ds.train.x).square().mean().item() == pytest.approx(1, rel=1e-3)


def test_the_network_of_mnist_is_whole():
    empty = Split(torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    network = feature_network(Dataset("MNIST", (1, 28, 28), 256, empty, empty, empty))
    x = torch.randint(256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert network.logits(x).isfinite().all() and network.features(x).shape == (3, FILES["MNIST"].features)
    assert FILES["MNIST"].accuracy > 0.98


@pytest.mark.parametrize("ds", [data.digits().flatten(), data.digits("real"), data.tones()])
def test_other_data_are_refused_in_words(ds):
    with pytest.raises(
        ValueError, match="the course has networks for images of digits, binary, .*course_lib.features.train"
    ):
        feature_network(ds)


def test_images_of_another_shape_are_refused():
    network = feature_network(data.digits("levels"))
    for x in (torch.zeros(2, 1, 9, 8).long(), torch.zeros(2, 64).long(), torch.full((2, 1, 8, 8), 16)):
        with pytest.raises(ValueError):
            network.features(x)
    with pytest.raises(ValueError, match="sizes of at least 1"):
        FeatureNetwork((1, 8, 8), 2, features=0)


def stripes(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=generator)
    stripe = torch.arange(8) % 2
    x = torch.where(y.view(-1, 1, 1, 1) == 1, stripe.view(1, 1, 1, 8), stripe.view(1, 1, 8, 1)).expand(n, 1, 8, 8)
    flipped = torch.rand(n, 1, 8, 8, generator=generator) < 0.1
    return Split(torch.where(flipped, 1 - x, x), y)


def test_training_gives_a_network_for_other_labelled_images():
    ds = Dataset("stripes", (1, 8, 8), 2, stripes(300, 0), stripes(50, 1), stripes(50, 2))
    before = torch.random.get_rng_state()
    network = train(ds, epochs=3, progress=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert network.output.out_features == 2 and network.name == "the course's network for stripes"
    assert accuracy(network, ds.test.x, ds.test.y) > 0.9
    assert network.features(ds.train.x).square().mean().item() == pytest.approx(1, rel=1e-4)
    with pytest.raises(ValueError, match="with labels; got no labels"):
        train(Dataset("no labels", (1, 8, 8), 2, *[Split(ds.train.x)] * 3), epochs=1)


def test_scaling_the_features_leaves_the_classes_as_they_are():
    torch.manual_seed(0)
    network, x = FeatureNetwork((1, 8, 8), 4).double().eval(), torch.randint(4, (20, 1, 8, 8))
    before = network.logits(x)
    features._rescale(network, x)
    torch.testing.assert_close(network.logits(x), before)
    assert network.features(x).square().mean().item() == pytest.approx(1)


def test_the_loss_is_the_mean_surprise_at_the_labels():
    network, x, y = FeatureNetwork((1, 8, 8), 2).eval(), torch.zeros(4, 1, 8, 8).long(), torch.arange(4)
    log_p = network.logits(x).log_softmax(1)
    assert network.loss(x, labels=y).item() == pytest.approx(-log_p[range(4), y].mean().item(), rel=1e-5)


# The Inception network


def test_without_its_weights_the_inception_network_says_where_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*gone.pth.*torch-fidelity's releases.*feature_network"):
        inception(tmp_path / "gone.pth")


def test_without_its_package_the_inception_network_says_which(tmp_path, monkeypatch):
    torch.save({}, tmp_path / "weights.pth")
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch-fidelity.*feature_network"):
        inception(tmp_path / "weights.pth")


class RunsCode:
    def __reduce__(self):
        return print, ("code of the file",)


def test_a_file_that_could_run_code_is_refused(tmp_path, capsys):
    torch.save(RunsCode(), tmp_path / "weights.pth")
    (tmp_path / "empty.pth").touch()
    for name in ("weights.pth", "empty.pth"):
        with pytest.raises(ValueError, match=f"{name} does not hold tensors alone"):
            inception(tmp_path / name)
    assert "code" not in capsys.readouterr().out


def test_the_network_comes_from_torchmetrics_without_antialiasing(tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1)}, file)
    monkeypatch.setattr(features, "find_spec", lambda name: True)
    built = []

    def build(*args, **keywords):
        built.append((args, keywords))
        if len(built) > 1:
            raise RuntimeError("Error(s) in loading state_dict\nand more")
        return Averages()

    monkeypatch.setattr(fid, "NoTrainInceptionV3", build)
    assert inception(file).name == "Inception, weights.pth"
    assert built == [(("inception-v3-compat", ["2048"], str(file)), {"antialias": False})]
    with pytest.raises(ValueError, match=r"not hold the weights of the Inception network \(.*loading state_dict\)"):
        inception(file)


class Averages(nn.Module):
    """In place of the network: the mean of each colour, and two classes."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        assert x.shape[1] == 3
        return x.double().mean((2, 3)).float()


def test_grey_images_become_three_equal_colours_and_logits_have_no_bias():
    network = features.Inception(Averages(), "averages")
    x = torch.randint(256, (5, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(network.features(x), network.features(x.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(network.logits(x) + network.network.fc.bias, network.network.fc(network.features(x)))
    for wrong in (x.float(), x[:, 0], x.expand(-1, 4, -1, -1)):
        with pytest.raises(ValueError, match="expected uint8 images"):
            network.features(wrong)
    assert math.isfinite(network.logits(x).sum().item())
