import base64
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from nbclient import NotebookClient

from course_lib import plots
from course_lib.metrics import Estimate
from course_lib.models import FVBN, VAE, ConditionalVAE, orderings
from course_lib.models.base import AutoregressiveModel
from course_lib.training import History


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


class Causal(AutoregressiveModel):
    """Every output is the sum of all earlier inputs."""

    def forward(self, x):
        sums = x.flatten(1).cumsum(1)
        return (sums - x.flatten(1)).view(x.shape)


def picture(fig) -> np.ndarray:
    return fig.axes[0].images[0].get_array()


def test_an_image_grid_shows_every_image_in_its_place():
    x = torch.zeros(5, 1, 2, 3, dtype=torch.int64)
    x[4, 0, 1, 2] = 1
    paper = picture(plots.image_grid(x, columns=3))
    assert paper.shape == (2 * 3 + 1, 3 * 4 + 1, 3)
    black = (paper == 0).all(-1).nonzero()
    assert (black[0].tolist(), black[1].tolist()) == ([3 + 1 + 1], [4 + 1 + 2])
    assert np.allclose(paper[0, 0], to_rgb("#c6dbef"), atol=0.01)
    assert (paper[4:, 9:] == 1).all()  # no sixth image, not even its frame


@pytest.mark.parametrize(
    "x, levels, shade",
    [
        (torch.full((1, 4), 1), None, 0.0),
        (torch.full((1, 4), 5), 16, 1 - 5 / 15),
        (torch.full((1, 4), 0.25), None, 0.75),
        (torch.full((1, 4), 1), 16, 1 - 1 / 15),
    ],
)
def test_the_largest_level_is_black(x, levels, shade):
    assert picture(plots.image_grid(x, levels=levels))[1, 1].tolist() == pytest.approx([shade] * 3)


def test_colour_images_keep_their_colours():
    x = torch.zeros(1, 3, 2, 2)
    x[0, 0, 1, 0] = 1.0
    assert picture(plots.image_grid(x))[2, 1].tolist() == [1, 0, 0]


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 1, 8, 8), (6, 64)])
def test_vectors_and_images_look_the_same(shape):
    x = torch.randint(0, 2, (6, 64), generator=torch.Generator().manual_seed(0))
    assert np.array_equal(picture(plots.image_grid(x.view(shape))), picture(plots.image_grid(x)))


def test_vectors_that_are_no_squares_need_a_shape():
    x = torch.zeros(2, 6)
    with pytest.raises(ValueError, match="6 pixels do not fill"):
        plots.image_grid(x)
    assert picture(plots.image_grid(x, columns=1, shape=(2, 3))).shape == (7, 5, 3)


@pytest.mark.parametrize("x", [torch.zeros(0, 4), torch.zeros(2, 2, 4, 4), torch.zeros(2, 1, 1, 4, 4)])
def test_what_are_no_images_is_refused(x):
    with pytest.raises(ValueError):
        plots.image_grid(x)


def names(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts]


def test_rows_and_columns_have_their_names():
    x = torch.zeros(6, 1, 2, 3)
    fig = plots.image_grid(x, columns=3, row_names=["up", "down"], column_names=["a", "b", "c"])
    assert names(fig) == ["up", "down", "a", "b", "c"]
    up, down, a, b, _ = (text.xy for text in fig.axes[0].texts)
    assert down[1] - up[1] == 2 + 1 and b[0] - a[0] == 3 + 1  # an image and its frame apart


@pytest.mark.parametrize("wrong", [dict(row_names=["up"]), dict(column_names=["a", "b"])])
def test_a_name_too_few_is_refused(wrong):
    with pytest.raises(ValueError, match="names; the grid has 2 rows and 3 columns"):
        plots.image_grid(torch.zeros(6, 4), columns=3, **wrong)


def test_several_grids_have_their_names_and_only_the_left_ones_their_rows():
    groups = {name: torch.zeros(4, 4) for name in "ABCD"}
    fig = plots.image_grids(groups, across=3, columns=2, row_names=["first", "second"], title="samples")
    assert [ax.get_title() for ax in fig.axes[:4]] == list("ABCD")
    assert [len(ax.texts) for ax in fig.axes] == [2, 0, 0, 2, 0, 0]
    assert not fig.axes[5].axison  # an empty place
    with pytest.raises(ValueError, match="groups is empty"):
        plots.image_grids({})


