"""Right and wrong answers to lesson 02, NADE.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("nade")

# ----------------------------------------------------------------------------------------------------- activations


@bank.right("activations")
def activations_recursion():
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = []
        for i in order:
            rows.append(a.clone())
            a += W[:, i] * x[i]
        return torch.stack(rows)

    return activations


@bank.right("activations")
def activations_loop():
    def activations(x, W, c, order):
        D, H = len(x), len(c)
        rows = []
        for k in range(D):
            row = []
            for h in range(H):
                row.append(float(c[h]) + sum(float(W[h, j]) * int(x[j]) for j in order[:k]))
            rows.append(row)
        return rows

    return activations


@bank.right("activations")
def activations_masked_product():
    import torch

    def activations(x, W, c, order):
        D = len(x)
        before = torch.tril(torch.ones(D, D, dtype=W.dtype), diagonal=-1)
        return c + (before * x[order]) @ W[:, order].T

    return activations


@bank.right("activations")
def activations_cumsum():
    import torch

    def activations(x, W, c, order):
        steps = (W * x)[:, order].T
        return torch.cumsum(torch.cat([c[None], steps]), 0)[:-1]

    return activations


@bank.right("activations")
def activations_numpy_float32():
    import numpy as np

    def activations(x, W, c, order):
        x, W, c, order = x.numpy(), W.numpy().astype(np.float32), c.numpy().astype(np.float32), order.numpy()
        a = np.zeros((len(x), len(c)), dtype=np.float32)
        a[0] = c
        for k in range(1, len(x)):
            a[k] = a[k - 1] + W[:, order[k - 1]] * x[order[k - 1]]
        return a

    return activations


@bank.right("activations")
def activations_recursive():
    import torch

    def activations(x, W, c, order):
        if len(order) == 1:
            return c[None]
        first = order[0]
        return torch.cat([c[None], activations(x, W, c + W[:, first] * x[first], order[1:])])

    return activations


@bank.right("activations")
def activations_backwards():
    import torch

    def activations(x, W, c, order):
        a = c + W @ x.double()
        rows = torch.zeros(len(x), len(c), dtype=torch.float64)
        for k in reversed(range(len(x))):
            a = a - W[:, order[k]] * x[order[k]]
            rows[k] = a
        return rows

    return activations


@bank.right("activations")
def activations_total_minus_the_rest():
    def activations(x, W, c, order):
        steps = (W * x)[:, order].T
        return c + steps.sum(0) - steps.flip(0).cumsum(0).flip(0)

    return activations


@bank.wrong("activations", loses={"autoregressive"})
def activations_whole_image():
    """c + W x in every row: an ordinary hidden layer."""

    def activations(x, W, c, order):
        return (c + W @ x.double()).expand(len(x), -1)

    return activations


@bank.wrong("activations", loses={"autoregressive"})
def activations_upper_triangle():
    """The mask transposed: each row sums what comes later."""
    import torch

    def activations(x, W, c, order):
        D = len(x)
        after = torch.triu(torch.ones(D, D, dtype=W.dtype), diagonal=1)
        return c + (after * x[order]) @ W[:, order].T

    return activations


@bank.wrong("activations", loses={"starts at c"})
def activations_without_c():
    """Starts at 0; c is never added."""
    import torch

    def activations(x, W, c, order):
        a = torch.zeros_like(c)
        rows = []
        for i in order:
            rows.append(a)
            a = a + W[:, i] * x[i]
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"starts at c"})
def activations_first_row_zero():
    """Row 0 stays 0, as if nothing known meant nothing there."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = torch.zeros(len(x), len(c), dtype=torch.float64)
        for k in range(1, len(x)):
            a = a + W[:, order[k - 1]] * x[order[k - 1]]
            rows[k] = a
        return rows

    return activations


@bank.wrong("activations", loses={"starts at c"})
def activations_c_in_the_first_row_only():
    """c is in row 0 and is then forgotten."""
    import torch

    def activations(x, W, c, order):
        rows = [c]
        for k in range(1, len(x)):
            rows.append(W[:, order[:k]] @ x[order[:k]].double())
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"starts at c"})
def activations_subtracts_c():
    """The wrong sign of c."""
    import torch

    def activations(x, W, c, order):
        a = -c
        rows = []
        for i in order:
            rows.append(a)
            a = a + W[:, i] * x[i]
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"starts at c", "sum of what came before", "any ordering"})
def activations_c_everywhere():
    """x and W are not used."""

    def activations(x, W, c, order):
        return c.expand(len(x), -1)

    return activations


@bank.wrong("activations", loses={"sum of what came before"})
def activations_newest_only():
    """Only the pixel right before: the sum is not carried on."""
    import torch

    def activations(x, W, c, order):
        rows = [c]
        for i in order[:-1]:
            rows.append(c + W[:, i] * x[i])
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"sum of what came before"})
def activations_pixels_of_the_row():
    """x of the row's own place in place of the column's: one pixel decides whether all columns count."""
    import torch

    def activations(x, W, c, order):
        rows = [c]
        for k in range(1, len(x)):
            rows.append(c + W[:, order[:k]].sum(1) * x[order[k - 1]])
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"sum of what came before"})
def activations_mean():
    """The mean of what came before in place of the sum."""
    import torch

    def activations(x, W, c, order):
        rows = [c]
        for k in range(1, len(x)):
            rows.append(c + W[:, order[:k]] @ x[order[:k]].double() / k)
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"starts at c", "sum of what came before"})
def activations_integers():
    """The result in the dtype of x: every number is rounded."""
    import torch

    def activations(x, W, c, order):
        a = torch.zeros(len(x), len(c), dtype=x.dtype)
        now = c
        for k, i in enumerate(order):
            a[k] = now
            now = now + W[:, i] * x[i]
        return a

    return activations


@bank.wrong("activations", loses={"any ordering"})
def activations_natural_order():
    """0, 1, ... whatever order says."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = []
        for i in range(len(x)):
            rows.append(a)
            a = a + W[:, i] * x[i]
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"any ordering"})
def activations_inverse_order():
    """order taken for the place of each dimension: the inverse permutation."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = []
        for i in torch.argsort(order):
            rows.append(a)
            a = a + W[:, i] * x[i]
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"any ordering"})
def activations_rows_by_dimension():
    """Row d belongs to dimension d, not to the conditional that comes d-th."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = torch.zeros(len(x), len(c), dtype=torch.float64)
        for i in order:
            rows[i] = a
            a = a + W[:, i] * x[i]
        return rows

    return activations


@bank.wrong("activations", loses={"shapes"})
def activations_transposed():
    """(H, D) in place of (D, H)."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        columns = []
        for i in order:
            columns.append(a)
            a = a + W[:, i] * x[i]
        return torch.stack(columns, 1)

    return activations


@bank.wrong("activations", loses={"shapes"})
def activations_one_row_more():
    """One row too many: the one after the last pixel."""
    import torch

    def activations(x, W, c, order):
        a = c.clone()
        rows = [a]
        for i in order:
            a = a + W[:, i] * x[i]
            rows.append(a)
        return torch.stack(rows)

    return activations


@bank.wrong("activations", loses={"shapes"})
def activations_last_only():
    """Only the running vector is returned."""

    def activations(x, W, c, order):
        a = c.clone()
        for i in order[:-1]:
            a = a + W[:, i] * x[i]
        return a

    return activations


slip = bank.slips("activations", of=activations_cumsum)
# x is brought into order, the columns of W are not.
slip("activations_x_in_order_w_not", "(W * x)[:, order]", "(W * x[order])", loses={"any ordering"})
# The columns of W are brought into order, x is not.
slip("activations_w_in_order_x_not", "(W * x)[:, order]", "(W[:, order] * x)", loses={"any ordering"})

slip = bank.slips("activations", of=activations_masked_product)
# Off by one the other way: the pixel right before is missing.
slip("activations_one_behind", "-1", "-2", loses={"starts at c", "sum of what came before"})
slip(
    "activations_the_last_eight",
    "diagonal=-1)",
    "diagonal=-1).triu(-8)",
    loses={"sum of what came before"},
)
slip(
    "activations_clamped",
    "c + (before * x[order]) @ W[:, order].T",
    "(c + (before * x[order]) @ W[:, order].T).clamp(-30, 30)",
    loses={"sum of what came before"},
)
slip(
    "activations_in_half_precision",
    "W[:, order].T",
    "W[:, order].half().to(W.dtype).T",
    loses={"starts at c", "sum of what came before"},
)

slip = bank.slips("activations", of=activations_recursion)
# The column is added before the row is written: each conditional reads its own pixel.
slip(
    "activations_add_first",
    "rows.append(a.clone())\n        a += W[:, i] * x[i]",
    "a = a + W[:, i] * x[i]\n        rows.append(a)",
    loses={"autoregressive"},
)
# The same tensor is noted down each time and changed in place: all rows are the last one.
slip("activations_one_tensor_many_times", "a.clone()", "a", loses={"autoregressive"})
# c is added again in every step.
slip("activations_c_in_every_step", "a.clone()", "a", ("a += W", "a = a + c + W"), loses={"starts at c"})
# All columns that came before, whatever the pixels are.
slip(
    "activations_without_x",
    "a.clone()",
    "a",
    ("a += W[:, i] * x[i]", "a = a + W[:, i]"),
    loses={"sum of what came before"},
)
# Pixels read as -1 and +1.
slip(
    "activations_symmetric_inputs",
    "a.clone()",
    "a",
    ("a += W[:, i] * x[i]", "a = a + W[:, i] * (2 * x[i] - 1)"),
    loses={"sum of what came before"},
)
# The hidden layer in place of its pre-activation.
slip(
    "activations_hidden_layer",
    "a.clone()",
    "torch.sigmoid(a)",
    ("a += W", "a = a + W"),
    loses={"starts at c", "sum of what came before"},
)
# The sigmoid inside the recursion.
slip(
    "activations_hidden_layer_fed_back",
    "a.clone()",
    "a",
    ("a += W", "a = torch.sigmoid(a) + W"),
    loses={"starts at c", "sum of what came before"},
)
# Rows of W in place of its columns.
slip("activations_rows_of_w", "a.clone()", "a", ("a += W[:, i]", "a = a + W[i]"), loses=(), raises="RuntimeError")
slip("activations_adds_to_c_itself", "c.clone()", "c", loses={"starts at c"})
slip(
    "activations_running_sum_of_running_sums",
    "rows.append(a.clone())",
    "rows.append(a + sum(rows[1:]))",
    loses={"sum of what came before", "starts at c"},
)

bank.equivalent("activations", "torch.stack(rows)", "rows", "a list of rows is read as well")
bank.equivalent("activations", ", dtype=np.float32)", ")", "the sum may be in either precision")
bank.equivalent("activations", ", dtype=torch.float64)", ")", "the rows may be in float32")


# --------------------------------------------------------------------------------------------------- nade_log_prob


@bank.right("nade_log_prob")
def nade_loop_over_dimensions():
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            logit = b[i] + torch.sigmoid(a) @ V[i]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_each_image():
    import math

    def nade_log_prob(x, W, V, b, c, order):
        def sigma(z):
            return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

        W, V, b, c, order = W.tolist(), V.tolist(), b.tolist(), c.tolist(), order.tolist()
        answer = []
        for image in x.tolist():
            a, total = list(c), 0.0
            for i in order:
                logit = b[i] + sum(v * sigma(z) for v, z in zip(V[i], a, strict=True))
                signed = logit if image[i] else -logit
                total += min(signed, 0.0) - math.log1p(math.exp(-abs(signed)))
                a = [z + W[h][i] * image[i] for h, z in enumerate(a)]
            answer.append(total)
        return answer

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_all_at_once():
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        y = x[:, order].double()
        before = torch.cumsum(y[:, :, None] * W[:, order].T, 1)
        a = c + F.pad(before[:, :-1], (0, 0, 1, 0))
        logits = b[order] + (V[order] * a.sigmoid()).sum(2)
        return -F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1)

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_numpy():
    import numpy as np

    def nade_log_prob(x, W, V, b, c, order):
        x, W, V, b, c, order = (t.numpy() for t in (x, W, V, b, c, order))
        total = np.zeros(len(x))
        for k, i in enumerate(order):
            a = c + x[:, order[:k]] @ W[:, order[:k]].T
            logit = b[i] + (0.5 + 0.5 * np.tanh(a / 2)) @ V[i]
            total -= np.logaddexp(0, (1 - 2 * x[:, i]) * logit)
        return total

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_masked_copies():
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        place = torch.argsort(order)
        before = (place[None, :] < place[:, None]).double()
        h = torch.sigmoid(c + torch.einsum("hj,ij,bj->bih", W, before, x.double()))
        logits = b + torch.einsum("ih,bih->bi", V, h)
        return (x * logits - F.softplus(logits)).sum(1)

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_float32():
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        x, W, V, b, c = x.float(), W.float(), V.float(), b.float(), c.float()
        a, total = c.repeat(len(x), 1), 0
        for i in order.tolist():
            logit = F.linear(torch.sigmoid(a), V[i : i + 1], b[i : i + 1])
            total = total - F.binary_cross_entropy_with_logits(logit, x[:, i : i + 1], reduction="none")
            a = a + x[:, i : i + 1] * W[:, i]
        return total.squeeze(1)

    return nade_log_prob


@bank.right("nade_log_prob")
def nade_bernoulli():
    import torch
    from torch.distributions import Bernoulli

    def nade_log_prob(x, W, V, b, c, order):
        logits = torch.empty(x.shape, dtype=torch.float64)
        for k, i in enumerate(order):
            seen = order[:k]
            h = torch.sigmoid(c + x[:, seen].double() @ W[:, seen].T)
            logits[:, i] = b[i] + h @ V[i]
        return Bernoulli(logits=logits).log_prob(x.double()).sum(-1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"autoregressive"})
def nade_updates_first():
    """a is updated before the conditional: each pixel predicts itself."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            a = a + torch.outer(x[:, i].double(), W[:, i])
            logit = b[i] + torch.sigmoid(a) @ V[i]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"autoregressive"})
def nade_autoencoder():
    """One hidden layer of the whole image for all conditionals: an autoencoder."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        h = torch.sigmoid(c + x.double() @ W.T)
        return F.logsigmoid((2 * x - 1) * (b + h @ V.T)).sum(1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"autoregressive"})
