"""The measurements run, say what they should of known cases, and the shipped tables are whole."""

import math

import pytest
import torch

from course_lib import data
from course_lib.experiments import vqvae
from course_lib.experiments.vqvae import (
    BOUNDS,
    MODELS,
    SEEDS,
    TRAININGS,
    USAGE,
    rate_and_distortion,
    steps_of_sampling,
    use_of_codes,
)
from course_lib.models import VQVAE, CodeModel, CodePrior


def test_the_tables_have_every_row_and_every_seed():
    assert [(row.training, row.codes) for row in USAGE] == [(name, K) for name in TRAININGS for K in (64, 256)]
    assert all(len(row.perplexity) == len(row.nats) == len(SEEDS) for row in USAGE)
    assert all(1 <= number <= row.codes for row in USAGE for number in row.perplexity)
    assert [row.model for row in BOUNDS] == list(MODELS)
    for row in BOUNDS:
        assert all(len(numbers) == len(SEEDS) for numbers in row[1:5])
        for nats, reconstruction, bits in zip(row.nats, row.reconstruction, row.bits, strict=True):
            # Summing out the class costs at most log 10 more than knowing it.
            assert -0.5 < nats - reconstruction - bits * math.log(2) < math.log(10)


def test_a_collapse_and_its_cure_are_measured_within_seconds():
    used = {training: use_of_codes(training, 64, seed=0, steps=240)[0] for training in list(TRAININGS)[2:]}
    assert used["moving averages, revival"] > 1.5 * used["moving averages"]


def test_codes_take_fewer_steps_than_pixels():
    pixels, codes, decoder = steps_of_sampling(size=16, n=2, channels=4, layers=1)
    assert (pixels.steps, codes.steps, decoder.steps) == (256, 4 * 4 + 2 * 2, 1)
    assert pixels.seconds > codes.seconds > 0


def test_rates_and_distortions():
    ds = data.digits("levels")
    autoencoder = VQVAE((1, 8, 8), 16, 8, 4, [8])
    model, x = CodeModel(autoencoder, CodePrior(autoencoder.code_shapes, 8, 8, 1, classes=10)), ds.test.x[:150]
    rows = {row.name: row for row in rate_and_distortion(model, x, ds.test.y[:150], qualities=[10, 90])}
    equal, prior, png, low, high = rows.values()
    error = (model.autoencoder.reconstruct(x) - x) / 15
    assert equal.bits == 16 * 3 and prior.bits == pytest.approx(model.rate(x, labels=ds.test.y[:150]).mean().item())
    assert equal.squared_error == prior.squared_error == pytest.approx(error.square().mean().item(), rel=1e-6)
    assert png.squared_error == 0 and png.psnr == math.inf and png.header > 0
    assert low.bits < high.bits and low.squared_error > high.squared_error > 0
    assert high.psnr == pytest.approx(-10 * math.log10(high.squared_error))


def test_the_command_prints_rows_that_can_be_pasted(monkeypatch, capsys):
    monkeypatch.setattr(vqvae, "use_of_codes", lambda training, codes, seed: (codes / 3, 60.0 + seed))
    monkeypatch.setattr(vqvae, "bound", lambda name, seed: (90.0, 50.0, 40 + seed / 3, 0.9, 0.993))
    vqvae.main()
    printed = {}
    exec(capsys.readouterr().out, vars(vqvae) | printed, printed)
    assert printed["USAGE"][0] == vqvae.Usage("codebook loss", 64, (21.3,) * 3, (60.0, 61.0, 62.0))
    assert printed["BOUNDS"][0].bits == (40.0, 40.333, 40.667) and printed["BOUNDS"][0].classifier == 0.993


def test_a_reader_reads():
    ds = data.digits("levels")
    reader = vqvae.reader(ds)
    assert vqvae.fraction_read(reader, ds.test.x, ds.test.y) > 0.97
    assert vqvae.fraction_read(reader, ds.test.x, (ds.test.y + 1) % 10) < 0.02
    assert torch.equal(ds.test.y.unique(), torch.arange(10))
