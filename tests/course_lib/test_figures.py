"""The lessons' figures: each one is drawn, looked at for text that cannot be read, and has its text alternative."""

import inspect
import math
from importlib import import_module
from itertools import combinations
from pkgutil import iter_modules

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from course_lib import figures, plots
from course_lib.compare import Comparison, Run
from course_lib.dependencies import influence
from course_lib.experiments import gates, latent_sizes, reach, recurrence
from course_lib.experiments.evaluation import Bias
from course_lib.experiments.gan import Modes, Rule
from course_lib.experiments.vqvae import Coded, Usage
from course_lib.explore import open_paths
from course_lib.figures import evaluation, gan, likelihood, made_masks, nade, pixelcnn, pixelrnn, vae, vqvae, wavenet
from course_lib.metrics import Estimate
from course_lib.models import DCGAN, MADE, PixelCNN, orderings
from course_lib.models.pixelrnn import RowLSTM
from course_lib.nn.causal import conv_mask

rng = torch.Generator().manual_seed(0)
BITS, GREY = torch.randint(0, 2, (40, 64), generator=rng), torch.rand(200, 64, generator=rng)
P10 = torch.rand(40, 10, generator=rng).softmax(1)
UNIFORM = torch.full((256,), 1 / 256)
SOUND = torch.sin(torch.arange(800) * 0.3)
ROWS = [[0.1, 0.1], [0.9, 0.2], [0.5, 0.5], [0.1, 0.9], [0.8, 0.9]]
SETS = ["new digits", "MADE", "mixture", "independent pixels"]
KINDS = {"training images": "none", "gated PixelCNN": "exact", "VQ-VAE-2": "bound"}
COMPARED = Comparison(
    "digits",
    0.5,
    300,
    "a network",
    "CPU",
    "2026-11-29",
    [
        Run(name, kind, seed, math.nan if kind == "none" else 1.8 + seed / 10, *[seed / 3] * 7, 0.1, 9000, 30.0)
        for name, kind in KINDS.items()
        for seed in range(3)
    ],
    {name: torch.zeros(64, 1, 8, 8, dtype=torch.uint8) for name in sorted(KINDS)},
)
# Arguments for every figure that needs some.
EXAMPLES = {
    likelihood.luck: (BITS[:10], BITS[10:20], BITS[20:30], {"test": torch.arange(9), "random": torch.arange(15, 30)}),
    likelihood.line_and_walk: (
        GREY[:11],
        GREY[11:22],
        {"straight line": np.arange(11), "neighbours": np.ones(11)},
        {"digits": np.linspace(0, 1, 65) ** 0.3, "pixels shuffled": np.linspace(0, 1, 65)},
    ),
    likelihood.four_views: (GREY, torch.arange(200) % 10),
    likelihood.two_divergences: (torch.arange(5), P10[0, :5], P10[1, :5], P10[2, :5]),
    likelihood.memorising: (
        np.logspace(-7, -0.5, 5),
        {"training images": [7, 8, 9, 10, 30], "test images": [60, 50, 40, 30, 31]},
        25.5,
        {"ε = 1e-7": BITS[:8], "ε = 0.05\n(best)": BITS[8:16], "ε = 0.2": BITS[16:24]},
    ),
    likelihood.numbered_pixels: ({"raster": orderings.raster(8, 8), "random": orderings.random(64, seed=0)},),
    likelihood.masks: ({"raster": orderings.raster(3, 3), "spiral": orderings.spiral(3, 3)},),
    likelihood.growing_sample: (BITS[0], GREY[0]),
    likelihood.incoming_weights: (torch.randn(64, 64, generator=rng), [11, 20, 36, 43, 51]),
    likelihood.gaps: ({"uniform": 4.5, "independent pixels": 3.9, "FVBN, raster": 1.5, "the table itself": 0.0}, 6.6),
    likelihood.learning_curves: (
        [30, 100, 300, 1197],
        {
            "naive Bayes": GREY[:4, :5].sort(0).values.numpy(),
            "logistic regression": GREY[4:8, :5].sort(0).values.numpy(),
        },
    ),
    likelihood.least_sure: (BITS, torch.arange(40) % 10, P10),
    likelihood.surprises: ({"digits": 20 + GREY[:, 0], "noise": 200 + GREY[:, 1]}, {"a solid bar": 12.0}),
    likelihood.bits_so_far: ([1.0, 0.5, 0.4, 0.01],),
    likelihood.file_sizes: ({"PNG, 300 files": 25_000, "raw bits": 2400, "FVBN, coded": 1000},),
    nade.hidden_layers: (BITS[0], GREY[:64, :24]),
    nade.costs_of_pixels: ({"FVBN": GREY[0].view(8, 8), "NADE": GREY[1].view(8, 8)},),
    nade.filters: (torch.randn(20, 64, generator=rng), torch.randn(64, 20, generator=rng)),
    nade.sizes_and_gaps: ({1: 3.4, 4: 1.5, 32: 0.25}, {1: 2.0, 4: 0.4}, 1.5),
    nade.dequantization: ([1e-5, 1e-2, 1], {"raw grey levels": [11, 5, 0], "dequantized": [-11, 0, -1]}, 2.0),
    nade.one_conditional: (torch.randn(3, 3, 4, generator=rng), [0.1, 0.5, 0.9], ["digit 0", "digit 3", "digit 11"]),
    nade.ensembles: ([1, 2, 4, 8], [18.5, 18.5, 18.4, 18.5], [18.5, 18.0, 17.8, 17.7], 18.2),
    made_masks.paths_to_output: (MADE(5, [3, 7], order=[1, 3, 0, 2, 4]), 4),
    made_masks.staircases: (MADE(16, [40], order=orderings.random(16, seed=0), connectivity="random"),),
    made_masks.masks_in_place: (
        {"functional": [1.0, 1.0, 1.0], "in place": [1.0, 0.5, 0.2]},
        {"functional": 0.5, "in place": 0.8},
    ),
    made_masks.units_in_reach: (
        [range(0, 500, 8), range(0, 500, 8)],
        {"MADE": {8: 1.9, 32: 0.9, 128: 0.3}, "NADE": {8: 0.8, 32: 0.3, 128: 0.2}},
        1.5,
        500,
    ),
    made_masks.excess_costs: ({"MADE": GREY[0, :16], "NADE": GREY[1, :16]},),
    pixelcnn.worth_of_gates: (gates.MEASURED,),
    pixelcnn.read_from_rows: ([0.1, 0.2, 0.5, 0.9],),
    pixelcnn.softmax_and_logistics: (
        UNIFORM,
        {"softmax": UNIFORM, "10 logistics": UNIFORM},
        {"softmax": {100: 0.5, 1000: 0.1}, "10 logistics": {100: 0.2, 1000: 0.15}},
    ),
    pixelcnn.completions_by_label: (GREY[:10].view(5, 2, 8, 8), GREY[:50].view(5, 10, 8, 8), P10[:5]),
    pixelrnn.what_states_read: ({"one": BITS[:7, :7] > 0, "two": BITS[7:14, :7] > 0, "three": P10[:7, :7] > 0}, (4, 2)),
    pixelrnn.counted_paths: (torch.tensor([[1, 1, 1], [1, 2, 3], [1, 3, 6]]),),
    pixelrnn.two_schedules: ([[(0, 0)], [(0, 1), (1, 0)], [(1, 1)]], 2, 2),
    pixelrnn.worth_of_recurrence: (recurrence.MEASURED,),
    pixelrnn.numbered_groups: ([[(0, 0)], [(0, 1)], [(1, 0)], [(1, 1)]], 2, 2),
    pixelcnn.copies: (
        BITS[:20].view(20, 1, 8, 8),
        BITS[20:].view(20, 1, 8, 8),
        {"samples": 20 + GREY[0], "test digits": 18 + GREY[1]},
    ),
    wavenet.sounds: ({"note": SOUND, "chord": 0.5 * SOUND, "melody": 0 * SOUND},),
    wavenet.rounding_errors: (0.02 * SOUND, {"equal steps": 0.021 * SOUND, "your mu-law": 0.02 * SOUND}),
    wavenet.paddings: (torch.eye(8), torch.eye(8).roll(1, 1)),
    wavenet.worth_of_parts: (reach.MEASURED, {"linear prediction": 5.1, "noise floor": 2.44}),
    wavenet.tempered: ([0.5, 0.7, 1, 1.5], [5.5, 4.9, 4.7, 4.9]),
    wavenet.on_its_own: (range(25, 100, 20), {"the true sound": GREY[0, :4], "the model, on its own": GREY[1, :4]}),
    vae.codes: (torch.randn(200, 2, generator=rng), torch.arange(200) % 10, torch.randn(32, 2), GREY[:32]),
    vae.draws_needed: ([10, 100, 1000], {"2 latents": [2.0, 0.2, 0.01], "20 latents": [150.0, 80.0, 60.0]}),
    vae.posteriors: (torch.tensor([[2.0, -1.5], [-1.5, 2.0]], dtype=torch.float64),),
    vae.nats: ({"NADE (02)": (16.9, "exact"), "VAE, 10 latents: -ELBO": (18.4, "bound")},),
    vae.means_and_samples: (GREY[:10], BITS[:10]),
    vae.accuracies: ([32, 64, 128], {"random weights": P10[:3, :3].numpy(), "VAE": P10[3:6, :3].numpy()}),
    vae.eigenvalues: (torch.logspace(-0.2, -3, 64), [1.0, 0.02]),
    vae.pixel_mass: (torch.linspace(0.01, 0.99, 99), torch.full((99,), 0.7)),
    vae.sizes: (latent_sizes.MEASURED,),
    vae.bounds: (
        [1, 10, 100],
        {"2 latents": [-20.0, -19.8, -19.5], "10 latents": [-18.0, -17.6, -17.5]},
        {"2 latents": -19.2},
    ),
    vae.gradient_noise: ([1, 16, 256], {"score function": [1.0, 9.0, 130.0], "reparameterized": [0.5, 0.5, 0.5]}),
    vae.em: ([4.0, 13.0, 18.5, 18.8], 18.82),
    vae.gaps: ({"encoder's q": -18.4, "searched q": -17.8, "importance-weighted": -17.5},),
    vae.explained: (GREY[:5, :10], ["shape", "colour", "angle", "place", "light"]),
    vae.styles: (GREY[:40], range(10)),
    vae.plane_posteriors: (
        {
            name: {"true posterior": (GREY[:20, :20].log(), None), "encoder's q": (GREY[20:40, :20].log(), 1.16)}
            | {family: (GREY[:20, 20:40].log(), 0.47) for family in ("Gaussian", "mixture of 2", "flow")}
            for name in ("a ridge", "two modes")
        },
        4.0,
    ),
    vae.worth_of_posteriors: (
        {
            "trained together": {"diagonal": [1.2, 1.3], "flow": [0.9, 1.0]},
            "refitted": {"diagonal": [0.5, 0.4], "flow": [0.2, 0.3]},
        },
        {"diagonal": [19.2, 19.3], "flow": [18.9, 19.0]},
    ),
    vae.relaxed_gradients: (
        [0.1, 1, 10],
        {"Gumbel-softmax": [0.05, 0.4, 0.9], "straight-through": [0.1, 0.4, 0.9]},
        {"Gumbel-softmax": [6.5, 1.0, 0.01], "straight-through": [9.0, 1.7, 0.1]},
        {"REINFORCE": 9.2, "REINFORCE, with baseline": 2.8},
    ),
    vae.shares_of_bits: (
        {"independent pixels": [(13.0, 5.5), (13.1, 5.4)], "PixelCNN, long field": [(17.0, 0.1), (17.1, 0.0)]},
    ),
    vae.annealed: ([1, 10, 100], {"perfect moves": [150.0, 3.0, 0.2], "Hamiltonian moves": [140.0, 12.0, 0.9]}, 35.4),
    vqvae.patches: (255 * GREY[:3, :64].view(3, 8, 8), {"K = 8: 0.19 bits per pixel": 255 * GREY[3:6].view(3, 8, 8)}),
    vqvae.pulls: (torch.tensor([*ROWS, [4.0, 1.0]]), 3 * GREY[:8, :2], 0.2 * GREY[:8, 2:4]),
    vqvae.tracks: (GREY[:, :2], GREY[:60, :2].view(10, 6, 2), GREY[:5, :2]),
    vqvae.costs: (
        {"uniform prior": [("-log p(x | s)", 1.9), ("codes", 4.16)], "its exact NLL": [("-log p(x)", 5.3)]},
        ("entropy", 4.97),
    ),
    vqvae.usage: (
        [
            Usage(kind, K, (0.2 * K, 0.25 * K, 0.3 * K), (100.0, 101.0, 102.0))
            for kind in ("codebook loss", "moving averages, revival")
            for K in (64, 256)
        ],
    ),
    vqvae.rejection: ([1.0, 0.5, 0.1], [0.6, 0.8, 0.9], [97, 90, 60], 99),
    vqvae.rate_distortion: (
        [
            Coded("codes of equal length", 100.0, 0.0, 0.005),
            Coded("PNG", 760.0, 0.7, 0.0),
            Coded("JPEG, quality 5", 86.0, 3.1, 0.014),
            Coded("JPEG, quality 90", 1100.0, 3.9, 0.001),
        ],
    ),
    evaluation.nats: ({"PixelCNN": 82.8, "MADE": 85.8, "mixture": 90.4, "memory": 342.8}, 177.4),
    evaluation.paired: (-80 - 9 * GREY[:, 0], -83 - 9 * GREY[:, 0] - GREY[:, 1], 3.0, 0.4),
    evaluation.few_images: ({20: [3.0, 4.0], 100: [0.6, 0.7], 300: [0.2, 0.2]}, {"MADE": 0.55, "PixelCNN": 1.7}),
    evaluation.seen_by: (
        {
            name: {
                "NLL (nats)": math.nan if k == 0 else 85.0 + k,
                "FID": 0.1 + k,
                "C2ST accuracy": 0.5,
                "nearer": 0.0001 + k,
            }
            for k, name in enumerate(SETS)
        },
    ),
    evaluation.by_network: (
        {who: {name: 0.1 + k for k, name in enumerate(SETS)} for who in ("the course's", "yours")},
    ),
    evaluation.bias: ([Bias(n, Estimate(100 / n, 2 / n, 20), Estimate(0.001, 1 / n, 20)) for n in (50, 100, 200)],),
    evaluation.quality_and_diversity: ({name: (0.9 - k / 10, 0.3 * k) for k, name in enumerate(SETS)},),
    evaluation.nearest: ({name: GREY[:, k] * 30 for k, name in enumerate(SETS)},),
    evaluation.comparison: (COMPARED,),
    evaluation.compared_samples: (COMPARED,),
    gan.ratios: (torch.linspace(-4, 4, 9), torch.zeros(9), torch.full((9,), 2.3), 0.1 * torch.arange(9)),
    gan.best_discriminator: (
        torch.linspace(-4, 8, 64),
        P10.flatten()[:64].log(),
        P10.flatten()[64:128].log(),
        GREY[0],
        torch.linspace(0, 4, 5),
        {1.0: [-1.4, -1, -0.5, -0.2, -0.1], 0.2: [-1.4, 0, 0, 0, 0]},
    ),
    gan.two_losses: (
        torch.arange(64) - 32.0,
        (GREY[0], GREY[1]),
        (-GREY[0], -GREY[1]),
        {"saturating": [0.5, 0.1, 1e-4], "non-saturating": [0.5, 0.9, 1.0]},
    ),
    gan.rings: (
        {f"same rates, {steps} steps": GREY[:, :2] for steps in (400, 800, 1200, 1600, 2000)},
        torch.tensor(ROWS),
        0.1,
    ),
    gan.paths: ({"at once": GREY[:30, :2], "in turn": GREY[30:60, :2]},),
    gan.inference: (
        3 * torch.tensor(ROWS).repeat(8, 1) - 1.5,
        2 - 4 * torch.tensor(ROWS).repeat(8, 1),
        3 * torch.tensor(ROWS).repeat(8, 1) - 1.4,
        torch.arange(5).repeat(8),
    ),
    gan.two_distances: (torch.linspace(0, 4, 5), [0, 1, 2, 3, 4], [0, 0.69, 0.69, 0.69, 0.69]),
    gan.critics: (
        {"cross-entropy": torch.nn.Linear(2, 1), "Wasserstein, penalty": torch.nn.Linear(2, 1)},
        GREY[:30, :2],
        -GREY[:30, :2],
    ),
    gan.modes: (
        [
            Modes(mixture, momentum, game, covered, (0.91, 0.8, 0.05))
            for mixture, momentum, covered in [("ring", 0.5, (8, 7, 0)), ("ring", 0.9, (8,)), ("grid", 0.5, (25, 3))]
            for game in ("minimax", "non-saturating", "WGAN, gradient penalty")
        ],
    ),
    gan.rules: (
        [
            Rule("all rules", (0.9, 0.8, 0.7), (9.5, 9.1, 4.0), (1.2, 1.3, 4.0)),
            Rule("a fully connected hidden layer", (0.9, 0.8, 0.7), (9.5, 9.1, 4.0), (1.2, 1.3, 40.0)),
            Rule("the test images", (0.95,), (9.9,), (0.3,)),
        ],
    ),
    wavenet.distilled: ([900.0, 30.0, 2.0, 1.0], {"teacher": SOUND[:90], "student": 0.9 * SOUND[:90]}),
}