def nade_reads_what_comes_later():
    """The comparison of places turned round."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        place = torch.argsort(order)
        after = (place[None, :] > place[:, None]).double()
        h = torch.sigmoid(c + torch.einsum("hj,ij,bj->bih", W, after, x.double()))
        return F.logsigmoid((2 * x - 1) * (b + torch.einsum("ih,bih->bi", V, h))).sum(1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"autoregressive"})
def nade_all_but_itself():
    """All other pixels, those that come later too: a pseudo-likelihood."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        total = 0
        for i in order:
            others = order[order != i]
            logit = b[i] + torch.sigmoid(c + x[:, others].double() @ W[:, others].T) @ V[i]
            total = total + F.logsigmoid((2 * x[:, i] - 1) * logit)
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals"})
def nade_first_hidden_zero():
    """h_1 = 0 in place of the sigmoid of c."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a, h = c.expand(len(x), -1), torch.zeros(len(x), len(c), dtype=torch.float64)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            logit = b[i] + h @ V[i]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
            a = a + torch.outer(x[:, i].double(), W[:, i])
            h = torch.sigmoid(a)
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals", "any ordering", "large weights"})
def nade_never_updated():
    """a stays c: independent pixels."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        logits = b + V @ torch.sigmoid(c)
        return F.logsigmoid((2 * x - 1) * logits).sum(1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals", "large weights"})
def nade_double_sigmoid():
    """Probabilities given to a function that expects logits."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            total -= F.binary_cross_entropy_with_logits(p, x[:, i].double(), reduction="none")
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals", "large weights"})
def nade_one_behind():
    """h is taken before a is updated, and used one place later: the pixel right before is missing."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        h = torch.sigmoid(a)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            logit = b[i] + h @ V[i]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
            h = torch.sigmoid(a)
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals", "large weights"})
def nade_hidden_carried_on():
    """h is carried on in place of its pre-activation."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        h = torch.sigmoid(c).expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            logit = b[i] + h @ V[i]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
            h = torch.sigmoid(h + torch.outer(x[:, i].double(), W[:, i]))
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals", "any ordering", "large weights"})
def nade_uniform():
    """Every image equally likely."""
    import math

    import torch

    def nade_log_prob(x, W, V, b, c, order):
        return torch.full((len(x),), -x.shape[1] * math.log(2))

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"any ordering"})
def nade_v_by_place():
    """Row k of V, and bias k, for the dimension that comes k-th."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for k, i in enumerate(order):
            logit = b[k] + torch.sigmoid(a) @ V[k]
            total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"any ordering"})
def nade_only_x_in_order():
    """x is brought into order, the parameters are not."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        y = x[:, order].double()
        a = c + F.pad(torch.cumsum(y[:, :, None] * W.T, 1)[:, :-1], (0, 0, 1, 0))
        logits = b + (V * a.sigmoid()).sum(2)
        return -F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"any ordering"})
def nade_targets_not_in_order():
    """Logits in order are compared with pixels that are not."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        y = x[:, order].double()
        a = c + F.pad(torch.cumsum(y[:, :, None] * W[:, order].T, 1)[:, :-1], (0, 0, 1, 0))
        logits = b[order] + (V[order] * a.sigmoid()).sum(2)
        return -F.binary_cross_entropy_with_logits(logits, x.double(), reduction="none").sum(1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"large weights"})
def nade_bce_of_sigmoid():
    """binary_cross_entropy of a sigmoid: each logarithm is cut off at -100."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.zeros(len(x), dtype=torch.float64)
        for i in order:
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            total -= F.binary_cross_entropy(p, x[:, i].double(), reduction="none")
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"large weights"})
def nade_product_of_probabilities():
    """The logarithm of the product of all probabilities."""
    import torch

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        total = torch.ones(len(x), dtype=torch.float64)
        for i in order:
            logit = b[i] + torch.sigmoid(a) @ V[i]
            total *= torch.sigmoid((2 * x[:, i] - 1) * logit)
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total.log()

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"shapes"})
def nade_each_dimension():
    """log p of each dimension, not their sum."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a = c.expand(len(x), -1)
        terms = []
        for i in order:
            logit = b[i] + torch.sigmoid(a) @ V[i]
            terms.append(F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit)))
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return torch.stack(terms, 1)

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"shapes"})
def nade_mean_of_the_batch():
    """One number for the batch."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a, total = c.expand(len(x), -1), 0
        for i in order:
            logit = b[i] + torch.sigmoid(a) @ V[i]
            total = total + F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit)).mean()
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total

    return nade_log_prob


@bank.wrong("nade_log_prob", loses={"conditionals"})
def nade_squeezed():
    """squeeze() takes the batch away where it holds one image."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        a, total = c.expand(len(x), -1), torch.zeros(len(x), 1, dtype=torch.float64)
        for i in order:
            logit = b[i] + torch.sigmoid(a) @ V[i, :, None]
            total += F.logsigmoid((2 * x[:, i, None] - 1) * logit)
            a = a + torch.outer(x[:, i].double(), W[:, i])
        return total.squeeze()

    return nade_log_prob


@bank.wrong("nade_log_prob", loses=(), raises="RuntimeError")
def nade_integers_times_floats():
    """x is left as int64: torch does not multiply it with float64."""
    import torch
    import torch.nn.functional as F

    def nade_log_prob(x, W, V, b, c, order):
        total = 0
        for k, i in enumerate(order):
            seen = order[:k]
            logit = b[i] + torch.sigmoid(c + x[:, seen] @ W[:, seen].T) @ V[i]
            total = total + F.logsigmoid((2 * x[:, i] - 1) * logit)
        return total

    return nade_log_prob


slip = bank.slips("nade_log_prob", of=nade_bernoulli)
slip("nade_the_last_eight", "order[:k]", "order[max(0, k - 8) : k]", loses={"conditionals"})
slip("nade_logits_clamped", "(logits=logits)", "(logits=logits.clamp(-30, 30))", loses={"large weights"})
slip("nade_probabilities_as_arguments", "(logits=logits)", "(probs=torch.sigmoid(logits))", loses={"large weights"})
slip("nade_first_bias_for_all", "b[i] +", "b[order[0]] +", loses={"conditionals"})
slip("nade_bias_by_place", "b[i] +", "b[k] +", loses={"any ordering"})
slip("nade_c_for_the_first_only", "torch.sigmoid(c +", "torch.sigmoid(c * (k == 0) +", loses={"conditionals"})

slip = bank.slips("nade_log_prob", of=nade_loop_over_dimensions)
# a starts at 0.
slip(
    "nade_without_c",
    "c.expand(len(x), -1)",
    "torch.zeros(len(x), len(c), dtype=torch.float64)",
    loses={"conditionals"},
)
# The output biases forgotten.
slip("nade_without_b", "b[i] + torch", "torch", loses={"conditionals"})
# The hidden layer without its sigmoid.
slip("nade_no_nonlinearity", "torch.sigmoid(a)", "a", loses={"conditionals", "large weights"})
# tanh in place of the logistic function.
slip("nade_tanh", ".sigmoid", ".tanh", loses={"conditionals", "large weights"})
# The logit of a 0 in place of the logit of a 1.
slip("nade_values_swapped", "== 1", "== 0", loses={"conditionals", "large weights"})
# The pre-activation is not carried on: only the pixel right before counts.
slip("nade_newest_pixel_only", "a + torch", "torch", loses={"conditionals"})
# One pre-activation for the whole batch, that of its first image.
slip(
    "nade_first_image_for_all",
    ".expand(len(x), -1)",
    "",
    ("torch.outer(x[:, i].double(), W[:, i])", "x[0, i] * W[:, i]"),
    loses={"conditionals"},
)
# The first row of V for all dimensions.
slip("nade_one_row_of_v", "V[i]", "V[order[0]]", loses={"conditionals", "large weights"})
# W's column in place of V's row.
slip("nade_tied_weights", "V[i]", "W[:, i]", loses={"autoregressive"})
# Pixels read as -1 and +1.
slip("nade_symmetric_inputs", "x[:, i].double()", "2 * x[:, i].double() - 1", loses={"conditionals"})
# 0, 1, ... whatever order says.
slip("nade_natural_order", "order:", "range(len(order)):", loses={"any ordering"})
# order taken for the place of each dimension: the inverse permutation.
slip("nade_inverse_order", "order:", "torch.argsort(order):", loses={"any ordering"})
# Column k of W for the dimension that comes k-th.
slip(
    "nade_w_by_place",
    "for i in order",
    "for k, i in enumerate(order)",
    ("W[:, i]", "W[:, k]"),
    loses={"any ordering"},
)
# log(sigmoid(z)) in two steps: -inf for large logits.
slip(
    "nade_log_of_sigmoid",
    "logit = b[i] + torch.sigmoid(a) @ V[i]",
    "p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])",
    ("F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))", "torch.where(x[:, i] == 1, p, 1 - p).log()"),
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"large weights"},
)
# Probabilities clamped away from 0 and 1.
slip(
    "nade_clamped",
    "logit = b[i] + torch.sigmoid(a) @ V[i]",
    "p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i]).clamp(1e-7, 1 - 1e-7)",
    ("F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))", "torch.where(x[:, i] == 1, p, 1 - p).log()"),
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"large weights"},
)
# exp(a) / (1 + exp(a)) is nan where exp(a) overflows.
slip(
    "nade_exp_over_one_plus_exp",
    "logit = b[i] + torch.sigmoid(a)",
    "h = a.exp() / (1 + a.exp())\n        logit = b[i] + h",
    loses={"large weights"},
)
# Mean over the dimensions in place of the sum.
slip("nade_mean_for_sum", " total\n", " total / len(order)\n", loses={"sums to one"})
# Bits in place of nats.
slip(
    "nade_bits",
    " total\n",
    " total / math.log(2)\n",
    ("import torch\n", "import math\n\nimport torch\n"),
    loses={"sums to one"},
)
# The pixels that are 0 forgotten.
slip(
    "nade_ones_only",
    "F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))",
    "x[:, i] * F.logsigmoid(logit)",
    loses={"sums to one"},
)
# The loss, -log p(x), in place of log p(x).
slip("nade_negative", "total += F", "total -= F", loses={"sums to one"})
# The probability in place of its logarithm.
slip(
    "nade_probability",
    "zeros",
    "ones",
    (
        "total += F.logsigmoid(torch.where(x[:, i] == 1, logit, -logit))",
        "total *= torch.sigmoid((2 * x[:, i] - 1) * logit)",
    ),
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"sums to one"},
)
# Off by one: the last conditional is left out.
slip("nade_last_dimension_missing", "order:", "order[:-1]:", loses={"sums to one"})
slip(
    "nade_sums_over_the_batch",
    "a = c.expand(len(x), -1)",
    "a, x = c.expand(len(x), -1), x[:1].expand(len(x), -1)",
    loses={"sums to one"},
)

for inside in (
    "a",
    "c + torch.einsum('hj,ij,bj->bih', W, before, x.double())",
    "c + x[:, seen].double() @ W[:, seen].T",
):
    clamped = f"torch.sigmoid(torch.as_tensor({inside}).clamp(-30, 30))"
    bank.equivalent("nade_log_prob", f"torch.sigmoid({inside})", clamped, "changes h by 1e-13")
bank.equivalent("nade_log_prob", "a.sigmoid()", "torch.as_tensor(a).clamp(-30, 30).sigmoid()", "changes h by 1e-13")
bank.equivalent("nade_log_prob", "c.expand(len(x), -1)", "c", "the first sum broadcasts c")
bank.equivalent("nade_log_prob", ", dtype=torch.float64)", ")", "the sum may be in float32")
for narrow in ("x[:, i]", "place[:, None])"):
    bank.equivalent("nade_log_prob", f"{narrow}.double()", f"{narrow}.half()", "zeros and ones in any precision")
for other in ("z > 0", "z >= 1", "z >= -1"):
    bank.equivalent("nade_log_prob", "z >= 0", other, "both forms hold near 0")
for denominator in ("math.exp(-z)", "math.exp(z)"):
    bank.equivalent(
        "nade_log_prob", f"(1 + {denominator})", f"(1 + {denominator} + 1e-08)", "1 and more; changes h by 1e-8"
    )
bank.equivalent("nade_log_prob", ".sum(-1)", ".sum(1)", "there are two axes")


# ----------------------------------------------------------------------------------------------------- nade_sample


@bank.right("nade_sample")
def sample_running_activation():
    import torch

    def nade_sample(W, V, b, c, order, u):
        n, D = u.shape
        x = torch.zeros(n, D, dtype=torch.int64)
        a = c.repeat(n, 1)
        for i in order:
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            x[:, i] = (u[:, i] < p).long()
            a += torch.outer(x[:, i].double(), W[:, i])
        return x

    return nade_sample


