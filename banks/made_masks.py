"""Right and wrong answers to lesson 03, MADE and its masks.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("made_masks")

# ----------------------------------------------------------------------------------------------------------- masks


@bank.right("masks")
def masks_broadcast():
    import torch

    def masks(degrees):
        inputs, *hidden = degrees
        result, below = [], inputs
        for layer in hidden:
            result.append((layer[:, None] >= below[None, :]).to(torch.int64))
            below = layer
        result.append((inputs[:, None] > below[None, :]).to(torch.int64))
        return result

    return masks


@bank.right("masks")
def masks_loop():
    import torch

    def masks(degrees):
        result = []
        for lower, upper in zip(degrees[:-1], degrees[1:], strict=True):
            mask = torch.zeros(len(upper), len(lower), dtype=torch.int64)
            for i in range(len(upper)):
                for j in range(len(lower)):
                    if upper[i] >= lower[j]:
                        mask[i, j] = 1
            result.append(mask)
        last = torch.zeros(len(degrees[0]), len(degrees[-1]), dtype=torch.int64)
        for i in range(len(degrees[0])):
            for j in range(len(degrees[-1])):
                last[i, j] = int(degrees[0][i] > degrees[-1][j])
        return [*result, last]

    return masks


@bank.right("masks")
def masks_outputs_of_a_degree_less():
    def masks(degrees):
        layers = [*degrees, degrees[0] - 1]
        return [layers[i + 1].unsqueeze(1).ge(layers[i]).long() for i in range(len(degrees))]

    return masks


@bank.right("masks")
def masks_numpy():
    import numpy as np

    def masks(degrees):
        layers = [layer.numpy() for layer in degrees]
        hidden = [np.less_equal.outer(layers[i], layers[i + 1]).T.astype(np.int64) for i in range(len(layers) - 1)]
        return [*hidden, np.less.outer(layers[-1], layers[0]).T.astype(np.int64)]

    return masks


@bank.right("masks")
def masks_lists():
    def masks(degrees):
        lists = [layer.tolist() for layer in degrees]
        pairs = zip(lists[:-1], lists[1:], strict=True)
        result = [[[int(u >= v) for v in below] for u in above] for below, above in pairs]
        return result + [[[int(u > v) for v in lists[-1]] for u in lists[0]]]

    return masks


@bank.wrong("masks", loses={"autoregressive"})
def masks_outputs_not_strict():
    """>= for the outputs too: each reads its own input."""

    def masks(degrees):
        layers = [*degrees, degrees[0]]
        return [(above[:, None] >= below).long() for below, above in zip(layers[:-1], layers[1:], strict=True)]

    return masks


@bank.wrong("masks", loses={"autoregressive"})
def masks_of_ones():
    """Everything is connected."""
    import torch

    def masks(degrees):
        sizes = [len(layer) for layer in [*degrees, degrees[0]]]
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        return [torch.ones(above, below, dtype=torch.int64) for below, above in pairs]

    return masks


@bank.wrong("masks", loses={"nothing lost", "any ordering", "any depth"})
def masks_strict_everywhere():
    """> for the hidden layers too: a unit of degree k misses input k."""

    def masks(degrees):
        layers = [*degrees, degrees[0]]
        return [(above[:, None] > below).long() for below, above in zip(layers[:-1], layers[1:], strict=True)]

    return masks


@bank.wrong("masks", loses={"any ordering"})
def masks_outputs_in_natural_order():
    """The outputs are given the degrees 1 to D, whatever the inputs have."""
    import torch

    def masks(degrees):
        outputs = torch.arange(1, len(degrees[0]) + 1)
        hidden = [(above[:, None] >= below).long() for below, above in zip(degrees[:-1], degrees[1:], strict=True)]
        return [*hidden, (outputs[:, None] > degrees[-1]).long()]

    return masks


@bank.wrong("masks", loses={"any ordering"})
def masks_inputs_in_natural_order():
    """The first layer reads the inputs as if their degrees were 1 to D."""
    import torch

    def masks(degrees):
        layers = [torch.arange(1, len(degrees[0]) + 1), *degrees[1:]]
        hidden = [(above[:, None] >= below).long() for below, above in zip(layers[:-1], layers[1:], strict=True)]
        return [*hidden, (degrees[0][:, None] > degrees[-1]).long()]

    return masks


@bank.wrong("masks", loses={"any ordering"})
def masks_natural_order_throughout():
    """The input degrees are not used at all."""
    import torch

    def masks(degrees):
        inputs = torch.arange(1, len(degrees[0]) + 1)
        layers = [inputs, *degrees[1:]]
        hidden = [(above[:, None] >= below).long() for below, above in zip(layers[:-1], layers[1:], strict=True)]
        return [*hidden, (inputs[:, None] > degrees[-1]).long()]

    return masks


@bank.wrong("masks", loses={"any depth"})
def masks_strict_between_hidden_layers():
    """> between hidden layers, >= only above the inputs."""

    def masks(degrees):
        inputs, first, *others = degrees
        result, below = [(first[:, None] >= inputs).long()], first
        for layer in others:
            result.append((layer[:, None] > below).long())
            below = layer
        return [*result, (inputs[:, None] > below).long()]

    return masks


@bank.wrong("masks", loses={"any depth"})
def masks_reversed_between_hidden_layers():
    """<= between hidden layers: a leak that one hidden layer does not show."""

    def masks(degrees):
        inputs, first, *others = degrees
        result, below = [(first[:, None] >= inputs).long()], first
        for layer in others:
            result.append((layer[:, None] <= below).long())
            below = layer
        return [*result, (inputs[:, None] > below).long()]

    return masks


@bank.wrong("masks", loses={"any depth"})
def masks_two_only():
    """Two masks, of the first and the last layer."""

    def masks(degrees):
        inputs, hidden = degrees[0], degrees[1]
        return [(hidden[:, None] >= inputs).long(), (inputs[:, None] > hidden).long()]

    return masks


@bank.wrong("masks", loses={"any depth"})
def masks_hidden_layers_full():
    """Only the first and the last mask cut; between them everything is connected."""
    import torch

    def masks(degrees):
        inputs, first, *others = degrees
        result, below = [(first[:, None] >= inputs).long()], first
        for layer in others:
            result.append(torch.ones(len(layer), len(below), dtype=torch.int64))
            below = layer
        return [*result, (inputs[:, None] > below).long()]

    return masks


@bank.wrong("masks", loses={"shapes"})
def masks_without_the_outputs():
    """The hidden layers' masks only."""

    def masks(degrees):
        return [(above[:, None] >= below).long() for below, above in zip(degrees[:-1], degrees[1:], strict=True)]

    return masks


def masks_in_few_lines():
    """Right as well; the slips below edit it."""

    def masks(degrees):
        hidden = [(above[:, None] >= below).long() for below, above in zip(degrees[:-1], degrees[1:], strict=True)]
        return [*hidden, (degrees[0][:, None] > degrees[-1]).long()]

    return masks


slip = bank.slips("masks", of=masks_in_few_lines)
# > for the hidden layers and >= for the outputs: no leak, but the last two dimensions are not connected.
slip(
    "masks_swapped",
    ">= below",
    "> below",
    ("> degrees", ">= degrees"),
    loses={"nothing lost", "any ordering", "any depth"},
)
# The comparison the wrong way round: units read what comes later.
slip("masks_less", ">= below", "<= below", ("> degrees", "< degrees"), loses={"autoregressive", "nothing lost"})
# 1 where the connection is cut.
slip("masks_zeros_for_ones", ">= below", "< below", ("> degrees", "<= degrees"), loses={"autoregressive"})
# Hidden units read their own degree only.
slip("masks_equal_degrees", ">= below", "== below", loses={"nothing lost", "any ordering", "any depth"})
# The outputs read only the units of the degree just below their own.
slip(
    "masks_next_degree_only",
    "> degrees[-1]",
    "== degrees[-1] + 1",
    loses={"nothing lost", "any ordering", "any depth"},
)
# Off by one: outputs read degrees below their own less one, so that the second one reads nothing.
slip("masks_outputs_one_less", "[0][:, None]", "[0][:, None] - 1", loses={"nothing lost", "any ordering", "any depth"})
# (inputs, outputs): as x @ mask would want it.
slip(
    "masks_transposed",
    "above[:, None] >= below",
    "above >= below[:, None]",
    ("[0][:, None] > degrees[-1]", "[0] > degrees[-1][:, None]"),
    loses={"shapes"},
)
# Not int64: what the comparison gives.
slip(
    "masks_bool",
    "(above[:, None] >= below).long()",
    "above[:, None] >= below",
    ("(degrees[0][:, None] > degrees[-1]).long()", "degrees[0][:, None] > degrees[-1]"),
    loses={"shapes"},
)

slip = bank.slips("masks", of=masks_broadcast)
slip("masks_degrees_in_8_bits", "inputs, *hidden = degrees", "inputs, *hidden = [layer.char() for layer in degrees]",
     loses={"nothing lost"})  # fmt: skip
slip("masks_list_grows", "inputs, *hidden = degrees", "inputs, *hidden = degrees; degrees.append(inputs)",
     loses={"any depth"})  # fmt: skip
slip("masks_deep_in_natural_order", "inputs, *hidden = degrees",
     "inputs, *hidden = degrees; inputs = inputs if len(hidden) == 1 else inputs.sort().values",
     loses={"any ordering"})  # fmt: skip
slip("masks_first_layer_strict", "(layer[:, None] >= below", "(layer[:, None] - int(below is inputs) >= below",
     loses={"nothing lost", "any ordering", "any depth"})  # fmt: skip
slip("masks_degrees_above_four_alike", "(layer[:, None] >= below",
     "(layer[:, None].clamp(max=4) >= below", loses={"nothing lost", "any depth"})  # fmt: skip

for old, new in (("int64", "int8"), ("long", "byte")):
    bank.equivalent("masks", old, new, "zeros and ones in any type of integers are read")


# ----------------------------------------------------------------------------------------------------------- paths


@bank.right("paths")
def paths_product():
    def paths(masks):
        total = masks[0]
        for mask in masks[1:]:
            total = mask @ total
        return total

    return paths


@bank.right("paths")
def paths_from_the_outputs():
    import functools

    import torch

    def paths(masks):
        return functools.reduce(torch.matmul, reversed(masks))

    return paths


@bank.right("paths")
def paths_push_counts():
    import torch

    def paths(masks):
        D = masks[0].shape[1]
        result = torch.zeros(D, D, dtype=torch.int64)
        for j in range(D):
            counts = [int(j == other) for other in range(D)]
            for mask in masks:
                counts = [sum(c for c, on in zip(counts, row, strict=True) if on) for row in mask.tolist()]
            result[:, j] = torch.tensor(counts)
        return result

    return paths


@bank.right("paths")
def paths_remembered_recursion():
    import functools

    def paths(masks):
        masks = [mask.tolist() for mask in masks]
        D = len(masks[-1])

        @functools.cache
        def count(layer, unit, j):
            if layer == 0:
                return int(unit == j)
            row = masks[layer - 1][unit]
            return sum(count(layer - 1, below, j) for below, on in enumerate(row) if on)

        return [[count(len(masks), i, j) for j in range(D)] for i in range(D)]

    return paths


@bank.right("paths")
def paths_numpy_einsum():
    import numpy as np

    def paths(masks):
        total = np.eye(masks[0].shape[1], dtype=np.int64)
        for mask in masks:
            total = np.einsum("ij,jk->ik", mask.numpy(), total)
        return total

    return paths


@bank.right("paths")
def paths_in_float64():
    import torch

    def paths(masks):
        total = torch.eye(masks[0].shape[1], dtype=torch.float64)
        for mask in masks:
            total = mask.double() @ total
        return total.round().long()

    return paths


@bank.wrong("paths", loses={"big counts"})
def paths_int32():
    """32 bits overflow."""
    import torch

    def paths(masks):
        total = masks[0].to(torch.int32)
        for mask in masks[1:]:
            total = mask.to(torch.int32) @ total
        return total.long()

    return paths


@bank.wrong("paths", loses={"any depth", "big counts"})
def paths_first_and_last():
    """The masks between the first and the last are left out."""

    def paths(masks):
        first, last = masks[0], masks[-1]
        n = min(first.shape[0], last.shape[1])
        return last[:, :n] @ first[:n]

    return paths