def every_figure():
    for module in iter_modules(figures.__path__, "course_lib.figures."):
        for name, function in inspect.getmembers(import_module(module.name), inspect.isfunction):
            if function.__module__ == module.name and not name.startswith("_"):
                yield pytest.param(function, id=f"{module.name.split('.')[-1]}.{name}")


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def drawn_texts(fig) -> list[Text]:
    """What is really drawn: matplotlib also keeps labels of ticks beyond the axis, and of axes that are off."""
    drawn, draw = [], Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), draw(text, renderer)))
        fig.canvas.draw()
    return [text for text in drawn if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("function", list(every_figure()))
def test_a_figure_can_be_read_and_has_its_text_alternative(function):
    fig = function(*EXAMPLES.get(function, ()))
    texts = drawn_texts(fig)
    assert all(text.get_fontsize() >= 8 for text in texts)
    assert fig.get_figwidth() <= 10, "wider than a notebook"
    places = {text: text.get_window_extent() for text in texts}
    for text, place in places.items():
        cut = place.x0 < -1 or place.y0 < -1 or place.x1 > fig.bbox.x1 + 1 or place.y1 > fig.bbox.y1 + 1
        assert not cut, f"{text.get_text()!r} is cut off"
    scattered = function in (likelihood.four_views, vae.codes)  # their numbers lie where the data are
    for a, b in combinations(places, 2):
        small = places[a].padded(-1.5), places[b].padded(-1.5)
        assert scattered or not small[0].overlaps(small[1]), f"{a.get_text()!r} and {b.get_text()!r} overlap"
    alt = fig.get_label()
    assert len(alt) > 60 and alt.endswith(".") and "$" not in alt and "\n" not in alt
    plots.show(fig)


@pytest.mark.parametrize("output", range(4))
def test_the_paths_of_one_output_are_those_of_the_model(output):
    model = MADE(4, [6, 5], order=[2, 0, 3, 1])
    made = made_masks.autoencoder_and_made(model, output).axes[1]
    yellow = [dots.get_offsets()[0] for dots in made.collections if dots.get_linewidths()[0] > 1.5]
    inputs = {round(x + 1.5) for x, y in yellow if y == 0}
    assert inputs == {d for d in range(4) if model.order.argsort()[d] < model.order.argsort()[output]}


@pytest.mark.parametrize("widths", [[4], [2], [1], [3, 5], [5, 2, 6]])
def test_the_pairs_with_a_path_are_those_that_gradients_find(widths):
    model = MADE(5, widths, order=[3, 0, 4, 2, 1])
    depends = influence(open_paths(model)) > 0
    for output in range(5):
        fig = made_masks.paths_to_output(model, output)
        entries = [int(text.get_text()) for text in fig.axes[1].texts]
        assert entries == depends[model.order][:, model.order].int().flatten().tolist()
        reached = ", ".join(f"x_{d + 1}" for d in model.order if depends[output, d]) or "no input"
        assert f"is reached by {reached}. Earlier" in fig.get_label()


def test_of_six_maps_one_is_right_and_the_letters_are_told_apart():
    axes = dict(zip(made_masks.SIX_MAPS, made_masks.six_maps().axes, strict=True))
    maps = {letter: ax.collections[0].get_array().reshape(16, 16) > 0 for letter, ax in axes.items()}
    below = np.tri(16, k=-1, dtype=bool)
    assert [name for letter, name in made_masks.SIX_MAPS.items() if (maps[letter] == below).all()] == ["right"]
    leaks = {made_masks.SIX_MAPS[letter] for letter, reached in maps.items() if (reached & ~below).any()}
    assert leaks == {"≥ at the output", "inverse ordering"}
    assert not maps["A"][:, 8:].any() and (maps["E"] == np.tri(16, k=-3, dtype=bool)).all()
    assert (maps["B"] == (below | np.diag([True] * 15 + [False]))).all()


def test_the_row_of_a_mask_is_the_pixels_that_come_before():
    fig = likelihood.masks({"backwards": orderings.raster(3, 3).flip(0)}, pixel=(1, 2))
    assert "".join(text.get_text() for text in fig.axes[1].texts) == "000000111"


def test_direct_connections_are_left_out():
    made_masks.autoencoder_and_made(MADE(3, [4], direct=True))
    assert len(made_masks.masks_and_degrees(MADE(3, [4], direct=True)).axes) == 2


def test_masks_of_the_reader_are_shown_in_place_of_the_right_ones():
    fig = pixelcnn.convolution_masks({"mine": torch.eye(3)})
    assert [text.get_text() for text in fig.axes[0].texts] == list("100010001")
    fig = pixelcnn.convolution_masks()
    whole = conv_mask("A", [0], [0], above=2, left=2, right=2)[0, 0].int().flatten().tolist()
    assert [int(text.get_text()) for text in fig.axes[0].texts] == whole + [0] * 10


@pytest.mark.parametrize("depth", [1, 3])
def test_the_blind_spot_is_that_of_the_model(depth):
    model = PixelCNN((1, 11, 11), 2, 4, depth - 1, kernel=3, first_kernel=3)
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, 0.1, 1.0)
    reads = influence(model, outputs=torch.tensor([8 * 11 + 4])).view(11, 11) > 0
    shown = ~np.ma.getmaskarray(pixelcnn.blind_spot([depth]).axes[0].images[0].get_array())
    assert np.array_equal(shown, reads.numpy())


