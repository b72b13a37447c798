"""The dependency explorer and debugger: what they say of an architecture, and what becomes of them without widgets."""

import re

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from torch import nn

from course_lib import explore
from course_lib.dependencies import dependencies, leaks_and_blind
from course_lib.models import FVBN, GatedPixelCNN, orderings
from tests.course_lib.properties import before, dependence

PLAIN, GATED, ROW, DIAGONAL, MASK_B, SHIFTED, NOT_SHIFTED = explore.ARCHITECTURES


class Linear(nn.Module):
    """An image-shaped network that reads what its matrix says; the rest may be overridden."""

    levels = 2

    def __init__(self, reads, event_shape=(1, 2, 2)):
        super().__init__()
        self.event_shape = event_shape
        self.weight = nn.Parameter(torch.zeros(len(reads), len(reads)))
        self.register_buffer("mask", torch.as_tensor(reads).float())

    def forward(self, x):
        return (x.flatten(1).to(self.weight.dtype) @ (self.mask * self.weight).T).view(x.shape)


# What the architectures let through


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", explore.ARCHITECTURES)
def test_gradients_find_what_changing_each_pixel_finds(name, layers, kernel):
    model = explore.build(name, layers, kernel, height=4, width=5)
    changed, _ = dependence(model.double(), batches=2)
    assert torch.equal(dependencies(model, batch=1), changed)


@pytest.mark.parametrize("kernel", explore.KERNELS)
@pytest.mark.parametrize("layers", [1, 2, 5, explore.LAYERS])
def test_each_convolution_reads_what_its_paths_say(layers, kernel):
    height, width, reach = 9, 9, kernel // 2
    pixels = [(i, j) for i in range(height) for j in range(width)]
    ahead = [(0, -d) for d in range(1, reach + 1)]  # to the left in the own row
    ahead += [(-u, d) for u in range(1, reach + 1) for d in range(-reach, reach + 1)]

    def step(places, offsets):
        return {(i + u, j + d) for i, j in places for u, d in offsets if 0 <= i + u < height and 0 <= j + d < width}

    plain, own = torch.zeros(2, 81, 81, dtype=torch.bool)
    for row, of_plain, of_own in zip(pixels, plain, own, strict=True):
        for first, found in (ahead, of_plain), ([*ahead, (0, 0)], of_own):
            places = {row}
            for _ in range(layers - 1):
                places = step(places, [*ahead, (0, 0)])
            for i, j in step(places, first):
                found[i * width + j] = True
    shown = {name: dependencies(explore.build(name, layers, kernel), batch=1) for name in (PLAIN, GATED, MASK_B)}
    assert torch.equal(shown[PLAIN], plain) and torch.equal(shown[MASK_B], own)

    gated = torch.zeros(81, 81, dtype=torch.bool)
    for output, (r, c) in enumerate(pixels):
        for given, (i, j) in enumerate(pixels):
            up, aside = r - i, abs(c - j)
            gated[output, given] = aside <= layers * reach and (1 <= up <= layers * reach + 1 or up == 0 and j < c)
    assert torch.equal(shown[GATED], gated)


@pytest.mark.parametrize(("layers", "kernel"), [(1, 5), (2, 3), (4, 1), (4, 5)])
def test_each_recurrence_reads_what_its_paths_say(layers, kernel):
    """The state of an LSTM at a pixel depends on that pixel of the layer below, on some to its left, and on states."""
    height, width, reach = 7, 8, kernel // 2
    pixels = [(i, j) for i in range(height) for j in range(width)]

    def step(places, offsets):
        return {(i + u, j + d) for i, j in places for u, d in offsets if i + u >= 0 and 0 <= j + d < width}

    beside, above = [(0, -d) for d in range(reach + 1)], [(-1, -1), (-1, 0), (-1, 1), (0, 0)]
    first = beside[1:] + [(-u, d) for u in range(1, reach + 1) for d in range(-reach, reach + 1)]
    for r, c in [(0, 7), (3, 0), (4, 4), (6, 7)]:
        states = dict.fromkeys((ROW, DIAGONAL, NOT_SHIFTED), {(r, c)})
        for _ in range(layers - 1):
            for _ in range(height):
                states[ROW] = step(states[ROW], above)
            states[ROW] = step(states[ROW], beside)
            states[DIAGONAL] = {(i, j) for i, j in pixels if i < r or i == r and j <= c}
            states[NOT_SHIFTED] = {(i, j) for i, j in pixels if i <= r}
        for name, places in states.items():
            model = explore.build(name, layers, kernel, height, width)
            shown = dependencies(model, batch=1, outputs=torch.tensor([r * width + c])).view(height, width)
            assert {tuple(place) for place in shown.nonzero().tolist()} == step(places, first), (name, r, c)


