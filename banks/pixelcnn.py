"""Right and wrong answers to lesson 04, PixelCNN.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("pixelcnn")

# ------------------------------------------------------------------------------------------------------- conv_mask


@bank.right("conv_mask")
def mask_slices():
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        place = {colour: k for k, colour in enumerate(order)}
        later = torch.tensor([place[colour] for colour in out_colours])[:, None]
        earlier = torch.tensor([place[colour] for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.right("conv_mask")
def mask_loop_over_every_weight():
    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel

        def may(o, i, row, column):
            if row != kh // 2:
                return row < kh // 2
            if column != kw // 2:
                return column < kw // 2
            own, other = order.index(out_colours[o]), order.index(in_colours[i])
            return other < own or (kind == "B" and other == own)

        return [
            [[[may(o, i, r, c) for c in range(kw)] for r in range(kh)] for i in range(len(in_colours))]
            for o in range(len(out_colours))
        ]

    return conv_mask


@bank.right("conv_mask")
def mask_one_number_for_place_and_colour():
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        place = torch.empty(len(order), dtype=torch.int64)
        place[torch.tensor(order)] = torch.arange(len(order))
        tap = torch.arange(kh * kw).view(kh, kw) * len(order)
        reads = tap + place[in_colours].view(1, -1, 1, 1)
        writes = kh * kw // 2 * len(order) + place[out_colours].view(-1, 1, 1, 1)
        return reads < writes + (kind == "B")

    return conv_mask


@bank.right("conv_mask")
def mask_numpy_flat_and_float():
    import numpy as np

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        centre = kernel[0] * kernel[1] // 2
        rank = np.argsort(order)
        mask = np.zeros((len(out_colours), len(in_colours), kernel[0] * kernel[1]))
        mask[..., :centre] = 1
        difference = np.subtract.outer(rank[out_colours], rank[in_colours])
        mask[..., centre] = difference >= (kind == "A")
        return mask.reshape(*mask.shape[:2], *kernel)

    return conv_mask


@bank.right("conv_mask")
def mask_ones_with_holes():
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        (kh, kw), n_out, n_in = kernel, len(out_colours), len(in_colours)
        mask = torch.ones(n_out, n_in, kh, kw, dtype=torch.uint8)
        mask[:, :, kh // 2, kw // 2 :] = 0
        mask[:, :, kh // 2 + 1 :, :] = 0
        seen = []
        for colour in order:
            if kind == "B":
                seen.append(colour)
            for o in range(n_out):
                for i in range(n_in):
                    if out_colours[o] == colour and in_colours[i] in seen:
                        mask[o, i, kh // 2, kw // 2] = 1
            if kind == "A":
                seen.append(colour)
        return mask

    return conv_mask


MASK_ALL = {"one colour", "any kernel", "colours", "any order"}


@bank.wrong("conv_mask", loses=MASK_ALL)
def mask_without_the_centre_row():
    """The whole centre row is masked: nothing of the pixel's own row is read."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"any kernel"})
def mask_half_the_smaller_side():
    """One half for both sides, the smaller one."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        half = min(kernel) // 2
        later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        earlier = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, :half] = True
        mask[:, :, half, :half] = True
        mask[:, :, half, half] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"any kernel", "colours"})
def mask_none_for_one_by_one():
    """A 1 x 1 convolution is left unmasked: it mixes nothing but the colours."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        if kh == kw == 1:
            return torch.ones(len(out_colours), len(in_colours), 1, 1, dtype=torch.bool)
        later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        earlier = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours"})
def mask_none_for_one_by_one_of_kind_b():
    """A 1 x 1 convolution of kind B is left unmasked: right for one colour only."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        if kernel[0] == kernel[1] == 1 and kind == "B":
            return torch.ones(len(out_colours), len(in_colours), 1, 1, dtype=torch.bool)
        later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        earlier = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"any order"})
def mask_order_ignored():
    """Always red, green, blue."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        later, earlier = torch.tensor(out_colours)[:, None], torch.tensor(in_colours)
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_channels_in_blocks():
    """The lists of colours are not read: channels are split into equal blocks, one per colour."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        n_out, n_in, C = len(out_colours), len(in_colours), len(order)
        place = torch.argsort(torch.tensor(order))
        later = place[torch.arange(n_out) * C // n_out][:, None]
        earlier = place[torch.arange(n_in) * C // n_in]
        mask = torch.zeros(n_out, n_in, kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours"})
def mask_channels_in_turn():
    """The lists of colours are not read: channel i belongs to colour i % C."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        n_out, n_in, C = len(out_colours), len(in_colours), len(order)
        place = torch.argsort(torch.tensor(order))
        later, earlier = place[torch.arange(n_out) % C][:, None], place[torch.arange(n_in) % C]
        mask = torch.zeros(n_out, n_in, kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"one colour", "colours", "any order"})
