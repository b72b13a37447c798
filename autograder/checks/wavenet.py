"""Provisional checks of lesson 06."""

from autograder.checking.check import check, holds

__all__ = [
    "OwnWaveNet",
    "causal_conv",
    "dilations",
    "distill_loss",
    "gated_unit",
    "mu_law_encode",
    "ring_step",
    "sample",
]

HINTS = ["One.", "Two.", "Three."]


@check(points={"right": 4}, hints=HINTS)
def mu_law_encode(student, rng):
    """mu_law_encode."""
    yield holds("right", True, "")


@check(points={"right": 4}, hints=HINTS)
def causal_conv(student, rng):
    """causal_conv."""
    yield holds("right", True, "")


@check(points={"right": 4}, hints=HINTS)
def dilations(student, rng):
    """dilations."""
    yield holds("right", True, "")


@check(points={"right": 5}, hints=HINTS)
def ring_step(student, rng):
    """ring_step."""
    yield holds("right", True, "")


@check(points={"right": 8}, hints=HINTS)
def OwnWaveNet(student, rng):
    """OwnWaveNet."""
    yield holds("right", True, "")


@check(points={"right": 2}, hints=HINTS)
def gated_unit(student, rng):
    """gated_unit."""
    yield holds("right", True, "")


@check(points={"right": 2}, hints=HINTS)
def sample(student, rng):
    """sample."""
    yield holds("right", True, "")


@check(points={"right": 3}, hints=HINTS)
def distill_loss(student, rng):
    """distill_loss."""
    yield holds("right", True, "")