def test_what_is_called_wrong_is_wrong_and_the_rest_right():
    order = orderings.raster(9, 9)
    for name in explore.ARCHITECTURES:
        layers = 2 if name in (ROW, DIAGONAL, NOT_SHIFTED) else explore.LAYERS
        leaks, blind = leaks_and_blind(dependencies(explore.build(name, layers, 3), batch=1), order)
        if name == NOT_SHIFTED:
            assert leaks.any()
        else:
            assert leaks.equal(torch.eye(81, dtype=torch.bool)) if name == MASK_B else not leaks.any()
        assert bool(blind.any()) == (name not in (GATED, NOT_SHIFTED))
    # The row above a pixel in the middle: only one to the right of it is read where every layer shifts.
    shifted = dependencies(explore.build(SHIFTED, explore.LAYERS, 3), batch=1).view(9, 9, 9, 9)
    assert shifted[5, 3, 4].int().tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert shifted[5, 3, 0].all()


def test_open_paths_are_those_of_the_architecture_not_of_the_weights():
    off = GatedPixelCNN((1, 3, 3), 2, 4, 3, kernel=3, head=4, position_bias=True)
    for parameter in off.parameters():
        nn.init.zeros_(parameter)
    off.head.bias.requires_grad_(False)
    assert not dependencies(off).any()
    opened = explore.open_paths(off)
    assert torch.equal(dependencies(opened, batch=1), before(off))
    assert not any(parameter.any() for parameter in off.parameters()) and not opened.head.bias.any()


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="'Pixel CNN'; expected one of .*'PixelCNN'"):
        explore.build("Pixel CNN", 2, 3)


# The explorer


def alt(panel) -> str:
    return panel.picture[0]["text/plain"]


def explorer(**settings):
    return explore._explorer(**{"architectures": explore.ARCHITECTURES, "height": 5, "width": 6} | settings)


def test_the_alternative_text_says_what_is_read_what_is_not_and_what_leaks():
    panel = explorer()
    for name, value in {"architecture": MASK_B, "layers": 2, "row": 4, "column": 1}.items():
        panel.controls[name].value = value
    assert alt(panel) == (
        "Dependency map of the output at row 4, column 1, in an image of 5 x 6; PixelCNN with mask B first (wrong), "
        "2 layers, 3 x 3. It reads 8 of 25 earlier pixels. Earlier, but not read: row 0, columns 0 to 5; row 1, "
        "columns 0 to 5; row 2, columns 4 to 5; row 3, columns 3 to 5. Read, but not earlier: row 4, column 1."
    )


@pytest.mark.parametrize(
    ("name", "value"), [("architecture", GATED), ("layers", 1), ("kernel", 5), ("row", 2), ("column", 5)]
)
def test_each_control_changes_picture_and_text(name, value):
    panel = explorer()
    data, text = panel.picture[0], alt(panel)
    panel.controls[name].value = value
    assert panel.picture[0]["image/png"] != data["image/png"] and alt(panel) != text
    assert f'alt="{alt(panel)}"' in panel.picture[0]["text/html"]
    panel.controls[name].value = {"architecture": PLAIN, "layers": 4, "kernel": 3, "row": 3, "column": 3}[name]
    assert panel.picture[0] == data
    assert plt.get_fignums() == []


def test_every_control_has_its_name_as_label():
    controls = explorer().controls
    assert {name: control.description for name, control in controls.items()} == {name: name for name in controls}
    assert list(controls) == ["architecture", "kernel", "layers", "row", "column"]


def test_readers_bring_their_own_architecture():
    def small(layers, kernel, height, width):
        if layers > 4:
            raise ValueError("at most 4 layers, please")
        return Linear(torch.ones(height * width, height * width), (1, height, width))

    panel = explorer(architectures={"everything": small})
    assert "Read, but not earlier: row 3, columns 3 to 5" in alt(panel)
    panel.controls["layers"].value = 5
    assert panel.picture == ({"text/plain": "at most 4 layers, please"}, {})
    panel.controls["layers"].value = 4
    assert "image/png" in panel.picture[0]