def test_the_two_stacks_together_cover_exactly_the_earlier_pixels():
    letters = [text.get_text() for text in pixelcnn.two_stacks().axes[0].texts[:49]]
    assert letters == ["v"] * 28 + ["h"] * 3 + [""] * 18


def test_nothing_leads_from_the_horizontal_to_the_vertical_stack():
    ax = pixelcnn.gated_layer().axes[0]
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    ends = [arrow._posA_posB for arrow in arrows]
    assert not [1 for (start, _), (end, _) in ends if start > 3 and end < 2]
    assert [1 for (start, _), (end, _) in ends if start < 2 and end > 3]


def test_the_number_of_blocks_is_the_models():
    texts = [text.get_text().split("\n")[0] for text in pixelcnn.grids_and_skips(blocks=4).axes[0].texts]
    assert [int(text[0]) for text in texts if "blocks" in text] == [4, 5, 4, 5, 4, 4]


def test_maps_of_states_say_what_is_missed_and_what_leaks():
    reads = torch.tensor([[1, 0, 1], [1, 1, 1]]).bool()
    fig = pixelrnn.what_states_read({"mine": reads}, (1, 1))
    assert "mine: 3 of 4 earlier pixels, and 1 later ones" in fig.get_label()
    assert reads[1, 1]  # the map is left as it is