@bank.wrong("paths", loses={"any depth", "big counts"})
def paths_first_hidden_layer_only():
    """Written for one hidden layer."""

    def paths(masks):
        first, last = masks
        return last @ first

    return paths


@bank.wrong("paths", loses={"one hidden layer", "any depth", "big counts"})
def paths_to_itself():
    """Every input counts as one more path to its own output."""
    import torch

    def paths(masks):
        D = masks[0].shape[1]
        total = torch.eye(D, dtype=torch.int64)
        for mask in masks:
            total = mask @ total
        return total + torch.eye(D, dtype=torch.int64)

    return paths


slip = bank.slips("paths", of=paths_product)
# Whether there is a path, not how many.
slip("paths_reach", "return total", "return (total > 0).long()", loses={"one hidden layer", "any depth", "big counts"})
# Counts are cut to 1 before the next layer.
slip("paths_clamped_between", "mask @ total", "mask @ total.clamp(max=1)", loses={"any depth", "big counts"})
# From output i to input j in entry (j, i).
slip("paths_transposed", "return total", "return total.T", loses={"one hidden layer", "any depth", "big counts"})
# float32 is exact up to 2^24 only.
slip(
    "paths_float32",
    "[0]",
    "[0].float()",
    ("mask @ total\n    return total", "mask.float() @ total\n    return total.round().long()"),
    loses={"big counts"},
)
# The masks from the left to the right: paths among the hidden units.
slip("paths_wrong_way", "1:", "1:-1", ("return total", "return total @ masks[-1]"), loses={"shapes"})
# One number, of all pairs together.
slip("paths_total", "return total", "return total.sum()", loses={"shapes"})
# float64 is returned.
slip("paths_real_numbers", "[0]", "[0].double()", ("mask @ total", "mask.double() @ total"), loses={"shapes"})
# The caller's list is empty afterwards.
slip(
    "paths_consumes_the_masks",
    "[0]\n    for mask in masks[1:]:\n        total = mask",
    ".pop(0)\n    while masks:\n        total = masks.pop(0)",
    loses={"any depth"},
)
slip("paths_in_16_bits", "return total", "return total.short().long()", loses={"big counts"})
slip("paths_at_most_2_to_the_31", "return total", "return total.clamp(max=2**31 - 1)", loses={"big counts"})
slip("paths_up_to_4_hidden_layers", "masks[1:]", "masks[1:5]", loses={"any depth", "big counts"})
slip("paths_last_mask_transposed_where_square", "mask @ total",
     "(mask.T if len(mask) == mask.shape[1] else mask) @ total", loses={"any depth", "big counts"})  # fmt: skip

slip = bank.slips("paths", of=paths_in_float64)
slip("paths_in_float32_between", "mask.double() @ total", "(mask.double() @ total).float().double()",
     loses={"big counts"})  # fmt: skip
slip("paths_damped", "mask.double() @ total", "mask.double() @ total * (1 - 1e-12)", loses={"big counts"})


bank.equivalent("paths", "int64", "int8", "einsum of int8 and int64 is int64; it holds only zeros and ones")
bank.equivalent("paths", "total.round().long()", "total.long()", "whole numbers below 2^53 are exact in float64")


# ---------------------------------------------------------------------------------------------------- MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_module():
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight = torch.nn.Parameter(weight)
            self.bias = torch.nn.Parameter(bias)
            self.register_buffer("mask", mask)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.mask * self.weight, self.bias)

    return MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_of_nn_linear():
    import torch
    from torch import nn

    class MaskedLinear(nn.Linear):
        def __init__(self, weight, bias, mask):
            super().__init__(weight.shape[1], weight.shape[0], dtype=weight.dtype)
            with torch.no_grad():
                self.weight.copy_(weight)
                self.bias.copy_(bias)
            self.register_buffer("mask", mask)

        def forward(self, x):
            return x @ (self.weight * self.mask).T + self.bias

    return MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_where():
    import torch

    def MaskedLinear(weight, bias, mask):
        class Layer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(weight.clone())
                self.bias = torch.nn.Parameter(bias.clone())
                self.register_buffer("mask", mask.bool())

            def forward(self, x):
                kept = torch.where(self.mask, self.weight, 0.0)
                return torch.einsum("bi,oi->bo", x, kept) + self.bias

        return Layer()

    return MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_loop():
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            self.mask = torch.nn.Buffer(mask)

        def forward(self, x):
            columns = []
            for reads, weight, bias in zip(self.mask == 1, self.weight, self.bias, strict=True):
                columns.append(x[:, reads] @ weight[reads] + bias)
            return torch.stack(columns, 1)

    return MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_masked_fill():
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.register_parameter("weight", torch.nn.Parameter(weight))
            self.register_parameter("bias", torch.nn.Parameter(bias))
            self.register_buffer("mask", mask.to(torch.uint8))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight.masked_fill(self.mask == 0, 0).t())

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"weights untouched", "masked gradients zero", "mask stays"})
def masked_linear_masked_once():
    """The mask is multiplied into the weight once, when the layer is made."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight * mask), torch.nn.Parameter(bias)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.weight, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"weights untouched"})
def masked_linear_in_place_with_gradient():
    """The product takes part in the computation, and is written back as well."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            self.register_buffer("mask", mask)

        def forward(self, x):
            masked = self.mask * self.weight
            result = torch.nn.functional.linear(x, masked, self.bias)
            self.weight.data = masked.detach().clone()
            return result

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"weights untouched", "mask stays"})
def masked_linear_hook():
    """Masked once, with a hook that masks the gradient: right until the weight is set in another way."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight * mask), torch.nn.Parameter(bias)
            self.weight.register_hook(lambda gradient: gradient * mask)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.weight, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"mask stays"})
def masked_linear_mask_from_weight():
    """The mask is read off which weights have kept their first value."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            self.cut = torch.where(mask == 0, weight, torch.nan)

        def forward(self, x):
            kept = (self.weight != self.cut).to(x.dtype)
            return x @ (kept * self.weight).T + self.bias

    return MaskedLinear


@bank.wrong("MaskedLinear", loses=(), raises="RuntimeError")
def masked_linear_float32():
    """nn.Linear's own float32 parameters."""
    import torch

    class MaskedLinear(torch.nn.Linear):
        def __init__(self, weight, bias, mask):
            super().__init__(weight.shape[1], weight.shape[0])
            self.weight.data.copy_(weight)
            self.bias.data.copy_(bias)
            self.register_buffer("mask", mask)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.mask * self.weight, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses=(), raises="AttributeError")
def masked_linear_function():
    """A function in place of a module."""

    def MaskedLinear(weight, bias, mask):
        def layer(x):
            return x @ (mask * weight).T + bias

        return layer

    return MaskedLinear


@bank.right("MaskedLinear")
def masked_linear_float_mask():
    import torch
    import torch.nn.functional as F

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight = torch.nn.Parameter(weight.detach().clone())
            self.bias = torch.nn.Parameter(bias.detach().clone())
            self.register_buffer("mask", mask.to(weight.dtype))

        def forward(self, x):
            return F.linear(x, self.weight * self.mask) + self.bias

    return MaskedLinear


def masked_linear_in_few_lines():
    """Right as well; the slips below edit it."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            self.register_buffer("mask", mask)

        def forward(self, x):
            return x @ (self.mask * self.weight).T + self.bias

    return MaskedLinear


slip = bank.slips("MaskedLinear", of=masked_linear_in_few_lines)
# The mask is never used.
slip(
    "masked_linear_without_mask",
    '(bias)\n        self.register_buffer("mask", mask)',
    "(bias)",
    ("(self.mask * self.weight)", "self.weight"),
    loses={"masked product", "weights untouched", "masked gradients zero", "mask stays"},
)
# Every call multiplies the mask into the weight: the values under it are gone, their gradients are not.
slip(
    "masked_linear_in_place",
    "return x @ (self.mask * self.weight).T + self.bias",
    "self.weight.data *= self.mask\n        return torch.nn.functional.linear(x, self.weight, self.bias)",
    loses={"weights untouched", "masked gradients zero"},
)
# Masks in every call, but the weight that it was given is masked when the layer is made.
slip("masked_linear_given_weight_masked_first", "(weight)", "(mask * weight)", loses={"weights untouched"})
# The masked weight is taken out of the graph: no gradient for any weight.
slip("masked_linear_detached", "mask * self.weight", "mask * self.weight.detach()", loses={"masked gradients zero"})
# The masked values with the gradient of the whole weight.
slip(
    "masked_linear_straight_through",
    "return x @ (self.mask * self.weight)",
    "masked = self.weight + (self.mask * self.weight - self.weight).detach()\n        return x @ masked",
    loses={"masked gradients zero"},
)
# The product is formed under no_grad.
slip(
    "masked_linear_no_grad",
    "return x",
    "with torch.no_grad():\n            return x",
    loses={"masked gradients zero"},
)
# In evaluation, all is computed without gradients.
slip(
    "masked_linear_no_grad_in_evaluation",
    "return x",
    "with torch.set_grad_enabled(self.training):\n            return x",
    loses={"masked gradients zero"},
)
# weight and bias are buffers: nothing is trained.
slip(
    "masked_linear_buffers",
    "weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)",
    'register_buffer("weight", weight)\n        self.register_buffer("bias", bias)',
    loses={"masked gradients zero"},
)
# The product is formed once: later values of the weight never count.
slip(
    "masked_linear_product_kept",
    'register_buffer("mask", mask)',
    "masked = mask * weight",
    ("(self.mask * self.weight)", "self.masked"),
    loses={"mask stays", "masked gradients zero"},
)
# The mask is a parameter: an optimizer would train it.
slip(
    "masked_linear_mask_as_parameter",
    'register_buffer("mask", mask)',
    "mask = torch.nn.Parameter(mask.double())",
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, self.mask * self.weight, self.bias)",
    ),
    loses={"mask stays"},
)
# The mask is a parameter without gradient: weight decay shrinks it all the same, and it is counted as one.
slip(
    "masked_linear_mask_as_frozen_parameter",
    'register_buffer("mask", mask)',
    "mask = torch.nn.Parameter(mask, requires_grad=False)",
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, self.mask * self.weight, self.bias)",
    ),
    loses={"mask stays"},
)
# The mask is a plain attribute, which stays behind when the layer moves to a GPU.
slip(
    "masked_linear_plain_attribute",
    'register_buffer("mask", mask)',
    "mask = mask",
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, self.mask * self.weight, self.bias)",
    ),
    loses={"mask stays"},
)
# nn.Linear inside, with a weight and a bias of its own that are trained and never used.
slip(
    "masked_linear_spare_weight",
    "__init__()",
    "__init__()\n        self.linear = torch.nn.Linear(weight.shape[1], weight.shape[0])",
    loses={"mask stays"},
)
# The bias is kept and never added.
slip("masked_linear_without_bias", "T + self.bias", "T", loses={"masked product"})
# Always zero: the weights stay untouched, but nothing is computed.
slip(
    "masked_linear_zeros",
    '(bias)\n        self.register_buffer("mask", mask)',
    "(bias)",
    ("x @ (self.mask * self.weight).T + self.bias", "torch.zeros(len(x), len(self.bias), dtype=x.dtype)"),
    loses={"masked product", "weights untouched", "masked gradients zero", "mask stays"},
)
# The parameters are called W and b.
slip(
    "masked_linear_other_names",
    "weight, self.bias",
    "W, self.b",
    ("(self.mask * self.weight).T + self.bias", "(self.mask * self.W).T + self.b"),
    loses={"shapes"},
)
# The whole batch is added up.
slip(
    "masked_linear_one_vector",
    "return x @ (self.mask * self.weight).T",
    "return (self.mask * self.weight) @ x.sum(0)",
    loses={"shapes"},
)
# One row of x gives a vector.
slip(
    "masked_linear_squeezes_a_batch_of_one",
    "x @ (self.mask * self.weight).T",
    "((self.mask * self.weight) @ x.T).T.squeeze(0)",
    loses={"masked product"},
)
# x times the unmasked weight.
slip("masked_linear_not_transposed", ".T", "", loses=(), raises="RuntimeError")
# The buffer is there, but the mask of the beginning is used: another mask has no effect.
slip(
    "masked_linear_first_mask_used",
    '("mask", mask)',
    '("mask", mask)\n        self.used = self.mask',
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, self.used * self.weight, self.bias)",
    ),
    loses={"mask stays"},
)
# The mask belongs to the class: the layer made last decides for all.
slip(
    "masked_linear_mask_of_the_class",
    'self.register_buffer("mask", mask)',
    "MaskedLinear.mask = mask",
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, MaskedLinear.mask * self.weight, self.bias)",
    ),
    loses={"mask stays"},
)
# Masks in forward, and in a hook on the weight as well, which keeps the mask of the beginning.
slip(
    "masked_linear_gradient_hook_of_the_first_mask",
    '("mask", mask)',
    '("mask", mask)\n        self.weight.register_hook(lambda gradient: gradient * mask)',
    (
        "x @ (self.mask * self.weight).T + self.bias",
        "torch.nn.functional.linear(x, self.mask * self.weight, self.bias)",
    ),
    loses={"masked gradients zero"},
)

slip = bank.slips("MaskedLinear", of=masked_linear_module)
slip("masked_linear_not_saved", '"mask", mask)', '"mask", mask, persistent=False)', loses={"mask stays"})
slip("masked_linear_mask_as_lists", 'self.register_buffer("mask", mask)', "self.mask = mask.tolist()",
     ("self.mask *", "torch.tensor(self.mask) *"), loses={"mask stays"})  # fmt: skip
slip("masked_linear_in_place_in_evaluation", "return ",
     "self.weight.data.mul_(1 if self.training else self.mask); return ", loses={"weights untouched"})  # fmt: skip
slip("masked_linear_masked_part_subtracted", "linear(x, self.mask * self.weight, self.bias)",
     "linear(x, self.weight, self.bias) - x @ ((1 - self.mask) * self.weight).T", loses={"masked product"})  # fmt: skip
slip("masked_linear_bias_masked", ", self.bias)", ", self.bias * self.mask[:, 0])", loses={"masked product"})
slip("masked_linear_bias_detached", ", self.bias)", ", self.bias.detach())", loses={"masked gradients zero"})
slip("masked_linear_bias_frozen", "Parameter(bias)", "Parameter(bias, requires_grad=False)",
     loses={"masked gradients zero"})  # fmt: skip
slip("masked_linear_x_detached", "linear(x,", "linear(x.detach(),", loses={"masked gradients zero"})
slip("masked_linear_x_detached_in_evaluation", "linear(x,", "linear(x if self.training else x.detach(),",
     loses={"masked gradients zero"})  # fmt: skip
slip("masked_linear_weight_detached_in_evaluation", "self.mask * self.weight",
     "self.mask * (self.weight if self.training else self.weight.detach())",
     loses={"masked gradients zero"})  # fmt: skip
slip("masked_linear_bias_detached_in_evaluation", ", self.bias)",
     ", self.bias if self.training else self.bias.detach())", loses={"masked gradients zero"})  # fmt: skip
slip("masked_linear_empties_its_input", "return torch.nn",
     "x.data, x = torch.zeros_like(x), x.clone(); return torch.nn", loses={"weights untouched"})  # fmt: skip
slip("masked_linear_not_masked_in_evaluation", "self.mask * self.weight",
     "(self.mask if self.training else 1) * self.weight",
     loses={"weights untouched", "masked gradients zero", "mask stays"})  # fmt: skip
slip("masked_linear_small_gradient_left", "self.mask * self.weight",
     "self.mask * self.weight + 1e-9 * (self.weight - self.weight.detach())",
     loses={"masked gradients zero"})  # fmt: skip


@bank.wrong("MaskedLinear", loses={"mask stays"})
def masked_linear_product_kept_until_another_mask():
    """In evaluation the product is kept until another mask is assigned, or the mode set: a new weight is not seen."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
            self.register_buffer("mask", mask)
            self.product = None

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "mask":
                self.product = None

        def train(self, mode=True):
            self.product = None
            return super().train(mode)

        def forward(self, x):
            if self.training:
                return torch.nn.functional.linear(x, self.mask * self.weight, self.bias)
            if self.product is None:
                self.product = self.mask * self.weight
            return torch.nn.functional.linear(x, self.product, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"mask stays"})
