import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from course_lib.plots import COLORS
from course_lib.schematics import CHOSEN, KINDS, Box, diagram, inset, mask_grid, network


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def texts(fig) -> list[str]:
    return [text.get_text() for text in fig.axes[0].texts if text.get_text()]


def arrows(fig) -> list[tuple[tuple[float, float], tuple[float, float], bool]]:
    """(from, to, highlighted) of each arrow of a network."""
    drawn = [text for text in fig.axes[0].texts if getattr(text, "arrow_patch", None)]
    colour = to_rgba(COLORS["vermilion"])
    return [(text.xyann, text.xy, text.arrow_patch.get_edgecolor() == colour) for text in drawn]


def test_a_network_has_an_arrow_for_every_one_of_its_masks():
    mask = torch.tensor([[1, 0], [1, 1], [0, 1]])
    fig = network([["a", "b"], ["c", "d", "e"]], [mask], inputs=["in 1", "in 2"], names=["below", "above"])
    expected = {((below - 0.5, 0), (above - 1.0, 1)) for above, below in mask.nonzero().tolist()}
    assert {(start, end) for start, end, _ in arrows(fig)} == expected
    assert sorted(texts(fig)) == sorted(["a", "b", "c", "d", "e", "in 1", "in 2", "below", "above"])
    assert not any(chosen for *_, chosen in arrows(fig))


def test_exactly_the_paths_to_the_output_are_highlighted():
    first, second = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]])
    fig = network([["", ""]] * 3, [first, second], output=0)
    chosen = {(start, end) for start, end, chosen in arrows(fig) if chosen}
    assert chosen == {((-0.5, 0), (-0.5, 1)), ((-0.5, 1), (-0.5, 2))}
    units = {tuple(dots.get_offsets()[0]): to_hex(dots.get_facecolor()[0]) for dots in fig.axes[0].collections}
    assert {at for at, colour in units.items() if colour == CHOSEN} == {(-0.5, 0), (-0.5, 1), (-0.5, 2)}


@pytest.mark.parametrize(
    "settings, words",
    [
        (dict(masks=[]), "layers of .2, 1. units need masks .*; got .."),
        (dict(masks=[torch.ones(2, 1)]), "got .*2, 1"),
        (dict(output=1), "output is 1; the last layer has units 0 to 0"),
        (dict(inputs=["x"]), "inputs has 1 entries; expected 2"),
        (dict(names=["x"]), "names has 1 entries; expected 2"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        network([["a", "b"], ["c"]], **{"masks": [torch.ones(1, 2)], **settings})


def test_a_mask_shows_its_numbers_and_its_centre():
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    fig = mask_grid(mask, rows=["above", "own"], columns=[-1, 0, 1], centre=(1, 1))
    assert texts(fig) == ["1", "1", "1", "1", "0", "0"]
    (frame,) = [patch for patch in fig.axes[0].patches if isinstance(patch, Rectangle)]
    assert frame.get_xy() == (1, 1)
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["above", "own"]
    top, bottom = fig.axes[0].get_ylim()[::-1]
    assert top < bottom  # the first row is at the top


def test_a_large_mask_has_no_numbers():
    assert texts(mask_grid(torch.ones(13, 2))) == [] and len(texts(mask_grid(torch.ones(12, 2)))) == 24


@pytest.mark.parametrize(
    "mask, settings, words",
    [
        (torch.ones(3), {}, "matrix of 0 and 1; got shape .3,."),
        (torch.full((2, 2), 0.5), {}, "matrix of 0 and 1; got .* with .0.5."),
        (torch.ones(2, 3), dict(rows=[1, 2, 3]), "rows has 3 labels for 2"),
        (torch.ones(2, 3), dict(centre=(2, 0)), "centre is .2, 0.; the mask has 2 rows"),
    ],
)
def test_what_is_not_a_mask_is_refused(mask, settings, words):
    with pytest.raises(ValueError, match=words):
        mask_grid(mask, **settings)


def test_a_diagram_has_its_boxes_and_an_arrow_for_each_link_of_a_chain():
    boxes = {"x": Box(0, 0, "$x$", "data"), "f": Box(0, 1, "3 × 3", "layer"), "+": Box(0, 2, "+", "op")}
    boxes |= {"low": Box(1, 0, kind="corner"), "high": Box(1, 2, kind="corner")}
    fig = diagram(boxes, [("x", "f", "+"), ("x", "low", "high", "+")], title="a block")
    assert sorted(texts(fig)) == sorted(["$x$", "3 × 3", "+", "a block"])
    lines = [patch for patch in fig.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    heads = [type(line.get_arrowstyle()).__name__ for line in lines]
    assert heads == ["CurveFilledB", "CurveFilledB", "Curve", "Curve", "CurveFilledB"]
    assert sum(isinstance(patch, Circle) for patch in fig.axes[0].patches) == 1


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"area"}))
@pytest.mark.parametrize("text", ["$q(x_d \\mid x_{<d})$", "one\nlonger line, and a short one", ""])
def test_a_text_fits_into_its_box(kind, text):
    fig = diagram({"box": Box(0, 0, text, kind)})
    fig.canvas.draw()
    (box,) = [patch for patch in fig.axes[0].patches if isinstance(patch, Circle | FancyBboxPatch)]
    for drawn in fig.axes[0].texts:
        inner, outer = drawn.get_window_extent(), box.get_window_extent()
        assert outer.x0 <= inner.x0 and inner.x1 <= outer.x1
        assert outer.height + 1 >= inner.height


def test_kinds_of_boxes_differ_without_colour():
    outlines = [(outline, style.get("linestyle", "-")) for outline, style in KINDS.values()]
    greys = [round(sum(to_rgba(style["facecolor"])[:3]), 2) for _, style in KINDS.values()]
    assert len(set(zip(outlines, greys, strict=True))) == len(KINDS)


def test_bent_arrows_stay_inside_the_figure():
    fig = diagram({"a": Box(0, 0, "a"), "b": Box(4, 0, "b")}, [("a", "b")], bend=0.5)
    fig.canvas.draw()
    (arrow,) = [patch for patch in fig.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    assert arrow.get_window_extent().y1 <= fig.bbox.y1


@pytest.mark.parametrize(
    "boxes, links, words",
    [
        ({}, [], "no boxes"),
        ({"a": Box(0, 0)}, [("a", "b")], "an arrow names 'b'; the boxes are a"),
        ({"a": Box(0, 0)}, [("a",)], "at least two names"),
        ({"a": Box(0, 0), "b": Box(1, 0)}, ["ab"], "at least two names; got 'ab'"),
    ],
)
def test_a_diagram_that_makes_no_sense_is_refused(boxes, links, words):
    with pytest.raises(ValueError, match=words):
        diagram(boxes, links)


def test_unknown_kinds_and_areas_without_a_size_are_refused():
    with pytest.raises(ValueError, match="kind is 'oval'; expected one of plain"):
        Box(0, 0, kind="oval")
    with pytest.raises(ValueError, match="needs a width and a height"):
        Box(0, 0, "frame", "area")


def test_an_inset_lies_inside_its_box():
    box = Box(3, 1, width=2, height=1)
    fig = diagram({"a": Box(0, 0, "a"), "picture": box})
    inside = inset(fig, box)
    fig.canvas.draw()
    (x0, y0), (x1, y1) = fig.axes[0].transData.transform([(2, 0.5), (4, 1.5)])
    place = inside.get_window_extent()
    assert x0 < place.x0 and place.x1 < x1 and y0 < place.y0 and place.y1 < y1
    with pytest.raises(ValueError, match="needs a width and a height"):
        inset(fig, Box(0, 0, "a"))
