from types import SimpleNamespace

import pytest
import torch

from autograder.classroom.job import Status
from banks import all_banks
from benchmarks import Comparison, __main__, checks, grading, load, samples, side_by_side
from benchmarks import mixtures as mixtures_benchmark
from benchmarks.fvbn import D, SeparateLayers
from benchmarks.made import Network, peers, unmasked
from benchmarks.nade import ByAutograd
from benchmarks.pixelcnn import PeerPixelCNN, decided_alike
from benchmarks.pixelcnn import unmasked as unmasked_convolutions
from benchmarks.pixelrnn import PixelByPixel
from course_lib.models import FVBN, MADE, NADE, GatedPixelCNN, PixelCNN, PixelRNN


def test_the_two_ways_to_write_an_fvbn_are_the_same_model():
    generator = torch.Generator().manual_seed(0)
    fast, slow = FVBN(D), SeparateLayers()
    with torch.no_grad():
        fast.linear.weight.normal_(0, 0.1, generator=generator)
        fast.linear.bias.normal_(generator=generator)
        slow.first.copy_(fast.linear.bias[:1])
        for d, layer in enumerate(slow.regressions, start=1):
            layer.weight.copy_(fast.linear.weight[d : d + 1, :d])
            layer.bias.copy_(fast.linear.bias[d : d + 1])
    x = torch.randint(0, 2, (3, D), generator=generator)
    torch.testing.assert_close(fast.log_prob(x), slow.log_prob(x))


def test_the_two_ways_to_train_a_nade_are_the_same():
    torch.manual_seed(0)
    fast, slow, x = NADE(8, 5), ByAutograd(8, 5), torch.randint(0, 2, (6, 8))
    slow.load_state_dict(fast.state_dict())
    for model in (fast, slow):
        model.log_prob(x).mean().backward()
    for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_made_without_masks_is_the_network_beside_it():
    made, bare = MADE(D, [20]), unmasked([20])
    ours = [*made.hidden, made.output]
    for layer in ours:
        layer.mask.fill_(True)
    theirs = [layer for layer in bare.layers if isinstance(layer, torch.nn.Linear)]
    for layer, other in zip(ours, theirs, strict=True):
        other.load_state_dict(layer.state_dict())
    x = torch.randint(0, 2, (3, D))
    torch.testing.assert_close(bare.log_prob(x), made.log_prob(x))


def test_a_peer_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.made.find_spec", lambda name: None)
    ((name, (widths, layers)),) = peers().items()
    made, peer = MADE(D, widths), Network(layers)
    for ours, theirs in ((made.hidden[0], layers[0]), (made.output, layers[2])):
        theirs.load_state_dict(ours.state_dict(), strict=False)
    x = torch.randint(0, 2, (3, D))
    assert name == "pytorch-made's layers" and torch.equal(peer.log_prob(x), made.log_prob(x))
    assert "pip install -e '.[bench]'" in capsys.readouterr().out


def test_pixelcnns_without_masks_read_all_that_their_kernels_cover():
    model = PixelCNN((1, 5, 5), 2, channels=4, layers=1).double()
    bare, x = unmasked_convolutions(model), torch.randint(0, 2, (2, 1, 5, 5))
    assert not torch.allclose(model(x), bare(x))
    for masked in (model.first, model.head, model.output, *model.blocks[0].convolutions()):
        masked.mask.fill_(True)
    assert torch.equal(model(x), bare(x))


def test_the_peers_pixelcnn_is_autoregressive_and_of_its_published_size():
    model = PeerPixelCNN(5, 2, layers=2, head=3).double()
    x = torch.randint(0, 2, (1, 1, 5, 5)).double().requires_grad_()
    read = torch.stack([torch.autograd.grad(out, x, retain_graph=True)[0].flatten() for out in model(x).flatten()])
    assert read.any() and not read.triu().any()
    assert sum(p.numel() for p in PeerPixelCNN(28, 16, 15, head=32).parameters()) == 53_569


def test_the_levels_of_the_finer_scale_are_the_coarser_ones_divided():
    generator = torch.Generator().manual_seed(0)
    mixtures, u = torch.rand(50, 3, 4, generator=generator), 0.1 + 0.8 * torch.rand(50, generator=generator)
    coarse, fine = (mixtures_benchmark.draws(mixtures, u, levels)() for levels in (256, 65536))
    assert coarse.unique().numel() > 20 and ((fine / 256 - coarse).abs() <= 1).all()


