"""Models with their data and training: one `Recipe` per line of the scoreboard, and one per published result.

A new likelihood model joins the scoreboard with one line in `digits_recipes`, where it must do better than
`independent pixels` and `FVBN`, or in `sound_recipes`, where it must do better than `linear prediction`.
`published_recipes` has the published results on the fixed binarized MNIST and on CIFAR-10, and WaveNets that speak:

    python -m course_lib.recipes          lists them
    python -m course_lib.recipes nade     trains and tests one, which takes hours on two CPU cores
    python -m course_lib.recipes --all    trains and tests all of the fixed binarized MNIST

An interrupted training continues from build/recipes/nade.safetensors. COURSE_BUDGET decides how long it takes.
`course_lib.published` describes the command and its options.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Adagrad, Adam, AdamW, RMSprop

from course_lib import budget, data
from course_lib.data import Dataset
from course_lib.models import (
    DCGAN,
    FVBN,
    MADE,
    NADE,
    RNADE,
    VAE,
    VQVAE,
    VQVAE2,
    BiGAN,
    CategoricalVAE,
    CodeModel,
    CodePrior,
    ConvNADE,
    EoNADE,
    GatedPixelCNN,
    Histogram,
    IndependentPixels,
    LadderVAE,
    LinearPrediction,
    MADEEnsemble,
    OrderlessNADE,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelRNN,
    PixelVAE,
    WaveNet,
    orderings,
)
from course_lib.training import GameHistory, History, fit, fit_game

__all__ = [
    "Recipe",
    "digits_dcgan",
    "digits_recipes",
    "digits_vqvae",
    "digits_vqvae_training",
    "mnist_recipes",
    "published_recipes",
    "sound_recipes",
]


@dataclass(frozen=True)
class Recipe:
    """A model, its data and its settings.

    Attributes:
        name: the model, in a few words.
        data: loads the data set.
        model: builds an untrained model.
        training: settings for `course_lib.training.fit`; empty for a model that is complete as built. Settings for
            `fit_game` of a model without a likelihood.
        likelihood: what `log_prob` gives: `exact`, or a lower `bound` on it; `none` for an implicit model.
        draws: k, of a latent-variable model, which is tested by its `iwae_bound` with k draws.
        prior: settings for the second stage of a `CodeModel`, that of its prior; empty for other models. `training` has
            those of the first stage, that of its autoencoder.
        source: the publication, and how this recipe differs from it.
        published: the published figure and its source; empty if we could not read it ourselves.
        target: the published figure on the same data, in nats per image; None if there is none. A bound's was measured
            as the model's is, or with fewer draws.
    """

    name: str
    data: Callable[[], Dataset]
    model: Callable[[], nn.Module]
    training: Mapping[str, Any] = field(default_factory=dict)
    likelihood: Literal["exact", "bound", "none"] = "exact"
    draws: int | None = None
    source: str = ""
    published: str = ""
    prior: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None

    @property
    def measured(self) -> str:
        """The likelihood in words, with the number of draws.

        >>> Recipe("VAE", data.digits, nn.Module, likelihood="bound", draws=1000).measured
        'bound, k = 1000'
        """
        return self.likelihood + (f", k = {self.draws}" if self.draws else "")

    @property
    def labels(self) -> bool:
        """Whether the model is given class labels."""
        return bool((self.prior or self.training).get("labels"))

    def fit(
        self, model: nn.Module, dataset: Dataset, checkpoint: Path | None = None, **settings: Any
    ) -> list[History | GameHistory]:
        """Train a model that `model` built, in one stage or two: the histories.

        Args:
            model, dataset: as `course_lib.training.fit` takes them.
            checkpoint: file of the first stage. That of the second one has `-prior` in its name.
            settings: further ones of `fit`, for both stages.
        """
        if self.likelihood == "none":
            return [fit_game(model, dataset, checkpoint=checkpoint, **self.training, **settings)]
        if not self.prior:
            return [fit(model, dataset, checkpoint=checkpoint, **self.training, **settings)]
        first = fit(model.autoencoder, dataset, checkpoint=checkpoint, **self.training, **settings)
        codes = model.autoencoder.code_dataset(dataset)
        checkpoint = checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-prior")
        return [first, fit(model.prior, codes, checkpoint=checkpoint, **self.prior, **settings)]


def _binary() -> Dataset:
    return data.digits("binary").flatten()


def _levels() -> Dataset:
    return data.digits("levels").flatten()


def _level_images() -> Dataset:
    return data.digits("levels")


def _real() -> Dataset:
    return data.digits("real").flatten()


def _mnist() -> Dataset:
    return data.binarized_mnist().flatten()


def _pixelcnn(build: Callable[..., nn.Module], levels: int, **settings: Any) -> nn.Module:
    """A small PixelCNN of either kind for the digits, with 5x5 convolutions and a position bias."""
    channels, layers = budget(smoke=(12, 2), cpu=(24, 3), gpu=(24, 3))
    return build((1, 8, 8), levels, channels, layers, kernel=5, head=48, position_bias=True, **settings)


def _pixelrnn(recurrence: Literal["row", "diagonal"], levels: int) -> PixelRNN:
    """A small PixelRNN for the digits, with the first convolution and the position bias of the PixelCNN."""
    channels, layers = budget(smoke=(12, 1), cpu=(24, 2), gpu=(24, 2))
    settings = dict(first_kernel=5, head=48, position_bias=True)
    return PixelRNN((1, 8, 8), levels, channels, layers, recurrence=recurrence, **settings)


def _pixelcnn_plus_plus() -> nn.Module:
    """A small PixelCNN++ for the digits, on grids of 8x8 and 4x4."""
    channels = budget(smoke=8, cpu=24, gpu=24)
    return PixelCNNPlusPlus((1, 8, 8), 16, channels, blocks=1, halvings=1, mixtures=5, dropout=0.2)


def _eonade(D: int, widths: list[int], k: int) -> EoNADE:
    """An ensemble of k random orderings."""
    return EoNADE(OrderlessNADE(D, widths), [orderings.random(D, seed) for seed in range(k)])


def _made_ensemble(D: int, widths: list[int], masks: int, **settings: Any) -> MADEEnsemble:
    return MADEEnsemble(D, widths, masks=masks, direct=True, **settings)


def _vae(name: str, load: Callable[[], Dataset], levels: int, training: Mapping[str, Any], **settings: Any) -> Recipe:
    """A line of the scoreboard for a VAE with two hidden layers of 200 units in either network."""
    draws = budget(smoke=50, cpu=1000, gpu=5000)
    return Recipe(name, load, lambda: VAE((64,), levels, 12, [200, 200], **settings), training, "bound", draws)


def _categorical_vae(training: Mapping[str, Any]) -> Recipe:
    """The same networks with 8 latent variables of 8 categories: too many states to enumerate."""
    draws = budget(smoke=50, cpu=1000, gpu=5000)
    settings = dict(estimator="gumbel", temperature=0.5)
    build = partial(CategoricalVAE, (64,), 2, 8, 8, [200, 200], **settings)
    return Recipe("VAE, categorical", _binary, build, training, "bound", draws)


def _pixel_vae(load: Callable[[], Dataset], levels: int, training: Mapping[str, Any]) -> Recipe:
    """The same networks before a PixelCNN of one layer, which reads two rows above and one column to each side."""
    channels, warmup, draws = budget(smoke=(6, 100, 10), cpu=(16, 380, 500), gpu=(16, 380, 5000))
    settings = dict(pixel_channels=channels, pixel_layers=1, kernel=3, head=32, warmup=warmup)
    build = partial(PixelVAE, (1, 8, 8), levels, 12, [200, 200], **settings)
    return Recipe("PixelVAE", load, build, training, "bound", draws)


def _ladder_vae(training: Mapping[str, Any]) -> Recipe:
    """The same networks with two levels of latent variables."""
    draws = budget(smoke=50, cpu=1000, gpu=5000)
    return Recipe("Ladder VAE", _binary, lambda: LadderVAE((64,), 2, [4, 8], [200, 200]), training, "bound", draws)


def _code_model(autoencoder: VQVAE | VQVAE2, channels: int, layers: int, **settings: Any) -> CodeModel:
    """An autoencoder with codes and a prior over them."""
    prior = CodePrior(autoencoder.code_shapes, autoencoder.codes, channels, layers, **settings)
    return CodeModel(autoencoder, prior)


def digits_vqvae(levels: int, classes: int | None = None) -> CodeModel:
    """A VQ-VAE of the digits, with 4x4 codes, and its prior: of 2 levels, or of 16.

    >>> digits_vqvae(2).autoencoder.code_shapes
    [(4, 4)]
    """
    codes, likelihood = (4, None) if levels == 2 else (16, "discretized logistic")
    channels, layers = budget(smoke=(8, 1), cpu=(24, 3), gpu=(24, 3))
    autoencoder = VQVAE((1, 8, 8), levels, codes, 8, [32], likelihood=likelihood, revive=0.1)
    return _code_model(autoencoder, channels, layers, classes=classes)


def digits_vqvae_training(labels: bool = False) -> dict[str, Mapping[str, Any]]:
    """The settings `training` and `prior` of a `Recipe` for `digits_vqvae`, in that order.

    >>> list(digits_vqvae_training())
    ['training', 'prior']
    """
    first = dict(epochs=budget(smoke=5, cpu=50, gpu=100), patience=15, batch_size=64, lr=3e-3, average=0.98)
    second = dict(epochs=budget(smoke=2, cpu=35, gpu=60), patience=10, batch_size=64, lr=4e-3, average=0.98)
    second |= dict(optimizer=partial(AdamW, weight_decay=0.3), labels=labels)
    return {"training": first, "prior": second}


def digits_dcgan() -> Recipe:
    """A DCGAN of the digits of 16 levels: 25 s of a core.

    >>> digits_dcgan().likelihood
    'none'
    """
    training = dict(epochs=budget(smoke=2, cpu=100, gpu=300), batch_size=64, lr=1e-3, average=0.99)
    return Recipe("DCGAN", _level_images, lambda: DCGAN((1, 8, 8), 16, 32, [32, 64]), training, "none")


def digits_recipes() -> list[Recipe]:
    """The lines of the scoreboard, with the training times of the current COURSE_BUDGET.

    A model of the dequantized digits gives densities. With the Jacobian included, they bound the likelihood of the 16
    levels from below (see `course_lib.data.digits`), so the costs can be compared. A VAE's importance-weighted bound
    is one as well, for either view, and so is that of a VQ-VAE: the cost in the table is more than the model's own.

    >>> [recipe.name for recipe in digits_recipes()][:3]
    ['uniform', 'independent pixels', 'FVBN']
    """
    convex = dict(epochs=budget(smoke=5, cpu=200, gpu=200), patience=20, batch_size=64, lr=1e-2)
    nade = dict(epochs=budget(smoke=5, cpu=150, gpu=150), patience=10, batch_size=64, lr=1e-2)
    nade |= dict(optimizer=partial(AdamW, weight_decay=0.1))
    rnade = dict(epochs=budget(smoke=3, cpu=60, gpu=60), patience=10, batch_size=64, lr=5e-3)
    orderless = dict(epochs=budget(smoke=15, cpu=250, gpu=250), patience=50, batch_size=64, lr=2e-3)
    conv = dict(epochs=budget(smoke=15, cpu=150, gpu=150), patience=40, batch_size=64, lr=4e-3)
    made = dict(epochs=budget(smoke=10, cpu=200, gpu=200), patience=20, batch_size=64, lr=3e-3)
    made_levels = made | dict(lr=2e-3)
    masks = dict(epochs=budget(smoke=15, cpu=300, gpu=300), patience=30, batch_size=64, lr=3e-3)
    channels = budget(smoke=8, cpu=32, gpu=32)
    pixels = dict(epochs=budget(smoke=5, cpu=60, gpu=60), patience=10, batch_size=64, lr=4e-3)
    plus_plus = pixels | dict(epochs=budget(smoke=2, cpu=40, gpu=40), optimizer=partial(AdamW, weight_decay=0.01))
    pixels |= dict(optimizer=partial(AdamW, weight_decay=0.3))
    vae = dict(epochs=budget(smoke=15, cpu=150, gpu=300), patience=20, batch_size=64, lr=2e-3, average=0.99)
    pixel_vae = vae | dict(epochs=budget(smoke=15, cpu=100, gpu=200), patience=40, lr=4e-3)
    vqvae = digits_vqvae_training()
    return [
        Recipe("uniform", _binary, lambda: IndependentPixels(64)),
        Recipe("independent pixels", _binary, lambda: IndependentPixels(64), convex),
        Recipe("FVBN", _binary, lambda: FVBN(64), convex),
        Recipe("NADE", _binary, lambda: NADE(64, hidden=200), nade),
        Recipe("orderless NADE", _binary, lambda: OrderlessNADE(64, [300, 300]), orderless),
        Recipe("EoNADE, 16 orderings", _binary, lambda: _eonade(64, [300, 300], 16), orderless),
        Recipe("MADE", _binary, lambda: MADE(64, [500], dropout=0.5, direct=True), made),
        Recipe("MADE, 16 orderings", _binary, lambda: _made_ensemble(64, [500], 16, dropout=0.2), masks),
        Recipe("ConvNADE", data.digits, lambda: ConvNADE((1, 8, 8), channels, layers=2, kernel=7), conv),
        Recipe("PixelCNN", data.digits, lambda: _pixelcnn(PixelCNN, 2, first_kernel=5), pixels),
        Recipe("Gated PixelCNN", data.digits, lambda: _pixelcnn(GatedPixelCNN, 2), pixels),
        Recipe("Row LSTM", data.digits, lambda: _pixelrnn("row", 2), pixels),
        Recipe("Diagonal BiLSTM", data.digits, lambda: _pixelrnn("diagonal", 2), pixels),
        _vae("VAE", _binary, 2, vae),
        _vae("VAE, mixture", _binary, 2, vae, posterior="mixture"),
        _vae("VAE, flow", _binary, 2, vae, posterior="iaf"),
        _categorical_vae(vae),
        _ladder_vae(vae | dict(lr=4e-3)),
        _pixel_vae(data.digits, 2, pixel_vae),
        Recipe("VQ-VAE", data.digits, lambda: digits_vqvae(2), likelihood="bound", draws=1, **vqvae),
        Recipe("uniform", _levels, lambda: IndependentPixels(64, levels=16)),
        Recipe("independent pixels", _levels, lambda: IndependentPixels(64, levels=16), convex),
        Recipe("MADE", _levels, lambda: MADE(64, [500], levels=16, dropout=0.5, direct=True), made_levels),
        Recipe("PixelCNN", _level_images, lambda: _pixelcnn(PixelCNN, 16, first_kernel=5), pixels),
        Recipe("Gated PixelCNN", _level_images, lambda: _pixelcnn(GatedPixelCNN, 16), pixels),
        Recipe("Row LSTM", _level_images, lambda: _pixelrnn("row", 16), pixels),
        Recipe("Diagonal BiLSTM", _level_images, lambda: _pixelrnn("diagonal", 16), pixels),
        Recipe("PixelCNN++", _level_images, _pixelcnn_plus_plus, plus_plus),
        _vae("VAE, logistic", _levels, 16, vae, likelihood="discretized logistic"),
        _pixel_vae(_level_images, 16, pixel_vae),
        Recipe("VQ-VAE, logistic", _level_images, lambda: digits_vqvae(16), likelihood="bound", draws=1, **vqvae),
        Recipe("independent mixtures", _real, lambda: RNADE(64, hidden=0, components=10), rnade, "bound"),
        Recipe("RNADE", _real, lambda: RNADE(64, hidden=50, components=10), rnade, "bound"),
    ]


def _wavenet(dataset: data.Sounds, **settings: Any) -> WaveNet:
    """A WaveNet with a receptive field of 32 ms at 8,000 samples per second, small enough for two CPU cores."""
    channels, skip, doublings, stacks = budget(smoke=(8, 16, 6, 1), cpu=(16, 32, 8, 1), gpu=(32, 128, 10, 3))
    dilations = [2**i for i in range(doublings)] * stacks
    return WaveNet(dataset.shape[0], dataset.levels, channels, dilations, skip=skip, **settings)


def _linear_prediction(dataset: data.Sounds, **settings: Any) -> LinearPrediction:
    """Linear prediction of order 16, with the weights that are best on 60 sounds: many more samples than weights."""
    some = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0))[:60]
    return LinearPrediction.of(dataset.train.x[some], dataset.levels, 16, **settings)


def sound_recipes(loader: Callable[[int], data.Sounds] = data.tones, bits: int = 8) -> list[Recipe]:
    """The lines of a scoreboard of sound, with the training times of the current COURSE_BUDGET.

    All models of 8 bits give probabilities of the same levels, so their costs can be compared with each other, but not
    with those of 16 bits.

    Args:
        loader: `data.tones` or `data.spoken_digits`.
        bits: 8 or 16.

    >>> [recipe.name for recipe in sound_recipes()]
    ['uniform', 'histogram', 'linear prediction', 'WaveNet']
    """

    def load() -> data.Sounds:
        return loader(bits)

    training = dict(patience=10, average=0.99, lr_decay=budget(smoke=0.99, cpu=0.999, gpu=0.9997))
    if loader is data.tones:
        training |= dict(epochs=budget(smoke=1, cpu=12, gpu=60), batch_size=1, lr=8e-3)
    else:
        training |= dict(epochs=budget(smoke=1, cpu=3, gpu=60), batch_size=budget(smoke=8, cpu=2, gpu=8), lr=4e-3)
    uniform = Recipe("uniform", load, lambda: Histogram(1, 2**bits))
    if bits == 16:
        return [
            uniform,
            Recipe("linear prediction", load, lambda: _linear_prediction(load(), companded=False)),
            Recipe("WaveNet, mixture", load, lambda: _wavenet(load(), mixtures=5), training),
        ]
    return [
        uniform,
        Recipe("histogram", load, lambda: Histogram.of(load().train.x, 256)),
        Recipe("linear prediction", load, lambda: _linear_prediction(load())),
        Recipe("WaveNet", load, lambda: _wavenet(load()), training),
    ]


def published_recipes() -> dict[str, Recipe]:
    """Published models on the fixed binarization of MNIST, on CIFAR-10 and on speech, by the command's names.

    >>> "nade" in published_recipes()
    True
    """
    return mnist_recipes() | _cifar10_recipes() | _code_recipes() | _speech_recipes() | _gan_recipes()


def _mnist_pixel_vae(steps: int, warmup: int) -> PixelVAE:
    """A PixelVAE between convolutions, with a PixelCNN of so many layers."""
    maps, top, channels = budget(smoke=([2], 10, 2), cpu=([16, 32], 100, 16), gpu=([32, 64], 400, 32))
    settings = dict(context=8, pixel_channels=channels, pixel_layers=steps, kernel=5, head=2 * channels, warmup=warmup)
    return PixelVAE((1, 28, 28), 2, 16, [top], channels=maps, **settings)


def mnist_recipes() -> dict[str, Recipe]:
    """Published models on the fixed binarization of MNIST, all with a likelihood, by the command's names.

    >>> mnist_recipes()["nade"].target
    88.33
    """
    nade = dict(epochs=budget(smoke=1, cpu=50, gpu=200), patience=10, batch_size=100, lr=1e-3)
    orderless = dict(epochs=budget(smoke=1, cpu=200, gpu=2000), patience=100, batch_size=100, lr=1e-3)
    k = budget(smoke=1, cpu=4, gpu=128)
    plot = "plot_MNIST_results, deepnade/analyse_orderless_NADE.py of github.com/MarcCote/NADE, the authors' code"
    made = dict(epochs=budget(smoke=1, cpu=300, gpu=300), patience=30, batch_size=100, lr=1e-2, optimizer=Adagrad)
    width, masks, valid_masks = budget(smoke=(100, 2, 1), cpu=(2000, 8, 2), gpu=(8000, 32, 2))
    masked = made | dict(epochs=budget(smoke=1, cpu=100, gpu=300))
    images = dict(epochs=budget(smoke=1, cpu=10, gpu=300), patience=20, batch_size=100, lr=1e-3, average=0.999)
    channels, layers = budget(smoke=(4, 1), cpu=(16, 5), gpu=(32, 15))
    gated, height = budget(smoke=(4, 1), cpu=(16, 5), gpu=(32, 10))
    h, depth = budget(smoke=(4, 1), cpu=(16, 2), gpu=(16, 7))
    latent = dict(epochs=budget(smoke=1, cpu=30, gpu=1000), patience=50, batch_size=100, lr=1e-3)
    draws = budget(smoke=5, cpu=100, gpu=5000)
    burda = (
        "86.76 nats with 5,000 draws, on *dynamic* binarization, new for each batch (Burda, Grosse and Salakhutdinov, "
        "ICLR 2016, as quoted in the README of github.com/nbip/IWAE); about 2 nats more on the *fixed* one, as here "
        "(README of github.com/yburda/iwae, the authors' code)"
    )
    steps, warmup = budget(smoke=(1, 5), cpu=(3, 2500), gpu=(12, 20_000))
    maps, top = budget(smoke=([2], 10), cpu=([16, 32], 100), gpu=([32, 64], 400))
    table = "Table 4, as reprinted in A. Courville's lecture 'Autoregressive Generative Models'"
    return {
        "nade": Recipe(
            "NADE, 500 hidden units",
            _mnist,
            lambda: NADE(784, hidden=500, order=orderings.random(784, seed=0)),
            nade,
            source="Larochelle and Murray, AISTATS 2011: stochastic gradient descent; here Adam.",
            published="88.33 nats, quoted from Uria et al. (JMLR 2016) in Table 2 of 'Variational Bi-LSTMs', "
            f"and the line 'NADE (fixed order)' of {plot}",
            target=88.33,
        ),
        "eonade": Recipe(
            f"EoNADE, two layers of 500 units, {k} ordering{'s' * (k > 1)}",
            _mnist,
            lambda: _eonade(784, [500, 500], k),
            orderless,
            source="Uria, Murray and Larochelle, ICML 2014: 128 orderings, layers pretrained one by one; here at once.",
            published=f"89.17 nats with 1 ordering, 87.10 with 4, 85.10 with 128, the curve '2hl-NADE' of {plot}",
            target=budget(smoke=89.17, cpu=87.10, gpu=85.10),
        ),
        "made": Recipe(
            "MADE, 500 hidden units",
            _mnist,
            lambda: MADE(784, [500], order=orderings.random(784, seed=0), direct=True),
            made,
            source="Germain et al., ICML 2015, one mask, settings of the authors' code; initial weights are torch's.",
        ),
        "made-masks": Recipe(
            f"MADE, two layers of {width} units, {masks} masks and orderings",
            _mnist,
            lambda: _made_ensemble(784, [width, width], masks, valid_masks=valid_masks),
            masked,
            source="Germain et al., ICML 2015: 8000 units a layer and 32 masks; initial weights are torch's, and the "
            "epoch is chosen under few of the masks.",
            published=f"86.64 nats with two hidden layers and 32 masks, {table}",
            target=86.64,
        ),
        "pixelcnn": Recipe(
            f"PixelCNN, {layers} residual block{'s' * (layers > 1)} of {channels} channels",
            data.binarized_mnist,
            lambda: PixelCNN((1, 28, 28), 2, channels, layers, head=32),
            images,
            source="van den Oord, Kalchbrenner and Kavukcuoglu, ICML 2016: RMSProp; here Adam, averaged weights "
            "and sizes of our own.",
            published=f"81.30 nats, {table}",
            target=81.30,
        ),
        "gated-pixelcnn": Recipe(
            f"Gated PixelCNN, {height} layer{'s' * (height > 1)} of {gated} channels",
            data.binarized_mnist,
            lambda: GatedPixelCNN((1, 28, 28), 2, gated, height, kernel=5),
            images,
            source="van den Oord et al., NIPS 2016, which has no figure for this data; sizes and training are ours, "
            "with averaged weights.",
            published="80.10 nats for another Gated PixelCNN, in Table 1 of Gulrajani et al., 'PixelVAE', ICLR 2017",
            target=80.10,
        ),
        "row-lstm": Recipe(
            f"Row LSTM, {depth} layer{'s' * (depth > 1)}, h = {h}",
            data.binarized_mnist,
            lambda: PixelRNN((1, 28, 28), 2, h, depth, recurrence="row", head=32),
            images,
            source="van den Oord, Kalchbrenner and Kavukcuoglu, ICML 2016: 7 layers, h = 16, RMSProp; here Adam and "
            "averaged weights.",
            published=f"80.54 nats, {table}",
            target=80.54,
        ),
        "diagonal-bilstm": Recipe(
            f"Diagonal BiLSTM, {depth} layer{'s' * (depth > 1)}, h = {h}",
            data.binarized_mnist,
            lambda: PixelRNN((1, 28, 28), 2, h, depth, recurrence="diagonal", head=32),
            images,
            source="van den Oord, Kalchbrenner and Kavukcuoglu, ICML 2016: 7 layers, h = 16, RMSProp; here Adam and "
            "averaged weights.",
            published=f"79.20 nats with 7 layers and h = 16, {table}",
            target=79.20,
        ),
        "vae": Recipe(
            "VAE, two layers of 200 units, 50 latent variables",
            _mnist,
            lambda: VAE((784,), 2, 50, [200, 200]),
            latent,
            "bound",
            draws,
            source="Kingma and Welling, ICLR 2014; networks of Burda, Grosse and Salakhutdinov, ICLR 2016, section 5; "
            "the learning rate is constant here.",
            published=burda,
        ),
        "vae-mixture": Recipe(
            "VAE, two layers of 200 units, 50 latent variables, a mixture of 4 as posterior",
            _mnist,
            lambda: VAE((784,), 2, 50, [200, 200], posterior="mixture"),
            latent,
            "bound",
            draws,
            source="Morningstar et al., AISTATS 2021, for the estimate; networks and training are those of `vae`.",
        ),
        "vae-flow": Recipe(
            "VAE, two layers of 200 units, 50 latent variables, an inverse autoregressive flow of 4 steps",
            _mnist,
            lambda: VAE((784,), 2, 50, [200, 200], posterior="iaf", flows=4),
            latent,
            "bound",
            draws,
            source="Kingma et al., NIPS 2016: residual networks with several levels; here the networks of `vae`.",
        ),
        "vae-categorical": Recipe(
            "VAE, two layers of 200 units, 30 latent variables of 10 categories",
            _mnist,
            lambda: CategoricalVAE((784,), 2, 30, 10, [200, 200], estimator="gumbel"),
            latent,
            "bound",
            draws,
            source="Jang, Gu and Poole, ICLR 2017: the temperature falls in training; here it is 0.5. The networks and "
            "the sizes are ours.",
        ),
        "ladder-vae": Recipe(
            "Ladder VAE, five levels of 4 to 64 latent variables",
            _mnist,
            lambda: LadderVAE((784,), 2, [4, 8, 16, 32, 64], [200, 200], width=100, warmup=warmup),
            latent,
            "bound",
            draws,
            source="Sønderby et al., NIPS 2016, which has deterministic layers for each level, batch normalization and "
            "a p(x | z) that reads the lowest level alone; the networks are ours.",
        ),
        "pixelvae": Recipe(
            f"PixelVAE, {steps} PixelCNN layer{'s' * (steps > 1)} of 5x5, 16 latent variables",
            data.binarized_mnist,
            lambda: _mnist_pixel_vae(steps, warmup),
            latent,
            "bound",
            budget(smoke=5, cpu=20, gpu=1000),
            source="Gulrajani et al., ICLR 2017; 12 layers, 5x5 and 16 latent variables as in the command for MNIST of "
            "github.com/igul222/PixelVAE, the authors' code; the networks around the PixelCNN and training are ours.",
            published="bounds of 80.08 nats for 'Gated PixelVAE' and of 79.66, ≈ 79.02 with 1,000 draws, for 'Gated "
            "PixelVAE without upsampling'; 80.10 for a Gated PixelCNN without z, Table 1",
            target=80.08,
        ),
        "vae-conv": Recipe(
            f"VAE, convolutions of {' and '.join(map(str, maps))} channels, 50 latent variables",
            data.binarized_mnist,
            lambda: VAE((1, 28, 28), 2, 50, [top], channels=maps),
            latent,
            "bound",
            draws,
            source="Kingma and Welling, ICLR 2014; networks and training are ours.",
            published=f"≈ 86.60 nats on *fixed* binarization for the DLGM of Rezende et al. (ICML 2014), {table}",
            target=86.60,
        ),
    }


def _cifar10_recipes() -> dict[str, Recipe]:
    photos = dict(epochs=budget(smoke=1, cpu=2, gpu=200), patience=20)
    plain = photos | dict(batch_size=16, lr=1e-4, optimizer=RMSprop)
    h, depth, last = budget(smoke=(3, 1, 3), cpu=(24, 4, 48), gpu=(128, 15, 1024))
    gated = photos | dict(batch_size=64, lr=3e-4)
    p, height = budget(smoke=(3, 1), cpu=(24, 4), gpu=(128, 20))
    plus = photos | dict(batch_size=128, lr=1e-3, optimizer=partial(Adam, betas=(0.95, 0.9995)))
    plus |= dict(lr_decay=0.999995, average=0.9995)
    filters, resnets = budget(smoke=(3, 1), cpu=(24, 1), gpu=(160, 5))
    return {
        "pixelcnn-cifar10": Recipe(
            f"PixelCNN, {depth} residual block{'s' * (depth > 1)} of {h} channels",
            data.cifar10,
            lambda: PixelCNN((3, 32, 32), 256, h, depth, head=last),
            plain,
            source="van den Oord, Kalchbrenner and Kavukcuoglu, ICML 2016: 15 blocks, h = 128, RMSProp, 16 images a "
            "step; the learning rate is ours.",
            published="3.14 bits/dim, quoted in Table 1 of 'PixelCNN++'",
        ),
        "gated-pixelcnn-cifar10": Recipe(
            f"Gated PixelCNN, {height} layer{'s' * (height > 1)} of {p} channels",
            data.cifar10,
            lambda: GatedPixelCNN((3, 32, 32), 256, p, height, kernel=5, head=last),
            gated,
            source="van den Oord et al., NIPS 2016: 20 layers of 5x5 for ImageNet, as here; the number of channels and "
            "training are ours.",
            published="3.03 bits/dim, quoted in Table 1 of 'PixelCNN++'",
        ),
        "pixelcnn-pp-cifar10": Recipe(
            f"PixelCNN++, blocks of {resnets} and {resnets + 1} on three grids, {filters} channels",
            data.cifar10,
            lambda: PixelCNNPlusPlus((3, 32, 32), 256, filters, resnets, halvings=2, mixtures=10, dropout=0.5),
            plus,
            source="Salimans et al., ICLR 2017, sizes and training of the authors' code (the paper says 192 channels). "
            "It also normalizes the weights and initializes them from data; here neither.",
            published="2.92 bits/dim, Table 1, and github.com/openai/pixel-cnn, the authors' code",
        ),
    }


def _code_recipes() -> dict[str, Recipe]:
    """Models of codes: images of shapes given their five factors, clothing given its class, photos."""
    stages = dict(likelihood="bound", draws=1)
    codes, maps, top = budget(smoke=(5, 4, 1), cpu=(64, 32, 1), gpu=(256, 128, 2))
    channels, layers = budget(smoke=(4, 1), cpu=(32, 4), gpu=(128, 12))
    first = dict(epochs=budget(smoke=1, cpu=20, gpu=200), patience=30, batch_size=64, lr=1e-3, average=0.99)
    second = dict(epochs=budget(smoke=1, cpu=20, gpu=200), patience=20, batch_size=64, lr=1e-3)
    second |= dict(optimizer=partial(AdamW, weight_decay=0.1))
    grey = dict(likelihood="discretized logistic", revive=0.1, blocks=top)
    source = (
        "Razavi, van den Oord and Vinyals, NeurIPS 2019: two scales, class-conditional gated PixelCNN priors, the top "
        "one with self-attention; the data, the sizes and the training are ours."
    )
    photos = first | dict(epochs=budget(smoke=1, cpu=2, gpu=200), batch_size=128, lr=2e-4)
    hidden, blocks, K = budget(smoke=(4, 0, 5), cpu=(32, 1, 64), gpu=(256, 2, 512))
    return {
        "vqvae2-shapes": Recipe(
            "VQ-VAE-2 given shape, colour, angle, place and light, codes of 8x8 and 4x4",
            data.shapes,
            lambda: _code_model(
                VQVAE2((3, 16, 16), 16, codes, 16, [[maps], [maps]], **grey),
                channels,
                layers,
                classes=data.shapes().classes,
                attention=2,
            ),
            first,
            prior=second | dict(labels=True),
            source=source,
            **stages,
        ),
        "vqvae2-fashion": Recipe(
            "VQ-VAE-2 given the kind of clothing, codes of 7x7 and 4x4",
            data.fashion_mnist,
            lambda: _code_model(
                VQVAE2((1, 28, 28), 256, codes, 16, [[maps, maps], [maps]], **grey),
                channels,
                layers,
                classes=10,
                attention=2,
            ),
            first,
            prior=second | dict(labels=True),
            source=source,
            **stages,
        ),
        "vqvae-cifar10": Recipe(
            f"VQ-VAE, {K} codes on 8x8, convolutions of {hidden} channels",
            data.cifar10,
            lambda: _code_model(
                VQVAE((3, 32, 32), 256, K, 64, [hidden, hidden], blocks=blocks, likelihood="discretized logistic"),
                channels,
                layers,
            ),
            photos,
            prior=second | dict(epochs=budget(smoke=1, cpu=2, gpu=100)),
            source="van den Oord, Vinyals and Kavukcuoglu, NIPS 2017, section 4.1: two strided convolutions and two "
            "residual blocks of 256 channels, Adam, 128 images a step; there 8x8x10 codes for each image and a "
            "codebook loss, here 8x8 codes and moving averages.",
            published="4.67 bits/dim, a bound; section 4.1",
            **stages,
        ),
    }


def _speech_recipes() -> dict[str, Recipe]:
    training = dict(epochs=budget(smoke=1, cpu=3, gpu=60), patience=10, batch_size=8, lr=2e-3, average=0.999)
    training |= dict(labels=True)
    source = (
        "van den Oord et al., arXiv:1609.03499: 30 layers, doubled dilations, gated units, global conditioning; the "
        "speech, the number of channels and the training are ours."
    )
    return {
        "wavenet-digits": Recipe(
            "WaveNet given digit and speaker, 8 bits",
            data.spoken_digits,
            lambda: _wavenet(data.spoken_digits(), classes=(10, 6)),
            training,
            source=source,
        ),
        "wavenet-digits-16": Recipe(
            "WaveNet given digit and speaker, 16 bits, 10 logistics",
            partial(data.spoken_digits, 16),
            lambda: _wavenet(data.spoken_digits(16), classes=(10, 6), mixtures=10),
            training,
            source=source + " The mixture is that of 'Parallel WaveNet', ICML 2018.",
        ),
    }


def _gan_recipes() -> dict[str, Recipe]:
    """Games on the grey levels of MNIST. Samples are all that can be looked at afterwards."""
    training = dict(epochs=budget(smoke=1, cpu=20, gpu=100), batch_size=128, lr=2e-4, average=0.999)
    channels, width = budget(smoke=([2, 3], 6), cpu=([32, 64], 256), gpu=([64, 128], 1024))
    gradient_penalty = dict(loss="wasserstein", penalty="gradient")
    critic = training | dict(d_steps=budget(smoke=1, cpu=5, gpu=5), lr=1e-4, optimizer=partial(Adam, betas=(0.0, 0.9)))
    return {
        "dcgan-mnist": Recipe(
            f"DCGAN, convolutions of {' and '.join(map(str, channels))} channels",
            data.mnist,
            lambda: DCGAN((1, 28, 28), 256, 100, channels),
            training,
            "none",
            source="Radford, Metz and Chintala, ICLR 2016: z of 100 numbers, batches of 128, Adam with rate 0.0002 and "
            "first beta 0.5; there z is uniform and the images are photos. The average of the weights is ours.",
        ),
        "wgan-gp-mnist": Recipe(
            f"WGAN with gradient penalty, convolutions of {' and '.join(map(str, channels))} channels",
            data.mnist,
            lambda: DCGAN((1, 28, 28), 256, 100, channels, **gradient_penalty),
            critic,
            "none",
            source="Gulrajani et al., NIPS 2017, algorithm 1: weight 10, five steps of the critic, Adam with rate "
            "0.0001 and betas 0 and 0.9; the networks are DCGAN's, without batch normalization in the critic.",
        ),
        "bigan-mnist": Recipe(
            f"BiGAN, two layers of {width} units",
            data.mnist,
            lambda: BiGAN((1, 28, 28), 256, 50, [width, width]),
            training,
            "none",
            source="Donahue, Krähenbühl and Darrell, ICLR 2017, where MNIST has fully connected networks, too; sizes "
            "and training are ours.",
        ),
    }


if __name__ == "__main__":
    from course_lib import published

    published.main()