def test_the_two_directions_read_everything_and_only_the_shift_stops_the_leak():
    told = pixelrnn.two_directions(7, (4, 2)).get_label()
    assert "from the left: 14 of 30" in told and "from the right: 20 of 30 earlier pixels, and 4 later" in told
    assert "sum: 30 of 30 earlier pixels, and 4 later" in told
    assert "sum, right shifted: 30 of 30 earlier pixels." in told


def test_steps_and_groups_are_numbered_where_their_pixels_are():
    steps = [[(0, 0)], [(0, 1), (1, 0)], [(1, 1)]]
    training, sampling = pixelrnn.two_schedules(steps, 2, 2).axes
    assert [text.get_text() for text in training.texts] == ["0", "1", "1", "2"]
    assert [text.get_text() for text in sampling.texts] == ["0", "1", "2", "3"]
    assert training.get_title() == "Training: 3 steps"
    numbers = [text.get_text() for text in pixelrnn.numbered_groups(steps, 2, 2).axes[0].texts]
    assert numbers == ["0", "1", "1", "2"]


def test_the_number_of_lstm_layers_is_that_of_the_model():
    texts = [text.get_text() for text in pixelrnn.architecture(layers=3).axes[0].texts]
    assert "3 times" in texts and "then 3 times" in pixelrnn.architecture(layers=3).get_label()