def test_frequencies_are_shown_from_the_most_probable_state_on():
    counts, p, q = torch.tensor([10, 60, 30]), torch.tensor([0.1, 0.6, 0.3]), torch.tensor([0.2, 0.5, 0.3])
    ax = plots.frequencies(counts, {"expected": p, "truth": q}, shown=2).axes[0]
    counted, truth = ax.lines[-2:]
    assert counted.get_ydata().tolist() == [60, 30] and truth.get_ydata().tolist() == pytest.approx([50, 30])
    (bars,) = ax.containers
    (segments,) = bars.lines[2]
    low, high = segments.get_segments()[0][:, 1]
    assert (high - low, (high + low) / 2) == (pytest.approx(4 * (100 * 0.6 * 0.4) ** 0.5), pytest.approx(60))
    with pytest.raises(ValueError, match="'expected' has shape .2,.; counts have .3,."):
        plots.frequencies(counts, {"expected": p[:2]})


def test_estimates_have_their_error_bars_side_by_side():
    groups = {"raster": [Estimate(18.0, 0.5, 9), Estimate(19.0, 0.2, 9)], "spiral": [Estimate(17.0, 0.1, 9)]}
    ax = plots.estimates(groups, reference=18.0).axes[0]
    places = [bars.lines[0].get_xdata()[0] for bars in ax.containers]
    assert places == pytest.approx([-0.06, 0.06, 1.0])
    assert [bars.lines[0].get_ydata()[0] for bars in ax.containers] == [18.0, 19.0, 17.0]
    assert set(ax.lines[-1].get_ydata()) == {18.0}
    with pytest.raises(ValueError, match="no groups"):
        plots.estimates({})


def test_the_training_curve_shows_both_losses_and_marks_the_best_epoch():
    history = History(train=[3.0, 2.0, 1.0], valid=[3.5, 2.5, 2.7])
    fig = plots.training_curve(history, references={"entropy": 0.5})
    train, valid, best, entropy = fig.axes[0].lines
    assert train.get_ydata().tolist() == history.train and valid.get_ydata().tolist() == history.valid
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 2.5)
    assert set(entropy.get_ydata()) == {0.5} and fig.axes[0].texts[0].get_text().strip() == "entropy"
    assert train.get_linestyle() != valid.get_linestyle()  # told apart without colour


def test_a_run_without_epochs_has_no_curve():
    with pytest.raises(ValueError, match="no epochs"):
        plots.training_curve(History())


def test_a_dependency_map_shows_exactly_the_dependencies():
    order = orderings.random(9, seed=0)
    model = FVBN(9, order)
    torch.nn.init.normal_(model.linear.weight)
    shown = ~np.ma.getmaskarray(picture(plots.dependency_map(model, order="model")))
    assert np.array_equal(shown, np.tri(9, k=-1, dtype=bool))
    shown = ~np.ma.getmaskarray(picture(plots.dependency_map(model)))
    assert np.array_equal(shown, model.linear.mask.numpy())
    with pytest.raises(ValueError, match="expected 'raster' or 'model'"):
        plots.dependency_map(model, order="spiral")


def test_a_map_without_any_dependency_is_drawn():
    fig = plots.dependency_map(FVBN(4))
    assert np.ma.getmaskarray(picture(fig)).all()
    fig.canvas.draw()