@bank.right("nade_sample")
def sample_each_anew():
    import torch

    def nade_sample(W, V, b, c, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        for k, i in enumerate(order.tolist()):
            seen = order[:k]
            h = torch.sigmoid(c + x[:, seen].double() @ W[:, seen].T)
            x[:, i] = torch.where(torch.logit(u[:, i]) < b[i] + h @ V[i], 1, 0)
        return x

    return nade_sample


@bank.right("nade_sample")
def sample_one_by_one():
    import math

    import torch

    def nade_sample(W, V, b, c, order, u):
        def sigma(z):
            return 1 / (1 + math.exp(-z))

        rows = []
        for row in u.tolist():
            a, image = c.tolist(), [0] * len(row)
            for i in order.tolist():
                p = sigma(b[i].item() + sum(v * sigma(z) for v, z in zip(V[i].tolist(), a, strict=True)))
                if row[i] < p:
                    image[i] = 1
                    a = [z + w for z, w in zip(a, W[:, i].tolist(), strict=True)]
            rows.append(image)
        return torch.tensor(rows)

    return nade_sample


@bank.right("nade_sample")
def sample_numpy():
    import numpy as np

    def nade_sample(W, V, b, c, order, u):
        W, V, b, c, order, u = (np.asarray(t) for t in (W, V, b, c, order, u))
        x = np.zeros(u.shape, dtype=np.int64)
        for i in order:  # what is not drawn yet is 0
            h = 1 / (1 + np.exp(-(c + x @ W.T)))
            x[:, i] = u[:, i] < 1 / (1 + np.exp(-(b[i] + h @ V[i])))
        return x

    return nade_sample


@bank.right("nade_sample")
def sample_float32():
    import torch

    def nade_sample(W, V, b, c, order, u):
        W, V, b, c, u = (t.float() for t in (W, V, b, c, u))
        columns, a = {}, c.expand(len(u), -1)
        for i in order.tolist():
            p = (b[i] + a.sigmoid() @ V[i]).sigmoid()
            columns[i] = 1 - (u[:, i] >= p).int()
            a = a + columns[i][:, None] * W[:, i]
        return torch.stack([columns[i] for i in range(len(b))], 1)

    return nade_sample


@bank.wrong("nade_sample", loses={"first dimension"})
def sample_first_hidden_zero():
    """h_1 = 0 in place of the sigmoid of c."""
    import torch

    def nade_sample(W, V, b, c, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        a, h = c.repeat(len(u), 1), torch.zeros(len(u), len(c), dtype=torch.float64)
        for i in order:
            p = torch.sigmoid(b[i] + h @ V[i])
            x[:, i] = (u[:, i] < p).long()
            a += torch.outer(x[:, i].double(), W[:, i])
            h = torch.sigmoid(a)
        return x

    return nade_sample


@bank.wrong("nade_sample", loses={"feeds back what it drew", "any ordering"})
def sample_independent():
    """a is never updated: independent pixels."""
    import torch

    def nade_sample(W, V, b, c, order, u):
        p = torch.sigmoid(b + V @ torch.sigmoid(c))
        return (u < p).long()

    return nade_sample


@bank.wrong("nade_sample", loses={"any ordering"})
def sample_columns_in_order():
    """The columns are in the order of drawing."""
    import torch

    def nade_sample(W, V, b, c, order, u):
        columns = []
        a = c.repeat(len(u), 1)
        for i in order:
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            columns.append((u[:, i] < p).long())
            a += torch.outer(columns[-1].double(), W[:, i])
        return torch.stack(columns, 1)

    return nade_sample


@bank.wrong("nade_sample", loses={"shapes"})
def sample_probabilities():
    """The probabilities are returned, not the samples."""
    import torch

    def nade_sample(W, V, b, c, order, u):
        x, p = torch.zeros(u.shape, dtype=torch.int64), torch.zeros_like(u)
        a = c.repeat(len(u), 1)
        for i in order:
            p[:, i] = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            x[:, i] = (u[:, i] < p[:, i]).long()
            a += torch.outer(x[:, i].double(), W[:, i])
        return p

    return nade_sample


def sample_running_activation_in_place():
    """Right as well; the slips below edit it."""
    import torch

    def nade_sample(W, V, b, c, order, u):
        x = torch.zeros(u.shape, dtype=torch.int64)
        a = c.repeat(len(u), 1)
        for i in order:
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            x[:, i] = (u[:, i] < p).long()
            a += torch.outer(x[:, i].double(), W[:, i])
        return x

    return nade_sample


slip = bank.slips("nade_sample", of=sample_running_activation_in_place)
# The likelier value; u is not used.
slip("sample_argmax", "u[:, i] < p", "p > 0.5", loses={"first dimension", "feeds back what it drew"})
# u > p in place of u < p.
slip("sample_inverted", "< p", "> p", loses={"first dimension", "feeds back what it drew"})
# 1 - u < p: a right sampler, but not by the inversion that the contract states.
slip("sample_other_inversion", "u[:, i]", "1 - u[:, i]", loses={"first dimension", "feeds back what it drew"})
# Draws its own random numbers.
slip(
    "sample_own_randomness",
    "(u[:, i] < p)",
    "torch.bernoulli(p)",
    loses={"first dimension", "feeds back what it drew", "any ordering"},
)
# u is compared with the logit, not with the probability.
slip(
    "sample_compares_the_logit",
    "p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])",
    "logit = b[i] + torch.sigmoid(a) @ V[i]",
    ("< p", "< logit"),
    loses={"first dimension", "feeds back what it drew"},
)
# A sigmoid of what is a probability already.
slip(
    "sample_double_sigmoid",
    "b[i]",
    "torch.sigmoid(b[i]",
    ("V[i]", "V[i])"),
    loses={"first dimension", "feeds back what it drew"},
)
# The output biases forgotten.
slip("sample_without_b", "b[i] + torch", "torch", loses={"first dimension"})
# a starts at 0.
slip(
    "sample_without_c",
    "c.repeat(len(u), 1)",
    "torch.zeros(len(u), len(c), dtype=torch.float64)",
    loses={"first dimension"},
)
# The first dimension is never drawn.
slip("sample_first_dimension_missing", "order:", "order[1:]:", loses={"first dimension"})
# The last dimension is never drawn; where there is one dimension, it is the first too.
slip("sample_last_dimension_missing", "order:", "order[:-1]:", loses={"first dimension", "feeds back what it drew"})
# The probability is fed back, not the sample.
slip("sample_feeds_back_probabilities", "x[:, i].double()", "p", loses={"feeds back what it drew"})
# The likelier value is fed back, not the one that was drawn.
slip("sample_feeds_back_the_mode", "x[:, i].double", "(p > 0.5).double", loses={"feeds back what it drew"})
# The uniform number is fed back.
slip("sample_feeds_back_u", "x[:, i].double()", "u[:, i]", loses={"feeds back what it drew"})
# W's column is added whatever was drawn.
slip(
    "sample_feeds_back_ones",
    "repeat(len(u), 1)",
    "clone()",
    ("a += torch.outer(x[:, i].double(), W[:, i])", "a += W[:, i]"),
    loses={"feeds back what it drew"},
)
# 1 - x is fed back.
slip("sample_feeds_back_the_opposite", "x[:, i].double()", "1.0 - x[:, i]", loses={"feeds back what it drew"})
# The pre-activation is not carried on: only the last decision counts.
slip("sample_newest_only", "a += torch", "a = c + torch", loses={"feeds back what it drew"})
# One pre-activation for all samples, that of the first: the others are not their own continuation.
slip(
    "sample_first_sample_fed_back",
    "repeat(len(u), 1)",
    "clone()",
    ("torch.outer(x[:, i].double(), W[:, i])", "x[0, i] * W[:, i]"),
    loses={"feeds back what it drew"},
)
# The mean of what all samples drew is fed back.
slip(
    "sample_mean_fed_back",
    "repeat(len(u), 1)",
    "clone()",
    ("torch.outer(x[:, i].double(), W[:, i])", "x[:, i].double().mean() * W[:, i]"),
    loses={"feeds back what it drew"},
)
# h is taken before a is updated: the newest decision is missing.
slip(
    "sample_one_behind",
    "for i",
    "h = torch.sigmoid(a)\n    for i",
    (
        "p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])\n        x[:, i] = (u[:, i] < p).long()",
        "x[:, i] = (u[:, i] < torch.sigmoid(b[i] + h @ V[i])).long()\n        h = torch.sigmoid(a)",
    ),
    loses={"feeds back what it drew"},
)
# The first row of u for all samples.
slip("sample_first_row_of_uniforms", "u[:, i]", "u[0, i]", loses={"first dimension", "feeds back what it drew"})
# The first column of u for all dimensions.
slip("sample_one_uniform", "u[:, i]", "u[:, order[0]]", loses={"first dimension", "feeds back what it drew"})
# V's row is fed back in place of W's column.
slip("sample_tied_weights", "W[:, i]", "V[i]", loses={"first dimension", "feeds back what it drew"})
# Column k of u for the dimension that comes k-th.
slip(
    "sample_uniforms_by_place",
    "for i in order",
    "for k, i in enumerate(order)",
    ("u[:, i]", "u[:, k]"),
    loses={"any ordering"},
)
# 0, 1, ... whatever order says.
slip("sample_natural_order", "order:", "range(len(order)):", loses={"any ordering"})
# order taken for the place of each dimension: the inverse permutation.
slip("sample_inverse_order", "order:", "torch.argsort(order):", loses={"any ordering"})
# Row k of V for the dimension that comes k-th.
slip("sample_v_by_place", "for i in order", "for k, i in enumerate(order)", ("V[i]", "V[k]"), loses={"any ordering"})
# bool, not int64.
slip("sample_booleans", "int64", "bool", ("(u[:, i] < p).long()", "u[:, i] < p"), loses={"shapes"})
# (D, n) in place of (n, D).
slip("sample_transposed", " x\n", " x.T\n", loses={"shapes"})

slip = bank.slips("nade_sample", of=sample_each_anew)
slip("sample_the_last_four", "order[:k]", "order[max(0, k - 4) : k]", loses={"feeds back what it drew"})
slip("sample_the_last_twelve", "order[:k]", "order[max(0, k - 12) : k]", loses={"feeds back what it drew"})
slip("sample_first_bias_for_all", "b[i] +", "b[order[0]] +", loses={"first dimension"})
slip("sample_c_for_the_first_only", "torch.sigmoid(c +", "torch.sigmoid(c * (k == 0) +", loses={"first dimension"})

slip = bank.slips("nade_sample", of=sample_running_activation)
slip("sample_one_where_equal", "u[:, i] < p", "u[:, i] <= p", loses={"first dimension"})
slip("sample_probabilities_clamped", "u[:, i] < p", "u[:, i] < p.clamp(1e-6, 1 - 1e-6)", loses={"first dimension"})
slip(
    "sample_probabilities_rounded",
    "u[:, i] < p",
    "u[:, i] < p.round(decimals=1)",
    loses={"first dimension", "feeds back what it drew"},
)
slip("sample_adds_to_c_itself", "c.repeat(n, 1)", "c[None] if n == 1 else c.repeat(n, 1)", loses={"first dimension"})

bank.equivalent("nade_sample", "int64", "int8", "any integers are taken")
bank.equivalent("nade_sample", ".long()", ".byte()", "any integers are taken")
bank.equivalent("nade_sample", ".double(), W", ".half(), W", "zeros and ones in any precision")
bank.equivalent(
    "nade_sample", "torch.sigmoid(a)", "torch.sigmoid(torch.as_tensor(a).clamp(-30, 30))", "changes h by 1e-13"
)
bank.equivalent("nade_sample", "a.sigmoid()", "torch.as_tensor(a).clamp(-30, 30).sigmoid()", "changes h by 1e-13")
clamped = "torch.as_tensor(c + x[:, seen].double() @ W[:, seen].T).clamp(-30, 30)"
bank.equivalent("nade_sample", "c + x[:, seen].double() @ W[:, seen].T", clamped, "changes h by 1e-13")
bank.equivalent("nade_sample", "order[:k]", "order[:k + 1]", "the dimension itself is still 0")
bank.equivalent(
    "nade_sample",
    "torch.where(torch.logit(u[:, i]) < b[i] + h @ V[i], 1, 0)",
    "torch.logit(u[:, i]) < b[i] + h @ V[i]",
    "torch turns True into 1",
)
for z in ("math.exp(-z)", "np.exp(-(c + x @ W.T))", "np.exp(-(b[i] + h @ V[i]))"):
    bank.equivalent("nade_sample", f"(1 + {z})", f"(1 + {z} + 1e-08)", "1 and more; changes p by 1e-8")
bank.equivalent("nade_sample", "zip(a, W[:, i].tolist(), ", "zip(W[:, i].tolist(), a, ", "they are added up")
bank.equivalent("nade_sample", "c.expand(len(u), -1)", "c", "the first sum broadcasts c")


# -------------------------------------------------------------------------------------------------------- OwnNADE


@bank.right("OwnNADE")
def own_recursion():
    import torch
    from torch import nn
    from torch.nn.functional import logsigmoid

    class OwnNADE(nn.Module):
        def __init__(self, D, H):
            super().__init__()
            self.W = nn.Parameter(torch.randn(H, D))
            self.V = nn.Parameter(torch.randn(D, H))
            self.b = nn.Parameter(torch.zeros(D))
            self.c = nn.Parameter(torch.zeros(H))

        def logits(self, x):
            a = self.c.expand(len(x), -1)
            z = []
            for d in range(len(self.b)):
                z.append(self.b[d] + a.sigmoid() @ self.V[d])
                a = a + x[:, d, None] * self.W[:, d]
            return torch.stack(z, 1)

        def log_prob(self, x):
            return logsigmoid((2 * x - 1) * self.logits(x)).sum(1)

        @torch.no_grad()
        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.int64)
            a = self.c.expand(len(u), -1)
            for d in range(len(self.b)):
                p = (self.b[d] + a.sigmoid() @ self.V[d]).sigmoid()
                x[:, d] = (u[:, d] < p).long()
                a = a + x[:, d, None] * self.W[:, d]
            return x

    return OwnNADE


@bank.right("OwnNADE")
def own_cumulative_sum():
    import torch
    from torch import nn

    class OwnNADE(nn.Module):
        def __init__(self, D, H):
            super().__init__()
            self.W = nn.Parameter(torch.randn(H, D))
            self.V = nn.Parameter(torch.randn(D, H))
            self.b = nn.Parameter(torch.zeros(D))
            self.c = nn.Parameter(torch.zeros(H))

        def logits(self, x):
            columns = x[:, :, None] * self.W.T
            after = self.c + columns.cumsum(dim=1)
            before = torch.cat([self.c.expand(len(x), 1, -1), after[:, :-1]], dim=1)
            return (torch.sigmoid(before) * self.V).sum(dim=-1) + self.b

        def log_prob(self, x):
            z = self.logits(x)
            loss = nn.functional.binary_cross_entropy_with_logits(z, x.to(z.dtype), reduction="none")
            return -loss.sum(dim=-1)

        def sample(self, u):
            x = torch.zeros_like(u)
            with torch.no_grad():
                for d in range(u.shape[1]):
                    x[:, d] = (u[:, d] < torch.sigmoid(self.logits(x)[:, d])).to(u.dtype)
            return x.long()

    return OwnNADE


@bank.right("OwnNADE")
def own_masked_columns():
    import torch

    class OwnNADE(torch.nn.Module):
        def __init__(self, D, H):
            super().__init__()
            parameter = torch.nn.Parameter
            self.W, self.V = parameter(torch.rand(H, D)), parameter(torch.rand(D, H))
            self.b, self.c = parameter(torch.rand(D)), parameter(torch.rand(H))

        def logits(self, x):
            D = len(self.b)
            before = torch.ones(D, D, dtype=self.W.dtype).tril(-1)
            a = torch.einsum("hj,dj,nj->ndh", self.W, before, x.to(self.W.dtype)) + self.c
            return torch.einsum("dh,ndh->nd", self.V, a.sigmoid()) + self.b

        def log_prob(self, x):
            z = self.logits(x)
            return torch.distributions.Bernoulli(logits=z).log_prob(x.to(z.dtype)).sum(1)

        def sample(self, u):
            drawn, a = [], self.c[None]
            for d, u_d in enumerate(u.T):
                z_d = torch.sigmoid(a) @ self.V[d] + self.b[d]
                drawn.append(torch.where(u_d < z_d.sigmoid(), 1, 0))
                a = a + torch.outer(drawn[-1].to(self.W.dtype), self.W[:, d])
            return torch.stack(drawn, 1)

    return OwnNADE


slip = bank.slips("OwnNADE", of=own_recursion)
OWN_LOGIT = "z.append(self.b[d] + a.sigmoid() @ self.V[d])"
OWN_COLUMN = "a = a + x[:, d, None] * self.W[:, d]\n        return torch.stack"
# The column is added before the output is computed: every dimension predicts itself.
slip("own_predicts_itself", OWN_LOGIT, "a = a + x[:, d, None] * self.W[:, d]; " + OWN_LOGIT, loses={"autoregressive"})
# The formula of a well-known lecture, read literally.
slip("own_hidden_layer_of_one_input", OWN_LOGIT,
     "a = self.c + x[:, d, None] * self.W[:, d]; " + OWN_LOGIT, loses={"autoregressive"})  # fmt: skip
slip("own_reads_all_dimensions", "a = self.c.expand(len(x), -1)", "a = self.c + x.to(self.W.dtype) @ self.W.T",
     loses={"autoregressive"})  # fmt: skip
slip("own_logits_reversed", "torch.stack(z, 1)", "torch.stack(z[::-1], 1)", loses={"autoregressive"})
# The cost of each image would depend on the others.
slip("own_activations_of_the_batch", OWN_LOGIT, "a = a.mean(0).expand(len(x), -1); " + OWN_LOGIT,
     loses={"network", "log-likelihood", "sampler"})  # fmt: skip
slip("own_forgets_all_but_one", "            a = a + x[:, d, None] * self.W[:, d]\n        return torch.stack",
     "            a = self.c + x[:, d, None] * self.W[:, d]\n        return torch.stack",
     loses={"network", "sampler"})  # fmt: skip
slip("own_starts_at_zero", "a = self.c.expand(len(x), -1)", "a = 0 * self.c.expand(len(x), -1)",
     loses={"network", "sampler"})  # fmt: skip
# The same mistake in both: a proper distribution, but not a NADE's.
slip("own_starts_at_zero_in_both", "a = self.c.expand(len(x), -1)", "a = 0 * self.c.expand(len(x), -1)",
     ("a = self.c.expand(len(u), -1)", "a = 0 * self.c.expand(len(u), -1)"), loses={"network"})  # fmt: skip
slip("own_no_hidden_nonlinearity_in_both", OWN_LOGIT, "z.append(self.b[d] + a @ self.V[d])",
     ("(self.b[d] + a.sigmoid() @ self.V[d]).sigmoid()", "(self.b[d] + a @ self.V[d]).sigmoid()"),
     loses={"network"})  # fmt: skip
slip("own_no_hidden_nonlinearity", OWN_LOGIT, "z.append(self.b[d] + a @ self.V[d])", loses={"network", "sampler"})
slip("own_tanh", OWN_LOGIT, "z.append(self.b[d] + a.tanh() @ self.V[d])", loses={"network", "sampler"})
slip("own_no_output_bias", OWN_LOGIT, "z.append(a.sigmoid() @ self.V[d])", loses={"network", "sampler"})
slip("own_first_row_of_V", OWN_LOGIT, "z.append(self.b[d] + a.sigmoid() @ self.V[0])", loses={"network", "sampler"})
slip("own_probabilities_for_logits", "torch.stack(z, 1)", "torch.stack(z, 1).sigmoid()", loses={"network", "sampler"})
slip("own_mean_over_dimensions", ".sum(1)", ".mean(1)", loses={"log-likelihood"})
slip("own_in_bits", ".sum(1)", ".sum(1) / 0.6931471805599453", loses={"log-likelihood"})
slip("own_likelihood_of_ones", "(2 * x - 1) * self.logits(x)", "self.logits(x)", loses={"log-likelihood"})
slip("own_negative", "return logsigmoid", "return -logsigmoid", loses={"log-likelihood"})
slip("own_sum_over_images", ".sum(1)", ".sum()", loses={"log-likelihood", "gradients"})
slip("own_feeds_back_probabilities", "a = a + x[:, d, None] * self.W[:, d]\n        return x",
     "a = a + p[:, None] * self.W[:, d]\n        return x", loses={"sampler"})  # fmt: skip
slip("own_feeds_back_nothing", "            a = a + x[:, d, None] * self.W[:, d]\n        return x", "        return x",
     loses={"sampler"})  # fmt: skip
slip("own_likelier_value", "u[:, d] < p", "0.5 < p", loses={"sampler"})
slip("own_probability_of_zero", "u[:, d] < p", "u[:, d] < 1 - p", loses={"sampler"})
slip("own_one_uniform_for_all", "u[:, d] < p", "u[:, 0] < p", loses={"sampler"})
slip("own_column_of_the_dimension_before", "self.W[:, d]\n        return x", "self.W[:, d - 1]\n        return x",
     loses={"sampler"})  # fmt: skip
slip("own_detached_columns", OWN_COLUMN, OWN_COLUMN.replace("self.W[:, d]", "self.W[:, d].detach()"),
     loses={"gradients"})  # fmt: skip
slip("own_log_prob_without_gradients", "    def log_prob", "    @torch.no_grad()\n    def log_prob",
     loses={"gradients"})  # fmt: skip
slip(
    "own_W_transposed",
    "self.W = nn.Parameter(torch.randn(H, D))",
    "self.W = nn.Parameter(torch.randn(D, H))",
    loses={"shapes"},
)
slip("own_biases_are_no_parameters", "self.c = nn.Parameter(torch.zeros(H))", "self.c = torch.zeros(H)",
     loses={"shapes"})  # fmt: skip
slip("own_sample_as_real_numbers", "(u[:, d] < p).long()", "p", ("dtype=torch.int64", "dtype=u.dtype"),
     loses={"sampler"})  # fmt: skip
# The sampler leaves what it drew in the model, which then scores it.
slip("own_sample_changes_the_model", "        return x\n", "        self.c.copy_(a[0])\n        return x\n",
     loses={"log-likelihood", "sampler"})  # fmt: skip

bank.equivalent("OwnNADE", "int64", "int8", "any integers are taken")
bank.equivalent("OwnNADE", ".long()", ".byte()", "any integers are taken")
bank.equivalent("OwnNADE", "self.c.expand(len(u), -1)", "self.c", "the first sum broadcasts c")
bank.equivalent("OwnNADE", ", dtype=self.W.dtype)", ")", "zeros and ones in any precision")
bank.equivalent("OwnNADE", "dim=-1", "dim=1", "there are two axes")
for p in ("p", "z_d.sigmoid()", "torch.sigmoid(self.logits(x)[:, d])"):
    bank.equivalent("OwnNADE", f"< {p}", f"<= {p}", "no uniform number equals a probability; nade_sample judges ties")
for inside in ("a", "before"):
    bank.equivalent("OwnNADE", inside, f"torch.as_tensor({inside}).clamp(-30, 30)", "changes h by 1e-13")
for old, inside in (
    ("(2 * x - 1) * self.logits(x)", "(2 * x - 1) * self.logits(x)"),
    ("(self.b[d] + a.sigmoid() @ self.V[d])", "self.b[d] + a.sigmoid() @ self.V[d]"),
    ("self.logits(x)[:, d]", "self.logits(x)[:, d]"),
    ("z_d", "z_d"),
):
    why = "no logit of the drawn models is as large; nade_log_prob and nade_sample judge those"
    bank.equivalent("OwnNADE", old, f"torch.as_tensor({inside}).clamp(-30, 30)", why)

# ------------------------------------------------------------------------------------------------------- nade_grad


@bank.right("nade_grad")
def grad_backwards_sum():
    import torch

    def nade_grad(x, W, V, b, c):
        D, x = len(x), x.double()
        a, hs, errors = c.clone(), [], []
        for d in range(D):
            hs.append(torch.sigmoid(a))
            errors.append(torch.sigmoid(b[d] + V[d] @ hs[d]) - x[d])
            a = a + W[:, d] * x[d]
        dW, dV, db = torch.zeros_like(W), torch.zeros_like(V), torch.stack(errors)
        below = torch.zeros_like(c)
        for d in reversed(range(D)):
            dW[:, d] = below * x[d]
            dV[d] = errors[d] * hs[d]
            below = below + errors[d] * V[d] * hs[d] * (1 - hs[d])
        return {"W": dW, "V": dV, "b": db, "c": below}

    return nade_grad


@bank.right("nade_grad")
def grad_autograd():
    import torch
    import torch.nn.functional as F

    def nade_grad(x, W, V, b, c):
        W, V, b, c = (t.clone().requires_grad_() for t in (W, V, b, c))
        a, loss = c, 0
        for d in range(len(x)):
            logit = b[d] + V[d] @ torch.sigmoid(a)
            loss = loss + F.softplus(logit) - x[d] * logit
            a = a + W[:, d] * x[d]
        loss.backward()
        return {"W": torch.zeros_like(W) if W.grad is None else W.grad, "V": V.grad, "b": b.grad, "c": c.grad}

    return nade_grad


@bank.right("nade_grad")
def grad_autograd_unused_as_zeros():
    import torch

    def nade_grad(x, W, V, b, c):
        parameters = [t.detach().clone().requires_grad_() for t in (W, V, b, c)]
        W, V, b, c = parameters
        before = torch.tril(torch.ones(len(x), len(x), dtype=torch.float64), -1)
        loss, a = 0, c + (before * x) @ W.T if len(x) > 1 else c[None]
        for d, h in enumerate(torch.sigmoid(a)):
            loss = loss - torch.distributions.Bernoulli(logits=b[d] + V[d] @ h).log_prob(x[d].double())
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        filled = [torch.zeros_like(t) if g is None else g for t, g in zip(parameters, found, strict=True)]
        return dict(zip("WVbc", filled, strict=True))

    return nade_grad


@bank.right("nade_grad")
def grad_torch_func():
    import torch
    import torch.nn.functional as F

    def nade_grad(x, W, V, b, c):
        def cost(theta):
            a, terms = theta["c"], []
            for d, bit in enumerate(x.tolist()):
                logit = theta["b"][d] + theta["V"][d] @ torch.sigmoid(a)
                terms.append(F.softplus(-logit if bit else logit))
                if bit:
                    a = a + theta["W"][:, d]
            return torch.stack(terms).sum()

        return torch.func.grad(cost)({"W": W, "V": V, "b": b, "c": c})

    return nade_grad


@bank.right("nade_grad")
def grad_all_at_once():
    import torch

    def nade_grad(x, W, V, b, c):
        y = x.double()
        steps = (W * y).T
        h = torch.sigmoid(c + steps.cumsum(0) - steps)
        error = torch.sigmoid(b + (V * h).sum(1)) - y
        da = error[:, None] * V * h * (1 - h)
        after = da.sum(0) - da.cumsum(0)
        return {"b": error, "V": error[:, None] * h, "c": da.sum(0), "W": (after * y[:, None]).T}

    return nade_grad


@bank.right("nade_grad")
def grad_numpy_double_loop():
    import numpy as np

    def nade_grad(x, W, V, b, c):
        x, W, V, b, c = (t.numpy() for t in (x, W, V, b, c))
        dW, dV, db, dc = np.zeros(W.shape), np.zeros(V.shape), np.zeros(b.shape), np.zeros(c.shape)
        for d in range(len(x)):
            h = 0.5 + 0.5 * np.tanh((c + W[:, :d] @ x[:d]) / 2)
            db[d] = 0.5 + 0.5 * np.tanh((b[d] + V[d] @ h) / 2) - x[d]
            dV[d] = db[d] * h
            da = db[d] * V[d] * h * (1 - h)
            dc += da
            for j in range(d):
                dW[:, j] += da * x[j]
        return {"W": dW, "V": dV, "b": db, "c": dc}

    return nade_grad


@bank.right("nade_grad")
def grad_float32():
    import torch

    def nade_grad(x, W, V, b, c):
        x, W, V, b, c = (t.float() for t in (x, W, V, b, c))
        before = torch.tril(torch.ones(len(x), len(x)), -1)
        h = torch.sigmoid(c + (before * x) @ W.T)
        error = torch.sigmoid(b + torch.einsum("dh,dh->d", V, h)) - x
        da = torch.einsum("d,dh->dh", error, V * h * (1 - h))
        return {"W": torch.einsum("dh,dj,j->hj", da, before, x), "V": error[:, None] * h, "b": error, "c": da.sum(0)}

    return nade_grad


@bank.wrong("nade_grad", loses={"b", "V", "c", "W"})
def grad_peeks():
    """a updated before h is taken."""
    import torch

    def nade_grad(x, W, V, b, c):
        y = x.double()
        h = torch.sigmoid(c + (W * y).T.cumsum(0))
        error = torch.sigmoid(b + (V * h).sum(1)) - y
        da = error[:, None] * V * h * (1 - h)
        after = da.sum(0) - da.cumsum(0) + da
        return {"b": error, "V": error[:, None] * h, "c": da.sum(0), "W": (after * y[:, None]).T}

    return nade_grad


@bank.wrong("nade_grad", loses={"c", "W"})
def grad_derivative_at_the_wrong_place():
    """What comes through V is added up first, and h (1 - h) taken at the place where the sum arrives."""
    import torch

    def nade_grad(x, W, V, b, c):
        y = x.double()
        steps = (W * y).T
        h = torch.sigmoid(c + steps.cumsum(0) - steps)
        error = torch.sigmoid(b + (V * h).sum(1)) - y
        dh = error[:, None] * V
        after = dh.sum(0) - dh.cumsum(0)
        slope = h * (1 - h)
        dW = (after * slope * y[:, None]).T
        return {"b": error, "V": error[:, None] * h, "c": dh.sum(0) * slope[0], "W": dW}

    return nade_grad


@bank.wrong("nade_grad", loses={"V", "c", "W"})
def grad_of_the_last_conditional():
    """Only the last conditional is taken down into the network."""
    import torch

    def nade_grad(x, W, V, b, c):
        y = x.double()
        steps = (W * y).T
        h = torch.sigmoid(c + steps.cumsum(0) - steps)
        error = torch.sigmoid(b + (V * h).sum(1)) - y
        da = error[-1] * V[-1] * h[-1] * (1 - h[-1])
        dV, seen = torch.zeros_like(V), y.clone()
        dV[-1], seen[-1] = error[-1] * h[-1], 0
        return {"b": error, "V": dV, "c": da, "W": torch.outer(da, seen)}

    return nade_grad


@bank.wrong("nade_grad", loses={"shapes"})
def grad_other_keys():
    """dW in place of W, and so on."""
    import torch

    def nade_grad(x, W, V, b, c):
        y = x.double()
        steps = (W * y).T
        h = torch.sigmoid(c + steps.cumsum(0) - steps)
        error = torch.sigmoid(b + (V * h).sum(1)) - y
        da = error[:, None] * V * h * (1 - h)
        after = da.sum(0) - da.cumsum(0)
        return {"db": error, "dV": error[:, None] * h, "dc": da.sum(0), "dW": (after * y[:, None]).T}

    return nade_grad


@bank.wrong("nade_grad", loses={"W"})
def grad_autograd_unused_refused():
    """autograd.grad raises where there is one dimension: W does not enter the loss."""
    import torch
    import torch.nn.functional as F

    def nade_grad(x, W, V, b, c):
        W, V, b, c = (t.clone().requires_grad_() for t in (W, V, b, c))
        a, loss = c, 0
        for d in range(len(x)):
            logit = b[d] + V[d] @ torch.sigmoid(a)
            loss = loss + F.softplus(logit) - x[d] * logit
            a = a + W[:, d] * x[d]
        return dict(zip("WVbc", torch.autograd.grad(loss, (W, V, b, c)), strict=True))

    return nade_grad


slip = bank.slips("nade_grad", of=grad_all_at_once)
# The gradient of log p: the sign.
slip("grad_of_log_p", "error =", "error = y -", (" - y", ""), loses={"b", "V", "c", "W"})
# p in place of p - x.
slip("grad_without_the_target", " - y", "", loses={"b", "V", "c", "W"})
# (p - x) p (1 - p): the derivative of a squared error.
slip(
    "grad_squared_error",
    "error = torch.sigmoid(b + (V * h).sum(1)) - y",
    "p = torch.sigmoid(b + (V * h).sum(1))\n    error = (p - y) * p * (1 - p)",
    loses={"b", "V", "c", "W"},
)
# The gradient of the mean over the dimensions.
slip(
    "grad_mean",
    "torch.sigmoid(b + (V * h).sum(1)) - y",
    "(torch.sigmoid(b + (V * h).sum(1)) - y) / len(y)",
    loses={"b", "V", "c", "W"},
)
# The pre-activation in place of the hidden layer in V's gradient.
slip(
    "grad_v_with_activations",
    "h = torch.sigmoid(c + steps.cumsum(0) - steps)",
    "a = c + steps.cumsum(0) - steps\n    h = torch.sigmoid(a)",
    ("[:, None] * h", "[:, None] * a"),
    loses={"V"},
)
# One hidden layer, sigmoid(c), for all rows of V's gradient.
slip("grad_v_with_the_first_layer", "error[:, None] * h", "torch.outer(error, h[0])", loses={"V"})
# V's gradient with the hidden layer of the next place: the same variable, updated too early.
slip(
    "grad_v_one_late",
    "error =",
    "later = torch.sigmoid(c + steps.cumsum(0))\n    error =",
    ("[:, None] * h", "[:, None] * later"),
    loses={"V"},
)
# h (1 - h) in V's gradient too.
slip("grad_v_with_the_derivative", "[:, None] * h", "[:, None] * h * (1 - h)", loses={"V"})
# h (1 - h) forgotten on the way down.
slip("grad_without_the_derivative", "V * h * (1 - h)", "V", loses={"c", "W"})
# 1 - h^2, the derivative of tanh.
slip("grad_derivative_of_tanh", "h * (1 - h)", "(1 - h**2)", loses={"c", "W"})
# V forgotten on the way down.
slip("grad_without_v", "* V * h", "* h", loses={"c", "W"})
# c's gradient from the first conditional only: c enters at the start, but every place inherits it.
slip("grad_c_of_the_first_place", '"c": da.sum(0)', '"c": da[0]', loses={"c"})
# Off by one: the first conditional's part of c's gradient is missing.
slip("grad_c_without_the_first_place", '"c": da', '"c": da[1:]', loses={"c"})
# The sum takes up place d before column d is written: a pixel would see its own conditional.
slip("grad_w_adds_first", "da.cumsum(0)", "da.cumsum(0) + da", loses={"W"})
# The sum runs forwards: what arrives at the places before.
slip(
    "grad_w_from_before",
    "after = da.sum(0) - da.cumsum(0)",
    "before = da.cumsum(0) - da",
    ("after * y", "before * y"),
    loses={"W"},
)
# x forgotten: columns of pixels that are 0 get a gradient.
slip("grad_w_without_x", "(after * y[:, None])", "after", loses={"W"})
# Column j gets what arrives at place j + 1 only.
slip("grad_w_next_place_only", "da.sum(0) - da.cumsum(0)", "torch.cat([da[1:], torch.zeros_like(da[:1])])", loses={"W"})
# Every column gets the whole sum, as in an autoencoder.
slip(
    "grad_w_all_places",
    "(1 - h)\n    after = da.sum(0) - da.cumsum(0)",
    "(1 - h)",
    ("(after * y[:, None]).T", "torch.outer(da.sum(0), y)"),
    loses={"W"},
)
# W's gradient as (D, H).
slip("grad_w_transposed", "(after * y[:, None]).T", "after * y[:, None]", loses={"shapes"})
# A tuple in place of a dict.
slip(
    "grad_tuple",
    ' {"b": error, "V": error[:, None] * h, "c": da.sum(0), "W": (after * y[:, None]).T}\n',
    " (after * y[:, None]).T, error[:, None] * h, error, da.sum(0)\n",
    loses={"shapes"},
)

slip = bank.slips("nade_grad", of=grad_autograd)
# One zero in place of the gradient of W where there is one dimension.
slip("grad_autograd_zeros_of_another_shape", "torch.zeros_like(W) if W", "0.0 if W", loses={"W"})
# W.grad is None where there is one dimension: W does not enter the loss.
slip("grad_autograd_without_w", "torch.zeros_like(W) if W.grad is None else W", "W", loses={"W"})
slip(
    "grad_of_binary_cross_entropy",
    "F.softplus(logit) - x[d] * logit",
    "F.binary_cross_entropy(torch.sigmoid(logit), x[d].double())",
    loses={"b"},
)
slip(
    "grad_of_log_sigmoid_in_two_steps",
    "F.softplus(logit) - x[d] * logit",
    "-torch.sigmoid((2 * x[d] - 1) * logit).log()",
    loses={"b"},
)
slip("grad_through_exp", "V[d] @ torch.sigmoid(a)", "V[d] @ (1 / (1 + torch.exp(-a)))", loses={"c"})
slip("grad_of_the_arguments_themselves", "t.clone().requires_grad_()", "t.requires_grad_()", loses={"b"})

slip = bank.slips("nade_grad", of=grad_backwards_sum)
slip(
    "grad_probabilities_clamped",
    "torch.sigmoid(b[d] + V[d] @ hs[d])",
    "torch.sigmoid(b[d] + V[d] @ hs[d]).clamp(1e-6, 1 - 1e-6)",
    loses={"b"},
)
slip("grad_logits_clamped", "b[d] + V[d] @ hs[d]", "(b[d] + V[d] @ hs[d]).clamp(-15, 15)", loses={"b"})

slip = bank.slips("nade_grad", of=grad_numpy_double_loop)
slip("grad_w_of_the_last_eight", "for j in range(d)", "for j in range(max(0, d - 8), d)", loses={"W"})
slip(
    "grad_layers_of_the_last_eight",
    "W[:, :d] @ x[:d]",
    "W[:, max(0, d - 8) : d] @ x[max(0, d - 8) : d]",
    loses={"b", "V", "c", "W"},
)
slip("grad_c_without_the_last_place", "dc += da", "dc += da * (d < len(x) - 1)", loses={"c"})
slip("grad_errors_clipped", "- x[d]\n", "- x[d]\n        db[d] = np.clip(db[d], -0.999, 0.999)\n", loses={"b"})

for function, inside in (
    ("torch.sigmoid", "a"),
    ("torch.sigmoid", "b[d] + V[d] @ hs[d]"),
    ("torch.sigmoid", "c + steps.cumsum(0) - steps"),
    ("torch.sigmoid", "b + (V * h).sum(1)"),
    ("torch.sigmoid", "c + before * x @ W.T"),
    ("torch.sigmoid", "b + torch.einsum('dh,dh->d', V, h)"),
):
    clamped = f"{function}(torch.as_tensor({inside}).clamp(-30, 30))"
    bank.equivalent("nade_grad", f"{function}({inside})", clamped, "changes h or p by 1e-13")
for bits in ("x", "x[d]"):
    bank.equivalent("nade_grad", f"{bits}.double()", f"{bits}.half()", "zeros and ones in any precision")
bank.equivalent("nade_grad", "c.clone()", "c", "nothing is added in place")
bank.equivalent("nade_grad", "torch.stack(errors)", "errors", "a list of numbers is read as well")
for constant in ("1", "-1"):
    bank.equivalent("nade_grad", "(c, 0)", f"(c, {constant})", "a constant has no gradient")
    bank.equivalent("nade_grad", "= (0, c", f"= ({constant}, c", "a constant has no gradient")
bank.equivalent("nade_grad", "t.detach().clone()", "t.detach()", "detach makes a new tensor")
bank.equivalent("nade_grad", "t.detach().clone()", "t.clone()", "the arguments take no part in gradients")
whole = "c + before * x @ W.T if len(x) > 1 else c[None]"
for other in ("c + before * x @ W.T", whole.replace("> 1", ">= 1"), whole.replace("> 1", "> 0")):
    bank.equivalent("nade_grad", whole, other, "W takes part, with zeros")


# ------------------------------------------------------------------------------------------------- mog_log_density


@bank.right("mog_log_density")
def mog_logsumexp():
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        z = (y[:, None] - mean) / log_sigma.exp()
        each = -0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(torch.log_softmax(logits, 1) + each, 1)

    return mog_log_density


@bank.right("mog_log_density")
def mog_distributions():
    from torch.distributions import Categorical, MixtureSameFamily, Normal

    def mog_log_density(y, logits, mean, log_sigma):
        return MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_sigma.exp())).log_prob(y)

    return mog_log_density


