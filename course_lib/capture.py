"""Fast sampling on a GPU: the loop over the dimensions as a CUDA graph.

A sampler of images is tens of thousands of small kernels, one after the other. To launch such a kernel takes longer
than to run it, whether it is for 16 samples or for 256. A CUDA graph records all of them once, and later launches them
with a single call.

A second of sound would be a million kernels. But a WaveNet's sampler is periodic: after some steps, 1,024 for most, it
writes to the same places again. So two graphs are enough, one of the first block of steps, one of every later block.
"""

from collections.abc import Iterator

import torch

from course_lib.models.base import AutoregressiveModel, on_host, uniforms_on
from course_lib.models.sequences import SequenceModel

MOST_STEPS = 4096  # of a graph, which has a node for each kernel; CIFAR-10 has 3,072 dimensions


class CapturedSampler:
    """`model.sample` for n samples at a time, captured as a CUDA graph where the model is on a CUDA GPU.

    The same uniforms give the same samples as `model.sample`. On a CPU, or on a GPU of another kind, each call is a
    call of `model.sample`.

    The first call runs the sampler twice, once to warm up and once to record it, and then builds the graph, which takes
    longer than two ordinary calls, so a sampler pays if there are five calls or more. (Of sound it records two blocks,
    which pays sooner.) No other thread may use the GPU meanwhile. The graph and all tensors of the loop stay in the
    GPU's memory until the sampler is deleted.

    Weights that change in place, by an optimizer's step or `load_state_dict`, are those of the next call. Where weights
    are new tensors or on another device, or an ordering has changed, the next call captures again.

    Args:
        model: an autoregressive model of integers, in evaluation mode. It has at most 4,096 dimensions, or is a
            `SequenceModel` with a period of at most 4,096 steps. Models of real numbers cannot be captured: `RNADE`
            searches for each value until it is precise enough, which a graph cannot see, and `ParallelWaveNet` draws
            all values in one pass without it.
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
        self._block = min(D, model.period or D) if isinstance(model, SequenceModel) else D
        if self._block > MOST_STEPS:
            raise ValueError(
                f"expected a model of at most {MOST_STEPS} dimensions, or one whose sampler repeats itself within as "
                f"many steps; got {self._block}"
            )
        self.model, self.n = model, n
        self._captured = None  # what the graphs were made for

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
        """The samples for uniforms (n, D) and the further arguments of `forward`, from graphs that fit the model."""
        with torch.inference_mode():
            needed = self._needed()
            if needed != self._captured:
                self._capture(uniforms, given)
                self._captured = needed
            if "labels" in given:
                self._given["labels"].copy_(given["labels"])
            x, drawn = self._x.view(self._uniforms.shape), []
            for i, block in enumerate(uniforms.split(self._block, 1)):
                here = self._columns[min(i, 1)]
                if i > 1:  # the block before this one is at the same place
                    x[:, self._block - 1] = x[:, -1]
                _copy_to_start(self._uniforms[:, here], block)
                if "context" in given:
                    _copy_to_start(self._given["context"][..., here], given["context"][..., i * self._block :])
                self._graphs[min(i, 1)].replay()
                drawn.append(x[:, here][:, : block.shape[1]].clone())
        return torch.cat(drawn, 1).view(self.n, *self.model.event_shape)

    def _needed(self) -> tuple[list, list]:
        """What a graph depends on: where its weights are, and integers such as the ordering, that shape its loop."""
        model = self.model
        tensors = [*model.parameters(), *model.buffers()]
        places = [(tensor.data_ptr(), tensor.dtype, tensor.shape) for tensor in tensors]
        return places, [on_host(buffer) for buffer in model.buffers() if buffer.dtype == torch.long]

    def _capture(self, uniforms: torch.Tensor, given: dict[str, torch.Tensor]) -> None:
        # This frees the older graphs' memory before the new ones need some.
        self._captured = self._graphs = self._x = None
        self._prepare(uniforms, given)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.autocast(uniforms.device.type, enabled=False):
            with torch.cuda.stream(stream):
                for _ in self._blocks():  # loads kernels and libraries, which cannot be captured
                    pass
            blocks, self._graphs, pool = self._blocks(), [], None
            for _ in self._columns:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=pool, stream=stream):
                    next(blocks)
                self._graphs.append(graph)
                pool = graph.pool()  # the second block uses tensors of the first

    def _prepare(self, uniforms: torch.Tensor, given: dict[str, torch.Tensor]) -> None:
        """Make what the graphs read and write: room for one block, or for two where there are more."""
        block, blocks = self._block, 1 if len(self.model.order) == self._block else 2
        self._columns = [slice(i * block, (i + 1) * block) for i in range(blocks)]
        self._whole, self._part = self.model, self.model
        if blocks > 1:
            with torch.inference_mode(False):  # `on_host` remembers the entries of ordinary tensors alone
                self._whole, self._part = self.model.with_length(blocks * block), self.model.with_length(block)
        self._x = uniforms.new_zeros(self.n, *self._whole.event_shape, dtype=torch.long)
        self._uniforms, self._given = uniforms.new_zeros(self.n, blocks * block), {}
        if "labels" in given:
            self._given["labels"] = uniforms.new_zeros(given["labels"].shape, dtype=torch.long)
        if "context" in given:
            # The network converts a context to the dtype of its weights in any case.
            weight = next(self.model.parameters(), uniforms)
            sizes = self.model.context_channels, *self._whole._context_sizes()
            self._given["context"] = weight.new_zeros(self.n, *sizes)

    def _blocks(self) -> Iterator[torch.Tensor]:
        """Draw a block at each step of this iterator. No operation here waits for the GPU or copies from the CPU."""
        steps, known = self._whole._conditionals(self._x.zero_(), **self._given), [False] * self._block
        x = self._x.view(self._uniforms.shape)
        for here in self._columns:
            yield self._part._draw(x[:, here], known, self._uniforms[:, here], steps)


def _copy_to_start(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copy as much as both have along the last axis."""
    length = min(target.shape[-1], source.shape[-1])
    target[..., :length].copy_(source[..., :length])