@pytest.mark.parametrize("output", [13, (1, 0, 1)])
def test_a_receptive_field_is_an_image_with_its_channels_side_by_side(output):
    shown = ~np.ma.getmaskarray(picture(plots.receptive_field(Causal((2, 3, 4), levels=2), output)))
    assert shown.shape == (3, 4 + 1 + 4)
    assert shown[:, :4].all() and not shown[:, 4].any()
    assert np.array_equal(shown[:, 5:], [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("output", [5, (1, 2)])
def test_the_receptive_field_of_a_vector_model_is_drawn_as_a_square(output):
    fig = plots.receptive_field(Causal((9,), levels=2), output)
    assert np.array_equal(~np.ma.getmaskarray(picture(fig)), [[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    frame = fig.axes[0].patches[-1]
    assert frame.get_xy() == (1.5, 0.5)


def marked(ax, label: str) -> set[tuple[int, int]]:
    """(row, column) of the squares with this label; the columns of all channels are counted on."""
    (squares,) = (collection for collection in ax.collections if collection.get_label().startswith(label))
    return {(round(path.vertices[0, 1] + 0.5), round(path.vertices[0, 0] + 0.5)) for path in squares.get_paths()}


def test_a_receptive_field_held_against_an_ordering_marks_leaks_and_blind_pixels():
    class Crooked(Causal):
        def forward(self, x):
            y = super().forward(x)
            return y + torch.cat([x[:, :1].roll(-1, 3), 0 * x[:, 1:]], 1) - torch.cat([0 * x[:, :1], x[:, :1]], 1)

    model = Crooked((2, 2, 3), levels=2)
    ax = plots.receptive_field(model, (0, 1, 1), order=model.order).axes[0]
    assert marked(ax, "blind") == set() and marked(ax, "leak") == {(1, 2)}
    ax = plots.receptive_field(model, (1, 1, 1), order=model.order).axes[0]
    assert marked(ax, "blind") == {(1, 1)} and marked(ax, "leak") == set()
    backwards = plots.receptive_field(model, (1, 1, 1), order=model.order.flip(0)).axes[0]
    assert marked(backwards, "blind") == {(1, 4 + 2)}
    assert len(marked(backwards, "leak")) == 5 + 4
    backwards.figure.canvas.draw()


def test_leaks_and_blind_pixels_are_told_apart_without_colour():
    model = Causal((9,), levels=2)
    ax = plots.receptive_field(model, 4, order=model.order.flip(0)).axes[0]
    handles, labels = ax.get_legend_handles_labels()
    hatches = {label.split(":")[0]: handle.get_hatch() for handle, label in zip(handles, labels, strict=True)}
    assert len(labels) == 5 and hatches["blind"] and hatches["leak"] and hatches["blind"] != hatches["leak"]
    (key,) = ax.figure.legends
    assert [text.get_text() for text in key.get_texts()] == labels
    ax.figure.canvas.draw()
    assert key.get_window_extent().x1 <= ax.figure.bbox.x1, "the key is cut off"


def test_a_map_among_others_leaves_the_key_to_the_figure():
    model = Causal((9,), levels=2)
    fig, axes = plt.subplots(1, 2)
    plots.receptive_field(model, 4, order=model.order, ax=axes[0])
    assert not fig.legends and axes[0].get_legend() is None and len(fig.axes) == 2  # nor a scale


def test_several_receptive_fields_share_one_key():
    model = Causal((9,), levels=2)
    fig = plots.receptive_fields({"one": model, "other": model}, 4, order=model.order)
    assert [ax.get_title() for ax in fig.axes] == ["one", "other"]
    (key,) = fig.legends
    assert len(key.get_texts()) == 5 and marked(fig.axes[1], "blind") == set()
    with pytest.raises(ValueError, match="no models"):
        plots.receptive_fields({}, 4, order=model.order)


def test_a_figure_can_be_put_together_from_several():
    fig, axes = plt.subplots(1, 2)
    assert plots.image_grid(torch.zeros(4, 4), ax=axes[0], title="left") is fig
    assert plots.training_curve(History(train=[1.0], valid=[1.0]), ax=axes[1]) is fig
    assert axes[0].get_title() == "left" and axes[1].get_xlabel() == "epoch"


def relative_luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_neighbouring_lines_differ_in_lightness_and_in_their_dashes():
    cycle = list(plt.rcParams["axes.prop_cycle"])
    assert len({str(style["linestyle"]) for style in cycle}) == len(cycle)
    lightness = [relative_luminance(style["color"]) for style in cycle]
    assert all(abs(a - b) > 0.05 for a, b in zip(lightness, lightness[1:], strict=False))


def test_show_needs_a_text_alternative():
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(plt.figure(), alt=" ")


def test_a_figures_label_is_its_text_alternative():
    fig = plt.figure()
    fig.set_label("An empty figure.")
    plots.show(fig)
    assert not plt.get_fignums()


def test_show_without_a_notebook_closes_the_figure_and_prints_nothing():
    script = (
        "from course_lib import plots; import matplotlib.pyplot as plt, torch\n"
        "plots.show(plots.image_grid(torch.zeros(4, 4)), alt='four white images')\n"
        "assert not plt.get_fignums()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_show_in_a_notebook_gives_one_picture_with_its_text_alternative():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(
            "from course_lib import plots\nimport torch\n"
            "fig = plots.image_grid(torch.zeros(4, 4))\n"
            "plots.show(fig, alt='Four \"white\" images, x < y')"
        )
    ]
    NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    alt = 'Four "white" images, x < y'
    assert output.data["text/plain"] == alt and output.metadata["image/png"]["alt"] == alt
    assert 'alt="Four &quot;white&quot; images, x &lt; y"' in output.data["text/html"]
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', output.data["text/html"]).group(1)
    assert base64.b64decode(encoded).startswith(b"\x89PNG") and encoded == output.data["image/png"].strip()


def chirp(*pitches, rate=8000, length=800):
    """One pure tone after the other."""
    t = torch.arange(length, dtype=torch.float64) / rate
    return torch.cat([0.5 * torch.sin(2 * torch.pi * pitch * t) for pitch in pitches])


def test_a_waveform_is_drawn_against_milliseconds():
    x = chirp(500)
    (line, _) = plots.waveform(x, 8000).axes[0].lines
    times, sound = line.get_data()
    assert times[8] == pytest.approx(1.0) and np.array_equal(sound, x.numpy())


@pytest.mark.parametrize("window", [128, 256])
def test_a_spectrogram_is_darkest_at_the_pitch_at_each_time(window):
    fig = plots.spectrogram(chirp(500, 2000), 8000, window=window)
    ax = fig.axes[0]
    mesh = ax.collections[0]
    corners, level = mesh.get_coordinates(), mesh.get_array()
    times, frequencies = corners[0, :, 0], corners[:, 0, 1]
    assert ax.get_yscale() == "log" and level.max() == 0 and level.min() == -60
    for column in range(level.shape[1]):
        middle = times[column : column + 2].mean()
        if abs(middle - 100) > window / 16:  # the window holds one tone only
            row = level[:, column].argmax()
            pitch = 500 if middle < 100 else 2000
            assert frequencies[row] <= pitch <= frequencies[row + 1], f"{middle:.0f} ms"
    assert times[0] >= 0 and times[-1] <= 200


def test_silence_has_a_spectrogram():
    assert (plots.spectrogram(torch.zeros(300), 8000).axes[0].collections[0].get_array() == -60).all()


@pytest.mark.parametrize("draw", [plots.waveform, plots.spectrogram])
def test_only_one_real_sound_is_drawn(draw):
    for x in (torch.zeros(2, 900), torch.zeros(900).long(), torch.zeros(0), [0.0] * 900):
        with pytest.raises(ValueError, match=r"expected one sound, .*\(T,\); got .*mu_law_decode"):
            draw(x, 8000)
    with pytest.raises(ValueError, match="rate must be a positive number"):
        draw(torch.zeros(900), 0)


def test_a_window_is_no_longer_than_the_sound():
    with pytest.raises(ValueError, match="window must be 2 to 100 samples"):
        plots.spectrogram(torch.zeros(100), 8000)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE((6,), 4, 3, [5])


def images_of(fig) -> np.ndarray:
    """The grey values of a grid of images of 2 x 3: (images, 2, 3), ink 1."""
    paper = picture(fig)[..., 0]
    corners = [(r, c) for r in range(0, paper.shape[0] - 1, 3) for c in range(0, paper.shape[1] - 1, 4)]
    tiles = [paper[r + 1 : r + 3, c + 1 : c + 4] for r, c in corners]
    return 1 - np.stack(tiles)


def test_reconstructions_are_below_their_originals(vae):
    x = torch.randint(4, (5, 6))
    shown = images_of(plots.reconstructions(vae, x, shape=(2, 3))).reshape(2, 5, 6)
    assert np.allclose(shown[0], x.numpy() / 3)
    assert np.allclose(shown[1], vae.reconstruct(x).numpy() / 3, atol=1e-6)


def test_the_latent_plane_shows_each_class_at_its_codes():
    means, y = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    ax = plots.latent_plane(means, y, names=["a", "b", "c"], axes=(3, 1)).axes[0]
    for value, dots in enumerate(ax.collections):
        assert np.allclose(dots.get_offsets(), means[y == value][:, [3, 1]].numpy())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    radii = [circle.get_radius() for circle in ax.patches]
    lengths = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(1)).norm(dim=1)
    assert [(lengths < r).float().mean().item() for r in radii] == pytest.approx([0.5, 0.95], abs=0.01)
    for wrong in ((means[:, :1], y), (means, y[:4])):
        with pytest.raises(ValueError, match="expected codes"):
            plots.latent_plane(*wrong)


def test_the_decoded_plane_lies_at_quantiles_of_the_prior(vae):
    shown = images_of(plots.decoded_plane(vae, side=4, axes=(2, 0), shape=(2, 3))).reshape(4, 4, 6)
    q = torch.special.ndtri(torch.tensor([1 / 8, 3 / 8, 5 / 8, 7 / 8]))
    z = torch.tensor([q[3], 0.0, q[1]])  # top row, second column
    assert np.allclose(shown[0, 1], vae.mean(z[None])[0].detach().numpy() / 3, atol=1e-6)
    with pytest.raises(ValueError, match="the model has 3 latent variables"):
        plots.decoded_plane(vae, axes=(0, 3))


def test_ways_between_codes():
    z = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).double()
    straight, round_about = plots.line(z, 5), plots.arc(z, 5)
    for way in (straight, round_about):
        assert torch.equal(way[[0, -1]], z)
    torch.testing.assert_close(straight[2], z.mean(0))
    lengths = round_about.norm(dim=1)
    assert straight[2].norm() < 0.8 * lengths[2] and lengths.min() > 0.98 * z.norm(dim=1).min()
    on_sphere = z / z.norm(dim=1, keepdim=True)
    steps = plots.arc(on_sphere, 5).diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(4))  # constant speed
    for same_way in (torch.ones(2, 3), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2, 3)):
        torch.testing.assert_close(plots.arc(same_way, 3), plots.line(same_way, 3))
    for wrong in (torch.zeros(3, 2), torch.zeros(2, 2, dtype=torch.long)):
        with pytest.raises(ValueError, match="two codes"):
            plots.line(wrong, 3)
    with pytest.raises(ValueError, match="steps is 1"):
        plots.arc(z, 1)