def test_decisions_that_the_plain_sampler_would_not_make_are_counted():
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 3, 3), 2, channels=4, layers=2).double()
    u = torch.rand(5, 9, dtype=torch.float64)
    x = model.sample(5, uniforms=u)
    assert decided_alike(model, x, u) == 45
    x[0, 0, 2, 2] = 1 - x[0, 0, 2, 2]  # nothing reads the last pixel
    assert decided_alike(model, x, u) == 44


def test_a_large_class_tells_which_grade_is_not_the_deserved_one():
    reports = [{"exercise": "a", "points": 1.0}, {"exercise": "b", "points": 0.5}]
    status = Status("ada", "03", "graded", {"exercises": reports})
    assert load.differences(status, {"a": 1.0, "b": 0.5}) == []
    assert load.differences(status, {"a": 1.0, "b": 1.5}) == ["ada, b: deserves 1.5 points, got 0.5"]
    assert load.differences(Status("ada", "03", "failed", error="no luck"), {"a": 1.0}) == ["ada: failed no luck"]


def test_both_ways_run_equally_often():
    runs = []
    fast, slow = side_by_side(lambda: runs.append("fast"), lambda: runs.append("slow"), repetitions=3)
    assert runs == ["fast", "slow"] * 4 and fast >= 0 and slow >= 0


def test_the_table_shows_times_in_milliseconds_and_their_ratio(monkeypatch, capsys):
    measured = [Comparison("a step", "clever", "plain", 0.002, 0.01)]
    monkeypatch.setattr(__main__, "MEASURED", [SimpleNamespace(measure=lambda: measured)])
    spent = grading.ProcessorTime(alone=0.2, whole=0.45, start=9)
    monkeypatch.setattr(grading, "processor_time", lambda: spent)
    monkeypatch.setattr(checks, "measure", lambda: [("nade", 3, 1.5, "by_rows", 0.75)])
    __main__.main()
    told = capsys.readouterr().out
    assert told.splitlines()[-1].split() == ["a", "step", "clever", "2.00", "plain", "10.00", "5.00"]
    assert "checks of nade: 3 right answers in 1.50 s, by_rows alone in 0.75 s" in told
    assert "0.25 s of CPU time per submission, plus 0.20 s for its answers and checks; 9 s" in told


def test_the_trivial_lesson_makes_a_class(tmp_path):
    files = {f"solutions/{grading.TRIVIAL}.py": grading.TRIVIAL_SOURCE, "checks/trivial.py": grading.TRIVIAL_CHECKS}
    settings = grading.make(tmp_path / "class", grading.TRIVIAL, files)
    assert (settings.folder / "release" / grading.TRIVIAL / f"{grading.TRIVIAL}.ipynb").exists()


def test_the_right_answers_of_a_bank_are_timed(monkeypatch):
    (bank,) = (bank for bank in all_banks() if bank.lesson == "start_here")
    monkeypatch.setattr(checks, "all_banks", lambda: [bank])
    ((lesson, answers, seconds, slowest, longest),) = checks.measure()
    names = {entry.name for entry in bank.entries if entry.is_right}
    assert (lesson, answers) == ("start_here", len(names)) and slowest in names and 0 < longest <= seconds


@pytest.mark.parametrize("recurrence", ["row", "diagonal"])
def test_a_pixelrnn_by_rows_or_diagonals_is_the_one_by_pixels(recurrence):
    torch.manual_seed(0)
    settings = dict(channels=6, layers=2, recurrence=recurrence)
    fast, slow = (kind((1, 4, 5), 2, **settings).double() for kind in (PixelRNN, PixelByPixel))
    slow.load_state_dict(fast.state_dict())
    x = torch.randint(0, 2, (3, 1, 4, 5))
    for model in (fast, slow):
        model.log_prob(x).mean().backward()
    for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_all_ways_give_the_same_frechet_distance():
    p, q = samples.two_gaussians(5)
    expected = samples.frechet_distance(*p, *q)
    assert samples.by_the_root_of_the_product(p, q) == pytest.approx(expected, rel=1e-9)
    assert samples.by_eigenvalues_of_the_product(p, q) == pytest.approx(expected, rel=1e-9)