@pytest.mark.parametrize("settings", [{"architectures": {}}, {"height": 0}, {"width": -1}])
def test_nothing_to_explore_is_refused(settings):
    with pytest.raises(ValueError, match="expected one architecture or more"):
        explorer(**settings)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (lambda layers, kernel, height, width: Shapeless(), "the network has no event_shape"),
        (
            lambda layers, kernel, height, width: Linear(torch.ones(30, 30), (1, 6, 5)),
            r"\(1, 6, 5\); expected \(1, 5, 6\)",
        ),
    ],
)
def test_an_architecture_of_other_images_is_refused(architecture, message):
    with pytest.raises(ValueError, match=message):
        explorer(architectures={"own": architecture})


# MADE's explorer


def test_the_paths_of_a_narrow_made_are_told():
    panel = explore._made_explorer(5)
    assert alt(panel).endswith("Of all 10 pairs of an output and an earlier input, 0 have no path.")
    for name, value in {"output": 3, "ordering": "even, then odd", "width": 2, "layers": 2}.items():
        panel.controls[name].value = value
    assert alt(panel) == (
        "A MADE of 5 inputs in the ordering x_2, x_4, x_1, x_3, x_5, with 2 hidden layers of 2 and 2 units. "
        "Output x_4 has degree 2 and is reached by no input. Earlier, but without a path: x_2. "
        "Of all 10 pairs of an output and an earlier input, 2 have no path."
    )


@pytest.mark.parametrize(("name", "value"), [("output", 1), ("ordering", "last to first"), ("width", 2), ("layers", 2)])
def test_each_control_of_made_changes_picture_and_text(name, value):
    panel = explore._made_explorer(4)
    data, start = panel.picture[0], panel.controls[name].value
    panel.controls[name].value = value
    assert panel.picture[0]["image/png"] != data["image/png"]
    assert panel.picture[0]["text/plain"] != data["text/plain"]
    panel.controls[name].value = start
    assert panel.picture[0] == data
    assert {name: control.description for name, control in panel.controls.items()} == {
        name: name for name in ("output", "ordering", "width", "layers")
    }
    assert plt.get_fignums() == []


@pytest.mark.parametrize("D", [2, 8])
def test_the_largest_and_smallest_made_can_be_explored(D):
    panel = explore._made_explorer(D)
    for control in ("width", "layers"):
        panel.controls[control].value = panel.controls[control].max
    assert "0 have no path" in alt(panel)


@pytest.mark.parametrize("D", [1, 9])
def test_a_made_too_large_to_draw_is_refused(D):
    with pytest.raises(ValueError, match=f"D is {D}; expected 2 to 8"):
        explore.made_explorer(D)


# The debugger


def debugger(model, order=None, shape=None):
    return explore._debugger(model, order, shape)


def test_the_verdict_counts_and_names_the_first_in_raster_order():
    reads = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    verdict, panel = debugger(Linear(reads))
    assert verdict == (
        "Leaks: 1; the first: output (0, 1, 0) reads input (0, 1, 1). "
        "Blind: 2 of 6 pairs (output, earlier input); the first: output (0, 1, 0) does not read input (0, 0, 0). "
        "Places are (colour, row, column)."
    )
    assert "Read, but not earlier: none" in alt(panel)  # of the start, pixel (1, 1)
    panel.controls["column"].value = 0
    assert "It reads 1 of 2 earlier pixels. Earlier, but not read: row 0, column 0. " in alt(panel)
    assert "Read, but not earlier: row 1, column 1." in alt(panel)


def test_an_ordering_may_be_given():
    reads = torch.ones(4, 4).triu(1)
    assert "Leaks: 6;" in debugger(Linear(reads))[0]
    assert debugger(Linear(reads), order=[3, 2, 1, 0])[0].startswith("Leaks: 0. Blind: 0 of 6")
    verdict, _ = debugger(Linear(reads), order=[3, 0, 1, 2])
    assert "Leaks: 3; the first: output (0, 0, 0) reads input (0, 0, 1). Blind: 3 of 6" in verdict
    assert "the first: output (0, 0, 1) does not read input (0, 0, 0)" in verdict