@bank.right("mog_log_density")
def mog_loop():
    import math

    def mog_log_density(y, logits, mean, log_sigma):
        def logsumexp(values):
            top = max(values)
            return top + math.log(sum(math.exp(v - top) for v in values))

        answer = []
        for value, ls, ms, ss in zip(y.tolist(), logits.tolist(), mean.tolist(), log_sigma.tolist(), strict=True):
            terms = []
            for logit, m, s in zip(ls, ms, ss, strict=True):
                terms.append(logit - s - 0.5 * ((value - m) * math.exp(-s)) ** 2)
            answer.append(logsumexp(terms) - logsumexp(ls) - 0.5 * math.log(2 * math.pi))
        return answer

    return mog_log_density


@bank.right("mog_log_density")
def mog_numpy_maximum():
    import numpy as np

    def mog_log_density(y, logits, mean, log_sigma):
        y, logits, mean, log_sigma = (t.numpy() for t in (y, logits, mean, log_sigma))
        shifted = logits - logits.max(1, keepdims=True)
        weights = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        squares = (y[:, None] - mean) ** 2 / (2 * np.exp(2 * log_sigma))
        logs = weights - squares - log_sigma - np.log(np.sqrt(2 * np.pi))
        top = logs.max(1)
        return top + np.log(np.exp(logs - top[:, None]).sum(1))

    return mog_log_density