def test_the_windows_of_a_row_lstm_are_those_of_the_library():
    layer = RowLSTM([0], [0], kernel=5)
    shown = {ax.get_title(): [int(text.get_text()) for text in ax.texts] for ax in pixelrnn.row_lstm_windows(5).axes}
    used = layer.of_input.mask.expand(layer.of_input.weight.shape)[0, 0, 0].int().tolist()
    assert shown["input to state: mask B"] == used + [0, 0]
    assert shown["state to state: the row above"] == [1] * layer.of_state.weight.shape[2] + [0] * 3


def test_in_a_skewed_image_both_neighbours_are_in_the_column_before():
    image, wide = pixelrnn.skewed(3, 4).axes
    for ax, left, above in ((image, (-1, 0), (0, -1)), (wide, (-1, 0), (-1, -1))):
        pixel, beside, upper = (np.round(patch.get_xy()) for patch in ax.patches)
        assert tuple(beside - pixel) == left and tuple(upper - pixel) == above
    shown = [text.get_text() for text in wide.texts]
    assert shown == [str(n) for n in range(1, 13)]


def test_sparse_attention_reads_nothing_later_and_reaches_everything_earlier():
    fig = pixelcnn.attention_patterns(3)
    masks = {ax.get_title(): ax.collections[0].get_array() for ax in fig.axes if ax.get_title()}
    assert np.array_equal(masks["causal"], np.tri(9))
    for kind in ("strided", "fixed"):
        first, second = (masks[f"{kind}, head {n}"].astype(int) for n in (1, 2))
        assert not (np.triu(first, 1) + np.triu(second, 1)).any()
        reached = second @ first + first > 0  # by both heads, one after the other
        assert reached[np.tril_indices(9)].all()


