"""Right and wrong answers to lesson 06, WaveNet.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("wavenet")

# --------------------------------------------------------------------------------------------------- mu_law_encode


@bank.right("mu_law_encode")
def mu_law_by_the_formula():
    import math

    import torch

    def mu_law_encode(x):
        if not (x.abs() <= 1).all():
            raise ValueError("expected values in -1..1")
        F = x.sign() * torch.log1p(255 * x.abs()) / math.log(256)
        return ((F + 1) / 2 * 255 + 0.5).floor().long()

    return mu_law_encode


@bank.right("mu_law_encode")
def mu_law_from_the_middle():
    import torch

    def mu_law_encode(x):
        if x.isnan().any() or (x < -1).any() or (x > 1).any():
            raise ValueError("x is out of range")
        upper = 128 + (127.5 * torch.log2(1 + 255 * x.abs()) / 8).long()
        return torch.where(x < 0, 255 - upper, upper)

    return mu_law_encode


@bank.right("mu_law_encode")
def mu_law_between_borders():
    import torch

    def mu_law_encode(x):
        if not torch.all((x >= -1) & (x <= 1)):
            raise ValueError(f"expected samples in -1..1, got {x.min()} to {x.max()}")
        F = torch.copysign(torch.log(1 + 255 * x.double().abs()) / torch.tensor(256.0).double().log(), x)
        borders = 2 * (torch.arange(255) + 0.5).double() / 255 - 1
        return torch.bucketize(F, borders, right=True)

    return mu_law_encode


@bank.right("mu_law_encode")
def mu_law_of_numpy():
    import numpy as np

    def mu_law_encode(x):
        x = x.numpy()
        if not np.all(np.abs(x) <= 1):
            raise ValueError("no sound")
        loud = np.log1p(255 * np.abs(x)) / np.log(256)
        return np.rint(127.5 + 127.5 * np.where(x < 0, -loud, loud)).astype(np.int64)

    return mu_law_encode


for old, new, why in (
    ("math.log(256)", "(math.log(256) + 1e-08)", "a logarithm that is off by 1e-8 changes no code"),
    ("np.log(256)", "(np.log(256) + 1e-08)", "a logarithm that is off by 1e-8 changes no code"),
    ("torch.tensor(256.0).double().log()", "(torch.tensor(256.0).double().log() + 1e-08)", "so is this one"),
    (".long()", ".byte()", "any type of integers is read"),
    (".floor().long()", ".long()", "what is rounded is positive"),
    ("arange(255)", "arange(256)", "nothing lies beyond the last border"),
    ("x < 0, -loud", "x <= 0, -loud", "-0 is 0"),
    ("1 + 255 * x.abs()", "torch.as_tensor(1 + 255 * x.abs()).clamp(min=1e-06)", "the sum is at least 1"),
    ("1 + 255 * x.double().abs()", "torch.as_tensor(1 + 255 * x.double().abs()).clamp(min=1e-06)", "so is this"),
):
    bank.equivalent("mu_law_encode", old, new, why)


slip = bank.slips("mu_law_encode", of=mu_law_by_the_formula)
slip("mu_law_of_256", "255 * x.abs()", "256 * x.abs()", ("log(256)", "log(257)"), loses={"levels"})
slip("mu_law_floor_of_256_bins", "/ 2 * 255 + 0.5)", "/ 2 * 256)", loses={"levels"})
slip(
    "mu_law_floor_of_256_bins_clamped",
    "/ 2 * 255 + 0.5).floor()",
    "/ 2 * 256).floor().clamp(max=255)",
    loses={"levels"},
)
slip("mu_law_rounded_down", " + 0.5)", ")", loses={"levels", "silence"})
slip("mu_law_rounded_up", "+ 0.5).floor()", ").ceil()", loses={"levels", "silence"})
slip("mu_law_tie_goes_down", "+ 0.5).floor()", "- 0.5).ceil()", loses={"silence"})
slip("mu_law_linear", "x.sign() * torch.log1p(255 * x.abs()) / math.log(256)", "x", loses={"levels"})
slip("mu_law_without_sign", "x.sign() * ", "", loses={"levels", "silence"})
slip("mu_law_natural_logarithm", " / math.log(256)", "", loses={"shape and range"})
slip("mu_law_decimal_logarithm", "torch.log1p(255 * x.abs())", "torch.log10(1 + 255 * x.abs())", loses={"levels"})
slip("mu_law_log_of_255", "log(256)", "log(255)", loses={"levels"})
slip(
    "mu_law_codes_from_minus_256",
    ".floor().long()",
    ".floor().long() - 256",
    loses={"shape and range"},
)
slip("mu_law_as_reals", ".floor().long()", ".floor()", loses={"shape and range"})
slip("mu_law_as_signed_bytes", ".long()", ".to(torch.int8)", loses={"shape and range"})
slip("mu_law_turned_around", "(F + 1)", "(1 - F)", loses={"levels", "silence"})
slip("mu_law_does_not_refuse", "if not (x.abs() <= 1).all()", "if False", loses={"invalid values"})
slip("mu_law_takes_nan", "not (x.abs() <= 1).all()", "(x.abs() > 1).any()", loses={"invalid values"})
slip("mu_law_refuses_loud_only", "(x.abs() <= 1).all()", "(x <= 1).all()", loses={"invalid values"})
slip("mu_law_refuses_where_all_are_wrong", "(x.abs() <= 1).all()", "(x.abs() <= 1).any()", loses={"invalid values"})
slip("mu_law_asserts", 'raise ValueError("expected values in -1..1")', "assert False", loses={"invalid values"})
slip(
    "mu_law_clamps",
    'raise ValueError("expected values in -1..1")',
    "x = x.nan_to_num().clamp(-1, 1)",
    loses={"invalid values"},
)
slip("mu_law_refuses_the_ends", "x.abs() <= 1", "x.abs() < 1", loses={"levels"})
slip("mu_law_minus_zero", "x.sign()", "torch.copysign(torch.ones(()), x - 1e-7)", loses={"silence"})


@bank.wrong("mu_law_encode", loses={"levels", "silence"})
def mu_law_nearest_in_sound():
    """The level that is nearest before compression; argmin takes the lower one of two at the same distance."""
    import torch

    def mu_law_encode(x):
        if not (x.abs() <= 1).all():
            raise ValueError("out of range")
        F = 2 * torch.arange(256, dtype=torch.float64) / 255 - 1
        sound = F.sign() * (256 ** F.abs() - 1) / 255
        return (x[..., None] - sound).abs().argmin(-1)

    return mu_law_encode


@bank.wrong("mu_law_encode", loses={"silence"})
def mu_law_lower_of_two_nearest():
    """The nearest after compression, but argmin takes the lower one of two at the same distance."""
    import math

    import torch

    def mu_law_encode(x):
        if not (x.abs() <= 1).all():
            raise ValueError("out of range")
        F = x.double().sign() * torch.log1p(255 * x.double().abs()) / math.log(256)
        levels = 2 * torch.arange(256, dtype=torch.float64) / 255 - 1
        return (F[..., None] - levels).abs().argmin(-1)

    return mu_law_encode


# ----------------------------------------------------------------------------------------------------- causal_conv


@bank.right("causal_conv")
def conv_padded():
    import torch

    def causal_conv(x, w, dilation):
        past = (w.shape[2] - 1) * dilation
        return torch.nn.functional.conv1d(torch.nn.functional.pad(x, (past, 0)), w, dilation=dilation)

    return causal_conv


@bank.right("causal_conv")
def conv_tap_by_tap():
    import torch

    def causal_conv(x, w, dilation):
        n, inputs, T = x.shape
        k = w.shape[2]
        y = torch.zeros(n, len(w), T, dtype=x.dtype)
        for j in range(k):
            back = min((k - 1 - j) * dilation, T)
            moved = torch.cat([torch.zeros(n, inputs, back, dtype=x.dtype), x[:, :, : T - back]], 2)
            y = y + torch.einsum("oi,nit->not", w[:, :, j], moved)
        return y

    return causal_conv


@bank.right("causal_conv")
def conv_cut_at_the_end():
    import torch

    def causal_conv(x, w, dilation):
        past = (w.shape[-1] - 1) * dilation
        return torch.conv1d(x, w, padding=past, dilation=dilation)[:, :, : x.shape[-1]]

    return causal_conv


@bank.right("causal_conv")
def conv_of_windows():
    import torch

    def causal_conv(x, w, dilation):
        k = w.shape[2]
        steps = torch.arange(x.shape[2])[:, None] - dilation * torch.arange(k).flip(0)
        windows = torch.where(steps >= 0, x[:, :, steps.clamp(min=0)], torch.zeros((), dtype=x.dtype))
        return torch.tensordot(windows, w, ([1, 3], [1, 2])).transpose(1, 2)

    return causal_conv


for old, new, why in (
    (", dtype=x.dtype)", ")", "a sum of both precisions is in double precision"),
    ("flip(0)", "flip(-1)", "there is one axis"),
    ("clamp(min=0)", "clamp(min=-1)", "what is read before the first step is not used"),
    ("transpose(1, 2)", "transpose(2, 1)", "the same exchange"),
):
    bank.equivalent("causal_conv", old, new, why)


slip = bank.slips("causal_conv", of=conv_padded)
slip("conv_padded_at_the_end", "(past, 0)", "(0, past)", loses={"causal"})
slip("conv_not_padded", "torch.nn.functional.pad(x, (past, 0))", "x", loses={"shape"})
slip("conv_padded_by_k", "(w.shape[2] - 1) * dilation", "w.shape[2] * dilation", loses={"shape"})
slip("conv_padded_without_dilation", "(w.shape[2] - 1) * dilation", "w.shape[2] - 1", loses={"shape"})
slip("conv_taps_turned", "0)), w,", "0)), w.flip(2),", loses={"taps", "beginning"})
slip("conv_channels_turned", "0)), w,", "0)), w.flip(1),", loses={"taps", "beginning"})
slip("conv_one_step_late", "(past, 0)", "(past + 1, -1)", loses={"taps", "beginning"})
slip("conv_one_step_early", "(past, 0)", "(past - 1, 1)", loses={"causal"})
slip(
    "conv_without_dilation",
    "dilation=dilation)",
    "dilation=1)[:, :, -x.shape[2] :]",
    loses={"taps", "beginning"},
)
slip("conv_around", "(past, 0))", "(past, 0), mode='circular')", loses={"causal"})
slip("conv_of_the_edge", "(past, 0))", "(past, 0), mode='replicate')", loses={"beginning"})
slip("conv_of_tenths", "(past, 0))", "(past, 0), value=0.1)", loses={"beginning"})
slip("conv_detached", "pad(x", "pad(x.detach()", loses={"training"})
slip("conv_of_the_weights_data", "0)), w,", "0)), w.data,", loses={"training"})
slip("conv_in_double", "pad(x", "pad(x.double()", loses={"training"})
slip("conv_first_row_only", "pad(x", "pad(x[:1]", loses={"shape"})
slip("conv_gated", "dilation=dilation)", "dilation=dilation).relu()", loses={"taps", "beginning"})


@bank.wrong("causal_conv", loses={"causal"})
def conv_same():
    """Padded on both sides, which keeps the length as well."""
    import torch

    def causal_conv(x, w, dilation):
        past = (w.shape[2] - 1) * dilation
        padded = torch.nn.functional.pad(x, (past - past // 2, past // 2))
        return torch.nn.functional.conv1d(padded, w, dilation=dilation)

    return causal_conv


@bank.wrong("causal_conv", loses={"causal"})
def conv_rolled():
    """roll brings the end of the series to its beginning."""
    import torch

    def causal_conv(x, w, dilation):
        k = w.shape[2]
        return sum(torch.einsum("oi,nit->not", w[:, :, j], x.roll((k - 1 - j) * dilation, 2)) for j in range(k))

    return causal_conv


@bank.wrong("causal_conv", loses={"causal"})
def conv_cut_at_the_beginning():
    """Padded on both sides, and cut at the wrong one."""
    import torch

    def causal_conv(x, w, dilation):
        past = (w.shape[2] - 1) * dilation
        return torch.conv1d(x, w, padding=past, dilation=dilation)[:, :, past:]

    return causal_conv


@bank.wrong("causal_conv", loses={"beginning"})
def conv_of_slices():
    """Slices that fit only where the series is longer than what a tap goes back."""
    import torch

    def causal_conv(x, w, dilation):
        T, k = x.shape[2], w.shape[2]
        y = torch.einsum("oi,nit->not", w[:, :, -1], x)
        for j in range(k - 1):
            back = (k - 1 - j) * dilation
            added = torch.einsum("oi,nit->not", w[:, :, j], x[:, :, : T - back])
            y = y + torch.cat([torch.zeros(len(x), len(w), back, dtype=x.dtype), added], 2)
        return y

    return causal_conv


@bank.wrong("causal_conv", loses={"beginning"})
def conv_before_the_first_nothing_at_all():
    """Outputs that would read zeros are left at 0."""
    import torch

    def causal_conv(x, w, dilation):
        past = (w.shape[2] - 1) * dilation
        y = torch.conv1d(torch.nn.functional.pad(x, (past, 0)), w, dilation=dilation)
        return torch.where(torch.arange(x.shape[2]) < past, 0.0, 1.0).to(y.dtype) * y

    return causal_conv


# ------------------------------------------------------------------------------------------------------- dilations


@bank.right("dilations")
def dilations_as_large_as_possible():
    def dilations(receptive_field, kernel):
        found, reach = [], 1
        left = (receptive_field - 1) // (kernel - 1)
        for _ in range(receptive_field):
            d = min(reach, left)
            left -= d
            reach += (kernel - 1) * d
            if d:
                found.append(d)
        return found

    return dilations


@bank.right("dilations")
def dilations_from_the_top():
    def dilations(receptive_field, kernel):
        if receptive_field == 1:
            return []
        below = -(-receptive_field // kernel)
        below += (1 - below) % (kernel - 1)
        return [*dilations(below, kernel), (receptive_field - below) // (kernel - 1)]

    return dilations


@bank.right("dilations")
def dilations_powers_and_the_rest():
    import torch

    def dilations(receptive_field, kernel):
        layers = range(receptive_field.bit_length())
        powers = [kernel**layer for layer in layers if kernel ** (layer + 1) <= receptive_field]
        rest = (receptive_field - kernel ** len(powers)) // (kernel - 1)
        return torch.tensor(powers + [rest] * (rest > 0), dtype=torch.int64)

    return dilations


@bank.right("dilations")
def dilations_largest_first():
    def dilations(receptive_field, kernel):
        def below(left, reach):
            if left == 0:
                return []
            d = min(left, reach)
            return [*below(left - d, reach * kernel), d]

        return tuple(below((receptive_field - 1) // (kernel - 1), 1))

    return dilations


for old, new, why in (
    ("range(receptive_field):", "range(receptive_field - 1):", "there are fewer layers than this"),
    ("range(receptive_field):", "range(1, receptive_field):", "there are fewer layers than this"),
    ("bit_length()", "bit_length() - 1", "the last power is too large in any case"),
    ("receptive_field.bit_length()", "receptive_field", "powers that are too large are left out"),
    ("<= receptive_field", "< receptive_field", "then the rest is the last power"),
    (", dtype=torch.int64)", ")", "integers are int64 by default"),
):
    bank.equivalent("dilations", old, new, why)


slip = bank.slips("dilations", of=dilations_as_large_as_possible)
slip("dilations_all_ones", "min(reach, left)", "min(1, left)", loses={"fewest layers"})
slip("dilations_one_layer", "min(reach, left)", "left", loses={"no gap", "fewest layers"})
slip("dilations_powers_only", "min(reach, left)", "reach * (left > 0)", loses={"receptive field"})
slip("dilations_gap_of_one", "reach += ", "reach += 1 + ", loses={"no gap", "fewest layers"})
slip("dilations_half_as_large", "min(reach, left)", "min(1 + reach // 2, left)", loses={"fewest layers"})
slip(
    "dilations_one_step_more",
    "(receptive_field - 1) // (kernel - 1)",
    "receptive_field // (kernel - 1)",
    loses={"receptive field"},
)
slip(
    "dilations_one_step_less",
    "(receptive_field - 1) // (kernel - 1)",
    "max(receptive_field - 2, 0) // (kernel - 1)",
    loses={"receptive field"},
)
slip("dilations_of_kernel_two", "(kernel - 1) * d", "d", loses={"any kernel"})
slip(
    "dilations_of_kernel_two_field",
    "(receptive_field - 1) // (kernel - 1)",
    "receptive_field - 1",
    loses={"any kernel"},
)
slip("dilations_times_the_kernel", "reach += (kernel - 1) *", "reach += kernel *", loses={"no gap", "fewest layers"})
slip("dilations_as_reals", "found.append(d)", "found.append(float(d))", loses={"dilations"})
slip("dilations_number_of_layers", "return found", "return len(found)", loses={"dilations"})
slip("dilations_with_a_zero", "return found", "return [*found, 0]", loses={"dilations"})
slip("dilations_none_for_one", "return found", "return found or [1]", loses={"receptive field"})


@bank.wrong("dilations", loses={"receptive field"})
def dilations_next_power():
    """Doubled until the field is large enough."""

    def dilations(receptive_field, kernel):
        found, reach = [], 1
        while reach < receptive_field:
            found.append(reach)
            reach *= kernel
        return found

    return dilations


@bank.wrong("dilations", loses={"any kernel"})
def dilations_doubled_for_any_kernel():
    """1, 2, 4 and the rest, which is best for kernel 2 alone."""

    def dilations(receptive_field, kernel):
        found, left = [], (receptive_field - 1) // (kernel - 1)
        while left:
            found.append(min(2 ** len(found), left))
            left -= found[-1]
        return found

    return dilations


@bank.wrong("dilations", loses={"receptive field", "no gap", "fewest layers", "any kernel"})
def dilations_of_the_paper():
    """1 to 512, three times over, whatever is asked for."""

    def dilations(receptive_field, kernel):
        return [2**i for i in range(10)] * 3

    return dilations


@bank.wrong("dilations", loses={"fewest layers"})
def dilations_rest_by_ones():
    """Powers as long as they fit, and the rest in layers of dilation 1."""

    def dilations(receptive_field, kernel):
        found, reach = [], 1
        while reach * kernel <= receptive_field:
            found.append(reach)
            reach *= kernel
        return found + [1] * ((receptive_field - reach) // (kernel - 1))

    return dilations


@bank.wrong("dilations", loses={"no gap"})
def dilations_spread_evenly():
    """As many layers as needed, all of about the same dilation."""

    def dilations(receptive_field, kernel):
        layers, field = 0, 1
        while field < receptive_field:
            layers, field = layers + 1, field * kernel
        total = (receptive_field - 1) // (kernel - 1)
        return [(total + i) // layers for i in range(layers)]

    return dilations


# ------------------------------------------------------------------------------------------------------- ring_step


@bank.right("ring_step")
def ring_in_place():
    def ring_step(state, x, t, w, dilation):
        k, P = w.shape[2], state.shape[2]
        y = x @ w[:, :, k - 1].T
        for j in range(k - 1):
            y = y + state[:, :, (t - (k - 1 - j) * dilation) % P] @ w[:, :, j].T
        state[:, :, t % P] = x
        return state, y

    return ring_step


@bank.right("ring_step")
def ring_of_gathered_places():
    import torch

    def ring_step(state, x, t, w, dilation):
        k = w.shape[2]
        P = (k - 1) * dilation
        places = [(t + j * dilation) % P for j in range(k - 1)]
        window = torch.cat([state[:, :, places], x[:, :, None]], 2)
        after = state.clone()
        after[..., t % P] = x
        return after, torch.einsum("oij,nij->no", w, window)

    return ring_step


@bank.right("ring_step")
def ring_rolled():
    import torch

    def ring_step(state, x, t, w, dilation):
        P = state.shape[2]
        series = torch.cat([state.roll(-(t % P), 2), x[:, :, None]], 2)
        y = torch.conv1d(series, w, dilation=dilation)[:, :, 0]
        return series[:, :, 1:].roll((t + 1) % P, 2), y

    return ring_step


@bank.right("ring_step")
def ring_of_numpy():
    import numpy as np

    def ring_step(state, x, t, w, dilation):
        state, x, w = np.array(state), np.asarray(x), np.asarray(w)
        k, P = w.shape[2], state.shape[2]
        y = sum(state[:, :, (t - back * dilation) % P] @ w[:, :, k - 1 - back].T for back in range(1, k))
        state[:, :, t % P] = x
        return state, y + x @ w[:, :, -1].T

    return ring_step


bank.equivalent("ring_step", "state.clone()", "state", "the buffer may be changed in place")
bank.equivalent("ring_step", "[:, :, 0]", "[:, :, -1]", "there is one step")


slip = bank.slips("ring_step", of=ring_in_place)
read = "        y = y + state[:, :, (t - (k - 1 - j) * dilation) % P] @ w[:, :, j].T\n"
write = "    state[:, :, t % P] = x\n"
slip("ring_written_first", write, "", ("    y = x @", write + "    y = x @"), loses={"output"})
slip("ring_not_written", write, "", loses={"buffer"})
slip("ring_output_written", "state[:, :, t % P] = x", "state[:, :, t % P] = y[:, :1].expand_as(x)", loses={"buffer"})
slip("ring_written_one_place_on", "state[:, :, t % P] = x", "state[:, :, (t + 1) % P] = x", loses={"buffer"})
slip(
    "ring_written_at_the_end",
    "state[:, :, t % P] = x",
    "state = state.roll(-1, 2)\n    state[:, :, -1] = x",
    loses={"buffer"},
)
slip("ring_read_one_step_late", "(k - 1 - j) * dilation)", "(k - 1 - j) * dilation - 1)", loses={"output"})
slip("ring_read_without_dilation", "(k - 1 - j) * dilation)", "(k - 1 - j))", loses={"output"})
slip("ring_taps_turned", "w[:, :, j].T", "w[:, :, k - 2 - j].T", loses={"more taps"})
slip("ring_steps_turned", "(k - 1 - j) * dilation", "(j + 1) * dilation", loses={"more taps"})
slip(
    "ring_first_tap_for_the_present",
    "w[:, :, k - 1].T",
    "w[:, :, 0].T",
    ("w[:, :, j].T", "w[:, :, j + 1].T"),
    loses={"output"},
)
slip("ring_oldest_only", "for j in range(k - 1)", "for j in range(1)", loses={"more taps"})
slip("ring_second_tap_is_the_present", "w[:, :, k - 1].T", "w[:, :, 1].T", loses={"more taps"})
slip("ring_without_the_present", "x @ w[:, :, k - 1].T", "0 * x @ w[:, :, k - 1].T", loses={"output"})
slip("ring_without_the_past", "y = y + state", "y = y + 0 * state", loses={"output"})
slip("ring_of_dilation_places", "w.shape[2], state.shape[2]", "w.shape[2], dilation", loses={"more taps"})
slip("ring_output_alone", "return state, y", "return y", loses={"shapes"})
slip("ring_output_first", "return state, y", "return y, state", loses={"shapes"})
slip("ring_without_rounds", "state[:, :, t % P] = x", "state[:, :, min(t, P - 1)] = x", loses={"buffer"})
slip("ring_beyond_the_buffer", "state[:, :, t % P] = x", "state[:, :, t] = x", loses={"output", "buffer", "more taps"})
slip("ring_changes_x", "y = x @", "x *= 1\n    x += 1e-12\n    y = x @", loses={"output"})


@bank.wrong("ring_step", loses={"output", "buffer", "more taps"})
def ring_that_keeps_its_own_buffer():
    """The buffer is kept by the function, and the one it is given is not read."""
    import torch

    buffers = {}

    def ring_step(state, x, t, w, dilation):
        P, k = state.shape[2], w.shape[2]
        if t == 0 or state.shape not in buffers:
            buffers[state.shape] = torch.zeros_like(state)
        own = buffers[state.shape]
        y = x @ w[:, :, k - 1].T
        for j in range(k - 1):
            y = y + own[:, :, (t - (k - 1 - j) * dilation) % P].to(x.dtype) @ w[:, :, j].T
        own[:, :, t % P] = x
        return own.clone(), y

    return ring_step


@bank.wrong("ring_step", loses={"output", "buffer", "more taps"})
def ring_shifted():
    """A queue: the oldest input leaves at the front, and the newest comes in at the end."""
    import torch

    def ring_step(state, x, t, w, dilation):
        series = torch.cat([state, x[:, :, None]], 2)
        return series[:, :, 1:], torch.conv1d(series, w, dilation=dilation)[:, :, 0]

    return ring_step


@bank.wrong("ring_step", loses={"output"})
def ring_first_steps_alone():
    """Correct only until the buffer comes round."""

    def ring_step(state, x, t, w, dilation):
        k, P = w.shape[2], state.shape[2]
        y = x @ w[:, :, k - 1].T
        for j in range(k - 1):
            step = t - (k - 1 - j) * dilation
            if 0 <= step < P:
                y = y + state[:, :, step] @ w[:, :, j].T
        after = state.clone()
        after[:, :, t % P] = x
        return after, y

    return ring_step


# ------------------------------------------------------------------------------------------------------ OwnWaveNet


@bank.right("OwnWaveNet")
def own_padded():
    import torch

    class OwnWaveNet(torch.nn.Module):
        def __init__(self, levels, channels, dilations):
            super().__init__()
            self.levels, conv, several = levels, torch.nn.Conv1d, torch.nn.ModuleList
            self.first = conv(1, channels, 1)
            self.layers = several(conv(channels, 2 * channels, 2, dilation=d) for d in dilations)
            self.mixes = several(conv(channels, channels, 1) for _ in dilations[1:])
            self.skips = several(conv(channels, channels, 1) for _ in dilations)
            self.output = conv(channels, levels, 1)

        def logits(self, x):
            scaled = 2 * x.to(self.output.weight.dtype) / (self.levels - 1) - 1
            h, total = torch.nn.functional.pad(self.first(scaled[:, None]), (1, -1)), 0
            for i, layer in enumerate(self.layers):
                value, opening = layer(torch.nn.functional.pad(h, (layer.dilation[0], 0))).chunk(2, 1)
                z = value.tanh() * opening.sigmoid()
                total = total + self.skips[i](z)
                if i < len(self.mixes):
                    h = h + self.mixes[i](z)
            return self.output(total.relu())

        def log_prob(self, x):
            return self.logits(x).log_softmax(1).gather(1, x[:, None]).sum((1, 2))

        @torch.no_grad()
        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.int64)
            for t in range(u.shape[1]):
                p = self.logits(x)[:, :, t].double().softmax(1)
                x[:, t] = (p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)
            return x

    return OwnWaveNet


@bank.right("OwnWaveNet")
def own_cut_at_the_end():
    import torch
    import torch.nn.functional as F
    from torch import nn

    class OwnWaveNet(nn.Module):
        def __init__(self, levels, channels, dilations):
            super().__init__()
            self.K, self.h = levels, channels
            self.first, self.output = nn.Conv1d(1, channels, 1), nn.Conv1d(channels, levels, 1)
            self.layers, self.mixes, self.skips = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
            for d in dilations:
                self.layers.append(nn.Conv1d(channels, 2 * channels, 2, dilation=d, padding=d))
                self.mixes.append(nn.Conv1d(channels, channels, 1))
                self.skips.append(nn.Conv1d(channels, channels, 1))

        def logits(self, x):
            n, T = x.shape
            known = self.first(2 * x[:, None].float() / (self.K - 1) - 1)
            h = torch.cat([torch.zeros(n, self.h, 1), known], dim=2)[:, :, :T]
            skips = []
            for layer, mix, skip in zip(self.layers, self.mixes, self.skips, strict=True):
                a = layer(h)[:, :, :T]
                z = torch.tanh(a[:, : self.h]) * torch.sigmoid(a[:, self.h :])
                skips.append(skip(z))
                h = h + mix(z)
            return self.output(F.relu(torch.stack(skips).sum(0)))

        def log_prob(self, x):
            return -F.cross_entropy(self.logits(x), x, reduction="none").sum(dim=1)

        def sample(self, u):
            x = torch.zeros_like(u).long()
            with torch.no_grad():
                for t in range(x.shape[1]):
                    borders = torch.softmax(self.logits(x)[:, :, t], dim=1).cumsum(dim=1)[:, :-1]
                    x[:, t] = torch.searchsorted(borders.double(), u[:, [t]], right=True)[:, 0]
            return x

    return OwnWaveNet


@bank.right("OwnWaveNet")
def own_tap_by_tap():
    import torch

    class Causal(torch.nn.Conv1d):
        def forward(self, h):
            older = torch.zeros_like(h)
            older[:, :, self.dilation[0] :] = h[:, :, : -self.dilation[0]]
            two = torch.cat([older, h], 1)
            weight = torch.cat([self.weight[:, :, :1], self.weight[:, :, 1:]], 1)
            return torch.nn.functional.conv1d(two, weight, self.bias)

    class OwnWaveNet(torch.nn.Module):
        def __init__(self, levels, channels, dilations):
            super().__init__()

            def one(outputs, inputs=channels):
                return torch.nn.Conv1d(inputs, outputs, 1)

            self.first, self.output = one(channels, inputs=1), one(levels)
            self.layers = torch.nn.ModuleList([Causal(channels, 2 * channels, 2, dilation=d) for d in dilations])
            self.skips = torch.nn.ModuleList([one(channels) for _ in dilations])
            self.mixes = torch.nn.ModuleList([one(channels) for _ in range(len(dilations) - 1)])
            self.register_buffer("scale", torch.linspace(-1, 1, levels))

        def gated(self, x):
            h = self.first(self.scale[x].unsqueeze(1)).roll(1, 2)
            h = torch.where(torch.arange(x.shape[1]) == 0, 0.0, h)
            for layer, mix in zip(self.layers, [*self.mixes, None], strict=True):
                a = layer(h).unflatten(1, (2, -1))
                z = a[:, 0].tanh() * a[:, 1].sigmoid()
                yield z
                h = h if mix is None else h + mix(z)

        def logits(self, x):
            parts = [skip(z) for skip, z in zip(self.skips, self.gated(x), strict=True)]
            return self.output(torch.relu(sum(parts)))

        def log_prob(self, x):
            levels = torch.distributions.Categorical(logits=self.logits(x).transpose(1, 2))
            return levels.log_prob(x).sum(-1)

        def sample(self, u):
            x = torch.full(u.shape, 0)
            for t in range(u.shape[1]):
                with torch.no_grad():
                    p = torch.softmax(self.logits(x).double(), 1)[..., t]
                x[:, t] = sum((p[:, : k + 1].sum(1) <= u[:, t]).long() for k in range(p.shape[1] - 1))
            return x

    return OwnWaveNet


slip = bank.slips("OwnWaveNet", of=own_padded)
slip(
    "own_not_one_step_late",
    "torch.nn.functional.pad(self.first(scaled[:, None]), (1, -1))",
    "self.first(scaled[:, None])",
    loses={"autoregressive"},
)
slip("own_padded_on_the_right", "(layer.dilation[0], 0)", "(0, layer.dilation[0])", loses={"autoregressive"})
slip("own_two_steps_late", "(1, -1)), 0", "(2, 0))[:, :, : x.shape[1]], 0", loses={"network"})
slip(
    "own_x_one_step_late",
    "self.first(scaled[:, None]), (1, -1))",
    "self.first(torch.nn.functional.pad(scaled[:, None], (1, -1))), (0, 0))",
    loses={"network"},
)
slip("own_without_dilation", "2, dilation=d)", "2)", ("(layer.dilation[0], 0)", "(1, 0)"), loses={"network"})
slip(
    "own_taps_turned",
    "value, opening = layer(torch.nn.functional.pad(h, (layer.dilation[0], 0)))",
    "pad, d = torch.nn.functional.pad, layer.dilation\n"
    "            a = torch.conv1d(pad(h, (d[0], 0)), layer.weight.flip(2), layer.bias, dilation=d)\n"
    "            value, opening = a",
    loses={"network"},
)
slip(
    "own_not_scaled",
    "2 * x.to(self.output.weight.dtype) / (self.levels - 1) - 1",
    "x.to(self.output.weight.dtype)",
    loses={"network"},
)
slip("own_scaled_by_levels", "(self.levels - 1) - 1", "self.levels - 1", loses={"network"})
slip(
    "own_scaled_to_one",
    "2 * x.to(self.output.weight.dtype) / (self.levels - 1) - 1",
    "x.to(self.output.weight.dtype) / (self.levels - 1)",
    loses={"network"},
)
slip("own_halves_swapped", "value, opening = ", "opening, value = ", loses={"network"})
slip("own_every_second_channel", ".chunk(2, 1)", ".unflatten(1, (-1, 2)).unbind(2)", loses={"network"})
slip("own_gate_alone", "value.tanh() * opening.sigmoid()", "opening.sigmoid()", loses={"network"})
slip("own_value_by_sigmoid", "value.tanh()", "value.sigmoid()", loses={"network"})
slip("own_without_residual", "h = h + self.mixes[i](z)", "h = self.mixes[i](z)", loses={"network"})
slip("own_residual_of_z", "h = h + self.mixes[i](z)", "h = h + z", loses={"network"})
slip("own_last_skip_only", "total = total + self.skips[i](z)", "total = self.skips[i](z)", loses={"network"})
slip("own_skip_of_h", "self.skips[i](z)", "self.skips[i](h)", loses={"network"})
slip("own_skips_mean", "total.relu()", "total.relu() / len(self.layers)", loses={"network"})
slip("own_without_relu", "total.relu()", "total", loses={"network"})
slip("own_relu_of_each", "total + self.skips[i](z)", "total + self.skips[i](z).relu()", loses={"network"})
slip("own_relu_after_the_output", "self.output(total.relu())", "self.output(total).relu()", loses={"network"})
slip("own_tanh_of_first", "self.first(scaled[:, None])", "self.first(scaled[:, None]).tanh()", loses={"network"})
slip("own_probabilities", "self.output(total.relu())", "self.output(total.relu()).softmax(1)", loses={"network"})
slip("own_logits_last", "self.output(total.relu())", "self.output(total.relu()).transpose(1, 2)", loses={"shapes"})
slip(
    "own_list_without_parameters",
    "self.layers = several(conv(channels, 2 * channels, 2, dilation=d) for d in dilations)",
    "self.layers = [conv(channels, 2 * channels, 2, dilation=d) for d in dilations]",
    loses={"shapes"},
)
slip("own_output_for_bits", "conv(channels, levels, 1)", "conv(channels, 8, 1)", loses={"shapes"})
slip(
    "own_skips_without_bias",
    "conv(channels, channels, 1) for _ in dilations)",
    "conv(channels, channels, 1, bias=False) for _ in dilations)",
    loses={"shapes"},
)
slip("own_mean_over_steps", ".sum((1, 2))", ".mean((1, 2))", loses={"log-likelihood"})
slip("own_sum_over_series", ".sum((1, 2))", ".sum()", loses={"log-likelihood", "gradients"})
slip(
    "own_softmax_over_steps", "self.logits(x).log_softmax(1)", "self.logits(x).log_softmax(2)", loses={"log-likelihood"}
)
slip("own_not_normalised", "self.logits(x).log_softmax(1)", "self.logits(x)", loses={"log-likelihood"})
slip("own_in_bits", ".sum((1, 2))", ".sum((1, 2)) / 0.6931471805599453", loses={"log-likelihood"})
slip(
    "own_loss_for_likelihood",
    "return self.logits(x).log_softmax",
    "return -self.logits(x).log_softmax",
    loses={"log-likelihood"},
)
slip("own_log_of_softmax", "log_softmax(1)", "softmax(1).log()", loses={"log-likelihood"})
slip("own_next_step", "x[:, None]).sum", "x[:, None].roll(-1, 2)).sum", loses={"log-likelihood"})
slip("own_one_level_too_many", "p.cumsum(1)[:, :-1]", "p.cumsum(1) * 0.999", loses={"sampler"})
slip("own_tie_to_the_lower", "<= u[:, t, None]", "< u[:, t, None]", loses={"sampler"})
slip("own_levels_in_a_byte", "dtype=torch.int64", "dtype=torch.uint8", loses={"sampler"})
slip(
    "own_last_level_counted",
    "(p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)",
    "(p.cumsum(1) < u[:, t, None]).sum(1)",
    loses={"sampler"},
)
slip(
    "own_from_the_top",
    "(p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)",
    "self.levels - 1 - (p.flip(1).cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)",
    loses={"sampler"},
)
slip("own_most_probable", "(p.cumsum(1)[:, :-1] <= u[:, t, None]).sum(1)", "p.argmax(1)", loses={"sampler"})
slip("own_greater_for_less", "<= u[:, t, None]", "> u[:, t, None]", loses={"sampler"})
slip("own_first_uniform_for_all", "u[:, t, None]", "u[:, :1]", loses={"sampler"})
slip("own_all_at_once", "self.logits(x)[:, :, t]", "self.logits(0 * x)[:, :, t]", loses={"sampler"})
slip("own_without_softmax", ".double().softmax(1)", ".double().exp()", loses={"sampler"})
slip("own_backwards_in_time", "for t in range(u.shape[1])", "for t in reversed(range(u.shape[1]))", loses={"sampler"})
slip(
    "own_by_exponentials",
    "p = self.logits(x)[:, :, t].double().softmax(1)",
    "p = self.logits(x)[:, :, t].double().exp()\n            p = p / p.sum(1, keepdim=True)",
    loses={"sampler"},
)
slip("own_random", "u[:, t, None]", "torch.rand(len(u), 1)", loses={"sampler"})
slip("own_detached", "h = h + self.mixes[i](z)", "h = h + self.mixes[i](z.detach())", loses={"gradients"})
slip("own_first_detached", "self.first(scaled[:, None])", "self.first(scaled[:, None]).detach()", loses={"gradients"})


for old, new, why in (
    ("for _ in dilations[1:]", "for _ in dilations[1 - 1:]", "one more than the layers need has no effect"),
    ("for _ in dilations[1:]", "for _ in dilations[0:]", "one more than the layers need has no effect"),
    ("(self.levels - 1)", "(self.levels - 1 + 1e-08)", "a relative change of 1e-8"),
    ("(self.K - 1)", "(self.K - 1 + 1e-08)", "a relative change of 1e-8"),
    ("layer.dilation[0]", "layer.dilation[-1]", "there is one"),
    ("opening.sigmoid()", "torch.as_tensor(opening).clamp(-30, 30).sigmoid()", "a gate of 1e-13 is as good as closed"),
    (
        "torch.sigmoid(a[:, self.h:])",
        "torch.sigmoid(torch.as_tensor(a[:, self.h:]).clamp(-30, 30))",
        "a gate of 1e-13 is as good as closed",
    ),
    ("a[:, 1].sigmoid()", "torch.as_tensor(a[:, 1]).clamp(-30, 30).sigmoid()", "a gate of 1e-13 is as good as closed"),
    ("torch.zeros_like(u).long()", "u.long()", "u is below 1, so both are zeros"),
    ("torch.full(u.shape, 0)", "torch.full(u.shape, 1)", "each is replaced before it is read"),
    ("torch.full(u.shape, 0)", "torch.full(u.shape, -1)", "each is replaced before it is read"),
    ("[:, 0]", "[:, -1]", "there is one"),
    ("older[:, :, self.dilation[0]:]", "older[:, :, self.dilation[-1]:]", "there is one"),
    ("h[:, :, :-self.dilation[0]]", "h[:, :, :-self.dilation[-1]]", "there is one"),
    ("transpose(1, 2)", "transpose(2, 1)", "the two axes are exchanged"),
    ("sum(-1)", "sum(1)", "there are two axes"),
):
    bank.equivalent("OwnWaveNet", old, new, why)


# ------------------------------------------------------------------------------------------------------ gated_unit


@bank.right("gated_unit")
def unit_padded():
    import torch

    def gated_unit(h, w, dilation, of_label, of_context):
        past = (w.shape[2] - 1) * dilation
        a = torch.nn.functional.conv1d(torch.nn.functional.pad(h, (past, 0)), w, dilation=dilation)
        if of_label is not None:
            a = a + of_label[:, :, None]
        if of_context is not None:
            a = a + of_context
        value, opening = a.chunk(2, 1)
        return value.tanh() * opening.sigmoid()

    return gated_unit


@bank.right("gated_unit")
def unit_of_zeros_for_none():
    import torch

    def gated_unit(h, w, dilation, of_label, of_context):
        n, _, T = h.shape
        outputs, _, k = w.shape
        label = torch.zeros(n, outputs, dtype=h.dtype) if of_label is None else of_label
        context = torch.zeros(n, outputs, T, dtype=h.dtype) if of_context is None else of_context
        a = torch.conv1d(h, w, padding=(k - 1) * dilation, dilation=dilation)[:, :, :T]
        a = a + label.unsqueeze(2).expand(n, outputs, T) + context
        return torch.tanh(a[:, : outputs // 2]) * torch.sigmoid(a[:, outputs // 2 :])

    return gated_unit


@bank.right("gated_unit")
def unit_by_halves():
    import torch

    def gated_unit(h, w, dilation, of_label, of_context):
        c, k = len(w) // 2, w.shape[2]
        halves = []
        for half in (slice(c), slice(c, None)):
            a = 0
            for j in range(k):
                back = (k - 1 - j) * dilation
                moved = torch.nn.functional.pad(h, (back, 0))[:, :, : h.shape[2]]
                a = a + torch.einsum("oi,nit->not", w[half, :, j], moved)
            a = a if of_label is None else a + of_label[:, half].unsqueeze(-1)
            halves.append(a if of_context is None else a + of_context[:, half])
        return torch.tanh(halves[0]) * torch.sigmoid(halves[1])

    return gated_unit


for given in ("opening", "a[:, outputs // 2:]", "halves[1]"):
    clamped = f"torch.as_tensor({given}).clamp(-30, 30)"
    bank.equivalent("gated_unit", given, clamped, "a gate of 1e-13 is as good as closed")
bank.equivalent("gated_unit", ", dtype=h.dtype)", ")", "a sum of both precisions is in double precision")
bank.equivalent("gated_unit", ".expand(n, outputs, T)", "", "the sum does so, too")
bank.equivalent("gated_unit", "(back, 0)", "(back, 1)", "what is added at the end is cut off")


slip = bank.slips("gated_unit", of=unit_padded)
slip("unit_halves_swapped", "value, opening = ", "opening, value = ", loses={"gate"})
slip("unit_every_second_channel", "a.chunk(2, 1)", "a[:, ::2], a[:, 1::2]", loses={"gate"})
slip("unit_value_by_sigmoid", "value.tanh()", "value.sigmoid()", loses={"gate"})
slip("unit_value_without_tanh", "value.tanh()", "value", loses={"gate"})
slip("unit_opening_without_sigmoid", "opening.sigmoid()", "opening", loses={"gate"})
slip("unit_sum_for_product", ".tanh() * ", ".tanh() + ", loses={"gate"})
slip("unit_taps_turned", "0)), w,", "0)), w.flip(2),", loses={"gate"})
slip("unit_padded_at_the_end", "(past, 0)", "(0, past)", loses={"gate"})
slip("unit_opening_by_exponentials", "opening.sigmoid()", "opening.exp() / (1 + opening.exp())", loses={"gate"})
slip("unit_without_label", "a = a + of_label[:, :, None]", "pass", loses={"conditions", "training"})
slip("unit_without_context", "a = a + of_context", "pass", loses={"conditions", "training"})
slip(
    "unit_label_replaces_context",
    "if of_context is not None",
    "elif of_context is not None",
    loses={"conditions", "training"},
)
slip(
    "unit_label_for_the_first_step",
    "of_label[:, :, None]",
    "torch.nn.functional.pad(of_label[:, :, None], (0, h.shape[2] - 1))",
    loses={"conditions"},
)
slip("unit_first_label_for_all", "of_label[:, :, None]", "of_label[:1, :, None]", loses={"conditions"})
slip("unit_label_twice", "of_label[:, :, None]", "2 * of_label[:, :, None]", loses={"conditions"})
slip("unit_context_turned_in_time", "a + of_context", "a + of_context.flip(2)", loses={"conditions"})
slip(
    "unit_none_not_allowed",
    "if of_context is not None:\n        a = a + of_context",
    "a = a + of_context",
    loses={"conditions"},
)
slip(
    "unit_both_halves_whole",
    "return value.tanh() * opening.sigmoid()",
    "return a.tanh() * a.sigmoid()",
    loses={"shape"},
)
slip("unit_context_detached", "a + of_context", "a + of_context.detach()", loses={"training"})
slip("unit_label_of_the_data", "of_label[:, :, None]", "of_label.data[:, :, None]", loses={"training"})


@bank.wrong("gated_unit", loses={"conditions"})
def unit_conditioned_after_the_gate():
    """The conditions are added to what comes out."""
    import torch

    def gated_unit(h, w, dilation, of_label, of_context):
        past = (w.shape[2] - 1) * dilation
        a = torch.nn.functional.conv1d(torch.nn.functional.pad(h, (past, 0)), w, dilation=dilation)
        value, opening = a.chunk(2, 1)
        z = value.tanh() * opening.sigmoid()
        if of_label is not None:
            z = z + of_label.chunk(2, 1)[0][:, :, None] + of_label.chunk(2, 1)[1][:, :, None]
        if of_context is not None:
            z = z + sum(of_context.chunk(2, 1))
        return z

    return gated_unit


@bank.wrong("gated_unit", loses={"conditions"})
def unit_conditions_one_half_only():
    """The conditions reach the value, and not the gate that opens."""
    import torch

    def gated_unit(h, w, dilation, of_label, of_context):
        past = (w.shape[2] - 1) * dilation
        a = torch.nn.functional.conv1d(torch.nn.functional.pad(h, (past, 0)), w, dilation=dilation)
        value, opening = a.chunk(2, 1)
        c = value.shape[1]
        if of_label is not None:
            value = value + of_label[:, :c, None] + 0 * of_label[:, c:, None]
        if of_context is not None:
            value = value + of_context[:, :c] + 0 * of_context[:, c:]
        return value.tanh() * opening.sigmoid()

    return gated_unit


# ---------------------------------------------------------------------------------------------------------- sample


@bank.right("sample")
def sample_by_running_sums():
    def sample(logits, u, temperature):
        if temperature == 0:
            return logits.argmax(1)
        p = (logits.double() / temperature).softmax(1)
        return (p.cumsum(1)[:, :-1] <= u[:, None]).sum(1)

    return sample


@bank.right("sample")
def sample_by_searching():
    import torch

    def sample(logits, u, temperature):
        highest = logits.max(dim=1, keepdim=True).values
        if not temperature:
            return (logits == highest).int().argmax(dim=1)
        weights = torch.exp((logits.double() - highest) / temperature)
        borders = torch.cumsum(weights, 1) / weights.sum(1, keepdim=True)
        return torch.searchsorted(borders[:, :-1].contiguous(), u[:, None], right=True).squeeze(1)

    return sample


@bank.right("sample")
def sample_row_by_row():
    import math

    import torch

    def sample(logits, u, temperature):
        levels = []
        for row, number in zip(logits.tolist(), u.tolist(), strict=True):
            if temperature == 0:
                levels.append(row.index(max(row)))
                continue
            highest = max(row)
            weights = [math.exp((logit - highest) / temperature) for logit in row]
            level, below, total = 0, weights[0], sum(weights)
            while level < len(row) - 1 and below / total <= number:
                level += 1
                below += weights[level]
            levels.append(level)
        return torch.tensor(levels)

    return sample


for old, new, why in (
    ("temperature)", "(temperature + 1e-08))", "temperatures are at least 0.001"),
    ("weights.sum(1, keepdim=True)", "(weights.sum(1, keepdim=True) + 1e-08)", "the sum is at least 1"),
    ("below / total", "below / (total + 1e-08)", "the sum is at least 1"),
    ("level < len(row) - 1", "level <= len(row) - 1", "at the last level the ratio is 1, more than any number"),
    ("len(row) - 1", "len(row) - 0", "at the last level the ratio is 1, more than any number"),
    ("len(row) - 1", "len(row) + 1", "at the last level the ratio is 1, more than any number"),
):
    bank.equivalent("sample", old, new, why)


slip = bank.slips("sample", of=sample_by_running_sums)
slip(
    "sample_times_temperature", "logits.double() / temperature", "logits.double() * temperature", loses={"temperature"}
)
slip("sample_without_temperature", "logits.double() / temperature", "logits.double()", loses={"temperature"})
slip(
    "sample_root_of_temperature",
    "logits.double() / temperature",
    "logits.double() / temperature**0.5",
    loses={"temperature"},
)
slip(
    "sample_divided_probabilities",
    "(logits.double() / temperature).softmax(1)",
    "logits.double().softmax(1) / temperature",
    loses={"temperature"},
)
slip(
    "sample_powers_of_probabilities",
    "(logits.double() / temperature).softmax(1)",
    "logits.double().softmax(1) ** (1 / temperature)\n    p = p / p.sum(1, keepdim=True)",
    loses={"temperature"},
)
slip("sample_clamped_temperature", "/ temperature)", "/ max(temperature, 0.01))", loses={"temperature"})
slip(
    "sample_without_zero",
    "if temperature == 0:\n        return logits.argmax(1)",
    "temperature = max(temperature, 1e-8)",
    loses={"zero"},
)
slip("sample_divides_by_zero", "if temperature == 0:\n        return logits.argmax(1)\n    ", "", loses={"zero"})
slip("sample_zero_is_greedy_at_one", "temperature == 0", "temperature <= 1", loses={"levels", "temperature"})
slip("sample_last_of_the_largest", "logits.argmax(1)", "logits.shape[1] - 1 - logits.flip(1).argmax(1)", loses={"zero"})
slip("sample_smallest_at_zero", "argmax", "argmin", loses={"zero"})
slip("sample_zero_of_columns", "argmax(1)", "argmax(0)", loses={"zero"})
slip("sample_one_too_far", "cumsum(1)[:, :-1]", "cumsum(1)", loses={"levels"})
slip("sample_tie_stays_below", "<= u", "< u", loses={"levels"})
slip(
    "sample_from_the_top",
    "p.cumsum(1)[:, :-1] <= u[:, None]).sum(1)",
    "p.flip(1).cumsum(1)[:, :-1] > u[:, None]).sum(1)",
    loses={"levels"},
)
slip("sample_uniforms_of_other_rows", "u[:, None]", "u.flip(0)[:, None]", loses={"levels"})
slip("sample_in_half", "logits.double()", "logits.half()", loses={"levels"})
slip(
    "sample_by_exponentials",
    "(logits.double() / temperature).softmax(1)",
    "(logits.double() / temperature).exp()\n    p = p / p.sum(1, keepdim=True)",
    loses={"levels", "temperature"},
)
slip("sample_as_reals", "<= u[:, None]).sum(1)", "<= u[:, None]).sum(1).double()", loses={"shape and range"})
slip(
    "sample_one_hot",
    "return logits.argmax(1)",
    "return (logits == logits.max(1, keepdim=True).values).long()",
    loses={"zero"},
)
slip(
    "sample_most_probable", "(p.cumsum(1)[:, :-1] <= u[:, None]).sum(1)", "p.argmax(1)", loses={"levels", "temperature"}
)


@bank.wrong("sample", loses={"levels", "temperature"})
def sample_with_noise_of_its_own():
    """torch.multinomial draws its own uniform numbers."""
    import torch

    def sample(logits, u, temperature):
        if temperature == 0:
            return logits.argmax(1)
        return torch.multinomial((logits / temperature).softmax(1), 1).squeeze(1)

    return sample


# ---------------------------------------------------------------------------------------------------- distill_loss


@bank.right("distill_loss")
def distill_by_softplus():
    import torch

    def distill_loss(u, mean, log_scale, teacher):
        x = mean + log_scale.exp() * torch.logit(u)
        m, s = teacher(x)
        z = (x - m) / s.exp()
        return (z + s + 2 * torch.nn.functional.softplus(-z) - log_scale - 2).sum(1)

    return distill_loss


@bank.right("distill_loss")
def distill_by_two_log_sigmoids():
    import torch
    import torch.nn.functional as F

    def distill_loss(u, mean, log_scale, teacher):
        draw = mean + torch.exp(log_scale) * (torch.log(u) - torch.log1p(-u))
        teacher_mean, teacher_log_scale = teacher(draw)
        z = (draw - teacher_mean) * torch.exp(-teacher_log_scale)
        log_density = F.logsigmoid(z) + F.logsigmoid(-z) - teacher_log_scale
        entropy = (log_scale + 2).sum(dim=1)
        return -log_density.sum(dim=1) - entropy

    return distill_loss


@bank.right("distill_loss")
def distill_by_absolute_values():
    import torch

    def distill_loss(u, mean, log_scale, teacher):
        T = u.shape[1]
        x = torch.addcmul(mean, log_scale.exp(), (u / (1 - u)).log())
        m, s = teacher(x)
        z = ((x - m) / s.exp()).abs()
        cross_entropy = (z + s + 2 * torch.log1p((-z).exp())).sum(-1)
        return cross_entropy - log_scale.sum(-1) - 2 * T

    return distill_loss


bank.equivalent("distill_loss", "sum(-1)", "sum(1)", "there are two axes")


slip = bank.slips("distill_loss", of=distill_by_softplus)
slip("distill_without_two", " - log_scale - 2)", " - log_scale)", loses={"expectation"})
slip("distill_entropy_of_one", "- log_scale - 2)", "- log_scale - 1)", loses={"expectation"})
slip("distill_entropy_added", "- log_scale - 2)", "+ log_scale + 2)", loses={"expectation"})
slip("distill_entropy_without_scale", " - log_scale - 2)", " - 2)", loses={"expectation"})
slip("distill_entropy_of_the_teacher", " - log_scale - 2)", " - s - 2)", loses={"expectation"})
slip(
    "distill_two_once_for_all_steps",
    "- log_scale - 2).sum(1)",
    "- log_scale).sum(1) - 2",
    loses={"expectation", "teacher"},
)
slip("distill_density_without_scale", "z + s + 2 *", "z + 2 *", loses={"expectation"})
slip("distill_density_without_two", "2 * torch.nn", "torch.nn", loses={"each draw", "expectation"})
slip("distill_density_turned", "softplus(-z)", "softplus(z)", loses={"each draw", "expectation"})
slip("distill_scale_for_log_scale", "(x - m) / s.exp()", "(x - m) / s", loses={"each draw", "expectation"})
slip(
    "distill_students_scale_as_it_is",
    "mean + log_scale.exp() *",
    "mean + log_scale *",
    loses={"each draw", "expectation"},
)
slip("distill_normal_draws", "torch.logit(u)", "torch.special.ndtri(u)", loses={"each draw", "expectation"})
slip("distill_sigmoid_for_logit", "torch.logit(u)", "torch.sigmoid(u)", loses={"each draw", "expectation"})
slip("distill_mean_over_steps", ".sum(1)", ".mean(1)", loses={"expectation", "teacher"})
slip("distill_teacher_reads_u", "teacher(x)", "teacher(u)", loses={"expectation", "teacher"})
slip("distill_teacher_reads_the_mean", "teacher(x)", "teacher(mean)", loses={"expectation", "teacher"})
slip(
    "distill_teacher_one_step_late",
    "teacher(x)",
    "teacher(torch.nn.functional.pad(x, (1, -1)))",
    loses={"expectation", "teacher"},
)
slip("distill_teachers_answers_swapped", "m, s = ", "s, m = ", loses={"each draw", "expectation"})
slip("distill_each_step", ".sum(1)", "", loses={"shape"})
slip("distill_mean_over_rows", ".sum(1)", ".sum(1).mean()", loses={"shape"})
slip("distill_teacher_detached", "teacher(x)", "teacher(x.detach())", loses={"training"})
slip("distill_draw_detached", "torch.logit(u)\n", "torch.logit(u)\n    x = x.detach()\n", loses={"training"})
slip("distill_by_exponentials", "torch.nn.functional.softplus(-z)", "torch.log(1 + torch.exp(-z))", loses={"each draw"})
slip("distill_clamped_logit", "torch.logit(u)", "torch.logit(u, eps=1e-6)", loses={"each draw"})
slip(
    "distill_asks_again",
    "m, s = teacher(x)",
    "m, s = teacher(x)[0], teacher(x)[1]",
    loses=(),
    raises="TooManyCalls",
)


@bank.wrong("distill_loss", loses={"each draw", "expectation"})
def distill_reversed():
    """The reverse sign, and the student's density of the draw in place of its entropy."""
    import torch

    def distill_loss(u, mean, log_scale, teacher):
        z = torch.logit(u)
        x = mean + log_scale.exp() * z
        m, s = teacher(x)
        y = (x - m) / s.exp()
        student = -z - log_scale - 2 * torch.nn.functional.softplus(-z)
        return (-y - s - 2 * torch.nn.functional.softplus(-y) - student).sum(1)

    return distill_loss