@bank.right("mog_log_density")
def mog_variance_form():
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        variance = torch.exp(2 * log_sigma)
        squares = (y[:, None] - mean) ** 2 / variance
        return torch.logsumexp(torch.log_softmax(logits, 1) - 0.5 * (squares + torch.log(2 * math.pi * variance)), 1)

    return mog_log_density


@bank.right("mog_log_density")
def mog_float32_but_for_the_distance():
    import torch
    from torch.distributions import Normal

    def mog_log_density(y, logits, mean, log_sigma):
        z = ((y[:, None] - mean) * torch.exp(-log_sigma)).float()
        logits, log_sigma = logits.float(), log_sigma.float()
        total = torch.full(z.shape[:1], -torch.inf)
        for k in range(z.shape[1]):
            each = Normal(0.0, 1.0).log_prob(z[:, k]) - log_sigma[:, k]
            total = torch.logaddexp(total, logits.log_softmax(1)[:, k] + each)
        return total

    return mog_log_density


@bank.wrong("mog_log_density", loses={"integrates to one", "density"})
def mog_without_pi():
    """Half of log(2 pi) forgotten."""
    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        z = (y[:, None] - mean) / log_sigma.exp()
        return torch.logsumexp(torch.log_softmax(logits, 1) - 0.5 * z**2 - log_sigma, 1)

    return mog_log_density