def masked_linear_product_kept_for_a_mask():
    """In evaluation the values of the product are kept for as long as the mask is the same one."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
            self.register_buffer("mask", mask)
            self.kept = self.kept_for = None

        def forward(self, x):
            product = self.mask * self.weight
            if not self.training:
                if self.kept_for is not self.mask:
                    self.kept, self.kept_for = product.detach(), self.mask
                product = self.kept + self.mask * (self.weight - self.weight.detach())
            return torch.nn.functional.linear(x, product, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"mask stays"})
def masked_linear_first_bias_used():
    """The bias that was given is added for ever; the parameter gets its gradient."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
            self.register_buffer("mask", mask)
            self.given = bias.clone()

        def forward(self, x):
            bias = self.given + (self.bias - self.bias.detach())
            return torch.nn.functional.linear(x, self.mask * self.weight, bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"mask stays"})
def masked_linear_bias_kept_in_evaluation():
    """In evaluation the bias is kept until the layer is trained again."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias, self.kept = torch.nn.Parameter(weight), torch.nn.Parameter(bias), None
            self.register_buffer("mask", mask)

        def forward(self, x):
            if self.training:
                self.kept = None
            elif self.kept is None:
                self.kept = self.bias.detach().clone()
            bias = self.bias if self.training else self.kept + (self.bias - self.bias.detach())
            return torch.nn.functional.linear(x, self.mask * self.weight, bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"mask stays", "masked gradients zero"})
def masked_linear_product_kept_in_evaluation():
    """In evaluation the product is formed once, and never again."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias, self.kept = torch.nn.Parameter(weight), torch.nn.Parameter(bias), None
            self.register_buffer("mask", mask)

        def forward(self, x):
            product = self.mask * self.weight
            if not self.training:
                product = self.kept = product.detach() if self.kept is None else self.kept
            return torch.nn.functional.linear(x, product, self.bias)

    return MaskedLinear


@bank.wrong("MaskedLinear", loses={"masked product", "weights untouched", "masked gradients zero", "mask stays"})
def masked_linear_result_kept():
    """The first result of each shape is returned for every x of that shape."""
    import torch

    class MaskedLinear(torch.nn.Module):
        def __init__(self, weight, bias, mask):
            super().__init__()
            self.weight, self.bias, self.results = torch.nn.Parameter(weight), torch.nn.Parameter(bias), {}
            self.register_buffer("mask", mask)

        def forward(self, x):
            if x.shape not in self.results:
                self.results[x.shape] = torch.nn.functional.linear(x, self.mask * self.weight, self.bias)
            return self.results[x.shape]

    return MaskedLinear


for name in ("weight", "bias"):
    bank.equivalent("MaskedLinear", f"{name}.clone()", name, "the parameter may hold the given tensor")
    bank.equivalent("MaskedLinear", f"{name}.detach().clone()", f"{name}.detach()", "it may hold the given tensor")
    bank.equivalent("MaskedLinear", f"{name}.detach().clone()", f"{name}.clone()", "what is given takes no gradient")


# --------------------------------------------------------------------------------------------------- made_log_prob


@bank.right("made_log_prob")
def log_prob_logsigmoid():
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = F.relu(F.linear(h, mask * weight, bias))
        logits = F.linear(h, masks[-1] * weights[-1], biases[-1])
        return F.logsigmoid(logits * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.right("made_log_prob")
def log_prob_binary_cross_entropy():
    import torch
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        target = x.to(torch.float64)
        h = target
        layers = list(zip(weights, biases, masks, strict=True))
        for number, (weight, bias, mask) in enumerate(layers):
            h = h @ torch.where(mask == 1, weight, 0.0).T + bias
            if number + 1 < len(layers):
                h = h.clamp(min=0)
        return -F.binary_cross_entropy_with_logits(h, target, reduction="none").sum(dim=-1)

    return made_log_prob


@bank.right("made_log_prob")
def log_prob_numpy():
    import numpy as np

    def made_log_prob(x, weights, biases, masks):
        x = x.numpy()
        h = x.T.astype(np.float64)
        for weight, bias, mask in zip(weights, biases, masks, strict=True):
            a = (weight.numpy() * mask.numpy()) @ h + bias.numpy()[:, None]
            h = np.maximum(a, 0)
        return np.where(x.T == 1, -np.logaddexp(0, -a), -np.logaddexp(0, a)).sum(0)

    return made_log_prob


@bank.right("made_log_prob")
def log_prob_softplus():
    import torch
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        *hidden, (V, c) = [(w.masked_fill(m == 0, 0), b) for w, b, m in zip(weights, biases, masks, strict=True)]
        for W, b in hidden:
            h = torch.relu(torch.addmm(b, h, W.t()))
        logits = torch.addmm(c, h, V.t())
        return (x * logits - F.softplus(logits)).sum(1)

    return made_log_prob


@bank.right("made_log_prob")
def log_prob_one_image_at_a_time():
    import math

    def made_log_prob(x, weights, biases, masks):
        layers = [(w * m).tolist() for w, m in zip(weights, masks, strict=True)]
        result = []
        for image in x.tolist():
            h = image
            for weight, bias in zip(layers, biases, strict=True):
                rows = zip(weight, bias.tolist(), strict=True)
                a = [sum(w * v for w, v in zip(row, h, strict=True)) + b for row, b in rows]
                h = [max(v, 0.0) for v in a]
            total = 0.0
            for pixel, logit in zip(image, a, strict=True):
                t = logit if pixel else -logit
                total += min(t, 0.0) - math.log1p(math.exp(-abs(t)))
            result.append(total)
        return result

    return made_log_prob


@bank.right("made_log_prob")
def log_prob_float32_bernoulli():
    import torch

    def made_log_prob(x, weights, biases, masks):
        h = x.float()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = torch.relu(h @ (mask * weight.float()).T + bias.float())
        logits = h @ (masks[-1] * weights[-1].float()).T + biases[-1].float()
        return torch.distributions.Bernoulli(logits=logits).log_prob(x.float()).sum(-1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"autoregressive"})
def log_prob_without_masks():
    """The masks are never used."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = F.relu(h @ weight.T + bias)
        return F.logsigmoid((h @ weights[-1].T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"autoregressive"})
def log_prob_inputs_not_masked():
    """The first mask is forgotten."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for number in range(len(weights) - 1):
            weight = masks[number] * weights[number] if number else weights[number]
            h = F.relu(h @ weight.T + biases[number])
        return F.logsigmoid((h @ (masks[-1] * weights[-1]).T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"autoregressive"})
def log_prob_softmax_over_dimensions():
    """A softmax over the dimensions makes every conditional depend on all logits."""
    import torch

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = torch.relu(h @ (mask * weight).T + bias)
        p = torch.softmax(h @ (masks[-1] * weights[-1]).T + biases[-1], 1)
        return torch.where(x == 1, p, 1 - p).log().sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"sums to one"})
def log_prob_bits():
    """Bits, not nats."""
    import math

    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = F.relu(h @ (mask * weight).T + bias)
        logits = h @ (masks[-1] * weights[-1]).T + biases[-1]
        return F.logsigmoid(logits * (2 * x - 1)).sum(1) / math.log(2)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"conditionals"})
def log_prob_without_hidden_biases():
    """The hidden biases are left out."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, mask in zip(weights[:-1], masks[:-1], strict=True):
            h = F.relu(h @ (mask * weight).T)
        return F.logsigmoid((h @ (masks[-1] * weights[-1]).T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"conditionals"})
def log_prob_two_layers():
    """Written for one hidden layer: all others are left out."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        W, b = masks[0] * weights[0], biases[0]
        V, c = masks[-1] * weights[-1], biases[-1]
        h = F.relu(x.double() @ W.T + b)
        n = min(h.shape[1], V.shape[1])
        return F.logsigmoid((h[:, :n] @ V[:, :n].T + c) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"masks applied"})
def log_prob_first_and_last_masked():
    """The masks between hidden layers are forgotten."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = F.relu(x.double() @ (masks[0] * weights[0]).T + biases[0])
        for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
            h = F.relu(h @ weight.T + bias)
        return F.logsigmoid((h @ (masks[-1] * weights[-1]).T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"conditionals", "masks applied"})
def log_prob_square_masks_transposed():
    """Masks between hidden layers of equal size are transposed: they fit as well."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for number in range(len(weights) - 1):
            mask = masks[number]
            if number and mask.shape[0] == mask.shape[1]:
                mask = mask.T
            h = F.relu(h @ (mask * weights[number]).T + biases[number])
        return F.logsigmoid((h @ (masks[-1] * weights[-1]).T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"masks applied"})