def test_a_stacks_figure_shows_what_its_dilations_read():
    for dilations in ([1, 2, 4, 8], [1, 2, 4, 4], [2, 4]):
        fig = wavenet.dilated_stack(dilations)
        back = {0}
        for d in dilations:
            back |= {step + d for step in back}
        read = ", ".join(map(str, sorted(step for step in back if step < 16)))
        assert f"depends on the inputs {read} steps back." in fig.get_label()
        inputs = [dots for dots in fig.axes[0].collections if dots.get_offsets()[0][1] == 0]
        chosen = [dots.get_linewidths()[0] > 1.5 for dots in inputs]
        assert chosen == [15 - step in back for step in range(16)]


def test_a_ring_buffer_holds_the_last_inputs_and_reads_the_oldest():
    fig = wavenet.ring_buffer(dilation=3, steps=[2, 3, 7])
    texts = [text.get_text() for text in fig.axes[0].texts]
    assert texts[:12] == [
        *("$h_{0}$", "$h_{1}$", "0", "step 2"),
        *("$h_{0}$", "$h_{1}$", "$h_{2}$", "step 3"),
        *("$h_{6}$", "$h_{4}$", "$h_{5}$", "step 7"),
    ]
    frames = [patch.get_xy()[0] for patch in fig.axes[0].patches if patch.get_linewidth() > 1.5]
    assert frames == [2, 0, 1]