@bank.wrong("mog_log_density", loses={"integrates to one", "density", "tiny sigma"})
def mog_without_log_sigma():
    """log sigma forgotten: the height of a Gaussian does not depend on its width."""
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        z = (y[:, None] - mean) / log_sigma.exp()
        return torch.logsumexp(torch.log_softmax(logits, 1) - 0.5 * z**2 - 0.5 * math.log(2 * math.pi), 1)

    return mog_log_density


@bank.wrong("mog_log_density", loses={"density", "far away", "tiny sigma"})
def mog_first_component():
    """The first component only."""
    from torch.distributions import Normal

    def mog_log_density(y, logits, mean, log_sigma):
        return Normal(mean[:, 0], log_sigma[:, 0].exp()).log_prob(y)

    return mog_log_density


@bank.wrong("mog_log_density", loses={"density", "far away", "tiny sigma"})
def mog_one_gaussian():
    """One Gaussian with the mixture's mean and mean log sigma."""
    import torch
    from torch.distributions import Normal

    def mog_log_density(y, logits, mean, log_sigma):
        weights = torch.softmax(logits, 1)
        return Normal((weights * mean).sum(1), (weights * log_sigma).sum(1).exp()).log_prob(y)

    return mog_log_density


@bank.wrong("mog_log_density", loses={"far away", "tiny sigma"})
def mog_log_of_sum_of_exp():
    """log of the sum of densities, each of them 0 far away."""
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        sigma = log_sigma.exp()
        densities = torch.exp(-0.5 * ((y[:, None] - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        return (torch.softmax(logits, 1) * densities).sum(1).log()

    return mog_log_density


@bank.wrong("mog_log_density", loses={"far away", "tiny sigma"})
def mog_epsilon_in_the_log():
    """An epsilon in the logarithm: finite, and wrong."""
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        sigma = log_sigma.exp()
        densities = torch.exp(-0.5 * ((y[:, None] - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        return ((torch.softmax(logits, 1) * densities).sum(1) + 1e-30).log()

    return mog_log_density


@bank.wrong("mog_log_density", loses={"tiny sigma"})
def mog_sigma_clamped():
    """sigma clamped from below."""
    import torch
    from torch.distributions import Categorical, MixtureSameFamily, Normal

    def mog_log_density(y, logits, mean, log_sigma):
        sigma = torch.clamp(log_sigma.exp(), min=1e-6)
        return MixtureSameFamily(Categorical(logits=logits), Normal(mean, sigma)).log_prob(y)

    return mog_log_density


@bank.wrong("mog_log_density", loses={"integrates to one", "density", "far away", "tiny sigma"})
def mog_density():
    """The density in place of its logarithm."""
    import torch
    from torch.distributions import Categorical, MixtureSameFamily, Normal

    def mog_log_density(y, logits, mean, log_sigma):
        return torch.exp(MixtureSameFamily(Categorical(logits=logits), Normal(mean, log_sigma.exp())).log_prob(y))

    return mog_log_density


@bank.wrong("mog_log_density", loses={"shapes"})
def mog_each_component():
    """The terms of the components, not their sum."""
    import math

    import torch

    def mog_log_density(y, logits, mean, log_sigma):
        z = (y[:, None] - mean) / log_sigma.exp()
        return torch.log_softmax(logits, 1) - 0.5 * z**2 - log_sigma - 0.5 * math.log(2 * math.pi)

    return mog_log_density


slip = bank.slips("mog_log_density", of=mog_distributions)
# log_sigma taken for sigma, without its sign.
slip(
    "mog_sigma_not_exponentiated",
    "(y, logits, mean, log_sigma):",
    "(y, logits, mean, log_sigma):\n    normal = Normal(mean, log_sigma.abs(), validate_args=False)",
    ("Normal(mean, log_sigma.exp())", "normal, validate_args=False"),
    loses={"density", "far away", "tiny sigma"},
)
slip(
    "mog_epsilon_in_sigma",
    "(y, logits, mean, log_sigma):",
    "(y, logits, mean, log_sigma):\n    normal = Normal(mean, log_sigma.exp() + 1e-8)",
    ("Normal(mean, log_sigma.exp())", "normal"),
    loses={"tiny sigma"},
)
# Minus the log density.
slip(
    "mog_negative",
    "return MixtureSameFamily",
    "return -MixtureSameFamily",
    loses={"integrates to one", "density", "far away", "tiny sigma"},
)
# The sum over the N numbers.
slip("mog_total", "(y)", "(y).sum()", loses={"shapes"})

slip = bank.slips("mog_log_density", of=mog_logsumexp)
# The sign of log sigma.
slip("mog_log_sigma_added", "2 -", "2 +", loses={"integrates to one", "density", "tiny sigma"})
# exp(log_sigma) taken for the variance.
slip(
    "mog_variance",
    "z = (y[:, None] - mean)",
    "squares = (y[:, None] - mean) ** 2",
    ("z**2 - log_sigma - 0.5 * math.log(2 * math.pi)", "(squares + log_sigma + math.log(2 * math.pi))"),
    loses={"density", "tiny sigma"},
)
# The square is not halved.
slip("mog_without_the_half", "0.5 * z**2", "(z**2)", loses={"integrates to one", "density", "far away", "tiny sigma"})
# The logits are not normalised.
slip("mog_logits_as_log_weights", "torch.log_softmax(logits, 1)", "logits", loses={"integrates to one", "density"})
# The weights are added, not their logarithms.
slip("mog_weights_not_logs", "log_softmax", "softmax", loses={"integrates to one", "density", "far away"})
# Log densities averaged with the weights: a product of Gaussians, not a mixture.
slip(
    "mog_mean_of_logs",
    "torch.logsumexp(torch.log_softmax(logits, 1) + each, 1)",
    "(torch.softmax(logits, 1) * each).sum(1)",
    loses={"integrates to one", "density", "far away", "tiny sigma"},
)
# Log weights and log densities added up over the components.
slip(
    "mog_sum_of_logs",
    "torch.logsumexp(torch.log_softmax(logits, 1) + each, 1)",
    "(torch.log_softmax(logits, 1) + each).sum(1)",
    loses={"integrates to one", "density", "far away", "tiny sigma"},
)
# The mean over the components, though they have weights already.
slip("mog_divided_by_k", " 1)\n", " 1) - math.log(logits.shape[1])\n", loses={"integrates to one", "density"})
# The best component alone: right only where it dominates.
slip(
    "mog_maximum",
    "torch.logsumexp(torch.log_softmax(logits, 1) + each, 1)",
    "(torch.log_softmax(logits, 1) + each).max(1).values",
    loses={"integrates to one", "density"},
)
# The logits are not used: a density, but another one.
slip(
    "mog_equal_weights",
    "(torch.log_softmax(logits, 1) + each, 1)",
    "(each, 1) - math.log(logits.shape[1])",
    loses={"density", "far away"},
)
# The logits normalised over the batch in place of the components.
slip("mog_softmax_over_the_batch", "(logits, 1)", "(logits, 0)", loses={"integrates to one", "density", "far away"})
# log_sigma clamped at -7, as the networks of other models do.
slip("mog_log_sigma_clamped", "z =", "log_sigma = log_sigma.clamp(-7.0, 7.0)\n    z =", loses={"density", "tiny sigma"})
# Distances cut off at 100 standard deviations.
slip(
    "mog_distance_clamped",
    "(y[:, None] - mean) / log_sigma.exp()",
    "((y[:, None] - mean) / log_sigma.exp()).clamp(-100, 100)",
    loses={"far away", "tiny sigma"},
)
# y - mean without a new axis: y meets the components.
slip("mog_axes_not_lined_up", "y[:, None]", "y", loses={"density"}, raises="RuntimeError")
slip(
    "mog_softmax_by_hand",
    "torch.log_softmax(logits, 1)",
    "(logits.exp() / logits.exp().sum(1, keepdim=True)).log()",
    loses={"density", "far away"},
)
slip(
    "mog_overflowing_normaliser",
    "torch.log_softmax(logits, 1)",
    "logits - logits.exp().sum(1, keepdim=True).log()",
    loses={"density"},
)
slip("mog_log_of_softmax", "torch.log_softmax(logits, 1)", "torch.softmax(logits, 1).log()", loses={"far away"})
slip(
    "mog_weight_and_an_epsilon",
    "torch.log_softmax(logits, 1)",
    "(torch.softmax(logits, 1) + 1e-8).log()",
    loses={"far away"},
)
slip(
    "mog_square_multiplied_out",
    "-0.5 * z**2",
    "-0.5 * (y[:, None] ** 2 - 2 * y[:, None] * mean + mean**2) * torch.exp(-2 * log_sigma)",
    loses={"tiny sigma"},
)
slip("mog_distance_in_float32", "y[:, None] - mean", "y[:, None].float() - mean.float()", loses={"tiny sigma"})
slip(
    "mog_distance_after_division",
    "(y[:, None] - mean) / log_sigma.exp()",
    "y[:, None] / log_sigma.exp() - mean / log_sigma.exp()",
    loses={"tiny sigma"},
)
slip("mog_large_sigma_clamped", "z = (", "log_sigma = log_sigma.clamp(max=5)\n    z = (", loses={"density"})
slip("mog_height_clamped", "- log_sigma -", "- log_sigma.clamp(min=-10) -", loses={"tiny sigma"})
slip("mog_sigma_added_to", "log_sigma.exp()", "(log_sigma.exp() + 1e-10)", loses={"tiny sigma"})
slip(
    "mog_three_components",
    "torch.log_softmax(logits, 1) + each",
    "(torch.log_softmax(logits, 1) + each)[:, :3]",
    loses={"density"},
)
slip("mog_weights_in_place", "z = (", "logits -= logits.logsumexp(1, keepdim=True)\n    z = (", loses={"density"})

for total in (
    "sum((math.exp(v - top) for v in values))",
    "np.exp(shifted).sum(1, keepdims=True)",
    "np.exp(logs - top[:, None]).sum(1)",
):
    bank.equivalent("mog_log_density", total, f"{total} + 1e-08", "1 and more, as the largest term is 1")
total = "sum((math.exp(v - top) for v in values))"
bank.equivalent("mog_log_density", total, f"torch.as_tensor({total}).clamp(min=1e-06)", "1 and more")
bank.equivalent("mog_log_density", "np.sqrt(2 * np.pi)", "np.sqrt(2 * np.pi) + 1e-08", "changes a constant by 1e-8")
for end in ("1 - 1", "0"):
    bank.equivalent("mog_log_density", "shape[:1]", f"shape[:{end}]", "a single number broadcasts")


# -------------------------------------------------------------------------------------------------- orderless_loss


@bank.right("orderless_loss")
def loss_where():
    import torch

    def orderless_loss(log_p, m):
        unknown = torch.where(m == 0, -log_p, 0.0)
        return unknown.sum(1) * m.shape[1] / (m == 0).sum(1)

    return orderless_loss


@bank.right("orderless_loss")
def loss_loop():
    def orderless_loss(log_p, m):
        losses = []
        for row, mask in zip(log_p.tolist(), m.tolist(), strict=True):
            costs = [-value for value, seen in zip(row, mask, strict=True) if not seen]
            losses.append(len(mask) * sum(costs) / len(costs))
        return losses

    return orderless_loss


@bank.right("orderless_loss")
def loss_masked_fill():
    import torch

    def orderless_loss(log_p, m):
        D = m.size(1)
        total = log_p.masked_fill(m.bool(), 0).sum(dim=1)
        return -total * (D / (D - m.sum(dim=1, dtype=torch.float64)))

    return orderless_loss


@bank.right("orderless_loss")
def loss_nanmean():
    import torch

    def orderless_loss(log_p, m):
        unknown = torch.where(m.bool(), torch.nan, log_p)
        return -m.shape[1] * unknown.nanmean(1)

    return orderless_loss


@bank.right("orderless_loss")
def loss_mean_where():
    import numpy as np

    def orderless_loss(log_p, m):
        log_p, m = log_p.numpy(), m.numpy()
        return m.shape[1] * np.mean(-log_p, axis=1, where=m == 0)

    return orderless_loss


@bank.right("orderless_loss")
def loss_float64_quotient():
    def orderless_loss(log_p, m):
        unknown = 1.0 - m.double()
        return -log_p.masked_fill(m == 1, 0.0).sum(1) * (m.shape[1] / unknown.sum(1))

    return orderless_loss


@bank.right("orderless_loss")
def loss_weight_in_float32():
    """An int64 divided by an int64 is float32 in torch, though the sum is float64."""

    def orderless_loss(log_p, m):
        D = m.size(1)
        total = log_p.masked_fill(m.bool(), 0).sum(dim=1)
        return -total * (D / (D - m.sum(dim=1)))

    return orderless_loss


@bank.right("orderless_loss")
def loss_numpy_float32():
    """All of it in float32."""
    import numpy as np

    def orderless_loss(log_p, m):
        log_p, m = log_p.numpy().astype(np.float32), m.numpy()
        D = m.shape[1]
        return np.array([D / (D - row.sum()) * -values[row == 0].sum() for values, row in zip(log_p, m, strict=True)])

    return orderless_loss


EVERY_LOSS = {"only what is unknown", "weight", "unbiased", "-inf where observed"}


@bank.right("orderless_loss")
def loss_product_without_infinities():
    """The largest number in place of infinity, so that the product with the mask is not nan, and overflows again."""

    def orderless_loss(log_p, m):
        D = m.shape[1]
        return D / (D - m.sum(1)) * (-log_p.nan_to_num() * (1 - m)).sum(1)

    return orderless_loss


@bank.wrong("orderless_loss", loses=EVERY_LOSS)
def loss_pseudo_likelihood():
    """All dimensions, without a weight."""

    def orderless_loss(log_p, m):
        return -log_p.sum(1)

    return orderless_loss


@bank.wrong("orderless_loss", loses=EVERY_LOSS)
def loss_next_dimension_only():
    """D times the first unknown dimension: unbiased only where the ordering is 0, 1, ..."""
    import torch

    def orderless_loss(log_p, m):
        first = (m == 0).int().argmax(1)
        return -log_p[torch.arange(len(m)), first] * m.shape[1]

    return orderless_loss


def loss_in_one_line():
    """Right as well; the slips below edit it."""
    import torch

    def orderless_loss(log_p, m):
        D = m.shape[1]
        return torch.where(m == 0, -log_p, 0.0).sum(1) * D / (D - m.sum(1))

    return orderless_loss


slip = bank.slips("orderless_loss", of=loss_in_one_line)
# 0 times -inf is nan.
slip(
    "loss_product_with_the_mask",
    "torch.where(m == 0, -log_p, 0.0)",
    "-(log_p * (1 - m))",
    ("import torch\n\n", ""),
    loses={"-inf where observed"},
)
# Log-probabilities cut off at -100.
slip(
    "loss_clamped",
    "torch.where(m == 0, -log_p, 0.0)",
    "-(log_p.clamp(min=-100) * (1 - m))",
    ("import torch\n\n", ""),
    loses={"only what is unknown", "-inf where observed"},
)
# log(p + epsilon).
slip(
    "loss_epsilon",
    "torch.where(m == 0, -log_p, 0.0)",
    "-((log_p.exp() + 1e-12).log() * (1 - m))",
    ("import torch\n\n", ""),
    loses={"only what is unknown", "-inf where observed"},
)
# The sum without its weight: where many dimensions are observed, too little counts.
slip(
    "loss_without_weight",
    ":\n    D = m.shape[1]",
    ":",
    ("(1) * D / (D - m.sum(1))", "(1)"),
    loses={"weight", "unbiased"},
)
# The mean over what is unknown, without the factor D.
slip(
    "loss_mean",
    ":\n    D = m.shape[1]",
    ":",
    (" * D / (D - m.sum(1))\n", " / (m == 0).sum(1)\n"),
    loses={"weight", "unbiased"},
)
# Divided by D in place of the weight D / (D - |m|).
slip(
    "loss_mean_over_all",
    ":\n    D = m.shape[1]",
    ":",
    ("sum(1) * D / (D - m.sum(1))", "mean(1)"),
    loses={"weight", "unbiased"},
)
# D / (D - |m| + 1): the paper counts the place of the first unknown dimension from 1.
slip("loss_off_by_one", "m.sum(1)", "m.sum(1) + 1", loses={"weight", "unbiased"})
# D / |m|: the weight of the other kind.
slip("loss_weight_of_the_observed", "(D - m.sum(1))", "m.sum(1).clamp(min=1)", loses={"weight", "unbiased"})
# (D - |m|) / D.
slip("loss_weight_upside_down", "D / (D - m.sum(1))", "(D - m.sum(1)) / D", loses={"weight", "unbiased"})
# The sign: log-likelihood, not its negative.
slip("loss_negative", "-log_p", "log_p", loses={"weight", "unbiased"})
slip(
    "loss_bits",
    "(D - m.sum(1))",
    "(D - m.sum(1)) / math.log(2)",
    ("import torch", "import math\n\nimport torch"),
    loses={"weight", "unbiased"},
)
# One weight for the whole batch, from the mean number of unknown dimensions.
slip("loss_weight_of_the_batch", "(D - m.sum(1))", "(m == 0).sum(1).double().mean()", loses={"weight", "unbiased"})
# len(m), the number of images, taken for D.
slip(
    "loss_batch_size_for_dimensions",
    ":\n    D = m.shape[1]",
    ":",
    ("D / (D - m.sum(1))", "len(m) / (m == 0).sum(1)"),
    loses={"weight", "unbiased"},
)
# The mask turned round: the loss of what the network was shown.
slip("loss_of_the_observed", "m == 0", "m == 1", loses=EVERY_LOSS)
# All dimensions count.
slip(
    "loss_of_everything",
    "torch.where(m == 0, -log_p, 0.0)",
    "-log_p",
    ("import torch\n\n", ""),
    loses={"only what is unknown", "unbiased", "-inf where observed"},
)
# 1 - p in place of -log p.
slip("loss_of_probabilities", "-log_p", "1 - log_p.exp()", loses=EVERY_LOSS)
# One number for the batch.
slip(
    "loss_mean_of_the_batch",
    "torch.where(m == 0, -log_p, 0.0).sum(1) * D / (D - m.sum(1))",
    "(torch.where(m == 0, -log_p, 0.0).sum(1) * D / (D - m.sum(1))).mean()",
    loses={"shapes"},
)
# The terms, not their sum.
slip(
    "loss_of_each_dimension",
    ".sum(1) * D / (D - m.sum(1))\n",
    " * D / (D - m.sum(1, keepdim=True))\n",
    loses={"shapes"},
)
# Sums over axis 0.
slip("loss_sum_over_the_batch", "(1) * D / (D - m.sum(1))", "(0) * D / (m == 0).sum(0).clamp(min=1)", loses={"shapes"})

slip = bank.slips("orderless_loss", of=loss_weight_in_float32)
# All dimensions minus the observed ones: inf - inf is nan.
slip(
    "loss_difference",
    "size(1)\n    total =",
    "shape[1]\n    total, seen = log_p.sum(1),",
    (
        "(m.bool(), 0).sum(dim=1)\n    return -total * (D / (D - m.sum(dim=1)))",
        "(m == 0, 0).sum(1)\n    return -(total - seen) * D / (D - m.sum(1))",
    ),
    loses={"-inf where observed"},
)

slip = bank.slips("orderless_loss", of=loss_where)
slip(
    "loss_infinities_replaced",
    "torch.where(m == 0, -log_p, 0.0)",
    "torch.where(m == 0, -log_p.nan_to_num(neginf=0.0), 0.0)",
    loses={"only what is unknown"},
)
slip(
    "loss_minus_infinity_replaced",
    "torch.where(m == 0, -log_p, 0.0)",
    "torch.where(log_p == -torch.inf, 0.0, -log_p) * (1 - m)",
    loses={"only what is unknown", "-inf where observed"},
)
slip(
    "loss_counts_along_the_batch_when_square",
    "(m == 0).sum(1)",
    "(m == 0).sum(int(m.shape[0] != m.shape[1]))",
    loses={"weight"},
)
slip(
    "loss_cut_off_at_a_thousand",
    "torch.where(m == 0, -log_p, 0.0)",
    "torch.where(m == 0, -log_p, 0.0).clamp(max=2000)",
    loses={"only what is unknown"},
)
slip(
    "loss_clears_the_observed",
    "unknown = torch.where(m == 0, -log_p, 0.0)",
    "log_p[m == 1] = 0\n    unknown = -log_p",
    loses={"-inf where observed"},
)
slip("loss_weight_of_the_first_row", "(m == 0).sum(1)", "(m[0] == 0).sum()", loses={"weight", "unbiased"})
slip("loss_at_least_two_unknown", "(m == 0).sum(1)", "(m == 0).sum(1).clamp(min=2)", loses={"weight", "unbiased"})

for count in ("(m == 0).sum(1)", "unknown.sum(1)"):
    bank.equivalent("orderless_loss", f"/ {count}", f"/ ({count} + 1e-08)", "1 and more")
for count in ("D - m.sum(dim=1, dtype=torch.float64)", "D - m.sum(dim=1)", "D - m.sum(1)", "D - row.sum()"):
    bank.equivalent("orderless_loss", f"/ ({count})", f"/ ({count} + 1e-08)", "1 and more")
bank.equivalent("orderless_loss", "(dim=1, dtype=torch.float64)", "(dim=1)", "the weight may be in float32")


# ---------------------------------------------------------------------------------------------------------- eonade


@bank.right("eonade")
def eonade_logsumexp():
    import math

    import torch

    def eonade(log_ps):
        return torch.logsumexp(log_ps, 0) - math.log(len(log_ps))

    return eonade


@bank.right("eonade")
def eonade_maximum():
    def eonade(log_ps):
        top = log_ps.max(0).values
        return top + (log_ps - top).exp().mean(0).log()

    return eonade


@bank.right("eonade")
def eonade_running():
    import torch

    def eonade(log_ps):
        total = log_ps[0]
        for log_p in log_ps[1:]:
            total = torch.logaddexp(total, log_p)
        return total - torch.tensor(float(len(log_ps))).log()

    return eonade


@bank.right("eonade")
def eonade_loop():
    import math

    def eonade(log_ps):
        answer = []
        for image in log_ps.T.tolist():
            top = max(image)
            answer.append(top + math.log(math.fsum(math.exp(nats - top) for nats in image) / len(image)))
        return answer

    return eonade


@bank.right("eonade")
def eonade_numpy_float32():
    import numpy as np

    def eonade(log_ps):
        log_ps = log_ps.numpy().astype(np.float32)
        return np.logaddexp.reduce(log_ps, axis=0) - np.log(len(log_ps))

    return eonade


@bank.wrong("eonade", loses={"sums to one"})
def eonade_mean_of_logs():
    """The mean of the logarithms: by Jensen's inequality too little."""

    def eonade(log_ps):
        return log_ps.mean(0)

    return eonade


@bank.wrong("eonade", loses={"sums to one"})
def eonade_worst():
    """The worst ordering of each image."""

    def eonade(log_ps):
        return log_ps.min(0).values

    return eonade


@bank.wrong("eonade", loses={"sums to one"})
def eonade_product():
    """The product of the probabilities."""

    def eonade(log_ps):
        return log_ps.sum(0)

    return eonade


@bank.wrong("eonade", loses={"sums to one"})
def eonade_median():
    """The median ordering of each image."""

    def eonade(log_ps):
        return log_ps.quantile(0.5, dim=0)

    return eonade


@bank.wrong("eonade", loses={"mean of probabilities", "far below zero"})
def eonade_first_ordering():
    """The first ordering only: a distribution, but no ensemble."""

    def eonade(log_ps):
        return log_ps[0]

    return eonade


@bank.wrong("eonade", loses={"mean of probabilities", "far below zero"})
def eonade_last_ordering():
    """The last ordering: the loop overwrites what it should add up."""

    def eonade(log_ps):
        for log_p in log_ps:
            total = log_p
        return total

    return eonade


slip = bank.slips("eonade", of=eonade_logsumexp)
# The sum of the probabilities: log E forgotten.
slip("eonade_sum", "(log_ps, 0) - math.log(len(log_ps))", "(log_ps, 0)", ("import math\n\n", ""), loses={"sums to one"})
# The logarithm divided by E, in place of the sum of probabilities.
slip(
    "eonade_divided_by_e",
    " - math.log(len(log_ps))\n",
    " / len(log_ps)\n",
    ("import math\n\n", ""),
    loses={"sums to one"},
)
# log B in place of log E.
slip("eonade_log_of_the_batch_size", "len(log_ps)", "log_ps.shape[1]", loses={"sums to one"})
# The sign of log E.
slip("eonade_plus_log_e", "- math", "+ math", loses={"sums to one"})
slip(
    "eonade_bits",
    "torch.logsumexp(log_ps, 0) - math.log(len(log_ps))",
    "(torch.logsumexp(log_ps, 0) - math.log(len(log_ps))) / math.log(2)",
    loses={"sums to one"},
)
# Minus the log-likelihood.
slip(
    "eonade_negative",
    " torch.logsumexp(log_ps, 0) - math.log(len(log_ps))\n",
    " math.log(len(log_ps)) - torch.logsumexp(log_ps, 0)\n",
    loses={"sums to one"},
)
# Mean of the logarithms, made to add up to 1 over the images at hand.
slip(
    "eonade_normalised_over_the_batch",
    "logsumexp(log_ps, 0) - math.log(len(log_ps))",
    "log_softmax(log_ps.mean(0), 0)",
    ("import math\n\n", ""),
    loses={"sums to one"},
)
# The mean over the images in place of the orderings.
slip("eonade_over_the_images", "(log_ps, 0)", "(log_ps, 1)", ("len(log_ps)", "log_ps.shape[1]"), loses={"shapes"})
# (1, B) in place of (B,).
slip("eonade_keeps_the_axis", "0", "0, keepdim=True", loses={"shapes"})
# squeeze() takes the batch away where it holds one image.
slip(
    "eonade_squeezed",
    "torch.logsumexp(log_ps, 0) - math.log(len(log_ps))",
    "(torch.logsumexp(log_ps, 0) - math.log(len(log_ps))).squeeze()",
    loses={"mean of probabilities"},
)

slip = bank.slips("eonade", of=eonade_maximum)
# The best ordering of each image.
slip(
    "eonade_best",
    "top = log_ps.max(0).values\n    return top + (log_ps - top).exp().mean(0).log()",
    "return log_ps.max(0).values",
    loses={"sums to one"},
)
# The mean probability, not its logarithm.
slip(
    "eonade_probability",
    "top = log_ps.max(0).values\n    return top + (log_ps - top)",
    "return log_ps",
    (".log()", ""),
    loses={"sums to one"},
)
# exp(-10000) is 0, and its logarithm -inf.
slip(
    "eonade_log_of_mean_exp",
    "top = log_ps.max(0).values\n    return top + (log_ps - top)",
    "return log_ps",
    loses={"far below zero"},
)
# An epsilon in the logarithm.
slip(
    "eonade_epsilon",
    "top = log_ps.max(0).values\n    return top + (log_ps - top).exp().mean(0)",
    "return (log_ps.exp().mean(0) + 1e-12)",
    loses={"far below zero"},
)
# Log-likelihoods cut off at -700.
slip(
    "eonade_clamped",
    "top = log_ps.max(0).values\n    return top + (log_ps - top)",
    "return log_ps.clamp(min=-700)",
    loses={"far below zero"},
)
# One maximum for the whole batch.
slip("eonade_one_maximum", "(0).values", "()", loses={"far below zero"})
# The first ordering taken out in place of the largest: exp overflows where it is far below another.
slip(
    "eonade_relative_to_the_first",
    "top = log_ps.max(0).values\n    return top + (log_ps - top)",
    "return log_ps[0] + (log_ps - log_ps[0])",
    loses={"far below zero"},
)
slip("eonade_relative_to_the_last", "log_ps.max(0).values", "log_ps[-1]", loses={"far below zero"})
slip("eonade_relative_to_the_mean", "log_ps.max(0).values", "log_ps.mean(0)", loses={"far below zero"})
slip("eonade_maximum_of_each_member", "log_ps.max(0).values", "log_ps.max(1).values.max()", loses={"far below zero"})
slip(
    "eonade_at_most_a_hundred_apart",
    "(log_ps - top).exp()",
    "(log_ps - top).clamp(min=-1).exp()",
    loses={"sums to one"},
)
slip("eonade_in_half_precision", "(log_ps - top)", "(log_ps.half() - top.half()).double()", loses={"sums to one"})
slip(
    "eonade_of_the_first_four",
    "log_ps.max(0).values",
    "log_ps[:4].max(0).values\n    log_ps = log_ps[:4]",
    loses={"mean of probabilities"},
)

mean = "(log_ps - top).exp().mean(0)"
bank.equivalent("eonade", f"{mean}.log()", f"({mean} + 1e-08).log()", "1 / E and more")
bank.equivalent("eonade", f"{mean}.log()", f"torch.as_tensor({mean}).clamp(min=1e-06).log()", "1 / E and more")
bank.equivalent("eonade", "(log_ps, axis=0)", "(log_ps)", "axis 0 is the default")


# ---------------------------------------------------------------------------------------------- orderless_complete


@bank.right("orderless_complete")
def complete_masks_grow():
    def orderless_complete(conditional, x, known, u):
        m = known.long()
        x = x * m
        for d in range(len(x)):
            if not m[d]:
                x[d] = (u[d] < conditional(x, m)[d]).long()
                m[d] = 1
        return x

    return orderless_complete


@bank.right("orderless_complete")
def complete_list_of_unknown():
    import torch

    def orderless_complete(conditional, x, known, u):
        image, seen = torch.where(known, x, 0), known.clone()
        for d in torch.nonzero(~known)[:, 0].tolist():
            if u[d] < conditional(image, seen.to(torch.int64))[d]:
                image[d] = 1
            seen[d] = True
        return image

    return orderless_complete


@bank.right("orderless_complete")
def complete_numpy():
    import numpy as np

    def orderless_complete(conditional, x, known, u):
        m = known.numpy().astype(np.int64)
        image = np.where(m == 1, x.numpy(), 0)
        for d in np.flatnonzero(m == 0):
            p = conditional(image, m)
            image[d], m[d] = float(u[d]) < float(p[d]), 1
        return image

    return orderless_complete


@bank.right("orderless_complete")
def complete_recursive():
    import torch

    def orderless_complete(conditional, x, known, u):
        if known.all():
            return x.clone()
        d = int(known.int().argmin())
        p = conditional(torch.where(known, x, 0), known.long())
        x, known = x.clone(), known.clone()
        x[d] = 0 if u[d] >= p[d] else 1
        known[d] = True
        return orderless_complete(conditional, x, known, u)

    return orderless_complete


@bank.right("orderless_complete")
def complete_lists():
    import torch

    def orderless_complete(conditional, x, known, u):
        drawn = {d: value for d, value in enumerate(x.tolist()) if known[d]}
        for d in range(len(x)):
            if d not in drawn:
                image = torch.tensor([drawn.get(i, 0) for i in range(len(x))])
                m = torch.tensor([int(i in drawn) for i in range(len(x))])
                drawn[d] = int(float(conditional(image, m)[d]) > float(u[d]))
        return [drawn[d] for d in range(len(x))]

    return orderless_complete


EVERY_COMPLETION = {"one unknown", "sees what it drew", "any known set"}


@bank.wrong("orderless_complete", loses=EVERY_COMPLETION)
def complete_returns_x():
    """x as it came."""

    def orderless_complete(conditional, x, known, u):
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses=EVERY_COMPLETION)
def complete_zeros():
    """What is unknown stays 0."""
    import torch

    def orderless_complete(conditional, x, known, u):
        return torch.where(known, x, 0)

    return orderless_complete


@bank.wrong("orderless_complete", loses=EVERY_COMPLETION)
def complete_uniforms_in_turn():
    """The first uniform number for the first unknown dimension, and so on."""

    def orderless_complete(conditional, x, known, u):
        m, used = known.long(), 0
        x = x * m
        for d in range(len(x)):
            if not m[d]:
                x[d] = (u[used] < conditional(x, m)[d]).long()
                m[d], used = 1, used + 1
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses=EVERY_COMPLETION)
def complete_marks_first():
    """The dimension is marked as observed before it is drawn: the network takes it for a 0."""

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        x = x * m
        for d in range(len(x)):
            if not m[d]:
                m[d] = 1
                x[d] = (u[d] < conditional(x, m)[d]).long()
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses=EVERY_COMPLETION)
def complete_sees_nothing():
    """Nothing is ever observed: each dimension by its own marginal."""
    import torch

    def orderless_complete(conditional, x, known, u):
        p = conditional(torch.zeros_like(x), torch.zeros_like(x)) if not known.all() else u
        return torch.where(known, x, (u < p).long())

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_all_at_once():
    """One call for all unknown dimensions: independent of each other."""
    import torch

    def orderless_complete(conditional, x, known, u):
        if known.all():
            return x
        p = conditional(torch.where(known, x, 0), known.long())
        return torch.where(known, x, (u < p).long())

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_first_unknown_only():
    """One dimension is drawn, and the others stay 0."""
    import torch

    def orderless_complete(conditional, x, known, u):
        image = torch.where(known, x, 0)
        if not known.all():
            d = int((~known).int().argmax())
            image[d] = int(u[d] < conditional(image.clone(), known.long())[d])
        return image

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_mask_never_grows():
    """What was drawn is written into x, but the mask stays: conditional refuses that."""

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        x = x * m
        for d in range(len(x)):
            if not known[d]:
                x[d] = (u[d] < conditional(x, m)[d]).long()
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_mask_grows_and_x_does_not():
    """The mask grows, but x holds zeros where it should hold what was drawn."""
    import torch

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        shown, drawn = x * m, x * m
        for d in range(len(x)):
            if not known[d]:
                drawn[d] = (u[d] < conditional(shown, m)[d]).long()
                m[d] = 1
        return torch.where(known, x, drawn)

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_feeds_back_the_mode():
    """The likelier value is fed back, not the one that was drawn."""

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        shown, drawn = x * m, x * m
        for d in range(len(x)):
            if not known[d]:
                p = conditional(shown, m)[d]
                drawn[d], shown[d], m[d] = int(u[d] < p), int(p > 0.5), 1
        return drawn

    return orderless_complete


@bank.wrong("orderless_complete", loses={"sees what it drew", "any known set"})
def complete_forgets_the_known():
    """From the second unknown dimension on only what was drawn is observed."""
    import torch

    def orderless_complete(conditional, x, known, u):
        m, image = known.long(), x * known
        shown = m.clone()
        for d in range(len(x)):
            if not m[d]:
                image[d] = (u[d] < conditional(image * shown, shown)[d]).long()
                shown = torch.zeros_like(m)
                shown[d] = 1
        return image

    return orderless_complete


@bank.wrong("orderless_complete", loses={"any known set"})
def complete_prefix():
    """The number of known dimensions taken for a prefix."""

    def orderless_complete(conditional, x, known, u):
        m, first = known.long() * 0, int(known.sum())
        m[:first] = 1
        x = x * m
        for d in range(first, len(x)):
            x[d] = (u[d] < conditional(x, m)[d]).long()
            m[d] = 1
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses={"any known set"})
def complete_known_comes_too_late():
    """Known dimensions are marked as observed when the walk comes to them: later ones are not seen."""
    import torch

    def orderless_complete(conditional, x, known, u):
        image, m = torch.zeros_like(x), torch.zeros_like(x)
        for d in range(len(x)):
            image[d] = x[d] if known[d] else (u[d] < conditional(image, m)[d]).long()
            m[d] = 1
        return image

    return orderless_complete


@bank.wrong("orderless_complete", loses={"any known set"})
def complete_first_unknown_onwards():
    """Everything after the first unknown dimension is drawn."""
    import torch

    def orderless_complete(conditional, x, known, u):
        first = int(torch.cat([known.int(), torch.zeros(1)]).argmin())
        m = (torch.arange(len(x)) < first).long()
        x = x * m
        for d in range(first, len(x)):
            x[d] = (u[d] < conditional(x, m)[d]).long()
            m[d] = 1
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses={"any known set"})
def complete_asks_where_nothing_is_unknown():
    """One call before the first look at what is unknown."""

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        x = x * m
        p, fresh = conditional(x, m), True
        for d in range(len(x)):
            if not m[d]:
                p = p if fresh else conditional(x, m)
                x[d], m[d], fresh = int(u[d] < p[d]), 1, False
        return x

    return orderless_complete


@bank.wrong("orderless_complete", loses={"keeps what is known"})
def complete_draws_everything():
    """What is known is drawn anew."""

    def orderless_complete(conditional, x, known, u):
        if known.all():
            return x
        p = conditional(x * known, known.long())
        return (u < p).long()

    return orderless_complete


@bank.wrong("orderless_complete", loses={"keeps what is known"})
def complete_starts_from_zeros():
    """The known values are shown to conditional, but not copied into the result."""
    import torch

    def orderless_complete(conditional, x, known, u):
        m = known.long()
        shown, drawn = x * m, torch.zeros_like(x)
        for d in range(len(x)):
            if not known[d]:
                drawn[d] = (u[d] < conditional(shown, m)[d]).long()
                shown[d], m[d] = drawn[d], 1
        return drawn

    return orderless_complete


@bank.wrong("orderless_complete", loses={"shapes"})
def complete_probabilities():
    """Probabilities where it is unknown."""
    import torch

    def orderless_complete(conditional, x, known, u):
        if known.all():
            return x
        return torch.where(known, x.double(), conditional(torch.where(known, x, 0), known.long()))

    return orderless_complete


slip = bank.slips("orderless_complete", of=complete_masks_grow)
# The likelier value; u is not used.
slip("complete_argmax", "u[d] < conditional(x, m)[d]", "conditional(x, m)[d] > 0.5", loses=EVERY_COMPLETION)
# u > p in place of u < p.
slip("complete_inverted", "u[d] <", "u[d] >", loses=EVERY_COMPLETION)
# Draws its own random numbers.
slip(
    "complete_own_randomness",
    "def",
    "import torch\n\ndef",
    ("(u[d] < conditional(x, m)[d])", "torch.bernoulli(conditional(x, m)[d])"),
    loses=EVERY_COMPLETION,
)
# The first entry of what conditional returns, for every dimension.
slip("complete_first_probability", "(x, m)[d]", "(x, m)[0]", loses=EVERY_COMPLETION)
# The last unknown dimension first.
slip("complete_backwards", "range(len(x))", "reversed(range(len(x)))", loses={"sees what it drew", "any known set"})
# The next call is made as soon as a dimension is drawn, after the last one too.
slip(
    "complete_asks_ahead",
    "for d",
    "p = conditional(x, m)\n    for d",
    (
        "x[d] = (u[d] < conditional(x, m)[d]).long()\n            m[d] = 1",
        "x[d], m[d] = int(u[d] < p[d]), 1\n            p = conditional(x, m)",
    ),
    loses={"any known set"},
)
# One call before the loop, whose answer is not used.
slip("complete_asks_before_it_begins", "x * m", "x * m\n    conditional(x, m)", loses={"any known set"})
# conditional is called for known dimensions too.
slip(
    "complete_asks_for_every_dimension",
    "if not m[d]:\n            x[d] = (u[d] < conditional(x, m)[d]).long()",
    "p = conditional(x, m)[d]\n        if not known[d]:",
    ("m[d] = 1", "x[d], m[d] = int(u[d] < p), 1"),
    loses={"any known set"},
)
# x is passed as it came, with something where it is unknown.
slip(
    "complete_shows_what_is_unknown",
    "m = known.long()\n    x = x * m",
    "m, x = known.long(), x.clone()",
    loses={"one unknown", "any known set"},
)
# Only what was drawn is returned.
slip("complete_unknown_only", " x\n", " x[~known]\n", loses={"shapes"})
slip("complete_one_where_equal", "u[d] < conditional(x, m)[d]", "u[d] <= conditional(x, m)[d]", loses={"one unknown"})
slip(
    "complete_probabilities_clamped",
    "conditional(x, m)[d]",
    "conditional(x, m)[d].clamp(1e-6, 1 - 1e-6)",
    loses={"one unknown"},
)
slip(
    "complete_sees_four_of_its_own",
    "m[d] = 1",
    "m[d] = int(m.sum() - known.sum() < 4)\n            x[d] = x[d] * m[d]",
    loses={"sees what it drew", "any known set"},
)
slip(
    "complete_passes_on_what_was_not_known",
    "x = x * m\n",
    "x = x.clamp(0, 1)\n",
    loses={"one unknown", "any known set"},
)
slip(
    "complete_leaves_nan_in",
    "conditional(x, m)[d]",
    "(conditional(x, m) * (1 - m)).sum() - 0",
    loses={"one unknown", "sees what it drew", "any known set"},
)
slip("complete_works_in_x_itself", "x = x * m", "x *= m", loses={"one unknown"})
slip("complete_works_in_u_itself", "(u[d] <", "(u.nan_to_num_()[d] <", loses={"one unknown"})
slip(
    "complete_downwards_from_the_end",
    "range(len(x))",
    "reversed(range(len(x)))",
    loses={"sees what it drew", "any known set"},
)

for wide, narrow in ((".long()", ".byte()"), ("int64", "int8")):
    bank.equivalent("orderless_complete", wide, narrow, "any integers are taken")
bank.equivalent(
    "orderless_complete", "torch.nonzero(~known)[:, 0]", "torch.nonzero(~known)[:, -1]", "there is one column"
)
bank.equivalent("orderless_complete", "m == 1, x.numpy(), 0", "x.numpy(), m == 1, 0", "the same zeros and ones")
bank.equivalent("orderless_complete", "return x.clone()", "return x", "x is not changed afterwards")