def test_interpolations_go_both_ways(vae):
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    fig = plots.interpolations(vae, z, steps=4, shape=(2, 3))
    assert names(fig) == ["line", "arc"]
    shown = images_of(fig).reshape(2, 4, 6)
    for row, way in zip(shown, (plots.line(z, 4), plots.arc(z, 4)), strict=True):
        assert np.allclose(row, vae.mean(way).detach().numpy() / 3, atol=1e-6)


def test_a_traversal_changes_one_latent_variable(vae):
    z = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
    fig = plots.traversals(vae, z, latents=[1], steps=3, reach=2.0, shape=(2, 3))
    codes = torch.tensor([[0.5, -2.0, 0.0], [0.5, 0.0, 0.0], [0.5, 2.0, 0.0]])
    assert np.allclose(images_of(fig).reshape(3, 6), vae.mean(codes).detach().numpy() / 3, atol=1e-6)
    assert len(names(plots.traversals(vae, z, shape=(2, 3)))) == 3
    with pytest.raises(ValueError, match=r"z must have shape \(3,\)"):
        plots.traversals(vae, z[:2])


def test_labels_choose_what_is_decoded():
    torch.manual_seed(0)
    model = ConditionalVAE((6,), 2, 2, [5], classes=3)
    torch.nn.init.normal_(model.decoder_condition.of_class)
    one, other = (images_of(plots.decoded_plane(model, side=2, labels=torch.tensor([y]), shape=(2, 3))) for y in (0, 2))
    assert not np.allclose(one, other)


def test_the_terms_of_the_elbo_lie_on_each_other():
    history = History(train=[1.0, 1.0], valid=[1.0, 1.0], terms={"reconstruction": [-5.0, -3.0], "KL": [1.0, 2.0]})
    ax = plots.elbo_terms(history).axes[0]
    assert ax.lines[0].get_ydata().tolist() == [6, 5]
    with pytest.raises(ValueError, match="no terms of an ELBO"):
        plots.elbo_terms(History(train=[1.0], valid=[1.0]))


def test_a_training_curve_names_the_unit():
    ax = plots.training_curve(History(train=[1.0], valid=[1.0], unit="squared error")).axes[0]
    assert ax.get_ylabel() == "squared error per image"