def test_colours_come_within_their_pixel_unless_the_model_says_otherwise():
    model = Linear(torch.zeros(4, 4), (2, 1, 2))
    places = orderings.pixel_by_pixel(2, 1, 2).argsort()
    model.mask = (places[:, None] > places).float()
    verdict, panel = debugger(model)
    assert verdict.startswith("Leaks: 0. Blind: 0 of 6")
    assert list(panel.controls) == ["colour", "column"]
    panel.controls["colour"].value = 1
    assert "row 0, column 1, colour 1, in an image of 1 x 2; Linear. It reads 3 of 3 earlier inputs" in alt(panel)
    model.order = torch.arange(4)
    assert "output (0, 0, 1) reads input (1, 0, 0)" in debugger(model)[0]


def test_vectors_are_images_of_their_shape():
    model = FVBN(6, order=orderings.random(6, seed=0))
    verdict, panel = debugger(model, shape=(2, 3))
    assert verdict.startswith("Leaks: 0. Blind: 0 of 15") and "image of 2 x 3" in alt(panel)


class Shapeless(nn.Module):
    levels = 2


class Levelless(nn.Module):
    event_shape = (1, 2, 2)


def answering(answer):
    class Network(Linear):
        def forward(self, x):
            return answer(x, super().forward(x))

    return Network(torch.ones(4, 4))


def unfinished(x, y):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (Shapeless(), {}, "the network has no event_shape"),
        (Levelless(), {}, "the network has no levels"),
        (answering(lambda x, y: y.flatten(1)), {}, r"shape \(8, 4\); expected \(batch, \*P, \*event_shape\)"),
        (answering(lambda x, y: y.sum(0)), {}, r"shape \(1, 2, 2\); expected .* with batch 8"),
        (answering(lambda x, y: (y, y)), {}, "AttributeError: 'tuple' object has no attribute 'shape'"),
        (answering(lambda x, y: y @ torch.ones(3, 3).double()), {}, "the network failed .* RuntimeError"),
        (answering(lambda x, y: y.detach()), {}, "the network failed .* RuntimeError.*grad"),
        (answering(lambda x, y: y / 0 * 0), {}, "NaN or infinite"),
        (answering(lambda x, y: y), {"order": [0, 1, 2]}, r"order must hold each of 0\.\.3 once"),
        (FVBN(6), {}, "6 pixels do not fill an image"),
        (GatedPixelCNN((1, 2, 2), 2, 2, 1, classes=3), {}, "labels must be"),
    ],
)
def test_what_is_no_network_of_this_kind_is_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        debugger(model, **settings)


def test_an_open_exercise_stays_one():
    with pytest.raises(NotImplementedError):
        debugger(answering(unfinished))


# Where there is a notebook, and where not