def mask_channels_compared():
    """The channels' own numbers are compared, not their colours."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        later, earlier = torch.arange(len(out_colours))[:, None], torch.arange(len(in_colours))
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_colours_ignored():
    """The centre is closed in kind A and open in kind B, whatever the colours."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2 + (kind == "B")] = True
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_later_colours():
    """The comparison the wrong way round: colours that come later."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        own = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        other = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = other > own if kind == "A" else other >= own
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_other_colours():
    """Kind A lets every colour in but the own one."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        own = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        other = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = other != own if kind == "A" else other <= own
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_colours_everywhere():
    """Later colours are closed in all earlier pixels too."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        earlier = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = (earlier <= later)[:, :, None, None]
        mask[:, :, kh // 2, : kw // 2] = (earlier <= later)[:, :, None]
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"one colour", "colours", "any order"})
def mask_one_by_one_channel():
    """The centre's comparison of colours is made pair by pair, and only the diagonal is filled in."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        for channel in range(min(len(out_colours), len(in_colours))):
            own, other = order.index(out_colours[channel]), order.index(in_colours[channel])
            mask[channel, channel, kh // 2, kw // 2] = other < own or (kind == "B" and other == own)
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"shape and range"})
def mask_inputs_first():
    """(inputs, outputs, kh, kw), as a transposed convolution wants it."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        later = torch.tensor([order.index(colour) for colour in out_colours])
        earlier = torch.tensor([order.index(colour) for colour in in_colours])[:, None]
        mask = torch.zeros(len(in_colours), len(out_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


@bank.wrong("conv_mask", loses={"shape and range"})
def mask_without_channels():
    """(kh, kw), to be broadcast."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        mask = torch.zeros(*kernel, dtype=torch.bool)
        mask[: kernel[0] // 2] = True
        mask[kernel[0] // 2, : kernel[1] // 2 + (kind == "B")] = True
        return mask

    return conv_mask


def mask_places_in_the_order():
    """Right as well; the slips below edit it."""
    import torch

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        kh, kw = kernel
        later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
        earlier = torch.tensor([order.index(colour) for colour in in_colours])
        mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
        mask[:, :, : kh // 2] = True
        mask[:, :, kh // 2, : kw // 2] = True
        mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
        return mask

    return conv_mask


slip = bank.slips("conv_mask", of=mask_places_in_the_order)
# A and B taken for each other.
slip("mask_kinds_swapped", '"A"', '"B"', loses={"causal"})
# The kind is not looked at: always B.
slip("mask_always_b", 'earlier < later if kind == "A" else earlier', "earlier", loses={"causal"})
# The kind is not looked at: always A.
slip("mask_always_a", 'later if kind == "A" else earlier <= later', "later", loses=MASK_ALL)
# Left of the centre is masked; the centre itself is right.
slip(
    "mask_centre_row_but_for_the_centre",
    "[:, :, kh // 2, : kw // 2] = True\n    mask",
    "",
    loses={"one colour", "any kernel"},
)
# Only columns up to the centre's, in the rows above as well.
slip(
    "mask_upper_left_quarter",
    "[:, :, : kh // 2] = True\n    mask[:, :, kh // 2, : kw // 2]",
    "[:, :, : kh // 2 + 1, : kw // 2 + 1]",
    loses={"one colour", "any kernel"},
)
# The row of the centre is cut, the rows below are not.
slip(
    "mask_rows_below_left_in",
    "zeros",
    "ones",
    ("[:, :, : kh // 2] = True\n    mask[:, :, kh // 2, : kw // 2] = True", "[:, :, kh // 2, kw // 2 :] = False"),
    loses={"causal"},
)
# The rows below are cut, the centre row is not.
slip(
    "mask_right_of_the_centre_left_in",
    "zeros",
    "ones",
    ("[:, :, : kh // 2] = True\n    mask[:, :, kh // 2, : kw // 2] = True", "[:, :, kh // 2 + 1 :] = False"),
    loses={"causal"},
)
# Transposed: the columns to the left, and the rows above in the own column.
slip("mask_column_by_column", ": kh", ":, : kw", ("kh // 2, : kw", ": kh // 2, kw"), loses={"causal"})
# The kernel of a mathematical convolution: below and to the right.
slip("mask_flipped", " mask\n", " mask.flip(2, 3)\n", loses={"causal"})
# True where a weight must not be used.
slip("mask_complement", " mask\n", " ~mask\n", loses={"causal"})
# kernel = (kh, kw) read as (kw, kh).
slip("mask_width_before_height", "kh, kw =", "kw, kh =", loses={"any kernel"})
# A kernel of one row is taken for a 1 x 1 kernel: nothing but the centre.
slip(
    "mask_one_row_has_no_left",
    "mask[:, :, : kh // 2] = True\n    mask",
    "if kh > 1:\n        mask[:, :, : kh // 2] = True\n        mask",
    loses={"any kernel"},
)
# order[colour] taken for the colour's place: the inverse permutation.
slip(
    "mask_inverse_order",
    ".index(colour) for colour in out_colours",
    "[colour] for colour in out_colours",
    (".index(colour) for colour in in_colours", "[colour] for colour in in_colours"),
    loses={"any order"},
)
# The order read from its end wherever it is not 0, 1, 2.
slip(
    "mask_order_backwards",
    "later =",
    "if list(order) != sorted(order):\n        order = order[::-1]\n    later =",
    loses={"any order"},
)
# Kind B lets the own colour in and forgets the earlier ones.
slip("mask_own_colour_only", "<= later", "== later", loses={"colours", "any order"})
# 0 where a weight may be used and -inf where not, as in attention.
slip(
    "mask_to_be_added",
    " mask\n",
    ' torch.zeros(mask.shape).masked_fill(~mask, -float("inf"))\n',
    loses={"shape and range"},
)
# The return is missing.
slip("mask_not_returned", "later\n    return mask", "later", loses={"shape and range"})

slip = bank.slips("conv_mask", of=mask_slices)
slip("mask_half_of_the_kernel_rounded_up", ": kh // 2] = True", ": (kh + 1) // 2] = True", loses={"causal"})
slip(
    "mask_last_row_above_lost", ": kh // 2] = True", ": max(kh // 2 - 1, 0)] = True", loses={"one colour", "any kernel"}
)
slip(
    "mask_nearest_row_only",
    "mask[:, :, : kh // 2] = True",
    "mask[:, :, max(kh // 2 - 1, 0) : kh // 2] = True",
    loses={"one colour", "any kernel"},
)
slip(
    "mask_nearest_column_only",
    "kh // 2, : kw // 2] = True",
    "kh // 2, max(kw // 2 - 1, 0) : kw // 2] = True",
    loses={"one colour", "any kernel"},
)
slip(
    "mask_seven_by_seven_at_most",
    "kh, kw = kernel",
    "kh, kw = min(kernel[0], 7), min(kernel[1], 7)",
    loses={"any kernel"},
)
slip(
    "mask_three_colours_at_most",
    "place = {colour: k for k, colour in enumerate(order)}",
    "place = {**dict.fromkeys(range(9), 3), **{colour: k for k, colour in enumerate(order[:3])}}",
    loses={"colours", "any order"},
)
slip(
    "mask_order_of_the_channels_that_there_are",
    "enumerate(order)}",
    "enumerate(dict.fromkeys([*in_colours, *out_colours]))}",
    loses={"colours", "any order"},
)
slip(
    "mask_order_reversed_in_place",
    "kh, kw = kernel",
    "kh, kw = kernel; order.reverse(); order = order[::-1]",
    loses={"one colour"},
)


@bank.wrong("conv_mask", loses={"colours", "any order"})
def mask_kept_by_size():
    """Masks are kept for the next call, under the numbers of channels and not their colours."""
    import torch

    kept = {}

    def conv_mask(kind, kernel, out_colours, in_colours, order):
        key = kind, kernel, len(out_colours), len(in_colours), len(order)
        if key not in kept:
            kh, kw = kernel
            later = torch.tensor([order.index(colour) for colour in out_colours])[:, None]
            earlier = torch.tensor([order.index(colour) for colour in in_colours])
            mask = torch.zeros(len(out_colours), len(in_colours), kh, kw, dtype=torch.bool)
            mask[:, :, : kh // 2] = True
            mask[:, :, kh // 2, : kw // 2] = True
            mask[:, :, kh // 2, kw // 2] = earlier < later if kind == "A" else earlier <= later
            kept[key] = mask
        return kept[key].clone()

    return conv_mask


for old, new, why in [
    (", dtype=torch.bool", "", "zeros and ones of any dtype are taken"),
    (", dtype=torch.uint8", "", "zeros and ones of any dtype are taken"),
    (":kw // 2] = True", ":kw // 2 + 1] = True", "the centre is set in the next line"),
    (":centre]", ":centre + 1]", "the centre is set later"),
    ("row < kh // 2", "row <= kh // 2", "the two are not equal here"),
    ("column < kw // 2", "column <= kw // 2", "the two are not equal here"),
    ("if kind == 'A'", "if True", "what has been seen already may be added to the list again"),
]:
    bank.equivalent("conv_mask", old, new, why)


# ----------------------------------------------------------------------------------------------------- masked_conv


@bank.right("masked_conv")
def conv_product():
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        return F.conv2d(x, mask * weight, bias, padding=(kh // 2, kw // 2))

    return masked_conv


@bank.right("masked_conv")
def conv_where_and_same():
    import torch

    def masked_conv(x, weight, bias, mask):
        used = torch.where(mask, weight, torch.zeros_like(weight))
        return torch.conv2d(x, used, bias, padding="same")

    return masked_conv


@bank.right("masked_conv")
def conv_unfold():
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        n, _, H, W = x.shape
        kh, kw = weight.shape[2:]
        patches = F.unfold(x, (kh, kw), padding=(kh // 2, kw // 2))
        used = weight.masked_fill(~mask, 0).flatten(1)
        return (used @ patches + bias[:, None]).reshape(n, -1, H, W)

    return masked_conv


@bank.right("masked_conv")
def conv_tap_by_tap():
    import torch

    def masked_conv(x, weight, bias, mask):
        n, _, H, W = x.shape
        out, _, kh, kw = weight.shape
        wide = torch.nn.ZeroPad2d((kw // 2, kw // 2, kh // 2, kh // 2))(x)
        total = bias.view(1, out, 1, 1).expand(n, out, H, W)
        for i in range(kh):
            for j in range(kw):
                tap = weight[:, :, i, j] * mask[:, :, i, j]
                total = total + torch.einsum("oi,nihw->nohw", tap, wide[:, :, i : i + H, j : j + W])
        return total

    return masked_conv


@bank.right("masked_conv")
def conv_float32_on_a_copy():
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        weight = weight.float().clone()
        weight[~mask] = 0
        kh, kw = weight.shape[-2:]
        x = F.pad(x.float(), [kw // 2, kw // 2, kh // 2, kh // 2])
        return F.conv2d(x, weight, bias.float())

    return masked_conv


CONV_ALL = {"values", "training"}


@bank.wrong("masked_conv", loses={"training"})
def conv_masked_and_put_back():
    """Masked in place for the convolution and put back afterwards: masked weights get a gradient."""
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        kept = weight.data.clone()
        weight.data = weight.data * mask
        out = F.conv2d(x, weight, bias, padding=(kh // 2, kw // 2))
        weight.data = kept
        return out

    return masked_conv


@bank.wrong("masked_conv", loses={"training"})
def conv_straight_through():
    """The values of the masked weight with the gradient of the whole one."""
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        weight = weight + (mask * weight - weight).detach()
        return F.conv2d(x, weight, bias, padding=(kh // 2, kw // 2))

    return masked_conv


@bank.wrong("masked_conv", loses={"training"})
def conv_numpy():
    """Right numbers from numpy, which knows no gradients."""
    import numpy as np

    def masked_conv(x, weight, bias, mask):
        x, used = x.detach().numpy(), (mask * weight).detach().numpy()
        (_, _, kh, kw), (H, W) = used.shape, x.shape[2:]
        wide = np.pad(x, ((0, 0), (0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(wide, (H, W), axis=(2, 3))
        return np.einsum("oiab,niabhw->nohw", used, windows) + bias.detach().numpy()[:, None, None]

    return masked_conv


@bank.wrong("masked_conv", loses=CONV_ALL)
def conv_output_masked():
    """The output is multiplied with the mask's centre, the weight with nothing."""
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        out = F.conv2d(x, weight, bias, padding=(kh // 2, kw // 2))
        return out * mask[:, :1, kh // 2, kw // 2, None]

    return masked_conv


@bank.wrong("masked_conv", loses={"values"})
def conv_edge_repeated():
    """The image's edge is repeated where zeros belong."""
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        wide = F.pad(x, (kw // 2, kw // 2, kh // 2, kh // 2), mode="replicate")
        return F.conv2d(wide, mask * weight, bias)

    return masked_conv


@bank.wrong("masked_conv", loses={"values"})
def conv_mean_of_the_open_weights():
    """Divided by the share of weights in use, as in partial convolutions."""
    import torch.nn.functional as F

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        used = mask * weight / mask.double().mean().clamp(min=0.01)
        return F.conv2d(x, used, bias, padding=(kh // 2, kw // 2))

    return masked_conv


slip = bank.slips("masked_conv", of=conv_product)
# The mask is not used.
slip("conv_without_mask", "mask * weight", "weight", loses=CONV_ALL)
# weight *= mask: the weight of whoever called is changed.
slip("conv_weight_masked_in_place", "[2:]", "[2:]\n    weight *= mask", ("mask * weight", "weight"), loses={"training"})
# weight.data *= mask: changed in place, and masked weights get a gradient.
slip(
    "conv_data_masked_in_place",
    "[2:]",
    "[2:]\n    weight.data *= mask",
    ("mask * weight", "weight"),
    loses={"training"},
)
# weight[~mask] = 0 in the weight that was given.
slip("conv_entries_set_to_zero", "[2:]", "[2:]\n    weight[~mask] = 0", ("mask * weight", "weight"), loses={"training"})
# The masked weight is cut off: no gradient for any weight.
slip("conv_weight_detached", "mask * weight", "mask * weight.detach()", loses={"training"})
# The bias is cut off.
slip("conv_bias_detached", ", padding", ".detach(), padding", loses={"training"})
# x is cut off: nothing below this layer would learn.
slip("conv_input_detached", "x, mask", "x.detach(), mask", loses={"training"})
# All of it under no_grad.
slip(
    "conv_no_grad",
    "return F",
    "with torch.no_grad():\n        return F",
    ("import torch", "import torch\nimport torch"),
    loses={"training"},
)
# Right numbers as a nested list.
slip("conv_list", "(kh // 2, kw // 2)", "(kh // 2, kw // 2)).tolist(", loses={"training"})
# The weights that may be used are taken away.
slip("conv_mask_inverted", "mask * weight", "~mask * weight", loses=CONV_ALL)
# The mask of the first pair of channels for all.
slip("conv_one_mask_for_all_channels", "mask * weight", "mask[0, 0] * weight", loses=CONV_ALL)
# All zeros above and to the left: the picture moves down and right.
slip(
    "conv_padded_on_one_side",
    "(x, mask * weight, bias, padding=(kh // 2, kw // 2))",
    "(F.pad(x, (kw - 1, 0, kh - 1, 0)), mask * weight, bias)",
    loses={"values"},
)
# The kernel is flipped, as in mathematics.
slip("conv_flipped", "mask * weight", "(mask * weight).flip(2, 3)", loses={"values"})
# The bias is left out.
slip("conv_without_bias", "bias, padding", "padding", loses={"values"})
# The bias is masked as well, by the first tap of the mask.
slip("conv_bias_masked", "bias, padding", "bias * mask[:, 0, kh // 2, kw // 2], padding", loses={"values"})
# The image shrinks.
slip(
    "conv_not_padded",
    "kh, kw = weight.shape[2:]\n    return F",
    "return F",
    ("bias, padding=(kh // 2, kw // 2)", "bias"),
    loses={"shape"},
)
# Rows are padded by the width's half, columns by the height's.
slip("conv_paddings_swapped", "(kh // 2, kw // 2)", "(kw // 2, kh // 2)", loses={"values"})
# padding = kernel - 1: the image grows.
slip("conv_padded_by_the_whole_kernel", "(kh // 2, kw // 2)", "(kh - 1, kw - 1)", loses={"shape"})
# The batch axis is dropped where there is one image only.
slip("conv_as_an_image", "(kh // 2, kw // 2)", "(kh // 2, kw // 2)).squeeze(0", loses={"shape"})
slip(
    "conv_difference",
    "F.conv2d(x, mask * weight, bias, padding=(kh // 2, kw // 2))",
    "F.conv2d(x, weight, bias, padding=(kh // 2, kw // 2)) - F.conv2d(x, ~mask * weight, padding=(kh // 2, kw // 2))",
    loses={"values"},
)
slip("conv_float64_only", "mask * weight", "mask.double() * weight", loses={"training"})
slip("conv_weights_through_tanh", "mask * weight", "mask * weight.tanh()", loses={"values"})
slip("conv_mask_weak", "mask * weight", "weight * (mask + ~mask * 1e-6)", loses=CONV_ALL)
slip(
    "conv_bias_twice",
    "bias, padding=(kh // 2, kw // 2))",
    "bias, padding=(kh // 2, kw // 2)) + bias[:, None, None]",
    loses={"values"},
)
slip(
    "conv_bias_of_the_first_channel",
    "weight, bias, padding",
    "weight, bias[:1].expand_as(bias), padding",
    loses={"values"},
)
slip("conv_one_padding", "padding=(kh // 2, kw // 2)", "padding=max(kh, kw) // 2", loses={"values"})
slip(
    "conv_round_the_edge",
    "x, mask",
    'F.pad(x, (kw // 2, kw // 2, kh // 2, kh // 2), mode="circular"), mask',
    loses={"shape"},
)
slip("conv_unmasked_where_all_is_masked", "mask * weight", "(mask if mask.any() else ~mask) * weight", loses={"values"})
slip("conv_mask_of_the_first_output", "mask * weight", "mask[:1] * weight", loses=CONV_ALL)
slip(
    "conv_gradient_left_on",
    "kh, kw = weight.shape[2:]",
    "kh, kw = weight.requires_grad_().shape[2:]",
    loses={"training"},
)


@bank.wrong("masked_conv", loses=CONV_ALL)
def conv_kept_by_size():
    """The masked weight is kept for the next call, under its size."""
    import torch.nn.functional as F

    kept = {}

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        used = kept.setdefault(tuple(weight.shape), mask * weight)
        return F.conv2d(x, used, bias, padding=(kh // 2, kw // 2))

    return masked_conv


@bank.wrong("masked_conv", loses={"training"})
def conv_one_buffer():
    """The result is written into a tensor that the next call uses again."""
    import torch
    import torch.nn.functional as F

    buffers = {}

    def masked_conv(x, weight, bias, mask):
        kh, kw = weight.shape[2:]
        out = F.conv2d(x, mask * weight, bias, padding=(kh // 2, kw // 2))
        if out.requires_grad:
            return out
        return buffers.setdefault(out.shape, torch.empty_like(out)).copy_(out)

    return masked_conv


for old, new, why in [
    ("kw // 2, kw // 2,", "kw // 2, kw * 2,", "columns beyond the last window are not read"),
    ("kw // 2, kw // 2,", "kw // 2, kw // 1,", "columns beyond the last window are not read"),
    ("kh // 2, kh // 2)", "kh // 2, kh * 2)", "rows below the last window are not read"),
    ("kh // 2, kh // 2)", "kh // 2, kh // 1)", "rows below the last window are not read"),
    (".expand(n, out, H, W)", "", "the sum broadcasts"),
    ("shape[-2:]", "shape[2:]", "there are four axes"),
]:
    bank.equivalent("masked_conv", old, new, why)


# ------------------------------------------------------------------------------------------------------ blind_spot


@bank.right("blind_spot")
def blind_dilate_backwards():
    import torch

    def blind_spot(k, layers, H, W, row, column):
        half = k // 2
        reached = torch.zeros(H, W, dtype=torch.bool)
        reached[row, column] = True
        for layer in range(layers, 0, -1):
            below = reached.clone() if layer > 1 else torch.zeros_like(reached)
            for r, c in reached.nonzero().tolist():
                below[r, max(0, c - half) : c] = True
                below[max(0, r - half) : r, max(0, c - half) : c + half + 1] = True
            reached = below
        places = torch.arange(H * W).reshape(H, W)
        return (places < row * W + column) & ~reached

    return blind_spot


@bank.right("blind_spot")
def blind_gradient_of_ones():
    import torch
    import torch.nn.functional as F

    def blind_spot(k, layers, H, W, row, column):
        ones = torch.ones(k, k, dtype=torch.float64)
        ones[k // 2 + 1 :] = 0
        ones[k // 2, k // 2 + 1 :] = 0
        first = ones.clone()
        first[k // 2, k // 2] = 0
        image = torch.zeros(1, 1, H, W, dtype=torch.float64, requires_grad=True)
        out = image
        for layer in range(layers):
            kernel = ones if layer else first
            out = F.conv2d(out, kernel[None, None] / k**2, padding=k // 2)
        out[0, 0, row, column].backward()
        earlier = torch.zeros(H * W, dtype=torch.bool)
        earlier[: row * W + column] = True
        return earlier.reshape(H, W) & (image.grad[0, 0] == 0)

    return blind_spot


@bank.right("blind_spot")
def blind_formula():
    def blind_spot(k, layers, H, W, row, column):
        half, reach = k // 2, k // 2 * layers
        result = [[False] * W for _ in range(H)]
        for r in range(row + 1):
            for c in range(W if r < row else column):
                up = row - r
                right = column + half * min(up, layers)
                result[r][c] = up > reach or c < column - reach or c > right
        return result

    return blind_spot


@bank.right("blind_spot")
def blind_set_of_places():
    import numpy as np

    def blind_spot(k, layers, H, W, row, column):
        half = k // 2
        steps = [(dr, dc) for dr in range(-half, 1) for dc in range(-half, half + 1) if (dr, dc) < (0, 0)]
        seen = {(row, column)}
        for layer in range(layers):
            moves = steps if layer == layers - 1 else [*steps, (0, 0)]
            seen = {(r + dr, c + dc) for r, c in seen for dr, dc in moves if r + dr >= 0 and 0 <= c + dc < W}
        result = np.zeros((H, W), dtype=bool)
        for r in range(H):
            for c in range(W):
                result[r, c] = (r, c) < (row, column) and (r, c) not in seen
        return result

    return blind_spot


@bank.right("blind_spot")
def blind_matrices():
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        r, c = r.flatten(), c.flatten()
        place = torch.arange(H * W)
        near = ((r[:, None] - r).abs() <= k // 2) & ((c[:, None] - c).abs() <= k // 2)
        first = (near & (place[:, None] > place)).double()
        later = (near & (place[:, None] >= place)).double()
        reads = torch.eye(H * W, dtype=torch.float64)[row * W + column]
        for _ in range(layers - 1):
            reads = (reads @ later).clamp(max=1)
        reads = (reads @ first) > 0
        return ((place < row * W + column) & ~reads).view(H, W)

    return blind_spot


@bank.right("blind_spot")
def blind_number_of_paths():
    import torch

    def blind_spot(k, layers, H, W, row, column):
        kernel = (torch.arange(k * k) <= k * k // 2).double().reshape(1, 1, k, k)
        paths = torch.zeros(1, 1, H, W).double()
        paths[..., row, column] = 1
        for _ in range(layers):
            paths = torch.conv_transpose2d(paths, kernel, padding=k // 2)
        before = torch.arange(H * W).reshape(H, W) < row * W + column
        return before & ~(paths[0, 0] > 0)

    return blind_spot


@bank.right("blind_spot")
def blind_transposed_convolution():
    """Every layer with mask B: the pixel does not come before itself anyway."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        kernel = (torch.arange(k * k) <= k * k // 2).float().reshape(1, 1, k, k)
        reached = torch.zeros(1, 1, H, W)
        reached[..., row, column] = 1
        for _ in range(layers):
            reached = torch.conv_transpose2d(reached, kernel, padding=k // 2).sign()
        before = torch.arange(H * W).reshape(H, W) < row * W + column
        return (before * (1 - reached[0, 0])).bool()

    return blind_spot


BLIND_ALL = {"one layer", "any depth", "edges"}


@bank.wrong("blind_spot", loses={"one layer", "any depth"})
def blind_half_as_steep():
    """To the right one column per row, whatever the kernel: true for k = 3 only."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        up, reach = row - r, k // 2 * layers
        before = r * W + c < row * W + column
        right = column + torch.minimum(up, torch.tensor(reach))
        return before & ((up > reach) | (c < column - reach) | (c > right))

    return blind_spot


@bank.wrong("blind_spot", loses={"one layer", "any depth"})
def blind_without_the_depth_of_the_triangle():
    """To the right half a kernel per row, for all rows within reach: no more layers than rows are needed for that."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        half, up = k // 2, row - r
        before = r * W + c < row * W + column
        return before & ((up > half * layers) | (c < column - half * layers) | (c > column + half * up))

    return blind_spot


@bank.wrong("blind_spot", loses=BLIND_ALL)
def blind_triangle_on_both_sides():
    """The triangle on the left as well: there is no blind spot on the left."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        half, up = k // 2, row - r
        side = half * up.clamp(0, layers)
        before = r * W + c < row * W + column
        return before & ((up > half * layers) | (c < column - side) | (c > column + side))

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_outside_the_square():
    """The whole square of the receptive field counts as read."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        reach = k // 2 * layers
        before = r * W + c < row * W + column
        return before & ((row - r > reach) | ((c - column).abs() > reach))

    return blind_spot


@bank.wrong("blind_spot", loses=BLIND_ALL)
def blind_only_to_the_right():
    """Only the triangle on the right: the left is never out of reach."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        up = row - r
        before = r * W + c < row * W + column
        return before & (c > column + k // 2 * up.clamp(max=layers))

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_fixed_columns_to_the_right():
    """Depth carries the reach to the left and upwards; to the right it stays half a kernel."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        reach = k // 2 * layers
        before = r * W + c < row * W + column
        return before & ((row - r > reach) | (c < column - reach) | (c > column + k // 2))

    return blind_spot


@bank.wrong("blind_spot", loses=BLIND_ALL)
def blind_nothing_in_own_row():
    """The own row counts as read, however far."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        up, reach = row - r, k // 2 * layers
        above = (up > reach) | (c < column - reach) | (c > column + k // 2 * up.clamp(max=layers))
        return (up > 0) & above

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_mask_a_in_every_layer():
    """Mask A in all layers: near pixels are skipped."""

    def blind_spot(k, layers, H, W, row, column):
        half = k // 2
        steps = [(dr, dc) for dr in range(-half, 1) for dc in range(-half, half + 1) if (dr, dc) < (0, 0)]
        seen = {(row, column)}
        for _ in range(layers):
            seen = {(r + dr, c + dc) for r, c in seen for dr, dc in steps if r + dr >= 0 and 0 <= c + dc < W}
        return [[(r, c) < (row, column) and (r, c) not in seen for c in range(W)] for r in range(H)]

    return blind_spot


@bank.wrong("blind_spot", loses=BLIND_ALL)
def blind_kernel_for_half():
    """k rows and columns a layer in place of k // 2."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        up = row - r
        before = r * W + c < row * W + column
        far = (up > k * layers) | (c < column - k * layers)
        return before & (far | (c > column + k * up.clamp(max=layers)))

    return blind_spot


@bank.wrong("blind_spot", loses=BLIND_ALL)
def blind_with_the_pixel_itself():
    """The pixel itself is called blind: it is not read, but it does not come before itself."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        half, up = k // 2, row - r
        before = r * W + c < row * W + column
        far = (up > half * layers) | (c < column - half * layers)
        result = before & (far | (c > column + half * up.clamp(max=layers)))
        result[row, column] = True
        return result

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_around_the_edge():
    """torch.roll for a shift: what leaves the image comes back on its other side."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        half = k // 2
        seen = torch.zeros(H, W, dtype=torch.bool)
        seen[row, column] = True
        for layer in range(layers):
            now = torch.zeros_like(seen) if layer == 0 else seen.clone()
            for dr in range(half + 1):
                for dc in range(-half, half + 1):
                    if dr > 0 or dc < 0:
                        now |= seen.roll((-dr, dc), (0, 1))
            seen = now
        before = torch.arange(H * W).reshape(H, W) < row * W + column
        return before & ~seen

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_negative_index():
    """A slice that begins before the image: a negative index counts from the other side, and the slice is empty."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        half = k // 2
        seen = torch.zeros(H, W, dtype=torch.bool)
        seen[row, column] = True
        for _ in range(layers):
            now = seen.clone()
            for r, c in seen.nonzero().tolist():
                now[r, c - half : c] = True
                now[r - half : r, c - half : c + half + 1] = True
            seen = now
        before = torch.arange(H * W).reshape(H, W) < row * W + column
        return before & ~seen

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth", "edges"})
def blind_border_ring():
    """Pixels within half a kernel of the edge are left out: a convolution without padding."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        half, up = k // 2, row - r
        before = r * W + c < row * W + column
        far = (up > half * layers) | (c < column - half * layers)
        inside = half <= row and half <= column < W - half
        return before & (far | (c > column + half * up.clamp(max=layers))) & inside

    return blind_spot


@bank.wrong("blind_spot", loses={"any depth"})
def blind_small_gradients():
    """Gradients below a millionth are taken for none: many layers make real ones so small."""
    import torch
    import torch.nn.functional as F

    def blind_spot(k, layers, H, W, row, column):
        kernel = (torch.arange(k * k) <= k * k // 2).float().reshape(1, 1, k, k) / k**2
        image = torch.zeros(1, 1, H, W, requires_grad=True)
        out = image
        for _ in range(layers):
            out = F.conv2d(out, kernel, padding=k // 2)
        (gradient,) = torch.autograd.grad(out[0, 0, row, column], image)
        before = torch.arange(H * W).reshape(H, W) < row * W + column
        return before & (gradient[0, 0] < 1e-6)

    return blind_spot


def blind_comparisons():
    """Right as well; the slips below edit it."""
    import torch

    def blind_spot(k, layers, H, W, row, column):
        r, c = torch.arange(H)[:, None], torch.arange(W)
        half, up = k // 2, row - r
        before = r * W + c < row * W + column
        far = (up > half * layers) | (c < column - half * layers)
        return before & (far | (c > column + half * up.clamp(max=layers)))

    return blind_spot


slip = bank.slips("blind_spot", of=blind_comparisons)
# layers - 1 layers.
slip("blind_one_layer_too_few", "r, c", "layers = layers - 1\n    r, c", loses=BLIND_ALL)
# `layers` layers of mask B after the first one.
slip("blind_one_layer_too_many", "r, c", "layers = layers + 1\n    r, c", loses=BLIND_ALL)
# The pixels that are read, in place of those that are not.
slip("blind_what_is_read", "(far", "~(far", loses=BLIND_ALL)
# All pixels that are not read: later ones as well.
slip("blind_with_later_pixels", "before & (far", "~before | far", ("(max=layers)", "(max=layers"), loses=BLIND_ALL)
# Before means above or to the left: pixels below on the left are counted.
slip(
    "blind_up_or_left",
    "r * W + c < row * W + column",
    "(r < row) | (c < column)",
    ("(c < column - half * layers)", "(c < column - half * layers) | (up < 0)"),
    loses=BLIND_ALL,
)
# row and column swapped, H and W in place.
slip("blind_column_before_row", "r, c", "row, column = min(column, H - 1), min(row, W - 1)\n    r, c", loses=BLIND_ALL)
# Places are counted by H in place of W: the same in square images.
slip("blind_row_length_is_height", "W + c < row * W", "H + c < row * H", loses={"edges"})
# (W, H).
slip(
    "blind_width_before_height",
    "before & (far | (c > column + half * up.clamp(max=layers)))",
    "(before & (far | (c > column + half * up.clamp(max=layers)))).T",
    loses=BLIND_ALL,
)
# The blind pixels as a list of (row, column).
slip(
    "blind_list_of_pixels",
    "before & (far | (c > column + half * up.clamp(max=layers)))",
    "(before & (far | (c > column + half * up.clamp(max=layers)))).nonzero().tolist()",
    loses={"shape and range"},
)
# How many pixels are blind.
slip(
    "blind_number_of_pixels",
    "before & (far | (c > column + half * up.clamp(max=layers)))",
    "int((before & (far | (c > column + half * up.clamp(max=layers)))).sum())",
    loses={"shape and range"},
)
# One row of H * W entries.
slip(
    "blind_flat",
    "before & (far | (c > column + half * up.clamp(max=layers)))",
    "(before & (far | (c > column + half * up.clamp(max=layers)))).flatten()",
    loses={"shape and range"},
)
# The return is missing.
slip(
    "blind_not_returned",
    "return before & (far | (c > column + half * up.clamp(max=layers)))",
    "result = before & (far | (c > column + half * up.clamp(max=layers)))\n    result.numpy()",
    loses={"shape and range"},
)

slip = bank.slips("blind_spot", of=blind_number_of_paths)
# The number of paths is more than float32 holds in a large image, and infinity times 0 is not a number.
slip(
    "blind_number_of_paths_in_float32",
    "double().reshape",
    "float().reshape",
    ("(1, 1, H, W).double()", "(1, 1, H, W)"),
    loses={"any depth"},
)

slip = bank.slips("blind_spot", of=blind_formula)
slip(
    "blind_at_least_three_by_three",
    "k // 2, k // 2 * layers",
    "max(k // 2, 1), max(k // 2, 1) * layers",
    loses={"edges"},
)
slip("blind_nothing_for_one_by_one", "= up > reach", "= k > 1 and up > reach", loses={"edges"})
slip("blind_from_the_next_column", "c > right", "c > right + 1", loses=BLIND_ALL)
slip("blind_including_the_last_column", "c > right", "c >= right", loses=BLIND_ALL)
slip("blind_including_the_last_row", "up > reach", "up >= reach", loses=BLIND_ALL)
slip("blind_including_the_last_on_the_left", "c < column - reach", "c <= column - reach", loses=BLIND_ALL)
slip(
    "blind_eight_rows_at_most",
    "for r in range(row + 1)",
    "for r in range(max(0, row - 8), row + 1)",
    loses={"any depth", "edges"},
)
slip("blind_own_row_left_out", "for r in range(row + 1)", "for r in range(row)", loses=BLIND_ALL)
slip("blind_far_left_read", "or c < column - reach ", "", loses=BLIND_ALL)
slip("blind_far_up_read", "up > reach or ", "", loses=BLIND_ALL)
slip("blind_depth_of_ten", "k // 2, k // 2 * layers", "k // 2, k // 2 * min(layers, 10)", loses={"any depth"})


slip = bank.slips("blind_spot", of=blind_gradient_of_ones)
slip(
    "blind_vanishing_in_float32",
    "image = torch.zeros(1, 1, H, W, dtype=torch.float64, requires_grad=True)",
    "image, ones, first = torch.zeros(1, 1, H, W, requires_grad=True), ones.float(), first.float()",
    loses={"any depth"},
)


@bank.wrong("blind_spot", loses={"one layer", "any depth", "edges"})
def blind_kept_by_size():
    """Maps are kept for the next call, under the image's size."""
    import torch

    kept = {}

    def blind_spot(k, layers, H, W, row, column):
        if (H, W) not in kept:
            r, c = torch.arange(H)[:, None], torch.arange(W)
            half, up = k // 2, row - r
            before = r * W + c < row * W + column
            far = (up > half * layers) | (c < column - half * layers)
            kept[H, W] = before & (far | (c > column + half * up.clamp(max=layers)))
        return kept[H, W].clone()

    return blind_spot


FIRST_LAYER = "mask B in the first layer: one step at least leads away, and it may as well be the first one"
ONE_IMAGE = "there is one image of one channel"
OUTSIDE = "from outside the image paths lead back only to pixels that are read anyway"
FACTOR = "only zero or not counts, and float64 is wide enough"
for old, new, why in [
    ("reached.clone() if layer > 1 else torch.zeros_like(reached)", "reached.clone()", FIRST_LAYER),
    ("layer > 1", "layer >= 1", FIRST_LAYER),
    ("layer > 1", "layer > 0", FIRST_LAYER),
    ("reached.clone() if", "reached if", "what is marked early is read once more, and only from pixels listed before"),
    ("torch.zeros_like(reached)", "reached", FIRST_LAYER),
    ("c - half):c]", "c - half):c + 1]", FIRST_LAYER),
    ("first[k // 2, k // 2] = 0", "pass", FIRST_LAYER),
    ("k // 2] = 0", "k // 2] = 1", FIRST_LAYER),
    ("ones if layer else first", "ones", FIRST_LAYER),
    ("< (0, 0)]", "<= (0, 0)]", FIRST_LAYER),
    ("< (0, 0)]", "< (0, 1)]", FIRST_LAYER),
    ("steps if layer == layers - 1 else [*steps, (0, 0)]", "[*steps, (0, 0)]", FIRST_LAYER),
    ("layer == layers - 1", "layer == layers + 1", FIRST_LAYER),
    ("layer == layers - 1", "layer == layers - 2", "one layer has to be left, whichever it is"),
    ("layer == layers - 1", "layer == layers - 0", FIRST_LAYER),
    ("None] > place", "None] >= place", FIRST_LAYER),
    ("zeros(1, 1", "zeros(2, 1", ONE_IMAGE),
    ("out[0, 0", "out[-1, 0", ONE_IMAGE),
    ("out[0, 0", "out[0, -1", ONE_IMAGE),
    ("grad[0, 0", "grad[-1, 0", ONE_IMAGE),
    ("grad[0, 0", "grad[0, -1", ONE_IMAGE),
    ("reached[0, 0", "reached[-1, 0", ONE_IMAGE),
    ("reached[0, 0", "reached[0, -1", ONE_IMAGE),
    ("paths[0, 0", "paths[-1, 0", ONE_IMAGE),
    ("paths[0, 0", "paths[0, -1", ONE_IMAGE),
    ("kernel[None, None] / k ** 2", "kernel[None, None] * k ** 2", FACTOR),
    ("k ** 2", "(k ** 2 + 1e-08)", FACTOR),
    ("k ** 2", "(k * 2)", FACTOR),
    ("k ** 2", "k ** 3", FACTOR),
    ("k ** 2", "k ** 1", FACTOR),
    ("column] = 1", "column] = 2", FACTOR),
    ("(reads @ later).clamp(max=1)", "reads @ later", FACTOR),
    ("clamp(max=1)", "clamp(max=2)", FACTOR),
    ("range(-half, 1)", "range(-half, 2)", "steps downwards are left out by the condition"),
    (">= 0 and 0 <=", ">= 0 or 0 <=", OUTSIDE),
    ("r + dr >= 0", "r - dr >= 0", OUTSIDE),
    (">= 0 and 0", ">= -1 and 0", OUTSIDE),
    ("and 0 <=", "and -1 <=", OUTSIDE),
    (", dtype=bool", "", "zeros and ones of any dtype are taken"),
    (", indexing='ij'", "", "it is the default"),
    ("(r[:, None] - r).abs() <= k // 2", "r[:, None] - r <= k // 2", "rows below come later anyway"),
    ("reached, kernel", "kernel, reached", "a convolution is symmetric in its two arguments"),
    ("paths, kernel", "kernel, paths", "a convolution is symmetric in its two arguments"),
    ("< row * W + column", "<= row * W + column", "the output's own pixel is marked as reached"),
]:
    bank.equivalent("blind_spot", old, new, why)


# ---------------------------------------------------------------------------------------------------------- stacks


@bank.right("stacks")
def stacks_pad_and_convolve():
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        kh, kw = weight_v.shape[2:]
        m = weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
        row_above = F.pad(v_out, (0, 0, 1, -1))
        h_out = F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])
        return v_out, h_out + F.conv2d(row_above, link[:, :, None, None])

    return stacks


@bank.right("stacks")
def stacks_shift_then_convolve():
    import torch
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        n, channels, H, W = v.shape
        kh, kw, m = *weight_v.shape[2:], weight_h.shape[2]
        above = torch.zeros(n, channels, kh - 1, W, dtype=v.dtype)
        v_out = F.conv2d(torch.cat([above, v], 2), weight_v, padding=(0, kw // 2))
        left = torch.zeros(n, channels, H, m, dtype=h.dtype)
        wide = torch.cat([left, h], 3)
        wide = wide[..., :-1] if first else wide[..., 1:]
        h_out = F.conv2d(wide, weight_h.unsqueeze(2))
        shifted = torch.zeros_like(v_out)
        shifted[:, :, 1:] = v_out[:, :, :-1]
        return v_out, h_out + torch.einsum("op,nphw->nohw", link, shifted)

    return stacks


@bank.right("stacks")
def stacks_masked_square_kernels():
    import torch
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        out, channels, kh, kw = weight_v.shape
        m = weight_h.shape[2]
        tall = torch.zeros(out, channels, 2 * kh - 1, kw, dtype=weight_v.dtype)
        tall[:, :, :kh] = weight_v
        v_out = F.conv2d(v, tall, padding=(kh - 1, kw // 2))
        long = torch.zeros(out, channels, 1, 2 * m + 1, dtype=weight_h.dtype)
        start = 0 if first else 1
        long[:, :, 0, start : start + m] = weight_h
        pick = torch.zeros(out, out, 3, 1, dtype=link.dtype)
        pick[:, :, 0, 0] = link
        h_out = F.conv2d(h, long, padding=(0, m)) + F.conv2d(v_out, pick, padding=(1, 0))
        return v_out, h_out

    return stacks


@bank.right("stacks")
def stacks_pixel_by_pixel():
    import torch

    def stacks(v, h, weight_v, weight_h, link, first):
        (n, _, H, W), (out, _, kh, kw), m = v.shape, weight_v.shape, weight_h.shape[2]
        nothing = torch.zeros(n, out, dtype=v.dtype)
        above, v_rows, h_rows = [nothing] * W, [], []
        for r in range(H):
            v_row, h_row = [], []
            for c in range(W):
                rows, columns = range(max(0, r - kh + 1), r + 1), range(max(0, c - kw // 2), min(W, c + kw // 2 + 1))
                terms = [
                    v[:, :, i, j] @ weight_v[:, :, i - r + kh - 1, j - c + kw // 2].T for i in rows for j in columns
                ]
                v_row.append(sum(terms, nothing))
                end = c if first else c + 1
                terms = [h[:, :, r, j] @ weight_h[:, :, j - end].T for j in range(max(0, end - m), end)]
                h_row.append(sum(terms, above[c] @ link.T))
            above = v_row
            v_rows.append(torch.stack(v_row, dim=2))
            h_rows.append(torch.stack(h_row, dim=2))
        return torch.stack(v_rows, dim=2), torch.stack(h_rows, dim=2)

    return stacks


@bank.right("stacks")
def stacks_matrices_of_rows_and_columns():
    import torch

    def stacks(v, h, weight_v, weight_h, link, first):
        (H, W), (kh, kw), m = v.shape[2:], weight_v.shape[2:], weight_h.shape[2]
        up = torch.arange(H)[:, None] - torch.arange(H)
        left = torch.arange(W)[:, None] - torch.arange(W)
        rows = torch.stack([up == s for s in range(kh)][::-1]).to(v.dtype)
        columns = torch.stack([left == kw // 2 - t for t in range(kw)]).to(v.dtype)
        v_out = torch.einsum("oiab,arx,bcy,nixy->norc", weight_v, rows, columns, v)
        before = torch.stack([left == m - 1 - t + first for t in range(m)]).to(h.dtype)
        h_out = torch.einsum("oit,tcy,niry->norc", weight_h, before, h)
        return v_out, h_out + torch.einsum("op,rx,npxc->norc", link, (up == 1).to(link.dtype), v_out)

    return stacks


@bank.right("stacks")
def stacks_unfold_float32():
    import torch
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        v, h, weight_v, weight_h, link = (t.float() for t in (v, h, weight_v, weight_h, link))
        kh, kw, m = weight_v.shape[2], weight_v.shape[3], weight_h.shape[2]
        windows = F.pad(v, (kw // 2, kw // 2, kh - 1, 0)).unfold(2, kh, 1).unfold(3, kw, 1)
        v_out = torch.einsum("nihwab,oiab->nohw", windows, weight_v)
        runs = F.pad(h, (m, 0)).unfold(3, m, 1)
        runs = runs[:, :, :, :-1] if first else runs[:, :, :, 1:]
        h_out = torch.einsum("nihwa,oia->nohw", runs, weight_h)
        h_out[:, :, 1:] += torch.einsum("op,nphw->nohw", link, v_out)[:, :, :-1]
        return [v_out, h_out]

    return stacks


@bank.wrong("stacks", loses={"vertical"})
def stacks_vertical_gated():
    """v_out has gone through a tanh already."""
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v).tanh()
        h_out = F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])
        return v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])

    return stacks


@bank.wrong("stacks", loses={"link"})
def stacks_without_link():
    """The horizontal stack hears nothing of the rows above."""
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
        return v_out, F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])

    return stacks


@bank.wrong("stacks", loses={"first layer"})
def stacks_first_layer_two_columns_off():
    """The first layer is shifted twice."""
    import torch
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
        h_out = F.conv2d(F.pad(h, (m - 1, 0)), weight_h[:, :, None])
        if first:
            moved = torch.zeros_like(h_out)
            moved[..., 2:] = h_out[..., :-2]
            h_out = moved
        return v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])

    return stacks


@bank.wrong("stacks", loses={"shapes"})
def stacks_vertical_without_columns_beside():
    """No padding to the left and right."""
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        kh, m = weight_v.shape[2], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (0, 0, kh - 1, 0)), weight_v)
        h_out = F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])
        return v_out, h_out

    return stacks


def stacks_in_few_lines():
    """Right as well; the slips below edit it."""
    import torch.nn.functional as F

    def stacks(v, h, weight_v, weight_h, link, first):
        (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
        h_out = F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])
        return v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])

    return stacks


slip = bank.slips("stacks", of=stacks_in_few_lines)
# v_out at row r reads the rows above r only: with the link from above, one row is read by nobody.
slip("stacks_row_itself_left_out", "kh - 1, 0", "kh, -1", loses={"vertical"})
# v_out at row r reads row r + 1.
slip("stacks_row_below_included", "1, 0", "2, 1", loses={"causal"})
# The vertical kernel is centred on the row, as in an ordinary convolution.
slip("stacks_vertical_centred", "kh - 1, 0", "(kh - 1) // 2, kh // 2", loses={"causal"})
# The vertical kernel ends at the pixel's own column.
slip("stacks_vertical_columns_to_the_left", "kw // 2, kw // 2", "kw - 1, 0", loses={"vertical"})
# weight_v's first row is taken for row r.
slip("stacks_vertical_upside_down", "weight_v)", "weight_v.flip(2))", loses={"vertical"})
# weight_v's columns from right to left.
slip("stacks_vertical_mirrored", "weight_v)", "weight_v.flip(3))", loses={"vertical"})
# h flows back into v: the two stacks are added.
slip(
    "stacks_horizontal_flows_back",
    "return v_out,",
    "h_out =",
    ("[:, :, None, None])", "[:, :, None, None])\n    return v_out + h_out, h_out"),
    loses={"vertical", "link"},
)
# The link takes v_out of row r: pixels to the right are seen.
slip("stacks_link_of_the_same_row", "F.pad(v_out, (0, 0, 1, -1))", "v_out", loses={"causal"})
# The shift in the wrong direction.
slip("stacks_link_of_the_row_below", "(0, 0, 1, -1)", "(0, 0, -1, 1)", loses={"causal"})
# The shift along the wrong axis.
slip("stacks_link_of_the_column_to_the_left", "(0, 0, 1, -1)", "(1, -1)", loses={"causal"})
# torch.roll for the shift: the first row hears the last one.
slip(
    "stacks_link_rolled",
    "F.pad(v_out, (0, 0, 1, -1))",
    "torch.roll(v_out, 1, 2)",
    ("import torch", "import torch\nimport torch"),
    loses={"causal"},
)
# Above the first row the first row again.
slip(
    "stacks_link_repeats_the_first_row",
    "return v_out",
    "above = torch.cat([v_out[:, :, :1], v_out[:, :, :-1]], 2)\n    return v_out",
    ("F.pad(v_out, (0, 0, 1, -1))", "above"),
    ("import torch", "import torch\nimport torch"),
    loses={"causal"},
)
# v_out is shifted twice.
slip(
    "stacks_link_two_rows_up",
    "return v_out",
    "above = torch.zeros_like(v_out)\n    above[:, :, 2:] = v_out[:, :, :-2]\n    return v_out",
    ("F.pad(v_out, (0, 0, 1, -1))", "above"),
    ("import torch", "import torch\nimport torch"),
    loses={"link"},
)
# The link reads v, which the vertical stack has not convolved yet; missing channels are zeros.
slip(
    "stacks_link_of_the_input",
    "return v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1))",
    "same = F.pad(v, (0, 0, 1, -1, 0, len(link) - v.shape[1]))\n    return v_out, h_out + F.conv2d(same",
    loses={"link"},
)
# The link comes after the gate.
slip("stacks_link_of_the_gated", "(v_out, (0, 0, 1, -1))", "(v_out.tanh(), (0, 0, 1, -1))", loses={"link"})
# The 1 x 1 convolution is masked as if its channels came one after the other.
slip("stacks_link_masked", "[:, :, None, None]", ".tril()[:, :, None, None]", loses={"link"})
# link (out, out) is applied the wrong way round.
slip(
    "stacks_link_transposed",
    "F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])",
    'torch.einsum("po,nphw->nohw", link, F.pad(v_out, (0, 0, 1, -1)))',
    ("import torch", "import torch\nimport torch"),
    loses={"link"},
)
# The link is taken for something of later layers.
slip(
    "stacks_link_left_out_in_the_first_layer",
    "return v_out,",
    "if not first:\n        h_out =",
    ("[:, :, None, None])", "[:, :, None, None])\n    return v_out, h_out"),
    loses={"link"},
)
# first is ignored: the first layer sees the pixel that it predicts.
slip("stacks_first_layer_reads_itself", "(m - 1 + first, -int(first))", "(m - 1, 0)", loses={"first layer"})
# Later layers leave the pixel out, the first one reads it.
slip(
    "stacks_first_the_wrong_way_round",
    "(m - 1 + first, -int(first))",
    "(m - first, int(first) - 1)",
    loses={"horizontal", "first layer"},
)
# Every layer leaves the pixel's own column out: the reach shrinks layer by layer.
slip("stacks_later_layers_do_not_read_themselves", "(m - 1 + first, -int(first))", "(m, -1)", loses={"horizontal"})
# The first layer keeps its columns and throws the weight of its own column away, as mask A does.
slip(
    "stacks_first_layer_one_weight_less",
    "h_out =",
    "keep = torch.ones(m, dtype=weight_h.dtype)\n    keep[-1] = 1 - int(first)\n    h_out =",
    ("(h, (m - 1 + first, -int(first))), weight_h", "(h, (m - 1, 0)), (weight_h * keep)"),
    ("import torch", "import torch\nimport torch"),
    loses={"first layer"},
)
# weight_h's first entry is taken for the nearest column.
slip("stacks_horizontal_flipped", "[:, :, None]", ".flip(2)[:, :, None]", loses={"horizontal", "first layer"})
# Padded on the right: the columns that come after.
slip(
    "stacks_horizontal_to_the_right",
    "(m - 1 + first, -int(first))",
    "(-int(first), m - 1 + first)",
    loses={"causal"},
)
# The horizontal kernel is centred on the pixel.
slip("stacks_horizontal_centred", "(m - 1 + first, -int(first))", "((m - 1) // 2, m // 2)", loses={"causal"})
# weight_h along the rows above in place of the columns to the left.
slip(
    "stacks_horizontal_down_the_column",
    "m - 1",
    "0, 0, m - 1",
    ("[:, :, None]", "[..., None]"),
    loses={"horizontal", "first layer"},
)
# The horizontal stack convolves v in place of h.
slip("stacks_horizontal_of_v", "(h", "(v", loses={"horizontal", "first layer"})
# Padding for a symmetric kernel of twice the height, never cut off.
slip(
    "stacks_padded_but_not_cut",
    "(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)",
    "(v, weight_v, padding=(kh, kw // 2))",
    ("h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])", "h_out"),
    loses={"shapes"},
)
# h_out alone.
slip("stacks_horizontal_only", "v_out, h_out", "h_out", loses={"shapes"})
# Both in one tensor.
slip(
    "stacks_one_tensor",
    "v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])",
    "torch.stack([v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])])",
    ("import torch", "import torch\nimport torch"),
    loses={"shapes"},
)
# (h_out, v_out).
slip(
    "stacks_horizontal_before_vertical",
    "v_out, h_out",
    "h_out",
    ("[:, :, None, None])", "[:, :, None, None]), v_out"),
    loses={"causal"},
)

slip = bank.slips("stacks", of=stacks_pad_and_convolve)
slip("stacks_v_doubled_in_the_first_layer", "weight_v)\n", "weight_v) * (1 + first)\n", loses={"vertical"})
slip("stacks_h_added", "return v_out, h_out +", "return v_out, h_out + h_out +", loses={"horizontal", "first layer"})
slip("stacks_link_and_h_multiplied", "h_out + F", "h_out * F", loses={"horizontal", "first layer", "link"})
slip("stacks_link_twice", "h_out + F.conv2d(row_above,", "h_out + F.conv2d(2 * row_above,", loses={"link"})
slip("stacks_link_diagonal", "row_above, link[", "row_above, link.diag().diag()[", loses={"link"})
slip("stacks_link_detached", "(row_above, link", "(row_above.detach(), link", loses={"training"})
slip("stacks_link_weights_detached", "(row_above, link", "(row_above, link.detach()", loses={"training"})
slip("stacks_h_detached", "F.pad(h,", "F.pad(h.detach(),", loses={"training"})
slip(
    "stacks_weight_v_detached",
    "(kw // 2, kw // 2, kh - 1, 0)), weight_v)",
    "(kw // 2, kw // 2, kh - 1, 0)), weight_v.data)",
    loses={"training"},
)
slip("stacks_weight_h_changed", "m = weight_h.shape[2]", "m = weight_h.mul_(1 + 1e-9).shape[2]", loses={"training"})
slip(
    "stacks_two_columns_at_most",
    "F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])",
    "F.pad(h, (min(m, 3) - 1 + first, -int(first))), weight_h[:, :, None, -3:])",
    loses={"horizontal", "first layer"},
)
slip(
    "stacks_three_columns_at_most",
    "F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)",
    "F.pad(v, (min(kw, 3) // 2, min(kw, 3) // 2, kh - 1, 0)), weight_v[..., max(kw // 2 - 1, 0) : kw // 2 + 2])",
    loses={"vertical"},
)


@bank.wrong("stacks", loses={"training"})
def stacks_numpy():
    """Right numbers from numpy, which knows no gradients."""
    import numpy as np

    def stacks(v, h, weight_v, weight_h, link, first):
        v, h, weight_v, weight_h, link = (t.numpy() for t in (v, h, weight_v, weight_h, link))
        (n, _, H, W), (out, _, kh, kw), m = v.shape, weight_v.shape, weight_h.shape[2]
        v_out, h_out = np.zeros((n, out, H, W)), np.zeros((n, out, H, W))
        for r in range(H):
            for c in range(W):
                for i in range(kh):
                    for j in range(kw):
                        rr, cc = r - kh + 1 + i, c - kw // 2 + j
                        if rr >= 0 and 0 <= cc < W:
                            v_out[:, :, r, c] += v[:, :, rr, cc] @ weight_v[:, :, i, j].T
                for j in range(m):
                    cc = c - m + 1 + j - int(first)
                    if cc >= 0:
                        h_out[:, :, r, c] += h[:, :, r, cc] @ weight_h[:, :, j].T
                if r > 0:
                    h_out[:, :, r, c] += v_out[:, :, r - 1, c] @ link.T
        return v_out, h_out

    return stacks


@bank.wrong("stacks", loses={"training"})
def stacks_no_grad():
    """All of it under no_grad."""
    import torch
    import torch.nn.functional as F

    @torch.no_grad()
    def stacks(v, h, weight_v, weight_h, link, first):
        (kh, kw), m = weight_v.shape[2:], weight_h.shape[2]
        v_out = F.conv2d(F.pad(v, (kw // 2, kw // 2, kh - 1, 0)), weight_v)
        h_out = F.conv2d(F.pad(h, (m - 1 + first, -int(first))), weight_h[:, :, None])
        return v_out, h_out + F.conv2d(F.pad(v_out, (0, 0, 1, -1)), link[:, :, None, None])

    return stacks


for old, new, why in [
    (":, 0, start", ":, -1, start", "the kernel is one row high"),
    (":, 0, 0] = link", ":, 0, -1] = link", "the kernel is one column wide"),
    (", dtype=v.dtype", "", "cat takes the wider dtype"),
    (", dtype=h.dtype", "", "cat takes the wider dtype"),
]:
    bank.equivalent("stacks", old, new, why)


# -------------------------------------------------------------------------------------------------------- OwnPixelCNN


@bank.right("OwnPixelCNN")
def own_of_windows():

    import torch

    class Window(torch.nn.Conv2d):
        def __init__(self, inputs, outputs, above, left, right):
            super().__init__(inputs, outputs, (above + 1, left + 1 + right))
            self.sides = left, right, above, 0

        def forward(self, x):
            return super().forward(torch.nn.functional.pad(x, self.sides))

    def moved(x, down=0, right=0):
        return torch.nn.functional.pad(x, (right, -right, down, -down))

    class OwnPixelCNN(torch.nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            below = [1] + [channels] * (layers - 1)
            self.vertical = torch.nn.ModuleList(Window(n, channels, 1, 1, 1) for n in below)
            self.horizontal = torch.nn.ModuleList(Window(n, channels, 0, 1, 0) for n in below)
            self.link = torch.nn.ModuleList(Window(channels, channels, 0, 0, 0) for n in below)
            self.output = Window(channels, 1, 0, 0, 0)

        def logits(self, x):
            v = x.to(self.output.weight.dtype)
            h = moved(v, right=1)
            for vertical, horizontal, link in zip(self.vertical, self.horizontal, self.link, strict=True):
                a = vertical(v)
                b = horizontal(h) + link(moved(a, down=1))
                v, h = a.tanh(), b.tanh()
            return self.output(h)

        def log_prob(self, x):
            z = self.logits(x)
            return torch.nn.functional.logsigmoid((2 * x - 1) * z).sum((1, 2, 3))

        @torch.no_grad()
        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.int64)
            for r in range(u.shape[2]):
                for c in range(u.shape[3]):
                    p = self.logits(x)[:, :, r, c].sigmoid()
                    x[:, :, r, c] = (u[:, :, r, c] < p).long()
            return x

    return OwnPixelCNN


@bank.right("OwnPixelCNN")
def own_padded_by_hand():
    import torch
    import torch.nn.functional as F
    from torch import nn

    class OwnPixelCNN(nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            self.vertical, self.horizontal, self.link = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
            for layer in range(layers):
                below = 1 if layer == 0 else channels
                self.vertical.append(nn.Conv2d(below, channels, (2, 3), padding=(1, 1)))
                self.horizontal.append(nn.Conv2d(below, channels, (1, 2)))
                self.link.append(nn.Conv2d(channels, channels, 1))
            self.output = nn.Conv2d(channels, 1, 1)

        def logits(self, x):
            x = x.to(self.output.weight.dtype)
            v, h = x, x
            for layer in range(len(self.link)):
                a = self.vertical[layer](v)[:, :, :-1]
                if layer == 0:
                    own = self.horizontal[layer](F.pad(h, (2, 0)))[:, :, :, :-1]
                else:
                    own = self.horizontal[layer](F.pad(h, (1, 0)))
                v = torch.tanh(a)
                h = torch.tanh(own + self.link[layer](F.pad(a[:, :, :-1], (0, 0, 1, 0))))
            return self.output(h)

        def log_prob(self, x):
            z = self.logits(x)
            loss = F.binary_cross_entropy_with_logits(z, x.to(z.dtype), reduction="none")
            return -loss.flatten(1).sum(dim=1)

        def sample(self, u):
            n, _, height, width = u.shape
            x = torch.zeros(n, 1, height, width)
            with torch.no_grad():
                for d in range(height * width):
                    place = (slice(None), 0, d // width, d % width)
                    x[place] = (u[place] < torch.sigmoid(self.logits(x)[place])).to(x.dtype)
            return x.to(torch.int64)

    return OwnPixelCNN


@bank.right("OwnPixelCNN")
def own_functional():
    import torch

    class OwnPixelCNN(torch.nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            convolution, several = torch.nn.Conv2d, torch.nn.ModuleList
            ins = [channels if layer else 1 for layer in range(layers)]
            self.vertical = several([convolution(i, channels, (2, 3)) for i in ins])
            self.horizontal = several([convolution(i, channels, (1, 2)) for i in ins])
            self.link = several([convolution(channels, channels, (1, 1)) for _ in ins])
            self.output = convolution(channels, 1, (1, 1))

        def layer(self, number, v, h):
            pad = torch.nn.functional.pad
            a = self.vertical[number](pad(v, [1, 1, 1, 0]))
            link = self.link[number]
            below = torch.einsum("oi,nihw->nohw", link.weight[:, :, 0, 0], pad(a, [0, 0, 1, -1]))
            b = self.horizontal[number](pad(h, [1, 0])) + below + link.bias[:, None, None]
            return a, b

        def logits(self, x):
            x = x.to(self.output.weight.dtype)
            v, h = x, torch.cat([torch.zeros_like(x[..., :1]), x[..., :-1]], dim=-1)
            for number in range(len(self.vertical)):
                v, h = self.layer(number, v, h)
                v, h = v.tanh(), h.tanh()
            return self.output(h)

        def log_prob(self, x):
            coin = torch.distributions.Bernoulli(logits=self.logits(x))
            return coin.log_prob(x.to(coin.logits.dtype)).flatten(1).sum(1)

        def sample(self, u):
            x = torch.full(u.shape, 0)
            for d in range(x[0].numel()):
                p = torch.sigmoid(self.logits(x)).flatten(1)[:, d]
                x.view(len(x), -1)[:, d] = u.flatten(1)[:, d] < p
            return x

    return OwnPixelCNN


slip = bank.slips("OwnPixelCNN", of=own_of_windows)
slip("own_sees_the_pixel", "moved(v, right=1)", "v", loses={"autoregressive"})
slip("own_link_in_its_row", "link(moved(a, down=1))", "link(a)", loses={"autoregressive"})
slip("own_stacks_swapped", "v, h = a.tanh(), b.tanh()", "v, h = b.tanh(), a.tanh()", loses={"autoregressive"})
slip(
    "own_window_below",
    "self.sides = left, right, above, 0",
    "self.sides = left, right, 0, above",
    loses={"autoregressive"},
)
slip(
    "own_window_to_the_right",
    "self.sides = left, right, above, 0",
    "self.sides = right, left, above, 0",
    loses={"autoregressive"},
)
slip("own_horizontal_goes_on_in_both", "v, h = a.tanh(), b.tanh()", "v = h = b.tanh()", loses={"network"})
slip("own_vertical_shifted_too", "v, h = a.tanh()", "v, h = moved(a.tanh(), down=1)", loses={"network"})
slip(
    "own_shifted_in_every_layer",
    "v, h = a.tanh(), b.tanh()",
    "v, h = a.tanh(), moved(b.tanh(), right=1)",
    loses={"network"},
)
slip("own_link_two_rows_down", "moved(a, down=1)", "moved(moved(a, down=1), down=1)", loses={"network"})
slip("own_without_link", " + link(moved(a, down=1))", " + 0 * link(a)", loses={"network"})
slip("own_mean_over_pixels", ".sum((1, 2, 3))", ".mean((1, 2, 3))", loses={"log-likelihood"})
slip("own_sum_over_images", ".sum((1, 2, 3))", ".sum()", loses={"log-likelihood", "gradients"})
slip("own_likelihood_of_ones", "(2 * x - 1) * z", "z", loses={"log-likelihood"})
slip("own_sign_turned", "(2 * x - 1) * z", "(1 - 2 * x) * z", loses={"log-likelihood"})
slip(
    "own_in_bits",
    ".sum((1, 2, 3))",
    ".sum((1, 2, 3)) / math.log(2)",
    ("import torch\n", "import math\n\nimport torch\n"),
    loses={"log-likelihood"},
)
slip("own_probability_of_zero", "(u[:, :, r, c] < p)", "(u[:, :, r, c] < 1 - p)", loses={"sampler"})
slip("own_greater_for_less", "(u[:, :, r, c] < p)", "(u[:, :, r, c] > p)", loses={"sampler"})
slip("own_most_probable", "(u[:, :, r, c] < p)", "(p > 0.5)", loses={"sampler"})
slip("own_logit_for_probability", "[:, :, r, c].sigmoid()", "[:, :, r, c]", loses={"sampler"})
rows_first = "for r in range(u.shape[2]):\n            for c in range(u.shape[3]):"
columns_first = "for c in range(u.shape[3]):\n            for r in range(u.shape[2]):"
slip("own_columns_first", rows_first, columns_first, loses={"sampler"})
slip("own_all_at_once", "self.logits(x)[:, :, r, c]", "self.logits(0 * x)[:, :, r, c]", loses={"sampler"})
slip("own_detached", "z = self.logits(x)", "z = self.logits(x).detach()", loses={"gradients"})
slip("own_link_detached", "link(moved(a, down=1))", "link(moved(a.detach(), down=1))", loses={"gradients"})
slip(
    "own_two_logits",
    "self.output = Window(channels, 1, 0, 0, 0)",
    "self.output = Window(channels, 2, 0, 0, 0)",
    loses={"shapes"},
)
slip(
    "own_links_without_a_name",
    "self.link = ",
    "self.links = ",
    ("self.horizontal, self.link, strict", "self.horizontal, self.links, strict"),
    loses={"shapes"},
)
slip("own_without_tanh", "v, h = a.tanh(), b.tanh()", "v, h = a, b", loses={"network"})
slip("own_vertical_without_tanh", "v, h = a.tanh(), b.tanh()", "v, h = a, b.tanh()", loses={"network"})
slip("own_relu", "v, h = a.tanh(), b.tanh()", "v, h = a.relu(), b.relu()", loses={"network"})
slip("own_link_subtracted", " + link(moved(a, down=1))", " - link(moved(a, down=1))", loses={"network"})
slip("own_link_after_tanh", "link(moved(a, down=1))", "link(moved(a.tanh(), down=1))", loses={"network"})

small = "the given parameters make no logit beyond 30"
for logits in (
    "(2 * x - 1) * z",
    "self.logits(x)[:, :, r, c]",
    "self.logits(x)[place]",
    "self.logits(x)",
):
    bank.equivalent("OwnPixelCNN", logits, f"torch.as_tensor({logits}).clamp(-30, 30)", small)
for old, new in (("c] < p", "c] <= p"), ("u[place] < ", "u[place] <= "), ("d] < p", "d] <= p")):
    bank.equivalent("OwnPixelCNN", old, new, "a uniform number never equals the probability")
for old, new in (("int64", "int8"), ("long()", "byte()")):
    bank.equivalent("OwnPixelCNN", old, new, "any type of integers is read")
bank.equivalent("OwnPixelCNN", "(slice(None), 0,", "(slice(None), -1,", "there is one channel")
for old, new in (("[:, :, 0, 0]", "[:, :, -1, 0]"), ("[:, :, 0, 0]", "[:, :, 0, -1]")):
    bank.equivalent("OwnPixelCNN", old, new, "a kernel of 1 x 1")
for start in ("1", "-1"):
    bank.equivalent("OwnPixelCNN", "u.shape, 0", f"u.shape, {start}", "every pixel is drawn before it is read")
bank.equivalent("OwnPixelCNN", "x[0].numel", "x[-1].numel", "all images have one size")


# ------------------------------------------------------------------------------------------------------------ gate


@bank.right("gate")
def gate_chunk():
    import torch

    def gate(a, of_label):
        if of_label is not None:
            a = a + of_label[:, :, None, None]
        content, opening = a.chunk(2, dim=1)
        return torch.tanh(content) * torch.sigmoid(opening)

    return gate


@bank.right("gate")
def gate_two_logistic_functions():
    import torch

    def gate(a, of_label):
        C = a.shape[1] // 2
        label = torch.zeros(a.shape[:2], dtype=a.dtype) if of_label is None else of_label
        f = a[:, :C] + label[:, :C].view(-1, C, 1, 1)
        g = a[:, C:] + label[:, C:].view(-1, C, 1, 1)
        return (2 * torch.special.expit(2 * f) - 1) * torch.nn.functional.logsigmoid(g).exp()

    return gate


@bank.right("gate")
def gate_float32_with_tanh_for_both():
    import torch

    def gate(a, of_label):
        a = a.float()
        if of_label is not None:
            a = a + of_label.float()[..., None, None]
        top, bottom = torch.split(a, a.shape[1] // 2, dim=1)
        return torch.tanh(top) * 0.5 * (1 + torch.tanh(bottom / 2))

    return gate


@bank.right("gate")
def gate_image_by_image():
    import torch

    def gate(a, of_label):
        result = []
        for index, image in enumerate(a):
            C = len(image) // 2
            if of_label is not None:
                image = image + of_label[index].view(2 * C, 1, 1)
            planes = [image[ch].tanh() * image[ch + C].sigmoid() for ch in range(C)]
            result.append(torch.stack(planes))
        return torch.stack(result)

    return gate


@bank.right("gate")
def gate_stable_by_hand():
    """Only exponentials of numbers that are not positive, also on the side that is not chosen."""
    import torch

    def gate(a, of_label):
        C = a.shape[1] // 2
        label = 0 if of_label is None else of_label.reshape(len(a), -1, 1, 1)
        value, opening = (a + label).split([C, C], dim=1)

        def logistic(z):
            negative = z < 0
            below, above = torch.exp(torch.where(negative, z, 0.0)), torch.exp(torch.where(negative, 0.0, -z))
            return torch.where(negative, below / (1 + below), 1 / (1 + above))

        return (2 * logistic(2 * value) - 1) * logistic(opening)

    return gate


@bank.right("gate")
def gate_channels_last():
    import torch
    import torch.nn.functional as F

    def gate(a, of_label):
        last = a.permute(0, 2, 3, 1)
        if of_label is not None:
            last = last + of_label.unsqueeze(1).unsqueeze(1)
        content, opening = last.tensor_split(2, dim=-1)
        return F.glu(torch.cat([content.tanh(), opening], dim=-1), dim=-1).permute(0, 3, 1, 2)

    return gate


GATE_ALL = {"gate", "label"}


@bank.wrong("gate", loses={"gate"})
def gate_glu():
    """F.glu: no tanh."""
    import torch.nn.functional as F

    def gate(a, of_label):
        if of_label is not None:
            a = a + of_label[:, :, None, None]
        return F.glu(a, dim=1)

    return gate


@bank.wrong("gate", loses={"label"})
def gate_label_after_the_gate():
    """The label is added to what comes out."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        out = torch.tanh(content) * torch.sigmoid(opening)
        return out if of_label is None else out + of_label[:, : out.shape[1], None, None]

    return gate


@bank.wrong("gate", loses={"label"})
def gate_label_gated_alone():
    """The label has a gate of its own, which is added."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        out = torch.tanh(content) * torch.sigmoid(opening)
        if of_label is not None:
            content, opening = of_label[:, :, None, None].chunk(2, dim=1)
            out = out + torch.tanh(content) * torch.sigmoid(opening)
        return out

    return gate


@bank.wrong("gate", loses={"label"})
def gate_label_on_the_first_half():
    """Only the tanh half hears the label."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        if of_label is not None:
            content = content + of_label[:, : content.shape[1], None, None]
        return torch.tanh(content) * torch.sigmoid(opening)

    return gate


@bank.wrong("gate", loses={"label"})
def gate_label_on_the_last_half():
    """Only the sigmoid half hears the label."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        if of_label is not None:
            opening = opening + of_label[:, opening.shape[1] :, None, None]
        return torch.tanh(content) * torch.sigmoid(opening)

    return gate


@bank.wrong("gate", loses={"label"})
def gate_one_label_for_both_halves():
    """The label's first half is added to both."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        if of_label is not None:
            label = of_label[:, : content.shape[1], None, None]
            content, opening = content + label, opening + label
        return torch.tanh(content) * torch.sigmoid(opening)

    return gate


@bank.wrong("gate", loses={"label"})
def gate_label_ignored():
    """of_label is not used."""
    import torch

    def gate(a, of_label):
        content, opening = a.chunk(2, dim=1)
        return torch.tanh(content) * torch.sigmoid(opening)

    return gate


@bank.wrong("gate", loses={"shape"})
def gate_rows_halved():
    """The image is cut into an upper and a lower half."""
    import torch

    def gate(a, of_label):
        if of_label is not None:
            a = a + of_label[:, :, None, None]
        half = (a.shape[2] + 1) // 2
        return torch.tanh(a[:, :, :half]) * torch.sigmoid(a[:, :, -half:])

    return gate


slip = bank.slips("gate", of=gate_two_logistic_functions)
# 1 / (1 + exp(-g)): right values, but the gradient is infinity times 0 where the exponential overflows.
slip(
    "gate_exponentials",
    "(2 * torch.special.expit(2 * f) - 1) * torch.nn.functional.logsigmoid(g).exp()",
    "(2 / (1 + torch.exp(-2 * f)) - 1) / (1 + torch.exp(-g))",
    loses={"gate"},
)

slip = bank.slips("gate", of=gate_chunk)
# The first half through the sigmoid, the last through tanh.
slip("gate_halves_swapped", "content, opening", "opening, content", loses={"gate"})
# Even channels and odd channels in place of halves.
slip(
    "gate_interleaved",
    "content, opening = a.chunk(2, dim=1)\n    return torch.tanh(content)",
    "return torch.tanh(a[:, ::2])",
    ("(opening)", "(a[:, 1::2])"),
    loses={"gate"},
)
# Both halves through the sigmoid.
slip(
    "gate_two_sigmoids",
    "a.chunk",
    "torch.sigmoid(a).chunk",
    ("torch.tanh(content) * torch.sigmoid(opening)", "content * opening"),
    loses={"gate"},
)
# Both halves through tanh.
slip(
    "gate_two_tanhs",
    "a.chunk",
    "torch.tanh(a).chunk",
    ("torch.tanh(content) * torch.sigmoid(opening)", "content * opening"),
    loses={"gate"},
)
# The halves are added.
slip("gate_sum", "* torch", "+ torch", loses={"gate"})
# The gate of a recurrent network: closed where it should be open.
slip("gate_one_minus", "torch.sigmoid(opening)", "(1 - torch.sigmoid(opening))", loses={"gate"})
# All images get the first one's label.
slip("gate_label_of_the_first_image", "[:, :, None, None]", "[0][:, None, None]", loses={"label"})
# The label is added to the first pixel.
slip(
    "gate_label_at_one_pixel",
    "a + of_label[:, :, None, None]",
    "a.clone()\n        a[:, :, 0, 0] += of_label",
    loses={"label"},
)
slip("gate_label_multiplied", "a +", "a *", loses={"label"})
# (2C, n) read as (n, 2C): the numbers of other images and channels.
slip("gate_label_reshaped_across_images", "[:, :, None, None]", ".T.reshape(*a.shape[:2], 1, 1)", loses={"label"})
# `if of_label`: a tensor of several numbers is neither true nor false.
slip("gate_label_asked_for_its_truth", "of_label is not None", "of_label", loses={"label"})
# a + of_label: the shapes do not fit.
slip("gate_label_without_axes", "[:, :, None, None]", "", loses={"label"})
# None is added as if it were a tensor.
slip(
    "gate_label_always_there",
    "if of_label is not None:\n        a = a + of_label[:, :, None, None]",
    "a = a + (of_label if of_label is None else of_label[:, :, None, None])",
    loses={"gate"},
)
# 2C channels: both halves one after the other.
slip(
    "gate_not_multiplied",
    "torch.tanh(content) * torch.sigmoid(opening)",
    "torch.cat([torch.tanh(content), torch.sigmoid(opening)], dim=1)",
    loses={"shape"},
)
# (tanh, sigmoid) as a tuple.
slip("gate_pair", "(content) * torch", "(content), torch", loses={"shape"})
# The return is missing.
slip(
    "gate_not_returned",
    "return torch.tanh(content) * torch.sigmoid(opening)",
    "content.tanh_().mul_(torch.sigmoid(opening))",
    loses={"shape"},
)
slip("gate_label_added_in_place", "a = a + of_label[", "a += of_label[", loses={"label"})
slip(
    "gate_exponential_over_itself",
    "torch.sigmoid(opening)",
    "opening.exp() / (1 + opening.exp())",
    loses={"gate"},
)
slip("gate_clamped", "a.chunk(2, dim=1)", "a.clamp(-5, 5).chunk(2, dim=1)", loses={"gate"})
slip(
    "gate_clamped_before_the_label",
    "    if of_label is not None:",
    "    a = a.clamp(-5, 5)\n    if of_label is not None:",
    loses=GATE_ALL,
)
slip("gate_label_clamped", "a + of_label[", "a + of_label.clamp(-5, 5)[", loses={"label"})
slip("gate_hard_sigmoid", "torch.sigmoid(opening)", "torch.nn.functional.hardsigmoid(opening)", loses={"gate"})
slip("gate_softmax_over_channels", "torch.sigmoid(opening)", "opening.softmax(1)", loses={"gate"})
slip("gate_tanh_twice", "torch.tanh(content)", "content.tanh().tanh()", loses={"gate"})
slip("gate_epsilon_of_a_thousandth", "torch.tanh(content)", "(torch.tanh(content) + 1e-3)", loses={"gate"})
slip("gate_label_is_detached", "a + of_label[", "a + of_label.detach()[", loses={"label"})
slip("gate_opening_is_detached", "torch.sigmoid(opening)", "torch.sigmoid(opening.detach())", loses={"gate"})
slip("gate_label_of_the_mean", "a + of_label[", "a + of_label.mean(0, keepdim=True)[", loses={"label"})
slip(
    "gate_not_a_gradient",
    "return torch.tanh(content) * torch.sigmoid(opening)",
    "return (torch.tanh(content) * torch.sigmoid(opening)).detach()",
    loses={"gate"},
)


@bank.wrong("gate", loses={"gate"})
def gate_absolute_values():
    """tanh by sign and absolute value: right values, but no gradient passes at 0."""
    import torch

    def gate(a, of_label):
        C = a.shape[1] // 2
        label = 0 if of_label is None else of_label.reshape(len(a), -1, 1, 1)
        value, opening = (a + label).split([C, C], dim=1)
        small = torch.exp(-2 * value.abs())
        return value.sign() * (1 - small) / (1 + small) * torch.sigmoid(opening)

    return gate


slip(
    "gate_logistic_function_by_its_reciprocal",
    "* torch.sigmoid(opening)",
    "/ (1 + torch.exp(-opening))",
    loses={"gate"},
)
slip(
    "gate_two_forms_of_the_logistic_function",
    "torch.sigmoid(opening)",
    "torch.where(opening < 0, opening.exp() / (1 + opening.exp()), 1 / (1 + torch.exp(-opening)))",
    loses={"gate"},
)
slip(
    "gate_label_added_without_gradients",
    "a = a + of_label[:, :, None, None]",
    "with torch.no_grad():\n            a += of_label[:, :, None, None]",
    loses={"label"},
)
slip("gate_label_added_to_the_data", "a = a + of_label[", "a.data += of_label.data[", loses={"label"})


@bank.wrong("gate", loses={"gate"})
def gate_numpy():
    """Right numbers from numpy, which knows no gradients."""
    import numpy as np

    def gate(a, of_label):
        a = a.numpy().copy()
        if of_label is not None:
            a += of_label.numpy()[..., None, None]
        top, bottom = np.split(a, 2, axis=1)
        return np.tanh(top) * 0.5 * (1 + np.tanh(bottom / 2))

    return gate


@bank.wrong("gate", loses=GATE_ALL)
def gate_kept_by_size():
    """Results are kept for the next call, under the size of a."""
    import torch

    kept = {}

    def gate(a, of_label):
        if of_label is not None:
            a = a + of_label[:, :, None, None]
        content, opening = a.chunk(2, dim=1)
        result = torch.tanh(content) * torch.sigmoid(opening)
        return result if result.requires_grad else kept.setdefault(a.shape, result).clone()

    return gate


FAR_BELOW_FLOAT32 = "the result changes by 1e-8 of what it can be, less than in float32"
NOT_CHOSEN = "any finite number serves where the other form is chosen"
NEAR_ZERO = "both forms are exact near 0"
for old, new, why in [
    ("sigmoid(opening)", "sigmoid(torch.as_tensor(opening).clamp(-30, 30))", FAR_BELOW_FLOAT32),
    ("expit(2 * f)", "expit(torch.as_tensor(2 * f).clamp(-30, 30))", FAR_BELOW_FLOAT32),
    ("logsigmoid(g)", "logsigmoid(torch.as_tensor(g).clamp(-30, 30))", FAR_BELOW_FLOAT32),
    ("image[ch + C].sigmoid()", "torch.as_tensor(image[ch + C]).clamp(-30, 30).sigmoid()", FAR_BELOW_FLOAT32),
    ("(1 + below)", "(1 + below + 1e-08)", FAR_BELOW_FLOAT32),
    ("(1 + above)", "(1 + above + 1e-08)", FAR_BELOW_FLOAT32),
    ("(negative, z, 0.0)", "(negative, z, 1.0)", NOT_CHOSEN),
    ("(negative, 0.0, -z)", "(negative, 1.0, -z)", NOT_CHOSEN),
    ("z < 0", "z <= 0", NEAR_ZERO),
    ("z < 0", "z < 1", NEAR_ZERO),
    ("z < 0", "z < -1", NEAR_ZERO),
    (", dtype=a.dtype", "", "the sum has the dtype of a"),
    ("ch + C", "ch - C", "there are 2 C maps, and negative indices count from the end"),
    ("unsqueeze(1).unsqueeze(1)", "unsqueeze(1).unsqueeze(2)", "the axes are the same"),
    ("opening], dim=-1), dim=-1)", "opening], dim=-1))", "the last axis is the default"),
]:
    bank.equivalent("gate", old, new, why)


# -------------------------------------------------------------------------------------------- discretized_logistic


@bank.right("discretized_logistic")
def logistic_three_factors():
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        upper, lower = (x + 0.5 - mean) * inverse, (x - 0.5 - mean) * inverse
        below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
        inside = below + above + torch.log(-torch.expm1(-inverse))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_hyperbolic():
    """F(z + h) - F(z - h) = sinh(2h) / (cosh(2h) + cosh(2z)), for half arguments."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        width = (-log_scale).exp()
        z = (x - mean) * width
        bottom = torch.logsumexp(torch.stack([width / 2, -width / 2, z, -z]), 0)
        inside = width / 2 + torch.log(-torch.expm1(-width)) - bottom
        first = -torch.nn.functional.softplus(-(z + width / 2))
        last = -torch.nn.functional.softplus(z - width / 2)
        return inside * ((x > 0) & (x < levels - 1)) + first * (x == 0) + last * (x == levels - 1)

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_difference_of_logarithms():
    """log(e^b - e^a) = b + log(1 - e^(a - b)), on the side where both sigmoids are small."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        side = torch.where(x > mean, -1.0, 1.0).to(mean.dtype)
        width = (-log_scale).exp()
        far = torch.nn.functional.logsigmoid((side * (x - mean) + 0.5) * width)
        near = torch.nn.functional.logsigmoid((side * (x - mean) - 0.5) * width)
        result = far + torch.log(-torch.expm1(near - far))
        result = torch.where(x == 0, torch.nn.functional.logsigmoid((x + 0.5 - mean) * width), result)
        return torch.where(x == levels - 1, torch.nn.functional.logsigmoid((mean - x + 0.5) * width), result)

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_one_by_one():
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        def log_sigmoid(z):
            return -torch.logaddexp(torch.zeros_like(z), -z)

        def one(level, m, log_s):
            s = torch.exp(log_s)
            if level == 0:
                return log_sigmoid((0.5 - m) / s)
            if level == levels - 1:
                return log_sigmoid((m - level + 0.5) / s)
            rest = torch.log(-torch.expm1(-torch.exp(-log_s)))
            return log_sigmoid((level + 0.5 - m) / s) + log_sigmoid((m - level + 0.5) / s) + rest

        triples = zip(x.flatten().tolist(), mean.flatten(), log_scale.flatten(), strict=True)
        return torch.stack([one(*triple) for triple in triples]).view(x.shape)

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_softplus_float32():
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        distance, width = (x - mean).float(), (-log_scale.float()).exp()
        first, last = x == 0, x == levels - 1
        mass = -F.softplus(-(distance + 0.5) * width).masked_fill(last, 0)
        mass = mass - F.softplus((distance - 0.5) * width).masked_fill(first, 0)
        return mass + (-torch.expm1(-width)).log().masked_fill(first | last, 0)

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_stable_softplus_by_hand():
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        def softplus(z):
            return z.clamp(min=0) + torch.log1p(torch.exp(-z.abs()))

        width = torch.exp(-log_scale)
        result = torch.zeros_like(mean)
        result = result - torch.where(x == levels - 1, 0.0, softplus((mean - x - 0.5) * width))
        result = result - torch.where(x == 0, 0.0, softplus((x - mean - 0.5) * width))
        ends = (x == 0) | (x == levels - 1)
        return result + torch.where(ends, 0.0, torch.log1p(-torch.exp(-width)))

    return discretized_logistic


@bank.right("discretized_logistic")
def logistic_mass_of_the_middle_in_two_ways():
    """log(1 - exp(-w)) with log1p for large w and with expm1 for small, as one finds it in libraries."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        def log1mexp(w):
            return torch.where(w > 1, torch.log1p(-torch.exp(-w)), torch.log(-torch.expm1(-w)))

        zero, width = torch.zeros_like(mean), torch.exp(-log_scale)
        below = -torch.logaddexp(zero, (mean - x - 0.5) * width)
        above = -torch.logaddexp((x - 0.5 - mean) * width, zero)
        last = torch.where(x < levels - 1, below + above + log1mexp(width), above)
        return torch.where(x > 0, last, below)

    return discretized_logistic


bank.equivalent("discretized_logistic", "x > mean", "x >= mean", "at x = mean both sides are alike")
for other in ("w >= 1", "w > 2", "w > 0"):
    bank.equivalent("discretized_logistic", "w > 1", other, "in float64 either way is exact enough at the others' w")


LOGISTIC_ALL = {"inside", "edges", "far away", "gradients"}
LOGISTIC_FAR = {"far away", "gradients"}


@bank.wrong("discretized_logistic", loses=LOGISTIC_FAR)
def logistic_log_of_a_difference():
    """log(F(b) - F(a)): far from the mean both are 0, or both 1."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = torch.sigmoid((x + 0.5 - mean) / s), torch.sigmoid((x - 0.5 - mean) / s)
        upper = torch.where(x == levels - 1, 1.0, upper)
        lower = torch.where(x == 0, 0.0, lower)
        return torch.log(upper - lower)

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_FAR)
def logistic_clamped():
    """The difference is kept above 1e-12."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = torch.sigmoid((x + 0.5 - mean) / s), torch.sigmoid((x - 0.5 - mean) / s)
        upper = torch.where(x == levels - 1, 1.0, upper)
        lower = torch.where(x == 0, 0.0, lower)
        return torch.log((upper - lower).clamp(min=1e-12))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_FAR)
def logistic_epsilon():
    """1e-12 is added to the difference."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = torch.sigmoid((x + 0.5 - mean) / s), torch.sigmoid((x - 0.5 - mean) / s)
        upper = torch.where(x == levels - 1, 1.0, upper)
        lower = torch.where(x == 0, 0.0, lower)
        return torch.log(upper - lower + 1e-12)

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_FAR)
def logistic_edges_safe_inside_clamped():
    """logsigmoid at both ends; between them the difference is kept above 1e-12."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = (x + 0.5 - mean) / s, (x - 0.5 - mean) / s
        inside = (torch.sigmoid(upper) - torch.sigmoid(lower)).clamp(min=1e-12).log()
        return torch.where(x == 0, F.logsigmoid(upper), torch.where(x == levels - 1, F.logsigmoid(-lower), inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_FAR)
def logistic_density_where_it_is_small():
    """PixelCNN++: below 1e-5 the density at the level's centre stands in for the difference."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        upper, lower, middle = (x + 0.5 - mean) * inverse, (x - 0.5 - mean) * inverse, (x - mean) * inverse
        difference = torch.sigmoid(upper) - torch.sigmoid(lower)
        density = middle - log_scale - 2 * F.softplus(middle)
        inside = torch.where(difference > 1e-5, difference.clamp(min=1e-12).log(), density)
        return torch.where(x == 0, F.logsigmoid(upper), torch.where(x == levels - 1, F.logsigmoid(-lower), inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"gradients"})
def logistic_nan_gradients():
    """Right values: torch.where takes the exact formula where the difference is small, and NaN gradients with it."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        upper, lower = (x + 0.5 - mean) * inverse, (x - 0.5 - mean) * inverse
        difference = torch.sigmoid(upper) - torch.sigmoid(lower)
        exact = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-inverse))
        inside = torch.where(difference > 1e-5, torch.log(difference), exact)
        return torch.where(x == 0, F.logsigmoid(upper), torch.where(x == levels - 1, F.logsigmoid(-lower), inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"gradients"})
def logistic_numpy():
    """Right numbers from numpy, which knows no gradients."""
    import numpy as np

    def discretized_logistic(x, mean, log_scale, levels):
        x, mean, width = x.numpy(), mean.detach().numpy(), np.exp(-log_scale.detach().numpy())
        below = -np.logaddexp(0, -(x + 0.5 - mean) * width)
        above = -np.logaddexp(0, (x - 0.5 - mean) * width)
        inside = below + above + np.log(-np.expm1(-width))
        return np.where(x == 0, below, np.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"edges"})
def logistic_without_edges():
    """The ends get no more than their own width: mass is lost."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        below, above = F.logsigmoid((x + 0.5 - mean) * inverse), F.logsigmoid((mean - x + 0.5) * inverse)
        return below + above + torch.log(-torch.expm1(-inverse))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"edges", "far away"})
def logistic_edges_beyond_the_level():
    """The ends get what lies outside the image, without their own width."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        upper, lower = (x + 0.5 - mean) * inverse, (x - 0.5 - mean) * inverse
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-inverse))
        return torch.where(x == 0, F.logsigmoid(lower), torch.where(x == levels - 1, F.logsigmoid(-upper), inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"edges"})
def logistic_edges_at_0_999():
    """Levels scaled to -1..1, ends where that is beyond 0.999: with very many levels those are hundreds."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        below, above = F.logsigmoid((x + 0.5 - mean) * inverse), F.logsigmoid((mean - x + 0.5) * inverse)
        inside = below + above + torch.log(-torch.expm1(-inverse))
        scaled = 2 * x / (levels - 1) - 1
        return torch.where(scaled < -0.999, below, torch.where(scaled > 0.999, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_ALL)
def logistic_probability():
    """P, not its logarithm."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = torch.sigmoid((x + 0.5 - mean) / s), torch.sigmoid((x - 0.5 - mean) / s)
        return torch.where(x == levels - 1, 1.0, upper) - torch.where(x == 0, 0.0, lower)

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_ALL)
def logistic_density():
    """The density at the level in place of the mass around it."""
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        z = (x - mean) / log_scale.exp()
        return -z - log_scale - 2 * F.softplus(-z)

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_ALL)
def logistic_width_of_a_scaled_image():
    """A level is 2 / (K - 1) wide, as in an image from -1 to 1."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        half = 1 / (levels - 1)
        below, above = F.logsigmoid((x + half - mean) * inverse), F.logsigmoid((mean - x + half) * inverse)
        inside = below + above + torch.log(-torch.expm1(-2 * half * inverse))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_ALL)
def logistic_whole_level_to_each_side():
    """From x - 1 to x + 1."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        below, above = F.logsigmoid((x + 1 - mean) * inverse), F.logsigmoid((mean - x + 1) * inverse)
        inside = below + above + torch.log(-torch.expm1(-2 * inverse))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses=LOGISTIC_ALL)
def logistic_scale_inverted():
    """Multiplied with the scale in place of divided by it."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        scale = torch.exp(log_scale)
        below, above = F.logsigmoid((x + 0.5 - mean) * scale), F.logsigmoid((mean - x + 0.5) * scale)
        inside = below + above + torch.log(-torch.expm1(-scale))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"finite", "inside"})
def logistic_scale_not_exponentiated():
    """log_scale taken for the scale: it may be 0, or negative."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        below, above = F.logsigmoid((x + 0.5 - mean) / log_scale), F.logsigmoid((mean - x + 0.5) / log_scale)
        inside = below + above + torch.log(-torch.expm1(-1 / log_scale))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"finite"})
def logistic_upper_minus_lower_swapped():
    """F(a) - F(b) is negative, and has no logarithm."""
    import torch

    def discretized_logistic(x, mean, log_scale, levels):
        s = log_scale.exp()
        upper, lower = torch.sigmoid((x + 0.5 - mean) / s), torch.sigmoid((x - 0.5 - mean) / s)
        return torch.log(torch.where(x == 0, 0.0, lower) - torch.where(x == levels - 1, 1.0, upper))

    return discretized_logistic


@bank.wrong("discretized_logistic", loses={"shape"})
def logistic_of_all_levels():
    """A distribution over all levels for each entry."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        level, inverse = torch.arange(levels), torch.exp(-log_scale)[..., None]
        mean = mean[..., None]
        below, above = F.logsigmoid((level + 0.5 - mean) * inverse), F.logsigmoid((mean - level + 0.5) * inverse)
        inside = below + above + torch.log(-torch.expm1(-inverse))
        return torch.where(level == 0, below, torch.where(level == levels - 1, above, inside))

    return discretized_logistic


def logistic_in_few_lines():
    """Right as well; the slips below edit it."""
    import torch
    import torch.nn.functional as F

    def discretized_logistic(x, mean, log_scale, levels):
        inverse = torch.exp(-log_scale)
        below, above = F.logsigmoid((x + 0.5 - mean) * inverse), F.logsigmoid((mean - x + 0.5) * inverse)
        inside = below + above + torch.log(-torch.expm1(-inverse))
        return torch.where(x == 0, below, torch.where(x == levels - 1, above, inside))

    return discretized_logistic


slip = bank.slips("discretized_logistic", of=logistic_in_few_lines)
# Right numbers as a list.
slip("logistic_list_of_numbers", "inside)", "inside)).tolist(", loses={"gradients"})
# The scale is cut off: it would never be learnt.
slip("logistic_scale_detached", "(-log_scale)", "(-log_scale.detach())", loses={"gradients"})
# The edges' results are written under no_grad: there nothing is learnt.
slip(
    "logistic_gradient_cut_at_the_edges",
    "0, below",
    "0, below.detach()",
    ("1, above", "1, above.detach()"),
    loses={"gradients"},
)
# PixelCNN++ keeps log_scale above -7 where an image is 2 wide; here the unit is a level, and -2 cuts real ones.
slip("logistic_scale_kept_large", "(-log_scale)", "(-log_scale.clamp(min=-2))", loses=LOGISTIC_FAR)
# Nothing is allowed to be less likely than e^-50.
slip("logistic_log_probability_kept_above_minus_50", "inside)", "inside)).clamp(min=-50", loses=LOGISTIC_FAR)
# Level 0 gets all below; the last level not what is above.
slip(
    "logistic_lower_edge_only",
    "(x == 0, below, torch.where(x == levels - 1, above, inside))",
    "(x == 0, below, inside)",
    loses={"edges"},
)
# The upper end is looked for at x = levels, which does not occur.
slip("logistic_upper_edge_at_levels", "levels - 1", "levels", loses={"edges"})
# Images have 256 levels, always.
slip("logistic_upper_edge_at_255", "x == levels - 1", "x == 255", loses={"edges"})
# The first level gets all above, the last one all below.
slip("logistic_edges_swapped", "0, below", "0, above", ("1, above", "1, below"), loses={"edges", "far away"})
# Bits in place of nats.
slip(
    "logistic_bits",
    "inside)",
    "inside)) / math.log(2",
    ("import torch\n", "import math\n\nimport torch\n"),
    loses=LOGISTIC_ALL,
)
# The loss: -log P.
slip("logistic_negative", "return torch", "return -torch", loses=LOGISTIC_ALL)
# The level's mass is taken from x to x + 1: half a level off, though all adds up to 1.
slip("logistic_from_x_to_x_plus_1", "0.5 - mean", "1 - mean", ("mean - x + 0.5", "mean - x"), loses=LOGISTIC_ALL)
# The scale is softplus(log_scale).
slip("logistic_scale_of_a_softplus", "torch.exp(-log_scale)", "1 / F.softplus(log_scale)", loses=LOGISTIC_ALL)
# One number for all.
slip("logistic_summed", "inside)", "inside)).sum(", loses={"shape"})

slip = bank.slips("discretized_logistic", of=logistic_three_factors)
SCALE = "torch.exp(-log_scale)"
slip("logistic_scale_above_e_to_minus_7", SCALE, "torch.exp(-log_scale.clamp(min=-7))", loses=LOGISTIC_FAR)
slip("logistic_scale_below_e_to_7", SCALE, "torch.exp(-log_scale.clamp(max=7))", loses={"inside", *LOGISTIC_FAR})
slip("logistic_scale_plus_epsilon", SCALE, "1 / (torch.exp(log_scale) + 1e-6)", loses=LOGISTIC_FAR)
slip("logistic_width_above_1e_minus_5", "torch.log(-torch", "torch.log(1e-5 - torch", loses=LOGISTIC_ALL)
slip("logistic_width_for_its_mass", "torch.log(-torch.expm1(-inverse))", "-log_scale", loses=LOGISTIC_ALL)
slip("logistic_arguments_clamped", "(x + 0.5 - mean) * inverse", "((x + 0.5 - mean) * inverse).clamp(-500, 500)",
     loses=LOGISTIC_FAR)  # fmt: skip
slip("logistic_log_of_sigmoid", "F.logsigmoid(upper)", "torch.sigmoid(upper).log()", loses=LOGISTIC_FAR)
slip("logistic_mean_pulled_into_the_image", "inverse = torch", "mean = mean.clamp(0, levels - 1); inverse = torch",
     loses={"inside", "edges", *LOGISTIC_FAR})  # fmt: skip
slip("logistic_mean_rounded", "inverse = torch", "mean = mean.round(); inverse = torch", loses=LOGISTIC_ALL)
slip("logistic_levels_one_more", "x == levels - 1", "x >= levels - 2", loses=LOGISTIC_ALL)
slip("logistic_without_the_first_edge", "x == 0", "x < 0", loses={"edges"})
slip("logistic_width_as_a_difference_in_float32", "-torch.expm1(-inverse)", "1 - torch.exp(-inverse.float())",
     loses={"inside", *LOGISTIC_FAR})  # fmt: skip
slip("logistic_one_axis_only", "x == 0, below, torch.where", "x.view(len(x), -1)[:, 0] == 0, below, torch.where",
     loses={"inside"})  # fmt: skip
slip("logistic_mean_detached", "upper, lower = ", "mean = mean.detach(); upper, lower = ", loses={"gradients"})
slip = bank.slips("discretized_logistic", of=logistic_stable_softplus_by_hand)
slip("logistic_softplus_overflows", "z.clamp(min=0) + torch.log1p(torch.exp(-z.abs()))", "torch.log1p(torch.exp(z))",
     loses=LOGISTIC_FAR)  # fmt: skip
slip("logistic_softplus_chosen_by_where", "z.clamp(min=0) + torch.log1p(torch.exp(-z.abs()))",
     "torch.where(z > 0, z + torch.log1p(torch.exp(-z)), torch.log1p(torch.exp(z)))",
     loses={"gradients"})  # fmt: skip


# -------------------------------------------------------------------------------------------------- sample_mixture


@bank.right("sample_mixture")
def mixture_gather():
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = torch.softmax(logits, 1).cumsum(1)[:, :-1]
        m = (sums <= u[:, :1]).sum(1, keepdim=True)
        mean, s = means.gather(1, m).squeeze(1), log_scales.gather(1, m).squeeze(1).exp()
        value = mean + s * torch.logit(u[:, 1])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.right("sample_mixture")
def mixture_loop():
    import itertools
    import math

    def sample_mixture(logits, means, log_scales, levels, u):
        result = []
        rows = zip(logits.tolist(), means.tolist(), log_scales.tolist(), u.tolist(), strict=True)
        for a, mu, log_s, (first, second) in rows:
            most = max(a)
            sums = list(itertools.accumulate(math.exp(v - most) for v in a))
            m = sum(total <= first * sums[-1] for total in sums[:-1])
            value = mu[m] + math.exp(log_s[m]) * (math.log(second) - math.log1p(-second))
            result.append(min(max(math.floor(value + 0.5), 0), levels - 1))
        return result

    return sample_mixture


@bank.right("sample_mixture")
def mixture_numpy():
    import numpy as np

    def sample_mixture(logits, means, log_scales, levels, u):
        logits, means, log_scales, u = (t.numpy() for t in (logits, means, log_scales, u))
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        sums = np.cumsum(weights, axis=1)
        m = np.zeros(len(u), dtype=int)
        for component in range(logits.shape[1] - 1):
            m += sums[:, component] <= u[:, 0]
        rows = np.arange(len(u))
        z = -np.log(1 / u[:, 1] - 1)
        return np.rint(means[rows, m] + np.exp(log_scales[rows, m]) * z).clip(0, levels - 1).astype(np.int32)

    return sample_mixture


@bank.right("sample_mixture")
def mixture_searchsorted_float32():
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        logits, means, log_scales, u = (t.float() for t in (logits, means, log_scales, u))
        sums = logits.log_softmax(1).exp().cumsum(1)[:, :-1].contiguous()
        m = torch.searchsorted(sums, u[:, :1].contiguous(), right=True).squeeze(1)
        picked = torch.nn.functional.one_hot(m, logits.shape[1]).to(means.dtype)
        mean, log_scale = (picked * means).sum(1), (picked * log_scales).sum(1)
        value = mean + torch.exp(log_scale) * (u[:, 1].log() - torch.log1p(-u[:, 1]))
        return (value + 0.5).clip(0, levels - 1).to(torch.int64)

    return sample_mixture


@bank.right("sample_mixture")
def mixture_edges_of_the_levels():
    """The number of inner edges that lie below the value."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = logits.softmax(1).cumsum(1)
        sums[:, -1] = torch.inf
        m = (u[:, :1] < sums).int().argmax(1)
        rows = torch.arange(len(u))
        z = torch.log(u[:, 1] / (1 - u[:, 1]))
        value = torch.addcmul(means[rows, m], log_scales[rows, m].exp(), z)
        edges = torch.arange(levels - 1) + 0.5
        return (value[:, None] > edges).sum(1)

    return sample_mixture


bank.equivalent("sample_mixture", "value[:, None] > edges", "value[:, None] >= edges", "an edge has probability 0")


MIXTURE_ALL = {"component", "value", "frequencies"}


@bank.wrong("sample_mixture", loses={"component"})
def mixture_largest_weight_first():
    """The components in the order of their weights."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        weights, order = torch.softmax(logits, -1).sort(-1, descending=True)
        m = order.gather(1, (weights.cumsum(-1)[:, :-1] <= u[:, :1]).sum(-1, keepdim=True))
        value = means.gather(1, m)[:, 0] + log_scales.gather(1, m)[:, 0].exp() * torch.logit(u[:, 1])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"component"})
def mixture_last_component_first():
    """The components from the last to the first."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        M = logits.shape[1]
        sums = torch.softmax(logits, -1).flip(1).cumsum(-1)[:, :-1]
        m = M - 1 - (sums <= u[:, :1]).sum(-1, keepdim=True)
        value = means.gather(1, m)[:, 0] + log_scales.gather(1, m)[:, 0].exp() * torch.logit(u[:, 1])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"component", "frequencies"})
def mixture_without_sums():
    """u is compared with each weight separately."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        weights = torch.softmax(logits, -1)[:, :-1]
        m = (weights <= u[:, :1]).sum(-1, keepdim=True)
        value = means.gather(1, m)[:, 0] + log_scales.gather(1, m)[:, 0].exp() * torch.logit(u[:, 1])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"component", "frequencies"})
def mixture_means_mixed():
    """One logistic at the mean of the means, with the mean of the scales."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        weights = torch.softmax(logits, -1)
        mean, s = (weights * means).sum(-1), (weights * log_scales.exp()).sum(-1)
        return (mean + s * torch.logit(u[:, 1])).round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"value", "frequencies"})
def mixture_scale_inverted():
    """Divided by the scale."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]
        m = (sums <= u[:, :1]).sum(-1, keepdim=True)
        value = means.gather(1, m)[:, 0] + torch.logit(u[:, 1]) / log_scales.gather(1, m)[:, 0].exp()
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"value", "frequencies"})
def mixture_mean_of_the_component():
    """The mean itself: nothing is drawn within the component."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]
        m = (sums <= u[:, :1]).sum(-1, keepdim=True)
        return means.gather(1, m)[:, 0].round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"value", "frequencies"})
def mixture_cut_at_the_ends():
    """Truncated: u is spread over the mass between the ends, whose outer mass gets lost."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]
        m = (sums <= u[:, :1]).sum(-1, keepdim=True)
        mean, s = means.gather(1, m)[:, 0], log_scales.gather(1, m)[:, 0].exp()
        low, high = torch.sigmoid((-0.5 - mean) / s), torch.sigmoid((levels - 0.5 - mean) / s)
        value = mean + s * torch.logit(low + u[:, 1] * (high - low))
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


@bank.wrong("sample_mixture", loses={"shape and range"})
def mixture_a_value_for_each_component():
    """(n, M): no component is chosen."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        value = means + log_scales.exp() * torch.logit(u[:, 1:])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


def mixture_in_few_lines():
    """Right as well; the slips below edit it."""
    import torch

    def sample_mixture(logits, means, log_scales, levels, u):
        sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]
        m = (sums <= u[:, :1]).sum(-1, keepdim=True)
        value = means.gather(1, m)[:, 0] + log_scales.gather(1, m)[:, 0].exp() * torch.logit(u[:, 1])
        return value.round().clamp(0, levels - 1).long()

    return sample_mixture


slip = bank.slips("sample_mixture", of=mixture_in_few_lines)
# The component of the largest weight, always.
slip(
    "mixture_argmax",
    "sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]\n    m = (sums <= u[:, :1]).sum",
    "m = logits.argmax",
    loses={"component", "frequencies"},
)
# A random component of torch's own: correctly distributed, but not by u.
slip(
    "mixture_gumbel",
    "sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]\n    m = (sums <= u[:, :1]).sum",
    "noise = -torch.log(-torch.log(torch.rand_like(logits)))\n    m = (logits + noise).argmax",
    loses={"component"},
)
# Softmax over axis 0.
slip("mixture_softmax_over_the_samples", "(logits, -1)", "(logits, 0)", loses={"component", "frequencies"})
# The logits themselves are added up.
slip("mixture_without_softmax", "torch.softmax(logits, -1)", "logits", loses={"component", "frequencies"})
# Every component is as likely as any other.
slip(
    "mixture_equal_weights",
    "sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]\n    m = (sums <= u[:, :1]).sum(-1, keepdim=True)",
    "m = (u[:, :1] * logits.shape[1]).long()",
    loses={"component", "frequencies"},
)
# The first row's component for all of them.
slip(
    "mixture_one_component_for_all",
    "sums = torch.softmax(logits, -1).cumsum(-1)[:, :-1]\n    m = (sums <= u[:, :1]).sum(-1, keepdim=True)",
    "m = int((torch.softmax(logits[0], -1).cumsum(-1)[:-1] <= u[0, 0]).sum())",
    (".gather(1, m)[:, 0] + log_scales.gather(1, m)[:, 0]", "[:, m] + log_scales[:, m]"),
    loses={"component", "frequencies"},
)
# The mean of the component that was drawn, with the first one's scale.
slip("mixture_scale_of_another_component", "log_scales.gather(1, m)", "log_scales", loses={"frequencies"})
# Without a cut at the last component: argmax over u < sum is 0 where rounding leaves the last sum below u.
slip(
    "mixture_first_sum_above",
    "(-1)[:, :-1]\n    m = (sums <= u[:, :1]).sum",
    "(-1)\n    m = (u[:, :1] < sums).int().argmax",
    loses={"component"},
)
# All M sums are counted: an index out of range where rounding leaves the last one below u.
slip("mixture_all_sums_counted", "[:, :-1]", "", loses={"component"})
# u[:, 0] chooses the component and gives the value.
slip("mixture_one_uniform_for_both", "u[:, 1]", "u[:, 0]", loses={"value", "frequencies"})
# u[:, 1] chooses the component.
slip("mixture_uniforms_swapped", ":1", "1:", ("u[:, 1]", "u[:, 0]"), loses={"component", "value"})
# log((1 - u) / u): the same distribution from the wrong end.
slip("mixture_logit_of_one_minus_u", "u[:, 1]", "1 - u[:, 1]", loses={"value"})
# log(u) in place of log(u / (1 - u)).
slip("mixture_log_of_u", ".logit", ".log", loses={"value", "frequencies"})
# The quantile of a normal distribution.
slip("mixture_normal_quantile", ".logit", ".special.ndtri", loses={"value", "frequencies"})
# The distribution function in place of its inverse.
slip(
    "mixture_sigmoid_of_u",
    "value =",
    "z = torch.sigmoid(u[:, 1] - 0.5) - 0.5\n    value =",
    ("torch.logit(u[:, 1])", "z"),
    loses={"value", "frequencies"},
)
# log_scales taken for scales.
slip("mixture_scale_not_exponentiated", ".exp()", "", loses={"value", "frequencies"})
# .long() cuts the digits off: half a level too low.
slip("mixture_cut_down", ".round()", "", loses={"value", "frequencies"})
# The mean and what is added to it are each rounded separately.
slip(
    "mixture_mean_rounded_first",
    "value = means.gather(1, m)[:, 0] +",
    "noise =",
    ("value.round()", "(means.gather(1, m)[:, 0].round() + noise.round())"),
    loses={"value", "frequencies"},
)
# Means beyond the ends are pulled to the ends before anything is added.
slip(
    "mixture_mean_clipped_first",
    "value = means.gather(1, m)[:, 0]",
    "mean = means.gather(1, m)[:, 0].clamp(0, levels - 1)\n    value = mean",
    loses={"value", "frequencies"},
)
# Modulo in place of clipping: below 0 comes the last level.
slip("mixture_around_the_ends", "clamp(0, levels - 1).long()", "long() % levels", loses={"value", "frequencies"})
slip("mixture_not_clipped", ".clamp(0, levels - 1)", "", loses={"value", "frequencies"})
# Clipped into 0..K: one level too many.
slip("mixture_clipped_to_levels", "levels - 1", "levels", loses={"value", "frequencies"})
# Rounded and clipped, and still float.
slip("mixture_real_numbers", ".long()", "", loses={"shape and range"})
# (n, 1): the axis of the gather is still there.
slip(
    "mixture_as_a_column",
    "(1, m)[:, 0] + log_scales.gather(1, m)[:, 0]",
    "(1, m) + log_scales.gather(1, m)",
    ("u[:, 1]", "u[:, 1:]"),
    loses={"shape and range"},
)
# Levels from 0 to 1, as pictures are shown.
slip("mixture_scaled_to_one", ".long()\n", " / (levels - 1)\n", loses={"shape and range"})

slip = bank.slips("sample_mixture", of=mixture_gather)
slip("mixture_strictly_below", "sums <= u", "sums < u", loses={"component"})
slip("mixture_weights_plus_epsilon", "logits, 1).cumsum", "logits, 1).add(1e-12).cumsum", loses={"component"})
slip("mixture_logits_clamped", "softmax(logits, 1)", "softmax(logits.clamp(-10, 10), 1)", loses={"component"})
slip("mixture_softmax_overflows", "torch.softmax(logits, 1)", "(logits.exp() / logits.exp().sum(1, keepdim=True))",
     loses={"component"})  # fmt: skip
slip("mixture_softmax_without_its_sum", "torch.softmax(logits, 1)", "logits.exp()", loses={"component", "frequencies"})
slip("mixture_largest_logit_of_all_rows", "torch.softmax(logits, 1)",
     "(logits - logits.max()).exp().div((logits - logits.max()).exp().sum(1, keepdim=True))",
     loses={"component"})  # fmt: skip
slip("mixture_mean_of_the_next_component", "means.gather(1, m)", "means.roll(-1, 1).gather(1, m)",
     loses={"component", "frequencies"})  # fmt: skip
slip("mixture_scale_of_the_next_component", "log_scales.gather(1, m)", "log_scales.roll(-1, 1).gather(1, m)",
     loses={"frequencies"})  # fmt: skip
slip("mixture_u_kept_from_the_ends", "sums = ", "u = u.clamp(1e-6, 1 - 1e-6); sums = ", loses={"value"})
slip("mixture_u_kept_from_one_by_float32", "torch.logit(u[:, 1])", "torch.logit(u[:, 1].clamp(max=1 - 1.2e-7))",
     loses={"value"})  # fmt: skip
slip("mixture_logarithms_plus_epsilon", "torch.logit(u[:, 1])",
     "(torch.log(u[:, 1] + 1e-8) - torch.log(1 - u[:, 1] + 1e-8))", loses={"value"})  # fmt: skip
slip("mixture_noise_clamped", "torch.logit(u[:, 1])", "torch.logit(u[:, 1]).clamp(-10, 10)", loses={"value"})
slip("mixture_scale_kept_small", "log_scales.gather(1, m)", "log_scales.clamp(max=5).gather(1, m)", loses={"value"})
slip("mixture_scale_above_e_to_minus_7", "log_scales.gather(1, m)", "log_scales.clamp(min=-7).gather(1, m)",
     loses={"value"})  # fmt: skip
slip("mixture_levels_of_a_byte", ".long()", ".to(torch.uint8)", loses={"value"})
slip("mixture_two_bytes_before_the_clamp", "value.round()", "value.round().to(torch.int16)", loses={"value"})
slip("mixture_always_256_levels", "levels - 1", "255", loses={"value", "frequencies"})
slip("mixture_rounded_up", "value.round()", "value.ceil()", loses={"component", "value", "frequencies"})
slip("mixture_in_one_batch", ".sum(1, keepdim=True)", ".sum(1, keepdim=True)[:1].expand(len(u), 1)",
     loses={"component", "frequencies"})  # fmt: skip
slip("mixture_bits_for_nats", ".exp()", ".exp2()", loses={"value", "frequencies"})


# --------------------------------------------------------------------------------------------------- vertical_step


@bank.right("vertical_step")
def step_concatenate():
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        return F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2)).squeeze(2), rows[:, :, 1:]

    return vertical_step


@bank.right("vertical_step")
def step_row_by_row_of_the_kernel():
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = [*cache.unbind(2), row]
        half = weight.shape[3] // 2
        out = sum(F.conv1d(rows[i], weight[:, :, i], padding=half) for i in range(len(rows)))
        kept = torch.stack(rows[1:], 2) if len(rows) > 1 else cache
        return out, kept

    return vertical_step


@bank.right("vertical_step")
def step_einsum():
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        kw = weight.shape[3]
        rows = torch.cat((cache, row.unsqueeze(2)), dim=2)
        windows = F.pad(rows, (kw // 2, kw // 2)).unfold(3, kw, 1)
        out = torch.einsum("nikwj,oikj->now", windows, weight)
        return [out, rows.narrow(2, 1, weight.shape[2] - 1)]

    return vertical_step


@bank.right("vertical_step")
def step_numpy_loop():
    import numpy as np

    def vertical_step(cache, row, weight):
        cache, row, weight = cache.numpy(), row.numpy(), weight.numpy()
        rows = np.concatenate([cache, row[:, :, np.newaxis]], axis=2)
        (out, _, kh, kw), W = weight.shape, row.shape[2]
        result = np.zeros((len(row), out, W))
        for c in range(W):
            for a in range(kh):
                for b in range(kw):
                    if 0 <= c + b - kw // 2 < W:
                        result[:, :, c] += rows[:, :, a, c + b - kw // 2] @ weight[:, :, a, b].T
        return result, rows[:, :, 1:]

    return vertical_step


@bank.right("vertical_step")
def step_whole_convolution_of_few_rows():
    """Pads above as for a whole image, and keeps the last row; in float32."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        (kh, kw), above = weight.shape[2:], cache.shape[2]
        image = torch.cat([cache, row[:, :, None]], 2).float()
        every = F.conv2d(F.pad(image, (kw // 2, kw // 2, kh - 1, 0)), weight.float())
        return every[:, :, -1], image[:, :, image.shape[2] - above :]

    return vertical_step


for more in ("kh + 1", "kh - 0"):
    bank.equivalent("vertical_step", "kh - 1, 0", f"{more}, 0", "zeros too far above for the only row that is kept")


STEP_ROWS = {"row by row"}


@bank.wrong("vertical_step", loses={"nothing overwritten"})
def step_writes_the_row_in_place():
    """A new cache is returned, but the row has been added to the given one as well."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        out = F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0]
        if cache.shape[2]:
            cache[:, :, 0] = row
        return out, rows[:, :, 1:]

    return vertical_step


@bank.wrong("vertical_step", loses={"first row", "row by row", "nothing overwritten"})
def step_keeps_a_cache_of_its_own():
    """Rows are kept between calls in a list of its own: the given cache is not looked at."""
    import torch
    import torch.nn.functional as F

    seen = []

    def vertical_step(cache, row, weight):
        seen.append(row)
        rows = [past for past in seen if past.shape == row.shape][-weight.shape[2] :]
        while len(rows) < weight.shape[2]:
            rows.insert(0, torch.zeros_like(row))
        rows = torch.stack(rows, 2)
        return F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0], rows[:, :, 1:]

    return vertical_step


@bank.wrong("vertical_step", loses=STEP_ROWS)
def step_newest_row_first():
    """The rows in the opposite order: the nearest first."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([row[:, :, None], cache], 2)
        out = F.conv2d(rows, weight.flip(2), padding=(0, weight.shape[3] // 2))[:, :, 0]
        return out, rows[:, :, : weight.shape[2] - 1]

    return vertical_step


@bank.wrong("vertical_step", loses=STEP_ROWS)
def step_oldest_row_overwritten_where_it_stands():
    """A ring buffer without its index: the new row takes the place of the oldest, at the front."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        kept = cache.clone()
        if cache.shape[2]:
            kept[:, :, 0] = row
        return F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0], kept

    return vertical_step


@bank.wrong("vertical_step", loses=STEP_ROWS)
def step_nearest_row_overwritten():
    """The new row takes the place of the nearest: nothing moves up."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        kept = cache.clone()
        if cache.shape[2]:
            kept[:, :, -1] = row
        return F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0], kept

    return vertical_step


@bank.wrong("vertical_step", loses=STEP_ROWS)
def step_shape_of_no_rows():
    """rows[:, :, -(kh - 1):] with kh = 1 is everything: right but for kernels of a single row."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        out = F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0]
        return out, rows[:, :, -(weight.shape[2] - 1) :]

    return vertical_step


@bank.wrong("vertical_step", loses=STEP_ROWS)
def step_crash_of_no_rows():
    """The new row is written at index -1 of a cache that may have no rows."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        out = F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0]
        kept = cache.roll(-1, 2)
        kept[:, :, -1] = row
        return out, kept

    return vertical_step


@bank.wrong("vertical_step", loses={"first row", "row by row"})
def step_around_the_edge():
    """The row is taken for a ring."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows, half = torch.cat([cache, row[:, :, None]], 2), weight.shape[3] // 2
        out = 0
        for b in range(weight.shape[3]):
            out = out + F.conv2d(rows.roll(half - b, 3), weight[:, :, :, b : b + 1])
        return out[:, :, 0], rows[:, :, 1:]

    return vertical_step


@bank.wrong("vertical_step", loses={"shapes"})
def step_output_stored():
    """What is computed goes into the cache, in place of what was read."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        out = F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))
        if out.shape[1] != cache.shape[1]:
            return out[:, :, 0], out
        return out[:, :, 0], torch.cat([cache, out], 2)[:, :, 1:]

    return vertical_step


def step_first_of_the_rows():
    """Right as well; the slips below edit it."""
    import torch
    import torch.nn.functional as F

    def vertical_step(cache, row, weight):
        rows = torch.cat([cache, row[:, :, None]], 2)
        return F.conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0], rows[:, :, 1:]

    return vertical_step


slip = bank.slips("vertical_step", of=step_first_of_the_rows)
# The rows of the given cache are moved up and the new one written below them.
slip(
    "step_shifts_the_cache_in_place",
    "return F",
    "out = F",
    ("[:, :, 0], rows[:, :, 1:]", "[:, :, 0]\n    cache[:] = rows[:, :, 1:]\n    return out, cache"),
    loses={"nothing overwritten"},
)
# The row is set to zero when it is done with.
slip("step_empties_the_row", "return F", "row.zero_()\n    return F", loses={"nothing overwritten"})
# The given cache is returned.
slip("step_cache_not_updated", "rows[:, :, 1:]", "cache", loses=STEP_ROWS)
# The new cache is zeros, as at the start.
slip("step_cache_always_zero", "rows[:, :, 1:]", "torch.zeros_like(cache)", loses=STEP_ROWS)
# Rows are stored as they should be, and never used.
slip(
    "step_cache_not_read",
    "conv2d(rows, weight, padding=(0, weight.shape[3] // 2))[:, :, 0]",
    "conv1d(row, weight[:, :, -1], padding=weight.shape[3] // 2)",
    loses=STEP_ROWS,
)
# The kernel's first row is taken for the newest one.
slip("step_upside_down", "rows, weight", "rows, weight.flip(2)", loses={"first row", "row by row"})
# The kernel's columns from right to left.
slip("step_mirrored", "rows, weight", "rows, weight.flip(3)", loses={"first row", "row by row"})
# All zeros to the left: the kernel ends at the pixel's own column.
slip(
    "step_columns_to_the_left",
    "(rows, weight, padding=(0, weight.shape[3] // 2))",
    "(F.pad(rows, (weight.shape[3] - 1, 0)), weight)",
    loses={"first row", "row by row"},
)
# Only the cache is convolved: the output is a row late.
slip(
    "step_row_itself_left_out",
    "return F.conv2d(rows",
    "late = torch.cat([torch.zeros_like(rows[:, :, :1]), rows[:, :, :-1]], 2)\n    return F.conv2d(late",
    loses={"first row", "row by row"},
)
# An empty cache is filled with the row that comes first.
slip(
    "step_first_row_twice",
    "rows =",
    "if not cache.any():\n        cache = row[:, :, None].expand_as(cache)\n    rows =",
    loses={"first row", "row by row"},
)
# The cache grows by a row in every call.
slip(
    "step_rows_not_dropped",
    "return F.conv2d(rows",
    "window = rows[:, :, -weight.shape[2] :]\n    return F.conv2d(window",
    ("[:, :, 1:]", ""),
    loses={"shapes"},
)
# kh - 2 rows are kept.
slip("step_one_row_too_few", "1:", "2:", loses={"shapes"})
# No zeros to the left and right.
slip("step_not_padded", ", padding=(0, weight.shape[3] // 2)", "[..., : rows.shape[3]]", loses={"shapes"})
# out is (n, out, 1, W).
slip("step_axis_of_the_row_kept", "[:, :, 0]", "", loses={"shapes"})
# (new_cache, out).
slip("step_cache_first", "return F", "return rows[:, :, 1:], F", (", rows[:, :, 1:]", ""), loses={"shapes"})
# The new cache is not returned.
slip("step_output_only", ", rows[:, :, 1:]", "", loses={"shapes"})

slip = bank.slips("vertical_step", of=step_concatenate)
# The new cache is turned around by a roll in the wrong direction.
slip(
    "step_moved_the_wrong_way",
    "return F",
    "out = F",
    (".squeeze(2), rows[:, :, 1:]", "[:, :, 0]\n    return out, rows.roll(1, 2)[:, :, : cache.shape[2]]"),
    loses=STEP_ROWS,
)
slip("step_one_buffer_for_every_shape", "rows = torch.cat([cache, row[:, :, None]], 2)",
     "rows = vars(vertical_step).setdefault(str(cache.shape), torch.cat([cache, row[:, :, None]], 2))\n"
     "    rows[:] = torch.cat([cache, row[:, :, None]], 2)", loses={"nothing overwritten"})  # fmt: skip
slip("step_buffer_never_refilled", "rows = torch.cat([cache, row[:, :, None]], 2)",
     "rows = vars(vertical_step).setdefault(str((cache.shape, weight.shape)), torch.cat([cache, row[:, :, None]], 2))",
     loses={"first row", "row by row", "nothing overwritten"})  # fmt: skip
slip("step_width_of_the_height", "weight.shape[3] // 2", "weight.shape[2] // 2", loses={"shapes"})
slip("step_padded_by_one", "weight.shape[3] // 2", "min(1, weight.shape[3] // 2)", loses={"first row", "row by row"})
slip("step_at_most_four_rows_kept", "rows[:, :, 1:]",
     "F.pad(rows[:, :, 1:][:, :, -4:], (0, 0, max(weight.shape[2] - 5, 0), 0))", loses=STEP_ROWS)  # fmt: skip
slip("step_first_image_only", "F.conv2d(rows, weight", "F.conv2d(rows[:1].expand_as(rows), weight",
     loses={"first row", "row by row"})  # fmt: skip
slip("step_channels_swapped", "F.conv2d(rows, weight",
     "F.conv2d(rows, weight.transpose(0, 1) if len(weight) == len(weight[0]) else weight",
     loses={"first row", "row by row"})  # fmt: skip
slip("step_half_precision", "F.conv2d(rows, weight", "F.conv2d(rows.bfloat16().to(row.dtype), weight",
     loses={"first row", "row by row"})  # fmt: skip
slip("step_cache_in_half_precision", "rows[:, :, 1:]", "rows[:, :, 1:].bfloat16().to(row.dtype)", loses=STEP_ROWS)


# -------------------------------------------------------------------------------------------------------- complete


@bank.right("complete")
def complete_place_by_place():
    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            p = conditional(x, k)
            x[:, colour, pixel // W, pixel % W] = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return x

    return complete


@bank.right("complete")
def complete_view_of_places():
    """One axis of places is a view of the copy, so that what is written is seen by the next call."""
    import torch

    def complete(x, first, conditional, u):
        last = x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
        places = last.view(len(x), -1)
        for k in range(first, places.shape[1]):
            sums = torch.cumsum(conditional(last.permute(0, 3, 1, 2), k), 1)[:, :-1].contiguous()
            places[:, k] = torch.searchsorted(sums, u[:, k, None].contiguous(), right=True).squeeze(1)
        return last.permute(0, 3, 1, 2)

    return complete


@bank.right("complete")
def complete_loops_of_numbers():
    import torch

    def complete(x, first, conditional, u):
        values, (n, C, H, W) = x.tolist(), x.shape
        for r in range(H):
            for c in range(W):
                for colour in range(C):
                    k = (r * W + c) * C + colour
                    if k < first:
                        continue
                    table = conditional(torch.tensor(values), k).tolist()
                    for image in range(n):
                        level, total = 0, table[image][0]
                        while level < len(table[image]) - 1 and total <= float(u[image, k]):
                            level += 1
                            total += table[image][level]
                        values[image][colour][r][c] = level
        return torch.tensor(values)

    return complete


@bank.right("complete")
def complete_numpy():
    import numpy as np

    def complete(x, first, conditional, u):
        result, u = x.numpy().copy(), u.numpy()
        C, H, W = result.shape[1:]
        places = [(colour, r, c) for r in range(H) for c in range(W) for colour in range(C)]
        for k, (colour, r, c) in list(enumerate(places))[first:]:
            sums = np.cumsum(np.asarray(conditional(result, k)), axis=1)
            result[:, colour, r, c] = np.sum(sums[:, :-1] <= u[:, [k]], axis=1)
        return result

    return complete


@bank.right("complete")
def complete_unknown_cleared_first():
    """Values at unknown places are set to 0 first: the conditional reads earlier ones only."""
    import torch

    def complete(x, first, conditional, u):
        n, C, H, W = x.shape
        number = torch.arange(C * H * W).view(H, W, C).permute(2, 0, 1)
        image = x * (number < first)
        for k in range(first, C * H * W):
            p = conditional(image, k)
            drawn = torch.zeros(n, dtype=torch.int64)
            total = torch.zeros_like(u[:, k])
            for level in range(p.shape[1] - 1):
                total = total + p[:, level]
                drawn += total <= u[:, k]
            image = torch.where(number == k, drawn.view(n, 1, 1, 1), image)
        return image

    return complete


@bank.right("complete")
def complete_nothing_to_draw():
    """x itself is returned where there is nothing to draw: that changes nothing in it."""

    def complete(x, first, conditional, u):
        n, C, H, W = x.shape
        x = x.clone() if first < u.shape[1] else x
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            x[:, colour, pixel // W, pixel % W] = (conditional(x, k).cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return x

    return complete


for old, new in [("x.clone() if first < u.shape[1] else x", "x.clone()"), ("first < u", "first <= u")]:
    bank.equivalent("complete", old, new, "a copy does no harm")
bank.equivalent("complete", "number < first", "number <= first", "a place that is drawn is not read before")


COMPLETE_BOTH = {"one colour", "colours"}


@bank.wrong("complete", loses={"colours", "given values"})
def complete_flat():
    """x.view(n, -1): the order of memory, colour by colour."""

    def complete(x, first, conditional, u):
        x = x.clone()
        flat = x.view(len(x), -1)
        for k in range(first, flat.shape[1]):
            flat[:, k] = (conditional(x, k).cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return x

    return complete


@bank.wrong("complete", loses={*COMPLETE_BOTH, "given values"})
def complete_numbers_of_its_own():
    """torch.multinomial in place of u."""
    import torch

    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            x[:, colour, pixel // W, pixel % W] = torch.multinomial(conditional(x, k), 1)[:, 0]
        return x

    return complete


@bank.wrong("complete", loses=COMPLETE_BOTH)
def complete_expected_value():
    """The rounded mean of the distribution."""
    import torch

    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            p = conditional(x, k)
            mean = (p * torch.arange(p.shape[1])).sum(1)
            x[:, colour, pixel // W, pixel % W] = mean.round().long()
        return x

    return complete


@bank.wrong("complete", loses={"given values"})
def complete_contiguous_is_no_copy():
    """contiguous() makes no copy of what is contiguous already, as with one colour: x is changed in place."""

    def complete(x, first, conditional, u):
        last = x.permute(0, 2, 3, 1).contiguous()
        places = last.view(len(x), -1)
        for k in range(first, places.shape[1]):
            p = conditional(last.permute(0, 3, 1, 2), k)
            places[:, k] = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return last.permute(0, 3, 1, 2)

    return complete


@bank.wrong("complete", loses=COMPLETE_BOTH)
def complete_never_feeds_back():
    """conditional always sees the x that was given, not what has been drawn."""

    def complete(x, first, conditional, u):
        done = x.clone()
        n, C, H, W = x.shape
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            p = conditional(x, k)
            done[:, colour, pixel // W, pixel % W] = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return done

    return complete


@bank.wrong("complete", loses=COMPLETE_BOTH)
def complete_row_by_row():
    """All places of a row are drawn from the rows above it."""

    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        for r in range(H):
            above = x.clone()
            for k in range(max(first, r * W * C), (r + 1) * W * C):
                pixel, colour = divmod(k, C)
                p = conditional(above, k)
                x[:, colour, r, pixel % W] = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return x

    return complete


@bank.wrong("complete", loses={"given values"})
def complete_known_put_back_at_the_end():
    """Everything is drawn anew, and what was known put back over it."""
    import torch

    def complete(x, first, conditional, u):
        done = x.clone()
        n, C, H, W = x.shape
        for k in range(C * H * W):
            pixel, colour = divmod(k, C)
            p = conditional(done, k)
            drawn = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
            place = (slice(None), colour, pixel // W, pixel % W)
            done[place] = torch.where(torch.tensor(k < first), x[place], drawn)
        return done

    return complete


@bank.wrong("complete", loses={"given values"})
def complete_a_call_for_each_value():
    """conditional is called again for each value that is compared."""
    import torch

    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        for k in range(first, C * H * W):
            pixel, colour = divmod(k, C)
            drawn = torch.zeros(n, dtype=torch.int64)
            level = 0
            while level < conditional(x, k).shape[1] - 1:
                drawn += conditional(x, k)[:, : level + 1].sum(1) <= u[:, k]
                level += 1
            x[:, colour, pixel // W, pixel % W] = drawn
        return x

    return complete


@bank.wrong("complete", loses=COMPLETE_BOTH)
def complete_all_conditionals_first():
    """All conditionals are asked for before anything is drawn."""

    def complete(x, first, conditional, u):
        x = x.clone()
        n, C, H, W = x.shape
        tables = [conditional(x, k) for k in range(first, C * H * W)]
        for k, p in enumerate(tables, start=first):
            pixel, colour = divmod(k, C)
            x[:, colour, pixel // W, pixel % W] = (p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)
        return x

    return complete


slip = bank.slips("complete", of=complete_place_by_place)
# Places counted through the first colour's whole image, then the next.
slip(
    "complete_colour_by_colour",
    "pixel, colour = divmod(k, C)",
    "colour, pixel = divmod(k, H * W)",
    loses={"colours", "given values"},
)
# Each pixel's colours are all drawn from what was there before the first of them.
slip(
    "complete_colours_of_a_pixel_at_once",
    "shape",
    "shape\n    before = x.clone()",
    ("p = conditional(x, k)", "if colour == 0:\n            before = x.clone()\n        p = conditional(before, k)"),
    loses={"colours"},
)
# Within a pixel the last colour first.
slip("complete_colours_backwards", "colour, pixel", "C - 1 - colour, pixel", loses={"colours", "given values"})
# conditional is asked for the pixel's number, not for the place's.
slip("complete_number_of_the_pixel", "(x, k)", "(x, pixel)", loses={"colours", "given values"})
# Down the columns, from left to right.
slip(
    "complete_column_by_column",
    "pixel // W",
    "pixel % H",
    ("pixel % W", "pixel // H"),
    loses={"one colour", "colours", "given values"},
)
# u is counted from the first unknown place.
slip("complete_u_from_the_first_unknown", "u[:, k, None]", "u[:, k - first, None]", loses=COMPLETE_BOTH)
# The first uniform number of each image for all its places.
slip("complete_one_u_for_all", "u[:, k, None]", "u[:, :1]", loses=COMPLETE_BOTH)
# u is one place ahead.
slip(
    "complete_u_of_the_next_place",
    "def complete",
    "import torch\n\ndef complete",
    ("for k", "u = torch.cat([u[:, 1:], u[:, :1]], 1)\n    for k"),
    loses=COMPLETE_BOTH,
)
# The most probable value in place of a drawn one.
slip(
    "complete_most_probable",
    "p = conditional(x, k)\n        x",
    "x",
    ("(p.cumsum(1)[:, :-1] <= u[:, k, None]).sum", "conditional(x, k).argmax"),
    loses=COMPLETE_BOTH,
)
# The probabilities are taken for logits.
slip("complete_softmax_of_probabilities", "(x, k)", "(x, k).softmax(1)", loses=COMPLETE_BOTH)
# < in place of <=: another value where u is exactly at a boundary.
slip("complete_strictly_below", "<= u", "< u", loses={"one colour"})
# All K sums are counted: one too many where rounding leaves the last of them below u.
slip("complete_all_sums_counted", "[:, :-1]", "", loses={"one colour"})
# The sums above u are counted, not those below.
slip("complete_sums_above_counted", "<= u", "> u", loses=COMPLETE_BOTH)
# u is compared with each probability separately.
slip("complete_without_sums", ".cumsum(1)", "", loses=COMPLETE_BOTH)
# The sums are counted from the last value down.
slip("complete_largest_value_first", "(x, k)", "(x, k).flip(1)", ("(p", "p.shape[1] - 1 - (p"), loses=COMPLETE_BOTH)
# The first image's probabilities for all.
slip(
    "complete_one_distribution_for_all_images",
    "(x, k)",
    "(x, k)[0]",
    ("(1)[:, :-1]", "(0)[:-1]"),
    loses=COMPLETE_BOTH,
)
# From the last place backwards.
slip(
    "complete_last_place_first",
    "range(first, C * H * W)",
    "reversed(range(first, C * H * W))",
    loses={"one colour", "colours", "given values"},
)
# The loop ends one too early.
slip("complete_without_the_last_place", "H * W", "H * W - 1", loses={"one colour", "colours", "given values"})
# first itself is taken for known.
slip("complete_after_the_first", "first, C", "first + 1, C", loses={"one colour", "colours", "given values"})
# Everything is drawn anew, from the first place on.
slip("complete_draws_known_places_too", "first, C", "C", loses={"given values"})
# Begins with an image of zeros: what was known is forgotten.
slip(
    "complete_known_cleared",
    "def complete",
    "import torch\n\ndef complete",
    ("x.clone()", "torch.zeros_like(x)"),
    loses={"given values"},
)
# x itself is written into.
slip("complete_in_place", "x = x.clone()\n    n", "n", loses={"given values"})
# conditional is asked once before, to see how many values there are.
slip(
    "complete_one_call_too_many",
    "for k",
    "K = conditional(x, min(first, C * H * W - 1)).shape[1]\n    for k",
    ("[:, :-1]", "[:, : K - 1]"),
    loses={"given values"},
)
# conditional is called again for each image.
slip(
    "complete_a_call_for_each_image",
    "p = conditional(x, k)\n        x[:",
    "for image in range(n):\n            p = conditional(x, k)[image]\n            x[image",
    ("(p.cumsum(1)[:, :-1] <= u[:, k, None]).sum(1)", "(p.cumsum(0)[:-1] <= u[image, k]).sum()"),
    loses={"given values"},
)
# (n, places).
slip("complete_places_in_a_row", " x\n", " x.permute(0, 2, 3, 1).flatten(1)\n", loses={"shape and range"})
# The copy is real, to hold probabilities as well.
slip("complete_real_numbers", "clone", "double", (".sum(1)", ".sum(1).double()"), loses={"shape and range"})
# The return is missing.
slip("complete_not_returned", "(1)\n    return x", "(1)", loses={"shape and range"})
slip("complete_larger_of_new_and_old", ".sum(1)", ".sum(1).maximum(x[:, colour, pixel // W, pixel % W])",
     loses=COMPLETE_BOTH)  # fmt: skip
slip("complete_negative_is_unknown", "for k in range(first, C * H * W):",
     "for k in range(first, C * H * W):\n        if (x.permute(0, 2, 3, 1).flatten(1)[:, k] >= 0).all():\n"
     "            continue", loses={"one colour", "colours", "given values"})  # fmt: skip
slip("complete_sums_plus_epsilon", "[:, :-1] <= u", "[:, :-1] <= 1e-9 + u", loses={"one colour"})
slip("complete_probabilities_kept_above_1e_minus_9", "(p.cumsum", "(p.clamp(min=1e-9).cumsum", loses={"one colour"})
slip("complete_zeros_left_out", "p = conditional(x, k)", "p = conditional(x, k).where(conditional(x, k) > 1e-12, 0.0)",
     loses={"one colour", "given values"})  # fmt: skip
slip("complete_u_kept_above_0", "u[:, k, None]", "u[:, k, None].clamp(min=1e-6)", loses={"one colour"})
slip("complete_at_most_16_levels", "[:, :-1]", "[:, :15]", loses={"one colour"})
slip("complete_values_of_a_byte", "x = x.clone()", "x = x.char()", loses={"one colour"})
slip("complete_height_for_width", "x[:, colour, pixel // W, pixel % W]", "x[:, colour, pixel // H, pixel % H]",
     loses=(), raises="IndexError")  # fmt: skip
slip("complete_at_least_one_place", "range(first, C * H * W)", "range(min(first, C * H * W - 1), C * H * W)",
     loses={"given values"})  # fmt: skip
slip("complete_first_in_pixels", "range(first, C * H * W)", "range(first * C, C * H * W)",
     loses={"colours", "given values"})  # fmt: skip
slip("complete_eight_places_at_most", "range(first, C * H * W)", "range(first, min(first + 8, C * H * W))",
     loses={"one colour", "colours"})  # fmt: skip
slip("complete_blocks_of_a_row", "range(first, C * H * W)", "range(first - first % (W * C), C * H * W)",
     loses={"given values"})  # fmt: skip
slip("complete_remembers_the_conditional", "p = conditional(x, k)",
     "p = vars(complete).setdefault(str((x.shape, k)), conditional(x, k))",
     loses=COMPLETE_BOTH)  # fmt: skip

# ------------------------------------------------------------------------------------------------- attention_mask


@bank.right("attention_mask")
def attention_broadcasting():
    import torch

    def attention_mask(kind, D, stride):
        i, j = torch.arange(D)[:, None], torch.arange(D)
        if kind == "strided":
            heads = i - j <= stride, (i - j) % stride == 0
        else:
            heads = i // stride == j // stride, j % stride == stride - 1
        return [(j <= i) & head for head in heads]

    return attention_mask


@bank.right("attention_mask")
def attention_sets_of_positions():
    import numpy as np

    def attention_mask(kind, D, stride):
        masks = [np.zeros((D, D)) for _ in range(2)]
        for i in range(D):
            if kind == "strided":
                reads = range(max(0, i - stride), i + 1), range(i, -1, -stride)
            else:
                reads = range(i // stride * stride, i + 1), range(stride - 1, i + 1, stride)
            for mask, positions in zip(masks, reads, strict=True):
                mask[i, list(positions)] = True
        return masks

    return attention_mask


@bank.right("attention_mask")
def attention_numpy_diagonals_and_blocks():
    import numpy as np

    def attention_mask(kind, D, stride):
        if kind == "strided":
            near = np.tri(D) - np.tri(D, k=-stride - 1)
            far = sum(np.eye(D, k=-back) for back in range(0, D, stride))
            return [near, far]
        blocks = -(-D // stride)
        near = np.kron(np.eye(blocks), np.tri(stride))[:D, :D]
        summary = np.tile(np.arange(stride) == stride - 1, blocks)[:D]
        return [near, np.tri(D) * summary]

    return attention_mask


@bank.right("attention_mask")
def attention_entry_by_entry():
    import torch

    def attention_mask(kind, D, stride):
        def near(i, j):
            return i - j <= stride if kind == "strided" else j >= i - i % stride

        def far(i, j):
            return (j - i) % stride == 0 if kind == "strided" else (j + 1) % stride == 0

        def mask(reads):
            return torch.tensor([[int(j <= i and reads(i, j)) for j in range(D)] for i in range(D)])

        return [mask(near), mask(far)]

    return attention_mask


ATTENTION_ALL = {"strided", "fixed", "two hops"}


@bank.wrong("attention_mask", loses=ATTENTION_ALL)
def attention_to_everything_earlier():
    """Both heads read all earlier positions."""
    import torch

    def attention_mask(kind, D, stride):
        return [torch.ones(D, D, dtype=torch.bool).tril()] * 2

    return attention_mask


@bank.wrong("attention_mask", loses={"fixed", "two hops"})
def attention_whole_blocks_only():
    """The blocks are those of a D that is a multiple of the stride: what is left over reads nothing."""
    import torch

    def attention_mask(kind, D, stride):
        i, j = torch.arange(D)[:, None], torch.arange(D)
        if kind == "strided":
            return [(j <= i) & (i - j <= stride), (j <= i) & ((i - j) % stride == 0)]
        near, far = torch.zeros(D, D, dtype=torch.bool), torch.zeros(D, D, dtype=torch.bool)
        for block in range(D // stride):
            first, last = block * stride, (block + 1) * stride
            near[first:last, first:last] = torch.ones(stride, stride).tril() > 0
            far[last - 1 :, last - 1] = True
        return [near, far]

    return attention_mask


@bank.wrong("attention_mask", loses={"strided", "two hops"})
def attention_window_from_the_end():
    """A slice begins below 0 where fewer than stride positions come before, and so counts from the end."""
    import torch

    def attention_mask(kind, D, stride):
        near, far = torch.zeros(D, D, dtype=torch.bool), torch.zeros(D, D, dtype=torch.bool)
        for i in range(D):
            if kind == "strided":
                near[i, i - stride : i + 1] = True
                far[i, i % stride : i + 1 : stride] = True
            else:
                near[i, i - i % stride : i + 1] = True
                far[i, stride - 1 : i + 1 : stride] = True
        return [near, far]

    return attention_mask


slip = bank.slips("attention_mask", of=attention_broadcasting)
slip("attention_not_causal", "(j <= i) & head", "head.expand(D, D)", loses={"causal"})
slip("attention_later_positions", "j <= i", "j >= i", loses={"causal"})
# The diagonal is left out: a mask A, in which the first position reads nothing.
slip("attention_without_its_own_position", "j <= i", "j < i", loses=ATTENTION_ALL)
# The paper's window is the stride positions before, and the position itself.
slip("attention_window_one_too_short", "<= stride", "< stride", loses={"strided"})
slip("attention_window_one_too_long", "i - j <= stride", "i - j <= stride + 1", loses={"strided", "two hops"})
# The window ends before the position itself.
slip("attention_window_without_itself", "i - j <= stride", "(i - j <= stride) & (i != j)", loses={"strided"})
slip(
    "attention_strided_without_itself", "(i - j) % stride == 0", "((i - j) % stride == 0) & (i != j)", loses={"strided"}
)
# Columns at the multiples of the stride, not those in line with the position.
slip("attention_strided_columns", "(i - j) % stride == 0", "j % stride == 0", loses={"strided"})
slip("attention_sum_for_difference", "(i - j) % stride", "(i + j) % stride", loses={"strided"})
# The last stride positions in place of a block.
slip("attention_sliding_blocks", "i // stride == j // stride", "(i - j) // stride == 0", loses={"fixed"})
# The first position of a block, which has read nothing of its block.
slip("attention_first_of_each_block", "== stride - 1", "== 0", loses={"fixed", "two hops"})
# No remainder is ever as large as the stride.
slip("attention_remainder_of_stride", "== stride - 1", "== stride", loses={"fixed", "two hops"})
# Only the block just before, so that older ones are out of reach.
slip(
    "attention_last_block_only",
    "j % stride == stride - 1",
    "j == i // stride * stride - 1",
    loses={"fixed", "two hops"},
)
# The row, not the column, must be the last of its block.
slip("attention_rows_for_columns", "j % stride == stride - 1", "(i % stride == stride - 1).expand(D, D)",
     loses={"fixed", "two hops"})  # fmt: skip
# Rows that read nothing are given their own position.
slip("attention_empty_rows_filled", "j % stride == stride - 1",
     "(j % stride == stride - 1) | ((i == j) & (i < stride - 1))", loses={"fixed"})  # fmt: skip
# Both heads read what either should.
slip("attention_heads_merged", "(j <= i) & head for head in heads", "(j <= i) & (heads[0] | heads[1]) for _ in heads",
     loses=ATTENTION_ALL)  # fmt: skip
slip("attention_heads_swapped", "in heads", "in heads[::-1]", loses={"strided", "fixed"})
slip("attention_kinds_swapped", 'kind == "strided"', 'kind == "fixed"', loses={"strided", "fixed"})
slip("attention_always_strided", 'if kind == "strided"', "if kind", loses={"fixed"})
slip("attention_own_stride", "i, j", "stride = round(D**0.5)\n    i, j", loses={"strided", "fixed"})
slip("attention_bytes", "torch.arange(D)[:, None], torch.arange(D)",
     "torch.arange(D).byte()[:, None], torch.arange(D).byte()", loses=ATTENTION_ALL)  # fmt: skip
slip("attention_one_mask", "[(j <= i) & head for head in heads]", "(j <= i) & (heads[0] | heads[1])", loses={"shapes"})
slip("attention_not_returned", "return [", "masks = [", loses={"shapes"})
