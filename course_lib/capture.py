"""Fast sampling on a GPU: the whole loop over the dimensions as one CUDA graph.

A sampler of images is tens of thousands of small kernels, one after the other. To launch such a kernel takes longer
than to run it, whether it is for 16 samples or for 256. A CUDA graph records all of them once, and later launches them
with a single call.
"""

import torch

from course_lib.models.base import AutoregressiveModel, on_host, uniforms_on

MOST_DIMENSIONS = 4096  # CIFAR-10 has 3,072


class CapturedSampler:
    """`model.sample` for n samples at a time, captured as a CUDA graph where the model is on a CUDA GPU.

    The same uniforms give the same samples as `model.sample`. On a CPU, or on a GPU of another kind, each call is a
    call of `model.sample`.

    The first call runs the sampler twice, once to warm up and once to record it, and then builds the graph, which takes
    longer than two ordinary calls, so a sampler pays if there are five calls or more. No other thread may use the GPU
    meanwhile. The graph and all tensors of the loop stay in the GPU's memory until the sampler is deleted.

    Weights that change in place, by an optimizer's step or `load_state_dict`, are those of the next call. Where weights
    are new tensors or on another device, or an ordering has changed, the next call captures again.

    Args:
        model: an autoregressive model of integers, in evaluation mode, with at most 4,096 dimensions: the graph has a
            node for each kernel, and that of a second of sound would have a million. Models of real numbers cannot be
            captured: `RNADE` searches for each value until it is precise enough, which a graph cannot see, and
            `ParallelWaveNet` draws all values in one pass without it.
        n: number of samples of each call.

    Raises:
        ValueError: the model is of another kind.

    >>> from course_lib.models import NADE
    >>> model = NADE(6, hidden=4).eval()
    >>> sampler, uniforms = CapturedSampler(model, n=10), torch.rand(10, 6)
    >>> sampler.sample(uniforms=uniforms).equal(model.sample(10, uniforms=uniforms))
    True
    """

    def __init__(self, model: AutoregressiveModel, n: int):
        if not isinstance(model, AutoregressiveModel) or model.levels is None:
            raise ValueError(f"expected an autoregressive model of integers; got {type(model).__name__}")
        D = len(model.order)
        if D > MOST_DIMENSIONS:
            raise ValueError(f"expected a model of at most {MOST_DIMENSIONS} dimensions; got {D}")
        self.model, self.n = model, n
        self._captured = None  # what the graph was made for

    @torch.no_grad()
    def sample(
        self,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """n exact, independent samples, (n, *event_shape), as from `AutoregressiveModel.sample`.

        Args:
            labels, context, generator, uniforms: as there. They may differ from call to call.

        Raises:
            ValueError: the model is in training mode, or as there.
        """
        model, n, device = self.model, self.n, self.model.order.device
        if model.training:
            raise ValueError("the model is in training mode, which may drop units at random; call its eval() first")
        if device.type != "cuda":
            return model.sample(n, labels=labels, context=context, generator=generator, uniforms=uniforms)
        uniforms = uniforms_on(device, uniforms, generator, (n, len(model.order)))
        with torch.cuda.device(device):
            return self._replay(uniforms, model._given(n, labels, context))

    def _replay(self, uniforms: torch.Tensor, given: dict[str, torch.Tensor]) -> torch.Tensor:
        """The samples for uniforms (n, D) and the further arguments of `forward`, from a graph that fits the model."""
        with torch.inference_mode():
            needed = self._needed()
            if needed != self._captured:
                self._capture(uniforms, given)
                self._captured = needed
            self._uniforms.copy_(uniforms)
            for name, tensor in given.items():
                self._given[name].copy_(tensor)
            self._graph.replay()
        return self._x.clone()

    def _needed(self) -> tuple[list, list]:
        """What a graph depends on: where its weights are, and integers such as the ordering, that shape its loop."""
        model = self.model
        tensors = [*model.parameters(), *model.buffers()]
        places = [(tensor.data_ptr(), tensor.dtype, tensor.shape) for tensor in tensors]
        return places, [on_host(buffer) for buffer in model.buffers() if buffer.dtype == torch.long]

    def _capture(self, uniforms: torch.Tensor, given: dict[str, torch.Tensor]) -> None:
        self._captured = self._graph = self._x = None  # frees an older graph's memory before the new one needs some
        self._uniforms, self._given = uniforms.clone(), {}
        weight = next(self.model.parameters(), uniforms)
        for name, tensor in given.items():
            # The network converts a context to the dtype of its weights in any case.
            dtype = weight.dtype if tensor.is_floating_point() else tensor.dtype
            self._given[name] = tensor.to(uniforms.device, dtype, copy=True)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._run()  # loads kernels and libraries, which cannot be captured
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._x = self._run()
        self._graph = graph

    def _run(self) -> torch.Tensor:
        """What is captured: no operation here waits for the GPU or copies from the CPU."""
        model, x = self.model, self._uniforms.new_zeros(self.n, *self.model.event_shape, dtype=torch.long)
        known = [False] * len(model.order)
        with torch.autocast(x.device.type, enabled=False):
            return model._draw(x, known, self._uniforms, model._conditionals(x, **self._given))