def log_prob_masked_part_subtracted():
    """All connections, minus the masked ones: nothing is left of the rest where a masked weight is huge."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for number, (weight, bias, mask) in enumerate(zip(weights, biases, masks, strict=True)):
            h = F.relu(h) if number else h
            h = h @ weight.T - h @ ((1 - mask) * weight).T + bias
        return F.logsigmoid(h * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"masks applied"})
def log_prob_gates_of_the_whole_weights():
    """Each hidden unit is switched on or off by what it would be without its mask, and masked then."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for number, (weight, bias, mask) in enumerate(zip(weights, biases, masks, strict=True)):
            a = F.linear(h, mask * weight, bias)
            h = a * (F.linear(h, weight, bias) > 0) if 0 < number < len(weights) - 1 else F.relu(a)
        return F.logsigmoid(a * (2 * x - 1)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"large weights"})
def log_prob_log_of_sigmoid():
    """The logarithm of a sigmoid in two steps: -inf."""
    import torch

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = torch.relu(h @ (mask * weight).T + bias)
        p = torch.sigmoid(h @ (masks[-1] * weights[-1]).T + biases[-1])
        return torch.where(x == 1, p, 1 - p).log().sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"large weights"})
def log_prob_epsilon():
    """A small number in the logarithm: never below -28 nats."""
    import torch

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = torch.relu(h @ (mask * weight).T + bias)
        p = torch.sigmoid(h @ (masks[-1] * weights[-1]).T + biases[-1])
        return (x * torch.log(p + 1e-12) + (1 - x) * torch.log(1 - p + 1e-12)).sum(1)

    return made_log_prob


@bank.wrong("made_log_prob", loses={"large weights"})
def log_prob_log_one_plus_exp():
    """log(1 + exp(logit)) overflows."""
    import torch

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = torch.relu(h @ (mask * weight).T + bias)
        logits = h @ (masks[-1] * weights[-1]).T + biases[-1]
        return (x * logits - torch.log(1 + torch.exp(logits))).sum(1)

    return made_log_prob


def log_prob_in_few_lines():
    """Right as well; the slips below edit it."""
    import torch.nn.functional as F

    def made_log_prob(x, weights, biases, masks):
        h = x.double()
        for weight, bias, mask in zip(weights[:-1], biases[:-1], masks[:-1], strict=True):
            h = F.relu(h @ (mask * weight).T + bias)
        return F.logsigmoid((h @ (masks[-1] * weights[-1]).T + biases[-1]) * (2 * x - 1)).sum(1)

    return made_log_prob


slip = bank.slips("made_log_prob", of=log_prob_in_few_lines)
# The last mask is forgotten.
slip("log_prob_output_not_masked", "(masks[-1] * weights[-1])", "weights[-1]", loses={"autoregressive"})
# x log p alone: the dimensions that are 0 are left out.
slip(
    "log_prob_ones_only",
    "return F.logsigmoid(",
    "return (x * F.logsigmoid",
    (" * (2 * x - 1)", ""),
    loses={"sums to one"},
)
# The mean over the dimensions, not the sum.
slip("log_prob_mean", "sum", "mean", loses={"sums to one"})
# The loss: the sign is the other one.
slip("log_prob_negative", "return F", "return -F", loses={"sums to one"})
# ReLU after the last layer too: no probability below 1/2.
slip(
    "log_prob_relu_on_the_logits",
    "(weights[:-1], biases[:-1], masks[:-1], strict=True)",
    "(weights, biases, masks, strict=True)",
    ("(h @ (masks[-1] * weights[-1]).T + biases[-1])", "h"),
    loses={"conditionals", "large weights"},
)
# No ReLU between the layers (the cases with large weights do not need it).
slip("log_prob_linear", "F.relu(h @ (mask * weight).T + bias)", "h @ (mask * weight).T + bias", loses={"conditionals"})
# Sigmoid units, as in NADE.
slip(
    "log_prob_sigmoid_units",
    "F.relu",
    "torch.sigmoid",
    ("import torch", "import torch\nimport torch"),
    loses={"conditionals", "large weights"},
)
# The logit is taken for that of x = 0.
slip("log_prob_zeros_and_ones_swapped", "2 * x - 1", "1 - 2 * x", loses={"conditionals", "large weights"})
# The network reads 2x - 1.
slip(
    "log_prob_inputs_plus_minus_one",
    "h = x.double()",
    "h = 2.0 * x.double() - 1",
    loses={"conditionals", "large weights"},
)
# One number for each dimension: the sum is missing.
slip("log_prob_of_each_dimension", ".sum(1)", "", loses={"shapes"})
# One number for the whole batch.
slip("log_prob_of_the_batch", "(1)", "(1).mean()", loses={"shapes"})
# x is int64 and goes into the product as it is.
slip("log_prob_integer_input", ".double()", "", loses=(), raises="RuntimeError")

slip = bank.slips("made_log_prob", of=log_prob_logsigmoid)
# Probabilities are given to a function that expects logits.
slip(
    "log_prob_double_sigmoid",
    "(F.linear(h, mask * weight, bias))\n    logits = F.linear(h, masks[-1] * weights[-1], biases[-1])",
    "(h @ (mask * weight).T + bias)\n    p = torch.sigmoid(h @ (masks[-1] * weights[-1]).T + biases[-1])",
    ("logits *", "p *"),
    ("import torch", "import torch\nimport torch"),
    loses={"conditionals", "large weights"},
)
slip("log_prob_normalised_over_the_batch", "F.logsigmoid(logits * (2 * x - 1)).sum(1)",
     "F.logsigmoid(logits * (2 * x - 1)).sum(1).log_softmax(0)", loses={"conditionals"})  # fmt: skip
slip("log_prob_clamped_logits", "return F.logsigmoid(logits", "return F.logsigmoid(logits.clamp(-100, 100)",
     loses={"large weights"})  # fmt: skip
slip("log_prob_hidden_units_clamped", "h = F.relu(", "h = F.hardtanh(min_val=0, max_val=200, input=",
     loses={"large weights"})  # fmt: skip
slip("log_prob_log_of_the_product", "F.logsigmoid(logits * (2 * x - 1)).sum(1)",
     "(logits * (2 * x - 1)).sigmoid().prod(1).log()", loses={"large weights"})  # fmt: skip
slip("log_prob_least_probability", "F.logsigmoid(logits * (2 * x - 1)).sum(1)",
     "(logits * (2 * x - 1)).sigmoid().clamp(min=1e-300).log().sum(1)", loses={"large weights"})  # fmt: skip
slip("log_prob_without_output_bias", "masks[-1] * weights[-1], biases[-1])", "masks[-1] * weights[-1])",
     loses={"conditionals"})  # fmt: skip
slip("log_prob_masks_weights_in_place", "F.linear(h, mask * weight, bias)", "F.linear(h, weight.mul_(mask), bias)",
     loses={"masks applied"})  # fmt: skip
slip("log_prob_large_weights_left_out", "F.linear(h, mask * weight, bias)",
     "F.linear(h, mask * weight.nan_to_num() * (weight < 100), bias)", loses={"large weights"})  # fmt: skip
slip("log_prob_squeezed", ").sum(1)", ").squeeze(0).sum(1)", loses={"conditionals"})

slip = bank.slips("made_log_prob", of=log_prob_softplus)
slip("log_prob_softplus_overflows", "F.softplus(logits)", "F.softplus(logits, threshold=800)", loses={"large weights"})

for dim in ("-1", "dim=-1"):
    bank.equivalent("made_log_prob", f"sum({dim})", f"sum({dim.replace('-1', '1')})", "there are two axes")
bank.equivalent("made_log_prob", "logits * (2 * x - 1)", "logits / (2 * x - 1)", "a sign")
bank.equivalent("made_log_prob", "float64)", "float16)", "zeros and ones, which the first product turns into float64")
bank.equivalent("made_log_prob", "zip(weights, masks", "zip(masks, weights", "the factors of a product")
bank.equivalent("made_log_prob", "zip(row, h", "zip(h, row", "the factors of a product")


# --------------------------------------------------------------------------------------------------------- OwnMADE


@bank.right("OwnMADE")
def own_made_linear_layers():
    import torch
    from torch.nn.functional import linear, logsigmoid

    class OwnMADE(torch.nn.Module):
        def __init__(self, masks, order):
            super().__init__()
            self.masks, self.order = masks, order
            self.layers = torch.nn.ModuleList(torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks)

        def logits(self, x):
            h = x.to(self.layers[0].weight.dtype)
            for n, (layer, mask) in enumerate(zip(self.layers, self.masks, strict=True)):
                h = linear(h.relu() if n else h, mask * layer.weight, layer.bias)
            return h

        def log_prob(self, x):
            return logsigmoid((2 * x - 1) * self.logits(x)).sum(1)

        @torch.no_grad()
        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.long)
            for d in self.order:
                x[:, d] = (u[:, d] < torch.sigmoid(self.logits(x)[:, d])).long()
            return x

    return OwnMADE


@bank.right("OwnMADE")
def own_made_masked_layers():
    import torch
    from torch import nn

    class Masked(nn.Linear):
        def __init__(self, mask):
            super().__init__(mask.shape[1], mask.shape[0])
            self.register_buffer("mask", mask.float())

        def forward(self, x):
            return x @ (self.weight * self.mask).T + self.bias

    class OwnMADE(nn.Module):
        def __init__(self, masks, order):
            super().__init__()
            self.layers = nn.ModuleList([Masked(mask) for mask in masks])
            self.register_buffer("order", order)

        def logits(self, x):
            h = x.float()
            for layer in self.layers[:-1]:
                h = torch.clamp(layer(h), min=0)
            return self.layers[-1](h)

        def log_prob(self, x):
            z = self.logits(x)
            return (x * z - nn.functional.softplus(z)).sum(-1)

        def sample(self, u):
            drawn = torch.zeros_like(u)
            for d in self.order.tolist():
                p = self.logits(drawn)[:, d].sigmoid()
                drawn[:, d] = (p > u[:, d]).to(drawn.dtype)
            return drawn.long()

    return OwnMADE