def test_without_a_notebook_only_the_verdict_is_printed(capsys):
    explore.dependency_debugger(Linear(torch.zeros(1, 1), (1, 1, 1)))
    explore.dependency_explorer(height=2, width=2)
    explore.made_explorer(2)
    out = capsys.readouterr().out
    assert out.startswith("Leaks: 0") and out.count("\n") == 1


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    """Run; in its last cell the architecture changes as if a reader had chosen it."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("from course_lib import explore\nexplore.dependency_explorer(height=4, width=4)"),
        nbformat.v4.new_code_cell("panel = explore._explorer(explore.ARCHITECTURES, 4, 4)\npanel.show()"),
        nbformat.v4.new_code_cell(f"panel.controls['architecture'].value = {GATED!r}"),
    ]
    NotebookClient(notebook, kernel_name="python3").execute()
    return notebook


def test_a_notebook_holds_the_controls_and_one_picture_that_follows_them(notebook):
    start, changed, nothing = (cell.outputs for cell in notebook.cells)
    assert nothing == []
    for outputs, name in (start, PLAIN), (changed, GATED):
        controls, picture = outputs
        assert set(controls.data) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
        assert controls.data["text/plain"].startswith("While the notebook runs, here are controls")
        assert set(picture.data) == {"text/html", "image/png", "text/plain"}
        assert f"{name}, 4 layers" in picture.data["text/plain"]
        assert f'alt="{picture.data["text/plain"]}"' in picture.data["text/html"]
        assert picture.metadata["image/png"]["alt"] == picture.data["text/plain"]


@pytest.mark.parametrize("state", [True, False], ids=["state of widgets saved", "no state"])
def test_an_export_shows_the_picture_once_with_its_text(notebook, state):
    exported = nbformat.from_dict(notebook)
    if not state:
        exported = nbformat.from_dict({**exported, "metadata": {}})
    page, _ = HTMLExporter().from_notebook_node(exported)
    assert len(re.findall(r'<img alt="Dependency map of the output at row 2', page)) == 2  # of two cells


# Orderings


def test_an_ordering_decides_what_a_pixel_may_read():
    orders = {"raster": orderings.raster(3, 4), "backwards": orderings.raster(3, 4).flip(0)}
    panel = explore._ordering_explorer(orders, 3, 4)
    panel.controls["row"].value, panel.controls["column"].value = 1, 2
    assert alt(panel) == (
        "Dependency map of the output at row 1, column 2, in an image of 3 x 4; raster ordering. It reads 6 of 6 "
        "earlier pixels. Earlier, but not read: none. Read, but not earlier: none."
    )
    panel.controls["ordering"].value = "backwards"
    assert "backwards ordering. It reads 5 of 5 earlier pixels" in alt(panel)


@pytest.mark.parametrize("orders, words", [({}, "one ordering or more"), ({"short": [0, 1]}, "each of 0..3 once")])
def test_an_explorer_of_orderings_needs_permutations_of_the_pixels(orders, words):
    with pytest.raises(ValueError, match=words):
        explore.ordering_explorer(orders, height=2, width=2)


# Paths that move


def test_an_animation_passes_its_points_in_order_and_says_what_it_shows():
    ways = {"a line": torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), "a <point>": torch.zeros(1, 2)}
    page, words = explore._moving_paths(ways, seconds=3)
    assert words == "Animation: a point runs along each path, a line and a <point>. Click the picture to start it."
    assert "a &lt;point&gt;" in page and "<point>" not in page and "http" not in page and "<script" not in page
    assert 'points="110.0,110.0 210.0,10.0 210.0,110.0"' in page  # up is up
    assert 'attributeName="cx" dur="3s"' in page and 'values="110.0;210.0;210.0"' in page
    (name,) = set(re.findall(r'begin="(\w+)[.]click"', page))
    assert f'<svg id="{name}"' in page


@pytest.mark.parametrize("ways", [{}, {"x": torch.zeros(3)}, {"x": torch.zeros(0, 2)}])
def test_an_animation_needs_paths_in_the_plane(ways):
    with pytest.raises(ValueError, match=r"expected paths \(n, 2\)"):
        explore.moving_paths(ways)


# Real or made


def game(real: int = 3, made: int = 4):
    return explore._real_or_made(torch.zeros(real, 4, 4), torch.ones(made, 4, 4), None, seed=0)


def test_before_an_answer_the_game_tells_nothing():
    panel = game()
    assert alt(panel) == "7 images, numbered: 3 of the data and 4 samples. Type the numbers of the samples."


def test_the_game_counts_both_kinds_of_mistake_and_gives_an_interval():
    panel = game()
    panel.controls["made"].value = "1"
    samples = [int(number) for number in re.findall(r"\d+", alt(panel).split("The samples are")[1])]
    assert len(samples) == 4
    panel.controls["made"].value = " ".join(map(str, samples))
    assert "Correct: 7 of 7; 95 % interval 65 to 100 %" in alt(panel)
    others = sorted(set(range(1, 8)) - set(samples))
    panel.controls["made"].value = ", ".join(map(str, others))
    assert "Correct: 0 of 7; 95 % interval 0 to 35 %" in alt(panel)
    panel.controls["made"].value = f"{samples[0]} {others[0]}"
    assert "Correct: 3 of 7" in alt(panel)  # one sample found, two images of the data left alone


@pytest.mark.parametrize("answer", ["0", "8", "1 x", "-1", "1.5"])
def test_the_game_says_what_an_answer_looks_like(answer):
    panel = game()
    panel.controls["made"].value = answer
    assert panel.picture[0] == {
        "text/plain": f"{answer!r} are not numbers of images, which go from 1 to 7; type them like this: 2 5 7"
    }


@pytest.mark.parametrize("real, made", [((0, 4, 4), (3, 4, 4)), ((3, 4, 4), (0, 4, 4)), ((3, 4, 4), (3, 4, 5))])
def test_the_game_needs_images_of_both_kinds(real, made):
    with pytest.raises(ValueError, match="expected images of both kinds, of one shape"):
        explore.real_or_made(torch.zeros(real), torch.zeros(made))