def test_mu_law_has_more_levels_near_silence_and_serves_quiet_sounds():
    left, right = wavenet.levels_and_noise().axes
    linear, companded = (len(line.get_xdata()) for line in left.lines[:2])
    assert (linear, companded) == (8, 100)
    equal, mu_law = (line.get_ydata() for line in right.lines)
    assert mu_law[0] > equal[0] + 20 and equal[-1] > mu_law[-1]
    assert max(mu_law[10:]) - min(mu_law[10:]) < 6 < max(equal[10:]) - min(equal[10:])


def test_the_gaps_of_three_families_of_posteriors():
    correlation = 0.9
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    fig = vae.posteriors(torch.linalg.inv(covariance))
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert names == ["full: gap 0.00", "diagonal: gap 0.83", "isotropic: gap 0.83"]
    bound = fig.axes[1].lines[0].get_ydata()
    assert max(bound) == pytest.approx(0.5 * np.log(1 - correlation**2), abs=1e-3)
    fig = vae.posteriors(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64)))
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert names == ["full: gap 0.00", "diagonal: gap 0.00", "isotropic: gap 0.22"]


def test_the_arrows_of_a_codebook_lead_to_the_means_of_its_regions():
    z = torch.tensor([[0.0, 0.2], [0.0, 0.4], [0.9, 0.9]])
    ax = vqvae.pulls(torch.tensor(ROWS), z, torch.zeros(3, 2)).axes[0]
    codebook = next(each for each in ax.collections if each.get_label() == "codebook: to the mean")
    assert codebook.get_offsets().tolist() == pytest.approx(np.array([[0.1, 0.1], [0.8, 0.9]]))
    moves = np.array([codebook.U, codebook.V]).T
    assert np.abs(moves - 0.6 * np.array([[-0.1, 0.2], [0.1, 0.0]])).max() < 1e-6