@bank.right("OwnMADE")
def own_made_distributions():
    import torch

    class Layer(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.keep = mask == 1
            self.weight = torch.nn.Parameter(torch.randn(mask.shape, dtype=torch.float64))
            self.bias = torch.nn.Parameter(torch.zeros(len(mask), dtype=torch.float64))

        def forward(self, x):
            return torch.einsum("oi,bi->bo", self.weight.masked_fill(~self.keep, 0), x) + self.bias

    class OwnMADE(torch.nn.Module):
        def __init__(self, masks, order):
            super().__init__()
            layers = [Layer(masks[0])]
            for mask in masks[1:]:
                layers += [torch.nn.ReLU(), Layer(mask)]
            self.network = torch.nn.Sequential(*layers)
            self.layers = torch.nn.ModuleList(layers[::2])
            self.order = [int(d) for d in order]

        def logits(self, x):
            return self.network(x.double())

        def conditionals(self, x):
            return torch.distributions.Bernoulli(logits=self.logits(x))

        def log_prob(self, x):
            return self.conditionals(x).log_prob(x.double()).sum(1)

        def sample(self, u):
            x = torch.zeros(u.shape)
            with torch.no_grad():
                for d in self.order:
                    x[:, d] = torch.where(u[:, d] < self.conditionals(x).probs[:, d], 1.0, 0.0)
            return x.int()

    return OwnMADE


slip = bank.slips("OwnMADE", of=own_made_linear_layers)
slip("own_made_autoencoder", "mask * layer.weight", "layer.weight", loses={"autoregressive"})
slip("own_made_output_unmasked", "mask * layer.weight", "(mask if n + 1 < len(self.masks) else 1) * layer.weight",
     loses={"autoregressive"})  # fmt: skip
slip("own_made_no_relu", "h.relu() if n else h", "h", loses={"network"})
slip("own_made_tanh", "h.relu()", "h.tanh()", loses={"network"})
slip("own_made_relu_at_the_end", "return h", "return h.relu()", loses={"network"})
slip("own_made_hidden_biases_only", "layer.bias)", "layer.bias if n + 1 < len(self.masks) else None)",
     loses={"network"})  # fmt: skip
slip("own_made_first_paths_only", "mask * layer.weight", "mask * (mask.cumsum(1) == 1) * layer.weight",
     loses={"network"})  # fmt: skip
# Masked entries get gradients as if they were in use.
slip("own_made_masked_in_place", "h = linear(h.relu() if n else h, mask * layer.weight, layer.bias)",
     "layer.weight.data *= mask; h = linear(h.relu() if n else h, layer.weight, layer.bias)",
     loses={"gradients"})  # fmt: skip
slip("own_made_detached", "mask * layer.weight", "mask * layer.weight.detach()", loses={"gradients"})
slip("own_made_without_gradients", "def log_prob", "@torch.no_grad()\n    def log_prob", loses={"gradients"})
slip("own_made_plain_list", "torch.nn.ModuleList(torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks)",
     "[torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks]", loses={"shapes"})  # fmt: skip
slip("own_made_other_name", "self.layers = ", "self.network = ",
     ("self.layers[0]", "self.network[0]"), ("zip(self.layers", "zip(self.network"), loses={"shapes"})  # fmt: skip
slip("own_made_probability_of_ones", "(2 * x - 1) * self.logits(x)", "self.logits(x)", loses={"log-likelihood"})
slip("own_made_signs_swapped", "2 * x - 1", "1 - 2 * x", loses={"log-likelihood"})
slip("own_made_mean", ".sum(1)", ".mean(1)", loses={"log-likelihood"})
slip("own_made_negative", "return logsigmoid", "return -logsigmoid", loses={"log-likelihood"})
slip("own_made_in_bits", ".sum(1)", ".sum(1) / 0.6931471805599453", loses={"log-likelihood"})
slip("own_made_double_sigmoid", "self.logits(x)).sum(1)", "self.logits(x).sigmoid()).sum(1)", loses={"log-likelihood"})
slip("own_made_batch_of_one", ".sum(1)", ".squeeze().sum(-1)", loses={"log-likelihood"})
slip("own_made_raster_order", "in self.order", "in range(len(self.order))", loses={"sampler"})
slip("own_made_inverse_order", "in self.order", "in self.order.argsort()", loses={"sampler"})
slip("own_made_reversed_order", "in self.order", "in self.order.flip(0)", loses={"sampler"})
slip("own_made_places", "in self.order:", "in range(len(self.order)):",
     ("x[:, d] = (u[:, d] < torch.sigmoid(self.logits(x)[:, d])).long()",
      "x[:, self.order[d]] = (u[:, d] < torch.sigmoid(self.logits(x)[:, d])).long()"),
     loses={"sampler"})  # fmt: skip
slip("own_made_one_uniform", "(u[:, d] <", "(u[:, 0] <", loses={"sampler"})
slip("own_made_opposite", "(u[:, d] <", "(u[:, d] >", loses={"sampler"})
slip("own_made_own_random_numbers", "(u[:, d] <", "(torch.rand(len(u)) <", loses={"sampler"})
slip("own_made_likelier_value", "(u[:, d] <", "(0.5 <", loses={"sampler"})
slip("own_made_samples_logits", "torch.sigmoid(self.logits(x)[:, d])", "self.logits(x)[:, d]", loses={"sampler"})
slip("own_made_first_row_for_all", "self.logits(x)[:, d]", "self.logits(x[:1])[:, d]", loses={"sampler"})


@bank.wrong("OwnMADE", loses={"sampler"})
def own_made_samples_in_one_pass():
    import torch
    from torch.nn.functional import linear, logsigmoid

    class OwnMADE(torch.nn.Module):
        def __init__(self, masks, order):
            super().__init__()
            self.masks = masks
            self.layers = torch.nn.ModuleList(torch.nn.Linear(mask.shape[1], mask.shape[0]) for mask in masks)

        def logits(self, x):
            h = x.to(self.layers[0].weight.dtype)
            for n, (layer, mask) in enumerate(zip(self.layers, self.masks, strict=True)):
                h = linear(h.relu() if n else h, mask * layer.weight, layer.bias)
            return h

        def log_prob(self, x):
            return logsigmoid((2 * x - 1) * self.logits(x)).sum(1)

        def sample(self, u):
            return (u < torch.sigmoid(self.logits(torch.zeros_like(u)))).long()

    return OwnMADE


for edited in ("1", "-1"):
    bank.equivalent(
        "OwnMADE", "self.layers[0].weight.dtype", f"self.layers[{edited}].weight.dtype", "all have one dtype"
    )
bank.equivalent("OwnMADE", "h.relu() if n else h", "h.relu()", "the inputs are 0 and 1")
small = "the given parameters make no logit beyond 30; the check of made_log_prob has larger ones"
for logits in ("(2 * x - 1) * self.logits(x)", "self.logits(x)[:, d]", "z", "self.logits(drawn)[:, d]"):
    bank.equivalent("OwnMADE", logits, f"torch.as_tensor({logits}).clamp(-30, 30)", small)
bank.equivalent("OwnMADE", ".long()", ".byte()", "the tensor of samples has its own dtype, or any integers will do")
for old, new in (("u[:, d] <", "u[:, d] <="), ("p > u", "p >= u")):
    bank.equivalent("OwnMADE", old, new, "a uniform number never equals the probability")
bank.equivalent("OwnMADE", "mask.float()", "mask.half()", "0 and 1 are exact")
bank.equivalent("OwnMADE", "sum(-1)", "sum(1)", "the same axis")
bank.equivalent("OwnMADE", "len(mask), dtype=torch.float64", "len(mask)", "the sum is in the weights' dtype")
bank.equivalent(
    "OwnMADE",
    "torch.where(u[:, d] < self.conditionals(x).probs[:, d], 1.0, 0.0)",
    "u[:, d] < self.conditionals(x).probs[:, d]",
    "true is 1, false is 0",
)


# --------------------------------------------------------------------------------------------------------- degrees


@bank.right("degrees")
def degrees_spread():
    import torch

    def degrees(D, widths, order, seed):
        inputs = torch.empty(D, dtype=torch.int64)
        inputs[order] = torch.arange(1, D + 1)
        result, below = [inputs], torch.arange(1, D)
        for width in widths:
            n = len(below)
            layer = below[n - 1 - torch.arange(width - 1, -1, -1) * n // width]
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.right("degrees")
def degrees_downwards_in_a_loop():
    import torch

    def degrees(D, widths, order, seed):
        inputs = [order.tolist().index(d) + 1 for d in range(D)]
        result, allowed = [torch.tensor(inputs)], list(range(1, D))
        for width in widths:
            layer = []
            for unit in range(width):
                layer.append(allowed[-1 - unit % len(allowed)])
            result.append(torch.tensor(layer))
            allowed = sorted(set(layer))
        return result

    return degrees


@bank.right("degrees")
def degrees_at_random():
    import torch

    def degrees(D, widths, order, seed):
        generator = torch.Generator().manual_seed(seed)
        result, below = [torch.argsort(order) + 1], torch.arange(1, D)
        for width in widths:
            n = len(below)
            if width < n:
                layer = torch.cat([below[-1:], below[torch.randperm(n - 1, generator=generator)][: width - 1]])
            else:
                layer = torch.cat([below, below[torch.randint(n, (width - n,), generator=generator)]])
            result.append(layer)
            below = torch.unique(layer)
        return result

    return degrees


@bank.right("degrees")
def degrees_numpy():
    import numpy as np

    def degrees(D, widths, order, seed):
        rng = np.random.default_rng(seed)
        result, below = [np.argsort(order.numpy()) + 1], np.arange(1, D)
        for width in widths:
            must = below[::-1][:width]
            layer = np.concatenate([must, rng.choice(below, width - len(must))])
            result.append(layer.astype(np.int64))
            below = np.unique(layer)
        return result

    return degrees


@bank.right("degrees")
def degrees_linspace_over_those_below():
    import numpy as np

    def degrees(D, widths, order, seed):
        inputs = np.empty(D, dtype=np.int64)
        inputs[order.numpy()] = 1 + np.arange(D)
        result, below = [inputs], np.arange(1, D)
        for width in widths:
            picked = below[np.linspace(len(below) - 1, 0, width).round().astype(int)]
            result.append(picked)
            below = np.unique(picked)
        return result

    return degrees


@bank.right("degrees")
def degrees_tuple_of_seeded_global_numbers():
    import random

    import torch

    def degrees(D, widths, order, seed):
        random.seed(seed)
        inputs = torch.empty_like(order).index_copy_(0, order, torch.arange(1, D + 1))
        result, below = [inputs], range(1, D)
        for width in widths:
            choice = sorted(below, reverse=True)[:width]
            choice += random.choices(sorted(below), k=width - len(choice))
            result.append(torch.tensor(choice))
            below = set(choice)
        return tuple(result)

    return degrees


@bank.wrong("degrees", loses={"input degrees"})
def degrees_inverse_ordering():
    """The ordering taken for its inverse."""
    import torch

    def degrees(D, widths, order, seed):
        result, below = [order + 1], torch.arange(1, D)
        for width in widths:
            n = len(below)
            layer = below[n - 1 - torch.arange(width).flip(0) * n // width]
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.wrong("degrees", loses={"input degrees"})
def degrees_ordering_ignored():
    """Input d always has degree d + 1."""
    import torch

    def degrees(D, widths, order, seed):
        result, below = [torch.arange(1, D + 1)], torch.arange(1, D)
        for width in widths:
            n = len(below)
            layer = below[n - 1 - torch.arange(width).flip(0) * n // width]
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_cyclic():
    """1, 2, ..., D-1, 1, 2, ...: a layer with too few units lacks the highest degrees."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(torch.arange(width) % (D - 1) + 1 for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_highest_first_in_every_layer():
    """The highest degrees are never missing, but each layer is made separately: units without inputs."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(D - 1 - torch.arange(width) % (D - 1) for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_linspace():
    """Evenly from 1 to D-1, each layer separately; one unit alone has degree 1."""
    import torch

    def degrees(D, widths, order, seed):
        hidden = [torch.linspace(1, D - 1, width, dtype=torch.float64).round().long() for width in widths]
        return [torch.argsort(order) + 1, *hidden]

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_all_one_where_narrow():
    """Narrow layers get degree 1 only: safe, and nearly blind."""
    import torch

    def degrees(D, widths, order, seed):
        hidden = [torch.arange(w) % (D - 1) + 1 if w >= D - 1 else torch.ones(w, dtype=torch.int64) for w in widths]
        return [torch.argsort(order) + 1, *hidden]

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_highest_wherever_there_is_no_room():
    """All degrees while layers are wide; then only the highest: all outputs but the last are deaf."""
    import torch

    def degrees(D, widths, order, seed):
        inputs = torch.zeros(D, dtype=torch.int64)
        for k, d in enumerate(order.tolist()):
            inputs[d] = k + 1
        result, narrow = [inputs], False
        for width in widths:
            narrow = narrow or width < D - 1
            cyclic = torch.arange(width) % (D - 1) + 1
            result.append(torch.full((width,), D - 1) if narrow else cyclic)
        return result

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_highest_and_any():
    """The highest degree once, the others at random with repetition: some are there twice while others are free."""
    import torch

    def degrees(D, widths, order, seed):
        generator = torch.Generator().manual_seed(seed)
        result, below = [torch.argsort(order) + 1], torch.arange(1, D)
        for width in widths:
            if width >= len(below):
                layer = torch.cat([below, below[:1].expand(width - len(below))])
            else:
                extra = torch.randint(len(below), (width - 1,), generator=generator)
                layer = torch.cat([below[-1:], below[extra]])
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_highest_after_a_narrow_layer():
    """Right up to the first narrow layer; the layers above it get the highest degree only."""
    import torch

    def degrees(D, widths, order, seed):
        result, narrow = [torch.argsort(order) + 1], False
        for width in widths:
            result.append(torch.full((width,), D - 1) if narrow else D - 1 - torch.arange(width) % (D - 1))
            narrow = narrow or width < D - 1
        return result

    return degrees


@bank.wrong("degrees", loses={"narrow layers"})
def degrees_crash_where_narrow():
    """All degrees, then some at random: with too few units the number of random ones is negative."""
    import torch

    def degrees(D, widths, order, seed):
        generator = torch.Generator().manual_seed(seed)
        result = [torch.argsort(order) + 1]
        for width in widths:
            extra = torch.randint(1, D, (width - (D - 1),), generator=generator)
            result.append(torch.cat([torch.arange(1, D), extra]))
        return result

    return degrees


@bank.wrong("degrees", loses={"full reach", "narrow layers"})
def degrees_uniform():
    """Uniform on 1..D-1: some degree is missing by chance."""
    import torch

    def degrees(D, widths, order, seed):
        generator = torch.Generator().manual_seed(seed)
        hidden = [torch.randint(1, D, (width,), generator=generator) for width in widths]
        return [torch.argsort(order) + 1, *hidden]

    return degrees


@bank.wrong("degrees", loses={"full reach", "narrow layers"})
def degrees_of_the_paper():
    """Uniform from the lowest degree below to D-1, as in the paper: some degree is missing by chance."""
    import torch

    def degrees(D, widths, order, seed):
        generator = torch.Generator().manual_seed(seed)
        result, low = [torch.argsort(order) + 1], 1
        for width in widths:
            layer = torch.randint(low, D, (width,), generator=generator)
            result.append(layer)
            low = int(layer.min())
        return result

    return degrees


@bank.wrong("degrees", loses={"full reach", "narrow layers"})
def degrees_only_the_highest():
    """All hidden units have degree D-1: only the last output sees anything."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(torch.full((width,), D - 1) for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"full reach", "narrow layers"})
def degrees_up_to_D_minus_2():
    """Off by one: the degree D-1 does not occur (where there is another)."""
    import torch

    def degrees(D, widths, order, seed):
        most = max(1, D - 2)
        return [torch.argsort(order) + 1, *(torch.arange(width) % most + 1 for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"seeded"})
def degrees_without_the_seed():
    """Random, complete, and different each time."""
    import torch

    def degrees(D, widths, order, seed):
        result, below = [torch.argsort(order) + 1], torch.arange(1, D)
        for width in widths:
            must = below.flip(0)[:width]
            extra = below[torch.randint(len(below), (width - len(must),))]
            layer = torch.cat([must, extra])[torch.randperm(width)]
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.wrong("degrees", loses={"seeded"})
def degrees_one_generator_for_all_calls():
    """The generator is made when it is first needed, and goes on from there in later calls."""
    import torch

    generators = {}

    def degrees(D, widths, order, seed):
        generator = generators.setdefault(seed, torch.Generator().manual_seed(seed))
        result, below = [torch.argsort(order) + 1], torch.arange(1, D)
        for width in widths:
            must = below.flip(0)[:width]
            extra = below[torch.randint(len(below), (width - len(must),), generator=generator)]
            layer = torch.cat([must, extra])[torch.randperm(width, generator=generator)]
            result.append(layer)
            below = layer.unique()
        return result

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_from_zero():
    """Degrees 0 to D-1 for the inputs."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order), *(torch.arange(width) % (D - 1) for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_up_to_D():
    """Hidden degrees up to D: such a unit knows every input, and no output may read it."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(torch.arange(width) % D + 1 for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_of_hidden_layers_only():
    """The inputs' degrees are left out."""
    import torch

    def degrees(D, widths, order, seed):
        return [D - 1 - torch.arange(width) % (D - 1) for width in widths]

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_with_those_of_the_outputs():
    """The outputs' degrees once more at the end."""
    import torch

    def degrees(D, widths, order, seed):
        inputs = torch.argsort(order) + 1
        return [inputs, *(torch.arange(width) % (D - 1) + 1 for width in widths), inputs]

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_real_numbers():
    """linspace gives floats, which are never rounded."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(torch.linspace(1, D - 1, width) for width in widths)]

    return degrees


@bank.wrong("degrees", loses={"shapes and range"})
def degrees_too_few_units():
    """One unit a degree, whatever the width."""
    import torch

    def degrees(D, widths, order, seed):
        return [torch.argsort(order) + 1, *(torch.arange(1, D)[:width] for width in widths)]

    return degrees


@bank.right("degrees")
def degrees_lists():
    """Lists of ints, which read like tensors."""

    def degrees(D, widths, order, seed):
        result, below = [[0] * D], list(range(D - 1, 0, -1))
        for k, d in enumerate(order.tolist()):
            result[0][d] = k + 1
        for width in widths:
            result.append((below * width)[:width])
            below = sorted(set(result[-1]), reverse=True)
        return result

    return degrees


slip = bank.slips("degrees", of=degrees_spread)
# The first in the ordering gets the highest degree.
slip(
    "degrees_backwards",
    "(1, D + 1)",
    "(D, 0, -1)",
    ("(width - 1, -1, -1)", "(width).flip(0)"),
    loses={"input degrees"},
)

slip = bank.slips("degrees", of=degrees_at_random)
slip("degrees_seed_ignored_where_narrow", "torch.randperm(n - 1, generator=generator)", "torch.randperm(n - 1)",
     loses={"seeded"})  # fmt: skip
slip("degrees_narrow_without_the_highest", "[below[-1:],", "[below[:1],", loses={"narrow layers"})
slip("degrees_narrow_twice_the_same", "below[torch.randperm(n - 1, generator=generator)][: width - 1]",
     "below[-1:].expand(width - 1)", loses={"narrow layers"})  # fmt: skip
slip("degrees_wide_without_the_lowest", "cat([below, below[", "cat([below[1:], below[-1:], below[",
     loses={"full reach", "narrow layers"})  # fmt: skip
slip("degrees_below_not_updated", "below = torch.unique(layer)", "pass", loses={"narrow layers"})
slip("degrees_order_in_place", "torch.argsort(order) + 1", "order.copy_(torch.argsort(order)) + 1", loses={"seeded"})

bank.equivalent("degrees", "[0] * D", "[1] * D", "every entry is written later")
bank.equivalent("degrees", "[0] * D", "[-1] * D", "every entry is written later")
bank.equivalent("degrees", "-1 - unit %", "-1 + unit %", "after the highest the lowest ones follow: as good a choice")
bank.equivalent("degrees", "randperm(n - 1,", "randperm(n - 2,", "at most n - 2 of the n - 1 are taken")
bank.equivalent("degrees", "index_copy_(0,", "index_copy_(-1,", "there is one axis")
bank.equivalent("degrees", "result[0][d]", "result[-1][d]", "the list holds nothing else yet")
bank.equivalent("degrees", "width < n", "width <= n", "with as many units as degrees both branches take them all")


# ----------------------------------------------------------------------------------------------------- made_sample


@bank.right("made_sample")
def sample_in_order():
    import torch

    def made_sample(logits, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for d in order:
            x[:, d] = (u[:, d] < torch.sigmoid(logits(x)[:, d])).long()
        return x

    return made_sample


@bank.right("made_sample")
def sample_until_nothing_changes():
    import torch

    def made_sample(logits, order, u):
        """All dimensions at once, D times: after k rounds the first k in the ordering are right."""
        x = torch.ones(u.shape, dtype=torch.int64)
        for _ in range(u.shape[1]):
            x = (u < torch.sigmoid(logits(x))).long()
        return x

    return made_sample


@bank.right("made_sample")
def sample_numpy_logit_of_u():
    import numpy as np

    def made_sample(logits, order, u):
        u = u.numpy()
        with np.errstate(divide="ignore"):
            threshold = np.log(u) - np.log1p(-u)
        x = np.zeros(u.shape, dtype=np.int64)
        for d in order.tolist():
            x[:, d] = threshold[:, d] < np.asarray(logits(x))[:, d]
        return x

    return made_sample


@bank.right("made_sample")
def sample_bernoulli_inverse():
    import torch

    def made_sample(logits, order, u):
        n, D = u.shape
        x = torch.empty((n, D), dtype=torch.int64).random_(2)
        for k in range(D):
            d = int(order[k])
            p = 1 / (1 + torch.exp(-logits(x)[:, d]))
            x[:, d] = torch.where(u[:, d] < p, 1, 0)
        return x

    return made_sample


@bank.right("made_sample")
def sample_columns():
    import torch

    def made_sample(logits, order, u):
        columns = [torch.zeros(len(u), dtype=torch.int64) for _ in order]
        for d in order.tolist():
            column = logits(torch.stack(columns, 1))[:, d].float()
            columns[d] = torch.ceil(torch.sigmoid(column) - u[:, d].float()).clamp(min=0).long()
        return torch.stack(columns, 1)

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_one_pass():
    """All dimensions from one call."""
    import torch

    def made_sample(logits, order, u):
        return (u < torch.sigmoid(logits(torch.zeros(u.shape, dtype=torch.int64)))).long()

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_never_fed_back():
    """What was drawn goes into the result, but not into the network."""
    import torch

    def made_sample(logits, order, u):
        shown = torch.zeros(u.shape, dtype=torch.int64)
        x = shown.clone()
        for d in order:
            x[:, d] = (u[:, d] < torch.sigmoid(logits(shown)[:, d])).long()
        return x

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_feeds_back_the_mode():
    """The more probable value is fed back."""
    import torch

    def made_sample(logits, order, u):
        shown = torch.zeros(u.shape, dtype=torch.int64)
        x = shown.clone()
        for d in order:
            logit = logits(shown)[:, d]
            x[:, d] = (u[:, d] < torch.sigmoid(logit)).long()
            shown[:, d] = (logit > 0).long()
        return x

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_last_value_only():
    """A new x for each call, which holds the last dimension drawn and no other."""
    import torch

    def made_sample(logits, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        shown = x.clone()
        for d in order:
            x[:, d] = (u[:, d] < torch.sigmoid(logits(shown)[:, d])).long()
            shown = torch.zeros_like(x)
            shown[:, d] = x[:, d]
        return x

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_one_round_too_few():
    """All at once, but D - 1 times."""
    import torch

    def made_sample(logits, order, u):
        x = (u < torch.sigmoid(logits(torch.zeros(u.shape, dtype=torch.int64)))).long()
        for _ in range(u.shape[1] - 2):
            x = (u < torch.sigmoid(logits(x))).long()
        return x

    return made_sample


@bank.wrong("made_sample", loses={"first dimension", "feeds back what it drew", "any ordering"})
def sample_double_sigmoid():
    """The sigmoid of the probability."""
    import torch

    def made_sample(logits, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for d in order:
            p = torch.sigmoid(logits(x)[:, d])
            x[:, d] = (u[:, d] < torch.sigmoid(p)).long()
        return x

    return made_sample


@bank.wrong("made_sample", loses={"feeds back what it drew", "any ordering"})
def sample_probabilities_fed_back():
    """Probabilities remain in x for the next call."""
    import torch

    def made_sample(logits, order, u):
        shown = torch.zeros_like(u)
        x = torch.zeros(u.shape, dtype=torch.int64)
        for d in order:
            p = torch.sigmoid(logits(shown)[:, d])
            x[:, d] = (u[:, d] < p).long()
            shown[:, d] = p
        return x

    return made_sample


@bank.wrong("made_sample", loses=(), raises="TooManyCalls")
def sample_one_sample_at_a_time():
    """n times D calls: each sample separately."""
    import torch

    def made_sample(logits, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for row in range(len(u)):
            for d in order:
                x[row, d] = int(u[row, d] < torch.sigmoid(logits(x)[row, d]))
        return x

    return made_sample


@bank.right("made_sample")
def sample_lists():
    import math

    import torch

    def made_sample(logits, order, u):
        x = [[0] * len(row) for row in u.tolist()]
        for d in order.tolist():
            for row, z in enumerate(logits(torch.tensor(x))[:, d].tolist()):
                x[row][d] = int(u[row, d] < (1 + math.tanh(z / 2)) / 2)
        return x

    return made_sample


slip = bank.slips("made_sample", of=sample_in_order)
# The first uniform number decides all dimensions.
slip("sample_one_uniform", "u[:, d]", "u[:, 0]", loses={"feeds back what it drew", "any ordering"})
# u of the next dimension, except for the first one.
slip(
    "sample_shifted_uniforms",
    "for d in order:",
    "D = u.shape[1]\n    for k, d in enumerate(order):\n        column = (d + 1) % D if k else d",
    ("u[:, d]", "u[:, column]"),
    loses={"feeds back what it drew", "any ordering"},
)
# 0, 1, 2, ... whatever the ordering.
slip("sample_natural_order", "order:", "range(u.shape[1]):", loses={"any ordering"})
# The ordering taken for its inverse.
slip("sample_inverse_order", "order:", "torch.argsort(order):", loses={"any ordering"})
# u[:, k] for the dimension that comes k-th.
slip(
    "sample_uniforms_by_place",
    "for d in order",
    "for k, d in enumerate(order)",
    ("u[:, d]", "u[:, k]"),
    loses={"any ordering"},
)
# Column k of the logits for the dimension that comes k-th.
slip(
    "sample_logits_by_place",
    "for d in order",
    "for k, d in enumerate(order)",
    ("(x)[:, d]", "(x)[:, k]"),
    loses={"any ordering"},
)
# The result is in the order of drawing.
slip("sample_written_by_place", " x\n", " x[:, order]\n", loses={"any ordering"})
# 1 where u is above the probability.
slip("sample_greater", "< torch", "> torch", loses={"first dimension", "feeds back what it drew", "any ordering"})
# The more probable value, u is not used.
slip(
    "sample_argmax",
    "u[:, d] < torch.sigmoid(logits(x)[:, d])",
    "logits(x)[:, d] > 0",
    loses={"first dimension", "feeds back what it drew", "any ordering"},
)
# u is compared with the logit.
slip(
    "sample_without_sigmoid",
    "(u[:, d] < torch.sigmoid(logits(x)[:, d]))",
    "(u[:, d] < logits(x)[:, d])",
    loses={"first dimension", "feeds back what it drew", "any ordering"},
)
# Fresh random numbers, u is not used.
slip(
    "sample_own_random_numbers",
    "(u[:, d] < torch",
    "torch.bernoulli(torch",
    loses={"first dimension", "feeds back what it drew", "any ordering"},
)
# Only the columns drawn so far are shown.
slip(
    "sample_drawn_columns_only",
    "for d in order",
    "for k, d in enumerate(order)",
    ("(x)", "(x[:, :k])"),
    loses=(),
    raises="ValueError",
)
# A call before the first draw that nothing comes of.
slip(
    "sample_one_call_more",
    "for d",
    "p = torch.sigmoid(logits(x))\n    for d",
    (
        "(u[:, d] < torch.sigmoid(logits(x)[:, d])).long()",
        "(u[:, d] < p[:, d]).long()\n        p = torch.sigmoid(logits(x))",
    ),
    loses=(),
    raises="TooManyCalls",
)
# Samples in float64.
slip("sample_real_numbers", "zeros(u.shape, dtype=torch.int64)", "zeros_like(u)", ("long", "double"), loses={"shapes"})
# (D, n): the columns are stacked as rows.
slip("sample_turned", " x\n", " x.T\n", loses={"shapes"})
slip("sample_not_strictly_less", "(u[:, d] < ", "(u[:, d] <= ", loses={"first dimension"})
slip("sample_uniforms_clamped", "u[:, d] <", "u[:, d].clamp(1e-5, 1 - 1e-5) <", loses={"first dimension"})
slip("sample_uniforms_kept_from_zero", "u[:, d] <", "u[:, d].clamp(min=1e-6) <", loses={"first dimension"})
slip("sample_logits_clamped", "logits(x)[:, d]", "logits(x)[:, d].clamp(-5, 5)", loses={"first dimension"})
slip("sample_epsilon", "torch.sigmoid(logits(x)[:, d])", "torch.sigmoid(logits(x)[:, d]) + 1e-6",
     loses={"first dimension"})  # fmt: skip
slip("sample_rounded_probability", "torch.sigmoid(logits(x)[:, d])", "torch.sigmoid(logits(x)[:, d]).round(decimals=5)",
     loses={"first dimension"})  # fmt: skip
slip("sample_squeezed", "logits(x)[:, d]", "logits(x).squeeze(0)[..., :, d]", loses={"feeds back what it drew"})
slip("sample_knows_eight_at_most", "logits(x)[:, d]", "logits(x * (torch.arange(x.shape[1]) < 8))[:, d]",
     loses={"feeds back what it drew", "any ordering"})  # fmt: skip
slip("sample_last_four_only", "logits(x)[:, d]", "logits(x * (abs(torch.arange(x.shape[1]) - d) < 5))[:, d]",
     loses={"feeds back what it drew", "any ordering"})  # fmt: skip
slip("sample_first_image_for_all", "logits(x)[:, d]", "logits(x[:1].expand_as(x))[:, d]",
     loses={"feeds back what it drew", "any ordering"})  # fmt: skip
slip("sample_zeros_and_ones_swapped_later", "x[:, d] = (", "x[:, d] = (d > 0) ^ (",
     loses={"feeds back what it drew", "any ordering"})  # fmt: skip

slip = bank.slips("made_sample", of=sample_lists)
slip("sample_exponential_overflows", "(1 + math.tanh(z / 2)) / 2", "1 / (1 + math.exp(-z))", loses={"first dimension"})

for old, new in (("int64", "int8"), ("long()", "byte()")):
    bank.equivalent("made_sample", old, new, "zeros and ones in any type of integers are read")
bank.equivalent("made_sample", ", dtype=torch.int64", "", "zeros and ones of any type are taken by `logits`")
bank.equivalent("made_sample", "divide='ignore'", "", "it only silences a warning")
bank.equivalent("made_sample", "(1 + torch.exp(-logits(x)[:, d]))", "(1 + torch.exp(-logits(x)[:, d]) + 1e-08)",
                "1e-8 of a probability is less than float32 tells apart")  # fmt: skip
bank.equivalent("made_sample", "torch.where(u[:, d] < p, 1, 0)", "u[:, d] < p", "assigned as 1 and 0")
bank.equivalent("made_sample", ".random_(2)", ".random_(1)", "x may begin with any zeros and ones")
bank.equivalent("made_sample", "[0] * len(row)", "[1] * len(row)", "x may begin with any zeros and ones")


# --------------------------------------------------------------------------------------------------- visible_units


@bank.right("visible_units")
def visible_downwards():
    import torch

    def visible_units(masks):
        reached = masks[-1]
        rows = [reached.sum(1)]
        for mask in reversed(masks[1:-1]):
            reached = (reached @ mask > 0).long()
            rows.append(reached.sum(1))
        return torch.stack(rows[::-1])

    return visible_units


@bank.right("visible_units")
def visible_product_of_all_above():
    import torch

    def visible_units(masks):
        result = torch.zeros(len(masks) - 1, len(masks[-1]), dtype=torch.int64)
        for layer in range(len(masks) - 1):
            total = torch.eye(masks[layer].shape[0], dtype=torch.float64)
            for mask in masks[layer + 1 :]:
                total = mask.double() @ total
            result[layer] = (total > 0).sum(dim=1)
        return result

    return visible_units


@bank.right("visible_units")
def visible_product_in_float32():
    import torch

    def visible_units(masks):
        total, rows = torch.eye(len(masks[-1])), []
        for mask in masks[:0:-1]:
            total = total @ mask.float()
            rows.insert(0, (total > 0).sum(1))
        return torch.stack(rows)

    return visible_units


@bank.right("visible_units")
def visible_sets():
    def visible_units(masks):
        lists = [mask.tolist() for mask in masks]
        L, D = len(lists) - 1, len(lists[-1])
        result = [[None] * D for _ in range(L)]
        for i in range(D):
            seen = {i}
            for layer in reversed(range(L)):
                seen = {u for v in seen for u, on in enumerate(lists[layer + 1][v]) if on}
                result[layer][i] = len(seen)
        return result

    return visible_units


@bank.right("visible_units")
def visible_numpy_bool():
    import numpy as np

    def visible_units(masks):
        reached = np.eye(masks[-1].shape[0], dtype=bool)
        rows = []
        for mask in masks[:0:-1]:
            reached = (reached[:, :, None] & mask.numpy().astype(bool)[None]).any(1)
            rows.insert(0, reached.sum(1))
        return np.array(rows, dtype=np.int64)

    return visible_units


@bank.right("visible_units")
def visible_recursive():
    import torch

    def visible_units(masks):
        def reach(layer):
            if layer == len(masks) - 1:
                return torch.eye(masks[-1].shape[0], dtype=torch.float64)
            return (reach(layer + 1) @ masks[layer + 1].double()).clamp(max=1)

        return torch.stack([reach(layer).sum(1) for layer in range(len(masks) - 1)]).round().long()

    return visible_units


@bank.wrong("visible_units", loses={"through later layers", "narrow layers"})
def visible_paths():
    """Paths are counted, not units."""
    import torch

    def visible_units(masks):
        total = masks[-1]
        rows = [total.sum(1)]
        for mask in reversed(masks[1:-1]):
            total = total @ mask
            rows.append(total.sum(1))
        return torch.stack(rows[::-1])

    return visible_units


@bank.wrong("visible_units", loses={"last layer"})
def visible_last_layer_missing():
    """The last hidden layer's row stays 0."""
    import torch

    def visible_units(masks):
        result = torch.zeros(len(masks) - 1, len(masks[-1]), dtype=torch.int64)
        for layer in range(len(masks) - 2):
            total = masks[layer + 1]
            for mask in masks[layer + 2 :]:
                total = (mask @ total).clamp(max=1)
            result[layer] = (total > 0).sum(dim=1)
        return result

    return visible_units


@bank.wrong("visible_units", loses={"through later layers"})
def visible_product_in_int64():
    """The product of the masks above, from the outputs down: 2^64 paths are 0 in int64."""
    import torch

    def visible_units(masks):
        total, rows = torch.eye(len(masks[-1]), dtype=torch.int64), []
        for mask in masks[:0:-1]:
            total = total @ mask
            rows.insert(0, (total != 0).sum(1))
        return torch.stack(rows)

    return visible_units


@bank.wrong("visible_units", loses={"through later layers"})
def visible_paths_of_the_upper_masks():
    """The paths of exercise 3, through the masks above each layer: they wrap."""
    import functools

    import torch

    def visible_units(masks):
        above = [masks[:layer:-1] for layer in range(len(masks) - 1)]
        return torch.stack([(functools.reduce(torch.matmul, upper) > 0).sum(1) for upper in above])

    return visible_units


@bank.wrong("visible_units", loses={"through later layers", "narrow layers"})
def visible_last_layer_only():
    """The other layers' rows stay 0."""
    import torch

    def visible_units(masks):
        result = torch.zeros(len(masks) - 1, len(masks[-1]), dtype=torch.int64)
        result[-1] = masks[-1].sum(1)
        return result

    return visible_units


@bank.wrong("visible_units", loses={"through later layers", "narrow layers"})
def visible_all_units_of_lower_layers():
    """Every unit of the lower layers counts where the output sees anything."""
    import torch

    def visible_units(masks):
        last = masks[-1].sum(1)
        rows = [torch.where(last > 0, len(mask), 0) for mask in masks[:-2]]
        return torch.stack([*rows, last])

    return visible_units


@bank.wrong("visible_units", loses={"narrow layers"})
def visible_by_degree():
    """How many inputs a unit sees is taken for its degree: right only while no layer below lacks one."""
    import torch

    def visible_units(masks):
        units = masks[0].sum(1)
        D = masks[0].shape[1]
        reach = masks[0]
        for mask in masks[1:]:
            reach = (mask @ reach > 0).long()
        outputs = reach.sum(1)
        rows = [(units[None] <= outputs[:, None]).sum(1)]
        reach = masks[0]
        for mask in masks[1:-1]:
            reach = (mask @ reach > 0).long()
            rows.append((reach.sum(1)[None] <= outputs[:, None]).sum(1))
        return torch.stack(rows).reshape(len(masks) - 1, D)

    return visible_units


@bank.wrong("visible_units", loses={"narrow layers"})
def visible_first_reader():
    """Each unit is followed along its first connection only."""
    import torch

    def visible_units(masks):
        L, D = len(masks) - 1, len(masks[-1])
        result = torch.zeros(L, D, dtype=torch.int64)
        for layer in range(L):
            for unit in range(len(masks[layer])):
                at = unit
                for mask in masks[layer + 1 : -1]:
                    lowest = mask.sum(1).masked_fill(mask[:, at] == 0, 10**6)
                    at = int(lowest.argmin())
                result[layer] += masks[-1][:, at]
        return result

    return visible_units


@bank.wrong("visible_units", loses={"narrow layers"})
def visible_only_with_inputs():
    """Units without a path from any input are left out, though an output reads them."""
    import torch

    def visible_units(masks):
        alive, inputs = [], torch.ones(masks[0].shape[1], dtype=torch.int64)
        for mask in masks[:-1]:
            inputs = (mask @ inputs > 0).long()
            alive.append(inputs)
        reached = masks[-1]
        rows = [(reached * alive[-1]).sum(1)]
        for mask, here in zip(reversed(masks[1:-1]), reversed(alive[:-1]), strict=True):
            reached = (reached @ mask > 0).long()
            rows.append((reached * here).sum(1))
        return torch.stack(rows[::-1])

    return visible_units


@bank.wrong("visible_units", loses={"last layer", "through later layers", "narrow layers"})
def visible_outputs_of_units():
    """Outputs that a unit reaches, cut or filled to D."""
    import torch

    def visible_units(masks):
        L, D = len(masks) - 1, len(masks[-1])
        result = torch.zeros(L, D, dtype=torch.int64)
        for layer in range(L):
            total = torch.eye(len(masks[layer]), dtype=torch.int64)
            for mask in masks[layer + 1 :]:
                total = mask @ total
            counts = (total > 0).sum(0)[:D]
            result[layer, : len(counts)] = counts
        return result

    return visible_units


@bank.wrong("visible_units", loses={"last layer", "through later layers", "narrow layers"})
def visible_inputs():
    """Counts the inputs that each output sees, for every layer."""

    def visible_units(masks):
        total = masks[0]
        for mask in masks[1:]:
            total = mask @ total
        return (total > 0).sum(1).expand(len(masks) - 1, -1).clone()

    return visible_units


slip = bank.slips("visible_units", of=visible_downwards)
# The last hidden layer in row 0.
slip("visible_rows_reversed", "[::-1]", "", loses={"last layer", "through later layers", "narrow layers"})
# Whether any unit is visible, not how many.
slip(
    "visible_any",
    "[reached.sum(1)]",
    "[reached.amax(1)]",
    ("(reached.sum(1))", "(reached.amax(1))"),
    loses={"last layer", "through later layers", "narrow layers"},
)
# One row more, for the inputs.
slip("visible_with_the_inputs", "1:", ":", loses={"shapes"})
# (D, L).
slip("visible_turned", "(rows[::-1])", "(rows[::-1]).T", loses={"shapes"})
# Shares of the layer, not numbers of units.
slip(
    "visible_real_numbers",
    "[reached.sum(1)]",
    "[reached.double().mean(1)]",
    ("(reached.sum(1))", "(reached.double().mean(1))"),
    loses={"shapes"},
)
slip("visible_in_8_bits", "reached @ mask > 0", "reached.byte() @ mask.byte() > 0", loses={"through later layers"})
slip("visible_more_than_one_path", "reached @ mask > 0", "reached @ mask > 1",
     loses={"through later layers", "narrow layers"})  # fmt: skip
slip("visible_consumes_the_masks", "reached = masks[-1]\n", "reached = masks.pop(); masks = [*masks, reached]\n",
     loses={"through later layers"})  # fmt: skip
slip("visible_three_hidden_layers_at_most", "(reached @ mask > 0)", "((reached @ mask > 0) & (len(rows) < 3))",
     loses={"through later layers", "narrow layers"})  # fmt: skip
slip("visible_last_row_with_inputs_only", "rows = [reached.sum(1)]",
     "rows = [(reached * (masks[-2].sum(1) > 0)).sum(1)]", loses={"narrow layers"})  # fmt: skip
slip("visible_two_at_most", "rows.append(reached.sum(1))", "rows.append(reached.sum(1).clamp(max=2))",
     loses={"through later layers", "narrow layers"})  # fmt: skip

slip = bank.slips("visible_units", of=visible_product_of_all_above)
slip("visible_paths_in_32_bits", "mask.double() @ total", "mask.int() @ total.int()", loses={"through later layers"})
slip("visible_paths_in_64_bits", "mask.double() @ total", "mask @ total.long()", loses={"through later layers"})

bank.equivalent("visible_units", "torch.stack(rows)", "rows", "a list of rows is read too")
bank.equivalent("visible_units", "torch.stack(rows[::-1])", "rows[::-1]", "a list of rows is read too")
bank.equivalent("visible_units", ", dtype=np.int64", "", "sums of booleans are int64 already")


# -------------------------------------------------------------------------------------------------------- ensemble


@bank.right("ensemble")
def ensemble_logsumexp():
    import math

    import torch
    import torch.nn.functional as F

    def ensemble(logits, x):
        log_p = F.logsigmoid(logits * (2 * x - 1)).sum(-1)
        return torch.logsumexp(log_p, 0) - math.log(len(logits))

    return ensemble


@bank.right("ensemble")
def ensemble_largest_first():
    import torch
    import torch.nn.functional as F

    def ensemble(logits, x):
        signs = torch.where(x == 1, -1.0, 1.0)
        log_p = -F.softplus(signs * logits).sum(2)
        most = log_p.max(dim=0).values
        return most + (log_p - most).exp().mean(0).log()

    return ensemble


@bank.right("ensemble")
def ensemble_numpy():
    import numpy as np

    def ensemble(logits, x):
        x, logits = x.numpy(), logits.numpy()
        log_p = np.array([(-np.logaddexp(0, np.where(x == 1, -a, a))).sum(axis=1) for a in logits])
        return np.logaddexp.reduce(log_p) - np.log(len(log_p))

    return ensemble


@bank.right("ensemble")
def ensemble_loop():
    import math

    def ensemble(logits, x):
        result = []
        for row, image in enumerate(x.tolist()):
            log_ps = []
            for network in logits[:, row].tolist():
                terms = [a if pixel else -a for a, pixel in zip(network, image, strict=True)]
                log_ps.append(sum(min(t, 0.0) - math.log1p(math.exp(-abs(t))) for t in terms))
            most = max(log_ps)
            result.append(most + math.log(sum(math.exp(v - most) for v in log_ps) / len(log_ps)))
        return result

    return ensemble


@bank.right("ensemble")
def ensemble_one_network_at_a_time():
    import functools
    import math

    import torch

    def ensemble(logits, x):
        log_ps = [torch.distributions.Bernoulli(logits=a).log_prob(x.double()).sum(1) for a in logits]
        return functools.reduce(torch.logaddexp, log_ps) - math.log(len(log_ps))

    return ensemble


@bank.wrong("ensemble", loses={"sums to one"})
def ensemble_mean_of_logits():
    """The logits are averaged, though they belong to different conditionals."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        return F.logsigmoid(logits.mean(0) * (2 * x - 1)).sum(-1)

    return ensemble


@bank.wrong("ensemble", loses={"sums to one"})
def ensemble_mean_of_conditionals():
    """The probabilities of each dimension are averaged before they are multiplied."""
    import torch

    def ensemble(logits, x):
        p = torch.sigmoid(logits * (2 * x - 1)).mean(0)
        return p.log().sum(-1)

    return ensemble


@bank.wrong("ensemble", loses={"sums to one"})
def ensemble_mean_of_logarithms():
    """The mean of the log-likelihoods."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        return F.logsigmoid(logits * (2 * x - 1)).sum(-1).mean(0)

    return ensemble


@bank.wrong("ensemble", loses={"sums to one"})
def ensemble_best():
    """The best network for each image."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        return F.logsigmoid(logits * (2 * x - 1)).sum(-1).amax(0)

    return ensemble


@bank.wrong("ensemble", loses={"mean of probabilities", "far below zero"})
def ensemble_first_network():
    """Only the first network."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        return F.logsigmoid(logits[0] * (2 * x - 1)).sum(-1)

    return ensemble


@bank.wrong("ensemble", loses={"mean of probabilities", "far below zero"})
def ensemble_best_on_average():
    """The one network with the highest mean log-likelihood, for all images."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        log_p = F.logsigmoid(logits * (2 * x - 1)).sum(-1)
        return log_p[log_p.mean(1).argmax()]

    return ensemble


@bank.wrong("ensemble", loses={"far below zero"})
def ensemble_exp_then_log():
    """The probabilities themselves are averaged: exp(-10000) is 0."""
    import torch.nn.functional as F

    def ensemble(logits, x):
        return F.logsigmoid(logits * (2 * x - 1)).sum(-1).exp().mean(0).log()

    return ensemble


@bank.wrong("ensemble", loses={"far below zero"})
def ensemble_log_of_sigmoid():
    """The logarithm of a sigmoid in two steps."""
    import math

    import torch

    def ensemble(logits, x):
        p = torch.sigmoid(logits)
        log_p = torch.where(x == 1, p, 1 - p).log().sum(-1)
        return torch.logsumexp(log_p, 0) - math.log(len(logits))

    return ensemble


@bank.right("ensemble")
def ensemble_weights_first():
    """In float32, with the weights in the exponents."""
    import math

    import torch

    def ensemble(logits, x):
        log_p = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), x.float().expand_as(logits), reduction="none"
        ).sum(2)
        return torch.logsumexp(log_p - math.log(len(logits)), dim=0)

    return ensemble


def ensemble_in_one_line():
    """Right as well; the slips below edit it."""
    import math

    import torch
    import torch.nn.functional as F

    def ensemble(logits, x):
        return torch.logsumexp(F.logsigmoid(logits * (2 * x - 1)).sum(-1), 0) - math.log(len(logits))

    return ensemble


slip = bank.slips("ensemble", of=ensemble_in_one_line)
# Not divided by the number of networks.
slip("ensemble_sum", " - math.log(len(logits))", "", ("import math\n\n", ""), loses={"sums to one"})
# The logarithm of the sum, divided by E.
slip(
    "ensemble_divided_by_E",
    " - math.log(len(logits))\n",
    " / len(logits)\n",
    ("import math\n\n", ""),
    loses={"sums to one"},
)
# The logarithm of the number of images in place of that of networks.
slip("ensemble_log_of_images", "len(logits)", "logits.shape[1]", loses={"sums to one"})
# The mean over the dimensions in each network.
slip("ensemble_mean_over_dimensions", ".sum", ".mean", loses={"sums to one"})
# The logits are taken for those of x = 0.
slip("ensemble_zeros_and_ones_swapped", "2 * x - 1", "1 - 2 * x", loses={"mean of probabilities", "far below zero"})
# One number for each dimension.
slip("ensemble_not_summed", ".sum(-1)", "", loses={"shapes"})
# The log-sum-exp over the images, one number for each network.
slip("ensemble_over_the_images", "0", "1", loses={"shapes"})

slip = bank.slips("ensemble", of=ensemble_logsumexp)
# A small number in the logarithm of each probability.
slip(
    "ensemble_epsilon",
    "F.logsigmoid(logits * (2 * x - 1))",
    "torch.log(torch.sigmoid(logits * (2 * x - 1)) + 1e-12)",
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"far below zero"},
)

slip = bank.slips("ensemble", of=ensemble_largest_first)
for name, shift in (
    ("least", "log_p.min(dim=0).values"),
    ("mean", "log_p.mean(0)"),
    ("first_network", "log_p[0]"),
    ("first_image", "log_p[:, :1].max()"),
    ("best_of_all_images", "log_p.max()"),
):
    slip(f"ensemble_shifted_by_the_{name}", "log_p.max(dim=0).values", shift, loses={"far below zero"})
slip("ensemble_of_two", ".mean(0).log()", ".sum(0).log() - 0.6931471805599453", loses={"sums to one"})
slip("ensemble_logits_in_place", "signs * logits", "logits.mul_(signs)", loses={"mean of probabilities"})
slip("ensemble_normalised_over_the_images", "most + (log_p - most).exp().mean(0).log()",
     "(most + (log_p - most).exp().mean(0).log()).log_softmax(0)",
     loses={"mean of probabilities", "far below zero"})  # fmt: skip
slip("ensemble_clamped_logits", "signs * logits", "signs * logits.clamp(-88, 88)", loses={"far below zero"})
slip("ensemble_far_networks_forgotten", ".exp().mean(0)", ".exp().where(log_p > -80, 0).mean(0)",
     loses={"far below zero"})  # fmt: skip
slip("ensemble_squeezed", ".sum(2)", ".squeeze(1).sum(-1)", loses={"mean of probabilities"})

slip = bank.slips("ensemble", of=ensemble_one_network_at_a_time)
slip("ensemble_last_counts_half", "reduce(torch.logaddexp, log_ps) - math.log(len(log_ps))",
     "reduce(lambda a, b: torch.logaddexp(a, b) - math.log(2), log_ps)",
     loses={"mean of probabilities", "far below zero"})  # fmt: skip

bank.equivalent("ensemble", "logits * (2 * x - 1)", "logits / (2 * x - 1)", "a sign")
mean = "(log_p - most).exp().mean(0)"
for edited in (f"torch.as_tensor({mean}).clamp(min=1e-06)", f"({mean} + 1e-08)"):
    bank.equivalent("ensemble", mean, edited, "it is 1 / E at least")
