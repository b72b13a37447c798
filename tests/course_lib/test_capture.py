"""Sampling as CUDA graphs. What needs a GPU is skipped where there is none; a fake one shows what would not work."""

import math
from contextlib import nullcontext
from unittest import mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.capture import CapturedSampler
from course_lib.models import FVBN, MADE, NADE, RNADE, GatedPixelCNN, LinearPrediction, MADEEnsemble, WaveNet, base
from tests.course_lib.instances import INSTANCES, ORDER, Given, Instance

N = 3
# Those of real dimensions search for each value, or draw all values at once; a mean of models is not a product.
CAPTURED = [each for each in INSTANCES if each.one_order and each.build().levels is not None]


def tensors_in(tree):
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class OnTheGpuAlone(TorchDispatchMode):
    """Refuse each operation that reads or makes a tensor on the CPU: a CUDA graph cannot capture it."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tensors_in((args, kwargs, result)):
            assert tensor.device.type == "cuda", f"{operation} has a tensor on the {tensor.device}"
        return result


class Graph:
    """A stand-in for a CUDA graph, on the CPU: it repeats the operations of its capture on the same tensors."""

    def __init__(self):
        self.operations = []

    def pool(self):
        return "its memory"

    def replay(self):
        for operation, args, kwargs, results in self.operations:
            inputs = {t.untyped_storage()._cdata for t in tensors_in((args, kwargs))}
            for old, new in zip(results, tensors_in(operation(*args, **kwargs)), strict=True):
                if old.untyped_storage()._cdata not in inputs:  # else it is a view, or written in place
                    old.copy_(new)


class Recorder(TorchDispatchMode):
    """Record each operation in a graph, and run it as well. (A capture on a GPU only records.)"""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.graph.operations.append((operation, args, kwargs or {}, tensors_in(result)))
        return result


@pytest.fixture
def graphs(request):
    """The graphs of the device of a test: the stand-ins on the CPU."""
    if request.getfixturevalue("device") == "cpu":
        request.getfixturevalue("graphs_on_cpu")


@pytest.fixture
def graphs_on_cpu():
    """Stand-ins for the graphs and streams of torch.cuda, with which a sampler captures on the CPU."""
    stream = mock.Mock()
    stand_ins = dict(
        Stream=lambda: stream,
        current_stream=lambda: stream,
        stream=lambda stream: nullcontext(),
        CUDAGraph=Graph,
        graph=lambda graph, pool, stream: Recorder(graph),
    )
    with mock.patch.multiple(torch.cuda, **stand_ins):
        yield


def uniforms_of(model, n=N):
    return torch.rand(n, len(model.order), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def random(model, scale=1.0):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return model.eval()


def conditional(instance: Instance):
    """A random model and its labels and context for N samples, none for most."""
    model = random(instance.build(), instance.scale)
    return (model.model, model.expanded(N)) if isinstance(model, Given) else (model, {})


def on_fake_gpu(sampler, mode):
    """Replace all tensors of a sampler by fake ones on a GPU that does not exist. The host knows the orderings."""

    def fake(tensor):
        return tensor if isinstance(tensor, FakeTensor) else mode.from_tensor(tensor).to("cuda")

    for model in sampler._whole, sampler._part:
        for module in model.requires_grad_(False).modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = fake(tensor)
                        if tensor.dtype == torch.long and tensor is not tensors[name] and not tensor.is_inference():
                            base._READ[tensors[name]] = tensors[name]._version, base.on_host(tensor)
    sampler._x, sampler._uniforms = fake(sampler._x), fake(sampler._uniforms)
    sampler._given = {name: fake(tensor) for name, tensor in sampler._given.items()}


@pytest.mark.parametrize("instance", CAPTURED, ids=str)
def test_what_is_captured_stays_on_the_gpu(instance):
    model, given = conditional(instance)
    sampler = CapturedSampler(model, N)
    with torch.inference_mode():
        sampler._prepare(uniforms_of(model), given)
    with FakeTensorMode() as mode:
        on_fake_gpu(sampler, mode)
        with OnTheGpuAlone(), torch.inference_mode():
            blocks = list(sampler._blocks())
    assert {x.shape for x in blocks} == {(N, sampler._block)} and {x.device.type for x in blocks} == {"cuda"}


@pytest.mark.parametrize("instance", CAPTURED, ids=str)
def test_samples_are_those_of_the_model(instance):
    model, given = conditional(instance)
    uniforms = uniforms_of(model)
    x = model.sample(N, uniforms=uniforms, **given)
    assert CapturedSampler(model, N).sample(uniforms=uniforms, **given).equal(x)


@pytest.mark.parametrize("instance", CAPTURED, ids=str)
def test_replayed_samples_are_those_of_the_model(instance, graphs_on_cpu):
    """With other uniforms than those of the capture, and with other weights."""
    model, given = conditional(instance)
    sampler, graphs = CapturedSampler(model, N), set()
    for scale in 1.0, 1.0, -1.0:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(scale)
        uniforms = torch.rand(N, len(model.order), dtype=torch.float64)
        x = sampler._replay(uniforms, model._given(N, given.get("labels"), given.get("context")))
        assert x.equal(model.sample(N, uniforms=uniforms, **given))
        graphs.add(sampler._graphs[0])
    assert len(graphs) == 1


def test_a_graph_is_captured_anew_where_the_model_has_new_tensors_or_another_ordering(graphs_on_cpu):
    model, uniforms = random(NADE(5, 7)), uniforms_of(NADE(5, 7), 50)
    sampler, graphs, drawn = CapturedSampler(model, 50), [], []
    changes = [
        lambda: None,
        lambda: model.load_state_dict(random(NADE(5, 7, ORDER), 3.0).state_dict()),
        lambda: setattr(model, "b", torch.nn.Parameter(model.b - 6)),
        lambda: model.double(),
    ]
    for change in changes:
        change()
        for _ in range(2):
            drawn.append(sampler._replay(uniforms, {}))
            graphs.append(sampler._graphs[0])
            assert drawn[-1].equal(model.sample(50, uniforms=uniforms))
    assert [graphs[i] is graphs[i + 1] for i in range(7)] == [True, False] * 3 + [True]
    assert drawn[0].equal(drawn[1]) and not drawn[0].equal(drawn[2]) and not drawn[2].equal(drawn[4])
    assert drawn[0].data_ptr() != drawn[1].data_ptr()


def test_a_replay_reads_its_own_labels_and_context(graphs_on_cpu):
    model = random(GatedPixelCNN((1, 2, 3), 2, 6, 2, head=4, classes=3, context_channels=2)).double()
    sampler, uniforms, drawn = CapturedSampler(model, 50), uniforms_of(model, 50), []
    for label, context in (0, torch.zeros(50, 2, 2, 3)), (2, torch.rand(50, 2, 2, 3, dtype=torch.float64)):
        given = dict(labels=torch.full((50,), label), context=context)
        drawn.append(sampler._replay(uniforms, given))
        assert drawn[-1].equal(model.sample(50, uniforms=uniforms, **given))
    assert not drawn[0].equal(drawn[1])


WAVENETS = [
    lambda T: WaveNet(T, 2, 3, [1, 2, 4], skip=4),
    lambda T: WaveNet(T, 5, 3, [1, 3], kernel=3, skip=4, classes=3),
    lambda T: WaveNet(T, 50, 3, [2, 1], skip=4, mixtures=2, classes=(2, 3), context_channels=2),
]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("build", WAVENETS)
@pytest.mark.parametrize("T", [1, 4, 8, 9, 17, 24, 50])
def test_blocks_of_sound_are_the_models_sound(graphs, device, build, T):
    """Of fewer steps than a period, of whole periods and of parts of one; twice, as rings and counters come back."""
    model = random(build(T)).double().to(device)
    sampler = CapturedSampler(model, N)
    for _ in range(2):
        given = {}
        if model.classes:
            kinds = [torch.randint(number, (N,), device=device) for number in model.classes]
            given["labels"] = kinds[0] if len(kinds) == 1 else torch.stack(kinds, 1)
        if model.context_channels:
            given["context"] = torch.randn(N, model.context_channels, T, device=device)
        uniforms = torch.rand(N, T, dtype=torch.float64, device=device)
        x = sampler._replay(uniforms, model._given(N, given.get("labels"), given.get("context")))
        assert x.equal(model.sample(N, uniforms=uniforms, **given))
    assert sampler._block == min(T, model.period) and len(sampler._graphs) == min(2, math.ceil(T / model.period))


def test_a_period_is_when_every_ring_is_at_its_first_place():
    assert [build(9).period for build in WAVENETS] == [8, 9, 4]
    assert WaveNet(9, 2, 1, [1, 2, 3], skip=1).period == 12 and WaveNet(9, channels=1, skip=1).period == 1024


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_generator_decides_and_each_call_makes_a_new_tensor(device):
    model = random(MADE(6, [12])).to(device)
    sampler = CapturedSampler(model, 50)
    first, again = (sampler.sample(generator=torch.Generator().manual_seed(0)) for _ in range(2))
    other = sampler.sample(generator=torch.Generator().manual_seed(1))
    assert first.equal(again) and not first.equal(other)
    assert first.equal(model.sample(50, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_new_weights_and_new_orderings_are_those_of_the_next_call(device):
    model, other = (random(NADE(5, 7, order), scale).to(device) for order, scale in ((range(5), 1.0), (ORDER, 3.0)))
    sampler, uniforms = CapturedSampler(model, 50), uniforms_of(model, 50)
    before = sampler.sample(uniforms=uniforms)
    with torch.no_grad():
        model.b += 3  # in place, as an optimizer
    after = sampler.sample(uniforms=uniforms)
    assert after.equal(model.sample(50, uniforms=uniforms)) and not after.equal(before)
    model.load_state_dict(other.state_dict())  # with its ordering
    after = sampler.sample(uniforms=uniforms)
    assert after.equal(other.sample(50, uniforms=uniforms)) and not after.equal(before)
    model.double().b = torch.nn.Parameter(model.b - 6)
    assert sampler.sample(uniforms=uniforms).equal(model.sample(50, uniforms=uniforms))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_labels_and_context_may_differ_from_call_to_call(device):
    model = random(GatedPixelCNN((1, 2, 3), 2, 6, 2, head=4, classes=3, context_channels=2)).double().to(device)
    sampler, uniforms, drawn = CapturedSampler(model, 50), uniforms_of(model, 50), []
    for label in 0, 2:
        labels = torch.full((50,), label, dtype=torch.uint8, device=device)
        context = torch.full((50, 2, 2, 3), float(label), device=device)
        drawn.append(sampler.sample(labels=labels, context=context, uniforms=uniforms))
        assert drawn[-1].equal(model.sample(50, labels=labels, context=context, uniforms=uniforms))
    assert not drawn[0].equal(drawn[1])


@pytest.mark.gpu
@pytest.mark.parametrize("instance", CAPTURED, ids=str)
def test_captured_samples_are_those_of_the_model(instance):
    model, given = conditional(instance)
    model, given = model.double().cuda(), {name: tensor.cuda() for name, tensor in given.items()}
    sampler = CapturedSampler(model, N)
    for seed in 0, 1:
        generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
        x = model.sample(N, generator=generators[0], **given)
        assert sampler.sample(generator=generators[1], **given).equal(x)


@pytest.mark.gpu
def test_a_graph_is_captured_once():
    sampler = CapturedSampler(random(FVBN(5)).cuda(), N)
    sampler.sample()
    graph = sampler._graphs[0]
    with torch.no_grad():
        sampler.model.linear.weight.mul_(2)
    sampler.sample()
    assert sampler._graphs[0] is graph


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_arguments_are_checked_as_by_the_model(device):
    sampler = CapturedSampler(random(NADE(5, 3, classes=2)).to(device), N)
    labels = torch.zeros(N, dtype=torch.long, device=device)
    wrong = [
        {},
        dict(labels=labels + 2),
        dict(labels=labels[1:]),
        dict(labels=labels, context=torch.zeros(N, 2)),
        dict(labels=labels, uniforms=torch.ones(N, 5)),
        dict(labels=labels, uniforms=torch.zeros(N, 4)),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError) as expected:
            sampler.model.sample(N, **arguments)
        with pytest.raises(ValueError) as error:
            sampler.sample(**arguments)
        assert str(error.value) == str(expected.value)


def test_models_that_cannot_be_captured_are_refused():
    for model in RNADE(2, hidden=3, components=2), MADEEnsemble(4, [9], masks=2), torch.nn.Linear(1, 1):
        with pytest.raises(ValueError, match=f"autoregressive model of integers; got {type(model).__name__}"):
            CapturedSampler(model, N)
    for model in WaveNet(8000, channels=2, dilations=[4000], skip=2), LinearPrediction(8000):
        with pytest.raises(ValueError, match="at most 4096 dimensions, .* repeats .* as many steps; got 8000"):
            CapturedSampler(model, N)
    sampler = CapturedSampler(NADE(5, 3), N)
    with pytest.raises(ValueError, match="training mode"):
        sampler.sample()
