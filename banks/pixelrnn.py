"""Right and wrong answers to lesson 05, PixelRNN.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("pixelrnn")

# --------------------------------------------------------------------------------------------------------- context


@bank.right("context")
def context_in_raster_order():
    import torch

    def context(offsets, H, W):
        reads = torch.zeros(H, W, H, W, dtype=torch.bool)
        for r in range(H):
            for c in range(W):
                reads[r, c, r, c] = True
                for a, b in offsets:
                    if 0 <= r + a < H and 0 <= c + b < W:
                        reads[r, c] |= reads[r + a, c + b]
        return reads

    return context


@bank.right("context")
def context_search_from_each_pixel():
    def context(offsets, H, W):
        def known(row, column):
            found, waiting = [[0] * W for _ in range(H)], [(row, column)]
            while waiting:
                r, c = waiting.pop()
                if r < 0 or not 0 <= c < W or found[r][c]:
                    continue
                found[r][c] = 1
                waiting += [(r + a, c + b) for a, b in offsets]
            return found

        return [[known(r, c) for c in range(W)] for r in range(H)]

    return context


@bank.right("context")
def context_powers_of_the_connections():
    import numpy as np

    def context(offsets, H, W):
        D = H * W
        once = np.eye(D, dtype=bool)
        for i in range(D):
            for a, b in offsets:
                r, c = i // W + a, i % W + b
                if r >= 0 and 0 <= c < W:
                    once[i, r * W + c] = True
        more = once
        for _ in range(D):
            more = more @ once
        return more.reshape(H, W, H, W)

    return context


@bank.right("context")
def context_by_recursion():
    import functools

    import torch

    def context(offsets, H, W):
        @functools.cache
        def pixels(r, c):
            inside = [(r + a, c + b) for a, b in offsets if r + a >= 0 and c + b in range(W)]
            return frozenset([(r, c)]).union(*(pixels(*state) for state in inside))

        result = torch.zeros((H, W, H, W)).bool()
        for r in range(H):
            for c in range(W):
                for i, j in pixels(r, c):
                    result[r, c, i, j] = True
        return result

    return context


for old, new in (
    ("i in range(D)", "i in range(1, D)"),
    ("_ in range(D)", "_ in range(D - 1)"),
    ("_ in range(D)", "_ in range(1, D)"),
):
    bank.equivalent("context", old, new, "the first state reads no other, and no way has more than D - 1 steps")


slip = bank.slips("context", of=context_in_raster_order)
slip(
    "context_without_the_own_pixel",
    "reads[r, c, r, c] = True",
    "reads[r, c, r, c] = r + c == 0",
    loses={"direct", "through other states", "edges"},
)
slip(
    "context_transposed",
    "return reads",
    "return reads.permute(2, 3, 0, 1)",
    loses={"direct", "through other states", "edges"},
)
slip(
    "context_rows_and_columns_swapped",
    "for a, b in offsets",
    "for b, a in offsets",
    loses={"direct", "through other states", "edges"},
)
slip("context_wraps_to_the_left", "and 0 <= c + b < W", "and c + b < W", loses={"edges"})
slip(
    "context_wraps_around",
    "reads[r + a, c + b]",
    "reads[r + a, (c + b) % W]",
    (" and 0 <= c + b < W", ""),
    loses={"edges"},
)
slip("context_right_border_forgotten", "and 0 <= c + b < W", "and 0 <= c + b", loses={"edges"})
slip(
    "context_clamped_to_the_border",
    "reads[r + a, c + b]",
    "reads[r + a, min(max(c + b, 0), W - 1)]",
    (" and 0 <= c + b < W", ""),
    loses={"direct", "through other states", "edges"},
)
slip("context_height_for_width", "0 <= c + b < W", "0 <= c + b < H", loses={"direct", "through other states", "edges"})
slip("context_last_offset_only", "|= reads", "= reads", loses={"direct", "through other states", "edges"})
slip(
    "context_columns_first",
    "for r in range(H):\n        for c in range(W):",
    "for c in range(W):\n        for r in range(H):",
    loses={"edges"},
)
slip(
    "context_from_the_end",
    "for r in range(H):",
    "for r in reversed(range(H)):",
    loses={"direct", "through other states", "edges"},
)
slip("context_counts_in_bytes", "torch.bool", "torch.uint8", ("|=", "+="), loses={"through other states"})
slip("context_of_ones", "torch.zeros", "torch.ones", loses={"direct", "through other states", "edges"})
slip("context_flat", "return reads", "return reads.view(H * W, H * W)", loses={"shape and range"})


@bank.wrong("context", loses={"through other states"})
def context_direct_only():
    """The pixel itself and its neighbours' own pixels."""
    import torch

    def context(offsets, H, W):
        reads = torch.zeros(H, W, H, W, dtype=torch.bool)
        for r in range(H):
            for c in range(W):
                for a, b in [(0, 0), *offsets]:
                    if r + a >= 0 and 0 <= c + b < W:
                        reads[r, c, r + a, c + b] = True
        return reads

    return context


@bank.wrong("context", loses={"direct", "through other states", "edges"})
def context_all_above_and_to_the_left():
    """The rectangle of the textbook's drawing, and the row, whatever the offsets are."""
    import torch

    def context(offsets, H, W):
        reads = torch.zeros(H, W, H, W, dtype=torch.bool)
        for r in range(H):
            for c in range(W):
                up = any(a < 0 for a, b in offsets)
                left = any(b < 0 for a, b in offsets)
                reads[r, c, 0 if up else r : r + 1, 0 if left else c : c + 1] = True
        return reads

    return context


@bank.wrong("context", loses={"through other states"})
def context_two_steps():
    """The neighbours' neighbours, and no further."""
    import numpy as np

    def context(offsets, H, W):
        D = H * W
        once = np.eye(D, dtype=bool)
        for i in range(D):
            for a, b in offsets:
                r, c = i // W + a, i % W + b
                if r >= 0 and 0 <= c < W:
                    once[i, r * W + c] = True
        return (once @ once).reshape(H, W, H, W)

    return context