def test_the_rows_in_use_are_those_that_are_nearest_to_vectors():
    ways = torch.tensor([[[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]], [[1.0, 1.0], [6.0, 6.0], [9.0, 9.0]]])
    fig = vqvae.tracks(torch.tensor([[1.0, 1.1], [6.0, 6.2]]), ways, ways[1, :2])
    assert "the ways of 3 rows: 2 end at clusters; 1 are nearest to no vector" in fig.get_label()


def test_a_code_without_loss_is_a_line_and_the_others_are_points():
    ax = vqvae.rate_distortion(EXAMPLES[vqvae.rate_distortion][0]).axes[0]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["codes of equal length", "PNG, without loss", "JPEG"]


def test_bounds_and_exact_costs_differ_in_shape_and_sign():
    fig = vae.nats({"NADE": (16.9, "exact"), "VAE": (18.4, "bound")})
    assert [line.get_marker() for line in fig.axes[0].lines] == ["o", "<"]
    assert [text.get_text() for text in fig.axes[0].texts] == ["16.9", "≤ 18.4"]


@pytest.mark.parametrize(
    "function, arguments, words",
    [
        (made_masks.autoencoder_and_made, dict(output=4), "output is 4; the last layer has units 0 to 3"),
        (made_masks.staircases, dict(model=MADE(4, [3, 3])), "one hidden layer; got 2"),
        (pixelcnn.blind_spot, dict(side=4), "must be odd.*; got 4"),
        (pixelcnn.convolution_masks, dict(masks={"mine": torch.ones(4, 4)}), "'mine' is .4, 4."),
        (pixelcnn.convolution_masks, dict(masks={"mine": torch.ones(3, 5)}), "'mine' is .3, 5."),
    ],
)
def test_what_does_not_fit_a_figure_is_refused(function, arguments, words):
    with pytest.raises(ValueError, match=words):
        function(**arguments)


def test_no_series_is_lost_when_there_are_more_than_styles():
    ax = likelihood.surprises({f"kind {n}": 20 + GREY[:, n] for n in range(6)}, {}).axes[0]
    assert len(ax.get_legend().get_texts()) == 6


def test_a_mode_is_covered_from_within_the_radius_only():
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    fig = gan.rings({"near": torch.tensor([[0.1, 0.0]]), "far": torch.tensor([[0.2, 0.0]])}, centres, radius=0.15)
    assert [ax.get_title() for ax in fig.axes] == ["near\n1 of 2 modes", "far\n0 of 2 modes"]
    lines = [[circle.get_linestyle() for circle in ax.patches] for ax in fig.axes]
    assert lines == [["-", ":"], [":", ":"]]
    assert "near, 1 modes, 100 %" in fig.get_label() and "far, 0 modes, 0 %" in fig.get_label()


def test_the_slope_of_a_linear_critic_is_the_length_of_its_weights():
    critic = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(critic.weight, 3.0)
    fig = gan.critics({"steep": critic}, GREY[:9, :2], GREY[:9, :2])
    assert "mean slope at samples 4.24" in fig.axes[0].get_title()


def test_the_layers_of_a_dcgan_are_those_of_the_model():
    model = DCGAN((1, 8, 8), 16, noise=32, channels=[32, 64])
    texts = " ".join(text.get_text() for text in gan.dcgan().axes[0].texts)
    h = model.generator.rest[0](model.generator.first(torch.zeros(2, 32)))
    sizes = [tuple(h.shape[1:])]
    for layer in model.generator.rest[1:]:
        h = layer(h)
        sizes += [tuple(h.shape[1:])] if isinstance(layer, torch.nn.ConvTranspose2d) else []
    for size in sizes:
        assert " × ".join(map(str, size)) in texts