@bank.wrong("context", loses={"through other states"})
def context_as_many_steps_as_rows_and_columns():
    """H + W steps, which do not suffice for offsets that lead far back along a row."""
    import numpy as np

    def context(offsets, H, W):
        D = H * W
        once = np.eye(D, dtype=bool)
        for i in range(D):
            for a, b in offsets:
                r, c = i // W + a, i % W + b
                if r >= 0 and 0 <= c < W:
                    once[i, r * W + c] = True
        more = once
        for _ in range(H + W):
            more = more @ once
        return more.reshape(H, W, H, W)

    return context


@bank.wrong("context", loses={"through other states"})
def context_counts_the_ways():
    """The number of ways overflows: 2^69 is 0 in 64 bits."""
    import torch

    def context(offsets, H, W):
        ways = torch.zeros(H, W, H, W, dtype=torch.int64)
        for r in range(H):
            for c in range(W):
                ways[r, c, r, c] = 1
                for a, b in offsets:
                    if r + a >= 0 and 0 <= c + b < W:
                        ways[r, c] += ways[r + a, c + b]
        return ways != 0

    return context


@bank.wrong("context", loses={"edges"})
def context_index_of_the_place():
    """Offsets as steps in raster order: a step to the left of column 0 ends in the row above."""
    import torch

    def context(offsets, H, W):
        reads = torch.eye(H * W, dtype=torch.bool)
        for i in range(H * W):
            for a, b in offsets:
                j = i + a * W + b
                if (j >= 0 and b == 0) or (j // W == i // W + a and j >= 0) or (j >= 0 and a < 0):
                    reads[i] |= reads[j]
        return reads.view(H, W, H, W)

    return context


@bank.wrong("context", loses={"direct"})
def context_neighbours_without_the_own_pixel():
    """All that the others depend on, and their pixels, but not the own one."""
    import torch

    def context(offsets, H, W):
        reads = torch.zeros(H, W, H, W, dtype=torch.bool)
        for r in range(H):
            for c in range(W):
                for a, b in offsets:
                    if r + a >= 0 and 0 <= c + b < W:
                        reads[r, c] |= reads[r + a, c + b]
                        reads[r, c, r + a, c + b] = True
        return reads

    return context


# -------------------------------------------------------------------------------------------------------- schedule


@bank.right("schedule")
def schedule_diagonals():
    def schedule(H, W):
        return [[(r, t - r) for r in range(H) if 0 <= t - r < W] for t in range(H + W - 1)]

    return schedule


@bank.right("schedule")
def schedule_each_pixel_to_its_step():
    def schedule(H, W):
        steps = [[] for _ in range(H + W - 1)]
        for c in range(W):
            for r in range(H):
                steps[r + c].append([r, c])
        return steps

    return schedule


@bank.right("schedule")
def schedule_whatever_is_ready():
    def schedule(H, W):
        pixels, done, steps = [(r, c) for r in range(H) for c in range(W)], set(), []
        for _ in range(H + W - 1):
            ready = [(r, c) for r, c in pixels if (r == 0 or (r - 1, c) in done) and (c == 0 or (r, c - 1) in done)]
            steps.append([pixel for pixel in ready if pixel not in done])
            done.update(ready)
        return steps

    return schedule


@bank.right("schedule")
def schedule_tensors():
    import torch

    def schedule(H, W):
        sums = torch.arange(H)[:, None] + torch.arange(W)
        return [torch.nonzero(sums == t) for t in range(H + W - 1)]

    return schedule


slip = bank.slips("schedule", of=schedule_diagonals)
slip("schedule_one_empty_step", "range(H + W - 1)", "range(H + W)", loses={"fewest steps"})
slip("schedule_for_squares", "range(H + W - 1)", "range(2 * max(H, W) - 1)", loses={"fewest steps"})
slip("schedule_last_step_forgotten", "range(H + W - 1)", "range(H + W - 2)", loses={"each pixel once"})
slip("schedule_first_half", "range(H + W - 1)", "range(H)", loses={"each pixel once"})
slip("schedule_border_not_tested", " if 0 <= t - r < W", "", loses={"each pixel once"})
slip("schedule_lower_border_not_tested", "0 <= t - r < W", "t - r < W", loses={"each pixel once"})
slip("schedule_height_for_width", "0 <= t - r < W", "0 <= t - r < H", loses={"any size"})
slip("schedule_pairs_swapped", "(r, t - r)", "(t - r, r)", loses={"any size"})
slip("schedule_backwards", "range(H + W - 1)", "reversed(range(H + W - 1))", loses={"dependencies"})
slip("schedule_other_diagonals", "(r, t - r)", "(H - 1 - r, t - r)", loses={"dependencies"})
slip("schedule_places", "(r, t - r)", "r * W + t - r", loses={"each pixel once"})


@bank.wrong("schedule", loses={"fewest steps"})
def schedule_pixel_by_pixel():
    """Raster order."""

    def schedule(H, W):
        return [[(r, c)] for r in range(H) for c in range(W)]

    return schedule


@bank.wrong("schedule", loses={"fewest steps"})
def schedule_steep_diagonals():
    """Steps for a state that reads above and to the right, too."""

    def schedule(H, W):
        return [[(r, t - 2 * r) for r in range(H) if 0 <= t - 2 * r < W] for t in range(2 * H + W - 2)]

    return schedule


@bank.wrong("schedule", loses={"dependencies"})
def schedule_row_by_row():
    """Whole rows, as a Row LSTM has it: the pixel to the left is in the same step."""

    def schedule(H, W):
        return [[(r, c) for c in range(W)] for r in range(H)]

    return schedule


@bank.wrong("schedule", loses={"dependencies"})
def schedule_all_at_once():
    """One step."""

    def schedule(H, W):
        return [[(r, c) for r in range(H) for c in range(W)]]

    return schedule


@bank.wrong("schedule", loses={"dependencies"})
def schedule_frames():
    """The larger of row and column."""

    def schedule(H, W):
        steps = [[] for _ in range(max(H, W))]
        for r in range(H):
            for c in range(W):
                steps[max(r, c)].append((r, c))
        return steps

    return schedule


@bank.wrong("schedule", loses={"fewest steps", "any size"})
def schedule_two_triangles():
    """The upper triangle, then the lower one, for a square."""

    def schedule(H, W):
        upper = [[(r, t - r) for r in range(t + 1)] for t in range(H)]
        lower = [[(r, H + t - r) for r in range(t + 1, H)] for t in range(H - 1)]
        return upper + lower

    return schedule


# ------------------------------------------------------------------------------------------------------- lstm_step


@bank.right("lstm_step")
def step_with_einsum():
    import torch

    def lstm_step(of_input, h, c, W):
        above = torch.nn.functional.pad(h, (1, -1))
        a = of_input + torch.einsum("oi,nih->noh", W[:, :, 0], above) + torch.einsum("oi,nih->noh", W[:, :, 1], h)
        o, f, i, g = a.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return lstm_step


@bank.right("lstm_step")
def step_with_a_convolution():
    import torch
    import torch.nn.functional as F

    def lstm_step(of_input, h, c, W):
        k = h.shape[1]
        a = of_input + F.conv1d(F.pad(h, (1, 0)), W)
        o, f, i, g = a[:, :k], a[:, k : 2 * k], a[:, 2 * k : 3 * k], a[:, 3 * k :]
        new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        new_h = torch.sigmoid(o) * torch.tanh(new_c)
        return new_h, new_c

    return lstm_step


@bank.right("lstm_step")
def step_row_by_row():
    import torch

    def lstm_step(of_input, h, c, W):
        n, k, H = h.shape
        hs, cs = [], []
        for r in range(H):
            a = of_input[:, :, r] + h[:, :, r] @ W[:, :, 1].T
            if r > 0:
                a = a + h[:, :, r - 1] @ W[:, :, 0].T
            o, f, i, g = torch.split(a, k, dim=1)
            cs.append(f.sigmoid() * c[:, :, r] + i.sigmoid() * g.tanh())
            hs.append(o.sigmoid() * cs[-1].tanh())
        return torch.stack(hs, -1), torch.stack(cs, -1)

    return lstm_step


@bank.right("lstm_step")
def step_one_matrix():
    import torch

    def lstm_step(of_input, h, c, W):
        n, k, H = h.shape
        above = torch.cat([torch.zeros_like(h[:, :, :1]), h[:, :, :-1]], dim=2)
        both = torch.stack([above, h], dim=2).reshape(n, 2 * k, H)
        gates = (of_input + W.reshape(4 * k, 2 * k) @ both).view(n, 4, k, H)
        o, f, i = gates[:, :3].sigmoid().unbind(1)
        c = f * c + i * torch.tanh(gates[:, 3])
        return [o * torch.tanh(c), c]

    return lstm_step


slip = bank.slips("lstm_step", of=step_with_einsum)
slip("step_rolled", "torch.nn.functional.pad(h, (1, -1))", "h.roll(1, 2)", loses={"first row"})
slip(
    "step_first_row_repeated",
    "torch.nn.functional.pad(h, (1, -1))",
    "torch.cat([h[:, :, :1], h[:, :, :-1]], 2)",
    loses={"first row"},
)
slip("step_reads_below", "(1, -1)", "(-1, 1)", loses={"neighbours", "first row"})
slip("step_not_moved", "torch.nn.functional.pad(h, (1, -1))", "h", loses={"neighbours", "first row"})
slip(
    "step_taps_swapped",
    "W[:, :, 0], above",
    "W[:, :, 1], above",
    ("W[:, :, 1], h)", "W[:, :, 0], h)"),
    loses={"neighbours"},
)
slip("step_same_tap_twice", "W[:, :, 0]", "W[:, :, 1]", loses={"neighbours"})
slip("step_nothing_from_above", ' + torch.einsum("oi,nih->noh", W[:, :, 0], above)', "", loses={"neighbours"})
slip("step_without_the_own_row", ' + torch.einsum("oi,nih->noh", W[:, :, 1], h)', "", loses={"neighbours", "first row"})
slip("step_subtracts_the_states", "of_input + torch", "of_input - torch", loses={"neighbours"})
slip("step_gates_of_the_field", "o, f, i, g = ", "i, f, g, o = ", loses={"cell", "output"})
slip("step_input_and_forget_swapped", "o, f, i, g = ", "o, i, f, g = ", loses={"cell"})
slip("step_output_and_new_swapped", "o, f, i, g = ", "g, f, i, o = ", loses={"cell", "output"})
slip("step_chunks_of_rows", "a.chunk(4, 1)", "a.transpose(1, 2).reshape(a.shape).chunk(4, 1)", loses={"cell", "output"})
slip("step_every_fourth_channel", "a.chunk(4, 1)", "(a[:, gate::4] for gate in range(4))", loses={"cell", "output"})
slip("step_forgets_everything", "f.sigmoid() * c + ", "0 * c + ", loses={"cell"})
slip("step_coupled_gates", "i.sigmoid() * g", "(1 - f.sigmoid()) * g", loses={"cell"})
slip("step_new_content_by_sigmoid", "g.tanh()", "g.sigmoid()", loses={"cell"})
slip("step_gate_without_sigmoid", "f.sigmoid() * c", "f * c", loses={"cell"})
slip("step_gate_by_tanh", "i.sigmoid()", "i.tanh()", loses={"cell"})
slip("step_gate_of_the_old_output", "f.sigmoid() * c", "f.sigmoid() * h", loses={"cell", "neighbours", "first row"})
slip("step_output_without_tanh", "o.sigmoid() * c.tanh()", "o.sigmoid() * c", loses={"output"})
slip(
    "step_output_of_the_old_cell",
    "    c = f.sigmoid() * c",
    "    old, c = c, f.sigmoid() * c",
    ("o.sigmoid() * c.tanh()", "o.sigmoid() * old.tanh()"),
    loses={"output"},
)
slip("step_output_without_its_gate", "o.sigmoid() * c.tanh()", "c.tanh()", loses={"output"})
slip(
    "step_cell_first", "return o.sigmoid() * c.tanh(), c", "return c, o.sigmoid() * c.tanh()", loses={"cell", "output"}
)
slip("step_cell_alone", "return o.sigmoid() * c.tanh(), c", "return c", loses={"shapes"})
slip(
    "step_cell_moved_too", "a.chunk(4, 1)", "a.chunk(4, 1)\n    c = torch.nn.functional.pad(c, (1, -1))", loses={"cell"}
)
slip("step_states_detached", "(h, (1, -1))", "(h.detach(), (1, -1))", loses={"training"})
slip("step_cell_detached", "f.sigmoid() * c + ", "f.sigmoid() * c.detach() + ", loses={"training"})
slip(
    "step_cell_in_place",
    "    c = f.sigmoid() * c + i.sigmoid() * g.tanh()",
    "    c *= f.sigmoid()\n    c += i.sigmoid() * g.tanh()",
    loses={"training"},
)
slip(
    "step_double_zeros",
    "torch.nn.functional.pad(h, (1, -1))",
    "torch.cat([torch.zeros(*h.shape[:2], 1, dtype=torch.float64), h[:, :, :-1]], 2)",
    loses={"training"},
)
slip("step_gate_by_exponentials", "f.sigmoid() * c", "1 / (1 + torch.exp(-f)) * c", loses={"training"})
slip(
    "step_tanh_by_exponentials",
    "g.tanh()",
    "(g.exp() - (-g).exp()) / (g.exp() + (-g).exp())",
    loses={"cell", "training"},
)


# --------------------------------------------------------------------------------------------------------- combine


@bank.right("combine")
def combine_padded():
    import torch

    def combine(left, right):
        return left + torch.nn.functional.pad(right, (0, 0, 1, -1))

    return combine


@bank.right("combine")
def combine_with_a_row_of_zeros():
    import torch

    def combine(left, right):
        n, k, H, W = right.shape
        zeros = torch.zeros(n, k, 1, W)
        return left + torch.cat([zeros, right[:, :, : H - 1]], dim=2)

    return combine


@bank.right("combine")
def combine_added_to_a_copy():
    def combine(left, right):
        both = left.clone()
        both[:, :, 1:] += right[:, :, :-1]
        return both

    return combine


@bank.right("combine")
def combine_row_by_row():
    import torch

    def combine(left, right):
        rows = [left[..., 0, :]]
        for r in range(1, left.size(2)):
            rows.append(left[..., r, :] + right[..., r - 1, :])
        return torch.stack(rows, dim=2)

    return combine


slip = bank.slips("combine", of=combine_padded)
slip("combine_not_moved", "torch.nn.functional.pad(right, (0, 0, 1, -1))", "right", loses={"no leak"})
slip("combine_moved_up", "(0, 0, 1, -1)", "(0, 0, -1, 1)", loses={"no leak"})
slip("combine_moved_to_the_left", "(0, 0, 1, -1)", "(-1, 1, 0, 0)", loses={"no leak"})
slip("combine_moved_to_the_right", "(0, 0, 1, -1)", "(1, -1, 0, 0)", loses={"no leak", "sum"})
slip("combine_rolled", "torch.nn.functional.pad(right, (0, 0, 1, -1))", "right.roll(1, 2)", loses={"no leak"})
slip("combine_mirrored_again", "pad(right", "pad(right.flip(3)", loses={"sum"})
slip("combine_two_rows", "(0, 0, 1, -1)", "(0, 0, 2, -2)", loses={"sum"})
slip("combine_one_column_too_far", "(0, 0, 1, -1)", "(-1, 1, 1, -1)", loses={"sum"})
slip("combine_down_and_right", "(0, 0, 1, -1)", "(1, -1, 1, -1)", loses={"sum"})
slip(
    "combine_mean",
    "return left + torch.nn.functional.pad(right, (0, 0, 1, -1))",
    "return (left + torch.nn.functional.pad(right, (0, 0, 1, -1))) / 2",
    loses={"sum"},
)
slip("combine_difference", "left + ", "left - ", loses={"sum"})
slip("combine_both_moved", "left + torch", "torch.nn.functional.pad(left, (0, 0, 1, -1)) + torch", loses={"sum"})
slip(
    "combine_left_moved",
    "left + torch.nn.functional.pad(right",
    "right + torch.nn.functional.pad(left",
    loses={"no leak"},
)
slip("combine_product", "left + ", "left * ", loses={"sum"})
slip("combine_left_alone", "left + ", "left + 0 * ", loses={"sum", "training"})
slip("combine_right_alone", "left + ", "0 * left + ", loses={"sum", "training"})
slip("combine_right_detached", "pad(right", "pad(right.detach()", loses={"training"})
slip(
    "combine_in_channels",
    "left + torch.nn.functional.pad(right, (0, 0, 1, -1))",
    "torch.cat([left, torch.nn.functional.pad(right, (0, 0, 1, -1))], 1)",
    loses={"shape"},
)


@bank.wrong("combine", loses={"training"})
def combine_in_place():
    """The caller's left is changed."""

    def combine(left, right):
        left[:, :, 1:] += right[:, :, :-1]
        return left

    return combine


@bank.wrong("combine", loses={"no leak"})
def combine_first_row_kept():
    """Row 0 has no row above, and takes its own state from the right."""
    import torch

    def combine(left, right):
        return left + torch.cat([right[:, :, :1], right[:, :, :-1]], dim=2)

    return combine


@bank.wrong("combine", loses={"sum"})
def combine_first_row_lost():
    """The result begins with a row of zeros in place of left's first row."""
    import torch

    def combine(left, right):
        both = torch.zeros_like(left)
        both[:, :, 1:] = left[:, :, 1:] + right[:, :, :-1]
        return both

    return combine


# ------------------------------------------------------------------------------------------------------ OwnRowLSTM


@bank.right("OwnRowLSTM")
def own_of_windows():
    import torch

    class Window(torch.nn.Conv2d):
        def __init__(self, inputs, outputs, above=0, left=0, right=0):
            super().__init__(inputs, outputs, (above + 1, left + 1 + right))
            self.sides = left, right, above, 0

        def forward(self, x):
            return super().forward(torch.nn.functional.pad(x, self.sides))

    class OwnRowLSTM(torch.nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            k = channels
            self.first = Window(1, k, above=1, left=1, right=1)
            self.of_input = torch.nn.ModuleList(Window(k, 4 * k, left=1) for _ in range(layers))
            self.of_state = torch.nn.ModuleList(
                torch.nn.Conv1d(k, 4 * k, 3, padding=1, bias=False) for _ in range(layers)
            )
            self.output = Window(k, 1)
            self.register_buffer("mask", torch.tensor([[1.0, 1, 1], [1, 0, 0]]))

        def logits(self, x):
            weight = self.mask * self.first.weight
            x = torch.nn.functional.pad(x.to(weight.dtype), self.first.sides)
            v = torch.nn.functional.conv2d(x, weight, self.first.bias)
            for of_input, of_state in zip(self.of_input, self.of_state, strict=True):
                h = c = torch.zeros_like(v[:, :, 0])
                rows = []
                for of_row in of_input(v).unbind(2):
                    o, f, i, g = (of_row + of_state(h)).chunk(4, 1)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                    rows.append(h)
                v = v + torch.stack(rows, 2)
            return self.output(v)

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

    return OwnRowLSTM


@bank.right("OwnRowLSTM")
def own_padded_by_hand():
    import torch
    import torch.nn.functional as F
    from torch import nn

    class OwnRowLSTM(nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            self.first = nn.Conv2d(1, channels, (2, 3))
            self.of_input, self.of_state = nn.ModuleList(), nn.ModuleList()
            for _ in range(layers):
                self.of_input.append(nn.Conv2d(channels, 4 * channels, (1, 2)))
                self.of_state.append(nn.Conv1d(channels, 4 * channels, 3, padding="same", bias=False))
            self.output = nn.Conv2d(channels, 1, 1)

        def masked_first(self, x):
            mask = torch.ones_like(self.first.weight)
            mask[:, :, 1, 1:] = 0
            return F.conv2d(F.pad(x, (1, 1, 1, 0)), self.first.weight * mask, self.first.bias)

        def logits(self, x):
            v = self.masked_first(x.to(self.output.weight.dtype))
            for layer in range(len(self.of_input)):
                v = v + self.row_lstm(v, self.of_input[layer], self.of_state[layer])
            return self.output(v)

        def row_lstm(self, v, of_input, of_state):
            inputs = of_input(F.pad(v, (1, 0)))
            n, k, H, W = v.shape
            h, c = torch.zeros(n, k, W), torch.zeros(n, k, W)
            states = torch.empty_like(v)
            for r in range(H):
                gates = inputs[:, :, r] + of_state(h)
                o, f, i = torch.split(torch.sigmoid(gates[:, : 3 * k]), k, dim=1)
                c = f * c + i * torch.tanh(gates[:, 3 * k :])
                h = o * torch.tanh(c)
                states[:, :, r] = h
            return states

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

    return OwnRowLSTM


@bank.right("OwnRowLSTM")
def own_two_kernels():
    import torch

    class OwnRowLSTM(torch.nn.Module):
        def __init__(self, channels, layers):
            super().__init__()
            flat, long, several = torch.nn.Conv2d, torch.nn.Conv1d, torch.nn.ModuleList
            self.first = flat(1, channels, (2, 3))
            self.of_input = several([flat(channels, 4 * channels, (1, 2)) for _ in range(layers)])
            self.of_state = several([long(channels, 4 * channels, 3, bias=False) for _ in range(layers)])
            self.output = flat(channels, 1, (1, 1))

        def logits(self, x):
            pad, conv = torch.nn.functional.pad, torch.nn.functional.conv2d
            x = x.to(self.output.weight.dtype)
            weight = self.first.weight
            above = conv(pad(x, [1, 1, 1, -1]), weight[:, :, :1])
            v = above + conv(pad(x, [1, -1]), weight[:, :, 1:, :1]) + self.first.bias[:, None, None]
            for of_input, of_state in zip(self.of_input, self.of_state, strict=True):
                h, c, out = torch.zeros_like(v[:, :, 0]), torch.zeros_like(v[:, :, 0]), []
                for row in range(v.shape[2]):
                    a = of_input(pad(v[:, :, row, None], [1, 0])).squeeze(2) + of_state(pad(h, [1, 1]))
                    a = a.unflatten(1, (4, -1))
                    c = a[:, 1].sigmoid() * c + a[:, 2].sigmoid() * a[:, 3].tanh()
                    h = a[:, 0].sigmoid() * c.tanh()
                    out.append(h[:, :, None])
                v = v + torch.cat(out, 2)
            return self.output(v)

        def log_prob(self, x):
            coin = torch.distributions.Bernoulli(logits=self.logits(x))
            return coin.log_prob(x.to(coin.logits.dtype)).flatten(1).sum(1)

        def sample(self, u):
            x = torch.full(u.shape, 0)
            for d in range(x[0].numel()):
                p = torch.sigmoid(self.logits(x)).flatten(1)[:, d]
                x.view(len(x), -1)[:, d] = u.flatten(1)[:, d] < p
            return x

    return OwnRowLSTM


gate, logit = "the given parameters make no gate beyond 30", "the given parameters make no logit beyond 30"
for given, why in (
    *((given, gate) for given in ("f", "i", "o", "gates[:, :3 * k]", "a[:, 0]", "a[:, 1]", "a[:, 2]")),
    *((given, logit) for given in ("(2 * x - 1) * z", "self.logits(x)[:, :, r, c]", "self.logits(x)[place]")),
    ("self.logits(x)", logit),
):
    bank.equivalent("OwnRowLSTM", given, f"torch.as_tensor({given}).clamp(-30, 30)", why)
for old, new in (("c] < p", "c] <= p"), ("u[place] < ", "u[place] <= "), ("d] < p", "d] <= p")):
    bank.equivalent("OwnRowLSTM", old, new, "a uniform number never equals the probability")
for old, new in (("int64", "int8"), ("long()", "byte()")):
    bank.equivalent("OwnRowLSTM", old, new, "any type of integers is read")
for old, new in (("zeros_like(v[:, :, 0])", "zeros_like(v[:, :, -1])"),):
    bank.equivalent("OwnRowLSTM", old, new, "all rows have one size")
bank.equivalent("OwnRowLSTM", "(slice(None), 0,", "(slice(None), -1,", "there is one channel")
bank.equivalent("OwnRowLSTM", "x[0].numel", "x[-1].numel", "all images have one size")
for start in ("1", "-1"):
    bank.equivalent("OwnRowLSTM", "u.shape, 0", f"u.shape, {start}", "every pixel is drawn before it is read")


slip = bank.slips("OwnRowLSTM", of=own_of_windows)
slip("own_first_unmasked", "self.mask * self.first", "self.first", loses={"autoregressive"})
slip("own_mask_b", "[1, 0, 0]", "[1, 1, 0]", loses={"autoregressive"})
slip("own_mask_mirrored", "[1, 0, 0]", "[0, 0, 1]", loses={"autoregressive"})
slip("own_mask_turned", "self.mask *", "self.mask.flip(0) *", loses={"autoregressive"})
slip(
    "own_mask_written_once",
    'self.register_buffer("mask", torch.tensor([[1.0, 1, 1], [1, 0, 0]]))',
    "self.first.weight.data *= torch.tensor([[1.0, 1, 1], [1, 0, 0]])",
    ("self.mask * self.first", "self.first"),
    loses={"autoregressive"},
)
slip(
    "own_mask_subtracted",
    "conv2d(x, weight, self.first.bias)",
    "conv2d(x, self.first.weight, self.first.bias)",
    (
        "for of_input, of_",
        "v = v - torch.nn.functional.conv2d(x, self.first.weight - weight)\n        for of_input, of_",
    ),
    loses={"autoregressive"},
)
slip(
    "own_mask_in_place",
    "weight = self.mask * self.first.weight",
    "self.first.weight.data *= self.mask\n        weight = self.first.weight",
    loses={"gradients"},
)
slip("own_row_masked_too", "[1, 0, 0]", "[0, 0, 0]", loses={"network"})
slip("own_above_masked_too", "[[1.0, 1, 1]", "[[1.0, 1, 0]", loses={"network"})
slip(
    "own_window_to_the_right",
    "Window(k, 4 * k, left=1)",
    "Window(k, 4 * k, right=1)",
    loses={"autoregressive", "network"},
)
slip(
    "own_state_of_the_row_itself",
    "h = c = torch.zeros_like(v[:, :, 0])",
    "h = c = v[:, :, -1]",
    loses={"autoregressive", "network"},
)
slip(
    "own_rows_from_below",
    "of_input(v).unbind(2)",
    "of_input(v).flip(2).unbind(2)",
    ("torch.stack(rows, 2)", "torch.stack(rows, 2).flip(2)"),
    loses={"autoregressive"},
)
slip("own_rows_turned", "of_input(v).unbind(2)", "of_input(v).flip(2).unbind(2)", loses={"autoregressive"})
slip("own_without_state", "of_row + of_state(h)", "of_row + 0 * of_state(h)", loses={"network"})
slip(
    "own_state_reset_in_each_row",
    "                o, f, i, g",
    "                h = torch.zeros_like(h)\n                o, f, i, g",
    loses={"network"},
)
slip("own_cell_reset_in_each_row", "f.sigmoid() * c + i", "i", loses={"network"})
slip("own_cell_instead_of_output", "rows.append(h)", "rows.append(c)", loses={"network"})
slip("own_cell_goes_on_as_state", "of_state(h)", "of_state(c)", loses={"network"})
slip("own_without_residual", "v = v + torch.stack(rows, 2)", "v = torch.stack(rows, 2)", loses={"network"})
slip("own_residual_of_the_last_row", "torch.stack(rows, 2)", "h[:, :, None]", loses={"autoregressive"})
slip("own_gates_of_the_field", "o, f, i, g = ", "i, f, g, o = ", loses={"network"})
slip("own_forget_and_input_swapped", "o, f, i, g = ", "o, i, f, g = ", loses={"network"})
slip("own_output_without_tanh", "o.sigmoid() * c.tanh()", "o.sigmoid() * c", loses={"network"})
slip("own_gate_without_sigmoid", "i.sigmoid() *", "i *", loses={"network"})
slip(
    "own_first_layer_only",
    "zip(self.of_input, self.of_state, strict=True)",
    "zip(self.of_input[:1], self.of_state, strict=False)",
    loses={"network"},
)
slip(
    "own_first_layer_twice",
    "zip(self.of_input, self.of_state, strict=True)",
    "[(self.of_input[0], self.of_state[0])] * len(self.of_input)",
    loses={"network"},
)
slip("own_tanh_after_the_first", "self.first.bias)\n", "self.first.bias).tanh()\n", loses={"network"})
slip("own_output_of_the_states", "return self.output(v)", "return self.output(torch.stack(rows, 2))", loses={"network"})
slip("own_first_without_bias", "weight, self.first.bias)", "weight)", loses={"network"})
slip("own_state_with_bias", "padding=1, bias=False", "padding=1", loses={"network"})
slip("own_state_padded_at_the_end", "of_state(h)", "of_state(torch.nn.functional.pad(h, (-1, 1)))", loses={"network"})
slip(
    "own_states_begin_at_a_tenth",
    "h = c = torch.zeros_like(v[:, :, 0])",
    "h = c = torch.full_like(v[:, :, 0], 0.1)",
    loses={"network"},
)
slip(
    "own_cell_of_the_layer_before",
    "h = c = torch.zeros_like(v[:, :, 0])",
    "h = torch.zeros_like(v[:, :, 0])\n            c = h if of_input is self.of_input[0] else c",
    loses={"autoregressive"},
)
slip("own_input_unpadded_to_the_left", "Window(k, 4 * k, left=1)", "Window(k, 4 * k)", loses={"shapes"})
slip(
    "own_states_of_one_column",
    "torch.nn.Conv1d(k, 4 * k, 3, padding=1, bias=False)",
    "torch.nn.Conv1d(k, 4 * k, 1, bias=False)",
    loses={"shapes"},
)
slip("own_three_gates", "Window(k, 4 * k, left=1)", "Window(k, 3 * k, left=1)", loses={"shapes"})
slip(
    "own_list_without_parameters",
    "self.of_input = torch.nn.ModuleList(Window(k, 4 * k, left=1) for _ in range(layers))",
    "self.of_input = [Window(k, 4 * k, left=1) for _ in range(layers)]",
    loses={"shapes"},
)
slip("own_mean_over_pixels", ".sum((1, 2, 3))", ".mean((1, 2, 3))", loses={"log-likelihood"})
slip("own_sum_over_images", ".sum((1, 2, 3))", ".sum()", loses={"log-likelihood", "gradients"})
slip("own_likelihood_of_ones", "(2 * x - 1) * z", "z", loses={"log-likelihood"})
slip("own_sign_turned", "(2 * x - 1) * z", "(1 - 2 * x) * z", loses={"log-likelihood"})
slip(
    "own_loss_for_likelihood",
    "return torch.nn.functional.logsigmoid",
    "return -torch.nn.functional.logsigmoid",
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
slip("own_states_detached", "of_state(h)", "of_state(h.detach())", loses={"gradients"})


# ------------------------------------------------------------------------------------------------------------ skew


@bank.right("skew")
def skew_copied_rows():
    def skew(x):
        H, W = x.shape[2:]
        y = x.new_zeros(*x.shape[:2], H, H + W - 1)
        for r in range(H):
            y[:, :, r, r : r + W] = x[:, :, r]
        return y

    return skew


@bank.right("skew")
def skew_padded_rows():
    import torch

    def skew(x):
        H = x.shape[2]
        return torch.stack([torch.nn.functional.pad(x[:, :, r], (r, H - 1 - r)) for r in range(H)], dim=2)

    return skew


@bank.right("skew")
def skew_by_a_view():
    import torch

    def skew(x):
        n, channels, H, W = x.shape
        padded = torch.cat([x, torch.zeros(n, channels, H, H, dtype=x.dtype)], 3)
        return padded.flatten(2)[:, :, : H * (H + W - 1)].reshape(n, channels, H, H + W - 1)

    return skew


@bank.right("skew")
def skew_by_indices():
    import torch

    def skew(x):
        n, channels, H, W = x.shape
        rows = torch.arange(H)[:, None].expand(H, W)
        result = torch.zeros((n, channels, H, H + W - 1), dtype=x.dtype)
        result[:, :, rows, rows + torch.arange(W)] = x
        return result

    return skew


slip = bank.slips("skew", of=skew_copied_rows)
slip(
    "skew_to_the_left", "y[:, :, r, r : r + W]", "y[:, :, r, H - 1 - r : H - 1 - r + W]", loses={"moved", "any values"}
)
slip("skew_not_moved", "y[:, :, r, r : r + W]", "y[:, :, r, :W]", loses={"moved", "any values"})
slip(
    "skew_float",
    "x.new_zeros(*x.shape[:2], H, H + W - 1)",
    "torch.zeros(*x.shape[:2], H, H + W - 1)",
    ("def skew", "import torch\n\ndef skew"),
    loses={"any values"},
)
slip("skew_one_column_more", "H + W - 1", "H + W", loses={"shape"})
slip("skew_for_squares", "H + W - 1", "2 * W - 1", loses={"moved", "any values", "training"})
slip("skew_ones_elsewhere", "new_zeros", "new_ones", loses={"moved", "any values"})
slip("skew_detached", "= x[:, :, r]", "= x[:, :, r].detach()", loses={"training"})
slip("skew_first_channel", "= x[:, :, r]", "= x[:, :1, r]", loses={"moved", "any values"})
slip("skew_first_image", "= x[:, :, r]", "= x[:1, :, r]", loses={"moved", "any values"})


@bank.wrong("skew", loses={"any values"})
def skew_by_a_product():
    """A sum of products with zeros and ones: NaN and infinities spread, integers lose digits."""
    import torch

    def skew(x):
        H, W = x.shape[2:]
        where = torch.zeros(H, W, H + W - 1, dtype=torch.float64)
        for r in range(H):
            for c in range(W):
                where[r, c, r + c] = 1
        return torch.einsum("nchw,hwv->nchv", x.double(), where).to(x.dtype)

    return skew


@bank.wrong("skew", loses={"moved", "any values"})
def skew_rolled():
    """Rows are moved within the image, and what leaves it on the right comes in on the left."""
    import torch

    def skew(x):
        H, W = x.shape[2:]
        rolled = torch.stack([x[:, :, r].roll(r, -1) for r in range(H)], 2)
        return torch.cat([rolled, x.new_zeros(*x.shape[:3], H - 1)], 3)

    return skew


@bank.wrong("skew", loses={"moved", "any values"})
def skew_columns():
    """Columns are moved down and the result is turned: the wrong axis."""

    def skew(x):
        H, W = x.shape[2:]
        y = x.new_zeros(*x.shape[:2], H, H + W - 1)
        for c in range(W):
            for r in range(H):
                y[:, :, r, (r * W + c) % (H + W - 1)] = x[:, :, r, c]
        return y

    return skew


# ---------------------------------------------------------------------------------------------------------- unskew


@bank.right("unskew")
def unskew_stacked_slices():
    import torch

    def unskew(y):
        H = y.shape[2]
        W = y.shape[3] - H + 1
        return torch.stack([y[:, :, r, r : r + W] for r in range(H)], 2)

    return unskew


@bank.right("unskew")
def unskew_by_indices():
    import torch

    def unskew(y):
        H, longer = y.shape[2:]
        rows = torch.arange(H)[:, None]
        return y[:, :, rows, rows + torch.arange(longer - H + 1)]

    return unskew


@bank.right("unskew")
def unskew_by_a_view():
    import torch

    def unskew(y):
        n, channels, H, longer = y.shape
        flat = torch.cat([y.flatten(2), y.new_zeros(n, channels, H)], 2)
        return flat.view(n, channels, H, longer + 1)[:, :, :, : longer - H + 1]

    return unskew


@bank.right("unskew")
def unskew_gathered():
    import torch

    def unskew(y):
        n, channels, H, longer = y.shape
        columns = torch.arange(H)[:, None] + torch.arange(longer - H + 1)
        return y.gather(3, columns.expand(n, channels, -1, -1))

    return unskew


slip = bank.slips("unskew", of=unskew_stacked_slices)
slip(
    "unskew_other_direction",
    "y[:, :, r, r : r + W]",
    "y[:, :, r, H - 1 - r : H - 1 - r + W]",
    loses={"moved", "any values"},
)
slip("unskew_cut_off", "y[:, :, r, r : r + W]", "y[:, :, r, :W]", loses={"moved", "any values"})
slip("unskew_one_column_less", "y.shape[3] - H + 1", "y.shape[3] - H", loses={"shape"})
slip("unskew_for_squares", "y.shape[3] - H + 1", "H", loses={"moved", "any values", "training"})
slip("unskew_detached", "for r in range(H)], 2)", "for r in range(H)], 2).detach()", loses={"training"})
slip("unskew_float", "for r in range(H)], 2)", "for r in range(H)], 2).float()", loses={"any values"})
slip("unskew_first_row_for_all", "y[:, :, r, r : r + W]", "y[:, :, 0, r : r + W]", loses={"moved", "any values"})
slip("unskew_rows_last", "for r in range(H)], 2)", "for r in range(H)], 3)", loses={"moved", "any values", "training"})


@bank.wrong("unskew", loses={"any values"})
def unskew_all_that_is_not_zero():
    """The entries that are not 0, taken for the image's."""

    def unskew(y):
        n, channels, H, longer = y.shape
        return y[y != 0].view(n, channels, H, longer - H + 1)

    return unskew


@bank.wrong("unskew", loses={"any values"})
def unskew_by_a_product():
    """A sum of products with zeros and ones: what is elsewhere does count if it is NaN or infinite."""
    import torch

    def unskew(y):
        H, longer = y.shape[2:]
        W = longer - H + 1
        where = torch.zeros(H, W, longer, dtype=torch.float64)
        for r in range(H):
            for c in range(W):
                where[r, c, r + c] = 1
        return torch.einsum("nchv,hwv->nchw", y.double(), where).to(y.dtype)

    return unskew


# ---------------------------------------------------------------------------------------------------------- groups


@bank.right("groups")
def groups_round_by_round():
    def groups(H, W):
        rounds = (max(H, W) - 1).bit_length()
        found = [[(0, 0)]]
        for power in reversed(range(rounds)):
            s = 2**power
            for first, second in ((0, s), (s, 0), (s, s)):
                found.append([(r, c) for r in range(first, H, 2 * s) for c in range(second, W, 2 * s)])
        return [group for group in found if group]

    return groups


@bank.right("groups")
def groups_by_multiples():
    import math

    def groups(H, W):
        result = [[[0, 0]]]
        for power in range(math.ceil(math.log2(max(H, W))), 0, -1):
            side = 2**power
            even_rows, odd_rows = range(0, H, side), [r for r in range(H) if r % side == side // 2]
            even_columns, odd_columns = range(0, W, side), [c for c in range(W) if c % side == side // 2]
            for rows, columns in ((even_rows, odd_columns), (odd_rows, even_columns), (odd_rows, odd_columns)):
                if rows and columns:
                    result.append([[r, c] for c in columns for r in rows])
        return result

    return groups


@bank.right("groups")
def groups_by_the_pixels_own_power():
    import torch

    def groups(H, W):
        group = {}
        for r in range(H):
            for c in range(W):
                s = (r | c) & -(r | c)
                kind = (s > 0, -s, r & s, c & s)
                group.setdefault(kind, []).append((r, c))
        return [torch.tensor(group[kind]) for kind in sorted(group)]

    return groups


for old, new in (
    ("(max(H, W) - 1).bit_length()", "max(H, W) - 1"),
    ("(max(H, W) - 1)", "(max(H, W) + 1)"),
    ("(max(H, W) - 1)", "(max(H, W) - 0)"),
    ("math.ceil(math.log2(max(H, W)))", "math.ceil(math.log2(max(H, W))) + 1"),
    ("math.ceil(math.log2(max(H, W)))", "math.ceil(max(H, W))"),
):
    bank.equivalent("groups", old, new, "all groups of further rounds are empty, and left out")
size, clamped = "math.log2(max(H, W))", "math.log2(torch.as_tensor(max(H, W)).clamp(min=1e-06))"
bank.equivalent("groups", size, clamped, "sizes are at least 1")
for old, new in (
    ("r in range(H) if r %", "r in range(1, H) if r %"),
    ("c in range(W) if c %", "c in range(1, W) if c %"),
):
    bank.equivalent("groups", old, new, "0 is no odd multiple")


slip = bank.slips("groups", of=groups_round_by_round)
slip(
    "groups_second_and_third_swapped",
    "((0, s), (s, 0), (s, s))",
    "((s, 0), (0, s), (s, s))",
    loses={"order of groups", "any size"},
)
slip(
    "groups_corner_first", "((0, s), (s, 0), (s, s))", "((s, s), (0, s), (s, 0))", loses={"order of groups", "any size"}
)
slip("groups_without_the_first", "found = [[(0, 0)]]", "found = []", loses={"each pixel once"})
slip("groups_without_the_corner", "((0, s), (s, 0), (s, s))", "((0, s), (s, 0))", loses={"each pixel once"})
slip(
    "groups_known_ones_again", "((0, s), (s, 0), (s, s))", "((0, 0), (0, s), (s, 0), (s, s))", loses={"each pixel once"}
)
slip("groups_empty_ones_kept", "[group for group in found if group]", "found", loses={"any size"})
slip("groups_size_from_the_height", "max(H, W)", "H", loses={"any size"})
slip("groups_size_from_the_width", "max(H, W)", "W", loses={"any size"})
slip("groups_size_from_the_smaller", "max(H, W)", "min(H, W)", loses={"any size"})
slip("groups_pairs_swapped", "(r, c) for r", "(c, r) for r", loses={"order of groups", "any size"})
slip(
    "groups_sides_swapped",
    "range(first, H, 2 * s) for c in range(second, W, 2 * s)",
    "range(first, W, 2 * s) for c in range(second, H, 2 * s)",
    loses={"order of groups", "any size"},
)


@bank.wrong("groups", loses={"order of groups", "any size"})
def groups_one_for_each_round():
    """All new pixels of a round in one group, though those in the middle depend on the others."""

    def groups(H, W):
        side, known = 1, {(0, 0)}
        while side < max(H, W):
            side *= 2
        found = [[(0, 0)]]
        while side > 1:
            side //= 2
            grid = {(r, c) for r in range(0, H, side) for c in range(0, W, side)}
            found.append(sorted(grid - known))
            known |= grid
        return [group for group in found if group]

    return groups


@bank.wrong("groups", loses={"order of groups", "any size"})
def groups_from_small_to_large():
    """The rounds in the order of growing s."""

    def groups(H, W):
        found, s = [[(0, 0)]], 1
        while s < max(H, W):
            for first, second in ((0, s), (s, 0), (s, s)):
                found.append([(r, c) for r in range(first, H, 2 * s) for c in range(second, W, 2 * s)])
            s *= 2
        return [group for group in found if group]

    return groups


@bank.wrong("groups", loses={"order of groups", "any size"})
def groups_halved_sizes():
    """Distances from the image's own size, halved and rounded up: right for powers of two."""

    def groups(H, W):
        side, found, known = max(H, W), [[(0, 0)]], {(0, 0)}
        while side > 1:
            s = (side + 1) // 2
            for first, second in ((0, s), (s, 0), (s, s)):
                group = [(r, c) for r in range(first, H, 2 * s) for c in range(second, W, 2 * s)]
                found.append([pixel for pixel in group if pixel not in known])
                known.update(group)
            side = s
        rest = [(r, c) for r in range(H) for c in range(W) if (r, c) not in known]
        return [group for group in [*found, rest] if group]

    return groups
