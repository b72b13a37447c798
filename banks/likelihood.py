"""Right and wrong answers to lesson 01, likelihood and the chain rule.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("likelihood")

# ------------------------------------------------------------------------------------------------ log_likelihood


@bank.right("log_likelihood")
def pixels_where():
    import math

    import torch

    def log_likelihood(p, x):
        nats = torch.where(x == 1, p, 1 - p).log().sum(1)
        return nats, -nats.mean() / (x.shape[1] * math.log(2))

    return log_likelihood


@bank.right("log_likelihood")
def pixels_loop():
    import math

    import torch

    def log_likelihood(p, x):
        nats = []
        for image in x.tolist():
            total = 0.0
            for chance, pixel in zip(p.tolist(), image, strict=True):
                seen = chance if pixel else 1 - chance
                total += math.log(seen) if seen > 0 else -math.inf
            nats.append(total)
        return torch.tensor(nats), -sum(nats) / len(nats) / len(image) / math.log(2)

    return log_likelihood


@bank.right("log_likelihood")
def pixels_xlogy():
    import torch

    def log_likelihood(p, x):
        nats = (torch.special.xlogy(x, p) + torch.special.xlog1py(1 - x, -p)).sum(-1)
        bits = nats / torch.log(torch.tensor(2.0))
        return nats, -(bits / x.size(1)).mean()

    return log_likelihood


@bank.right("log_likelihood")
def pixels_numpy():
    import numpy as np

    def log_likelihood(p, x):
        p, x = p.numpy(), x.numpy()
        with np.errstate(divide="ignore"):
            nats = np.log(p * x + (1 - p) * (1 - x)).sum(axis=1)
        return nats, -np.mean(nats / np.log(2)) / x.shape[1]

    return log_likelihood


@bank.right("log_likelihood")
def pixels_float32():
    import math

    import torch

    def log_likelihood(p, x):
        p = p.float()
        nats = torch.where(x.bool(), p.log(), (1 - p).log()).sum(1)
        return [nats, float(-nats.mean()) / x.shape[1] / math.log(2)]

    return log_likelihood


@bank.wrong("log_likelihood", loses={"certain pixels"})
def pixels_bce():
    """binary_cross_entropy cuts each logarithm off at -100."""
    import math

    import torch.nn.functional as F

    def log_likelihood(p, x):
        nats = -F.binary_cross_entropy(p.expand(x.shape), x.double(), reduction="none").sum(1)
        return nats, -nats.mean() / (x.shape[1] * math.log(2))

    return log_likelihood


@bank.wrong("log_likelihood", loses={"certain pixels"})
def pixels_nan_to_zero():
    """nan repaired, and the impossible made certain with it."""
    import math

    import torch

    def log_likelihood(p, x):
        terms = x * p.log() + (1 - x) * (1 - p).log()
        nats = torch.nan_to_num(terms, nan=0.0, neginf=-100.0).sum(1)
        return nats, -nats.mean() / (x.shape[1] * math.log(2))

    return log_likelihood


@bank.wrong("log_likelihood", loses={"probabilities", "certain pixels"})
def pixels_bits_for_nats():
    """The first result in bits."""
    import torch

    def log_likelihood(p, x):
        bits = torch.where(x == 1, p, 1 - p).log2().sum(1)
        return bits, -bits.mean() / x.shape[1]

    return log_likelihood


@bank.wrong("log_likelihood", loses={"shapes"})
def pixels_one_result():
    """bpd not returned."""
    import torch

    def log_likelihood(p, x):
        return torch.where(x == 1, p, 1 - p).log().sum(1)

    return log_likelihood


@bank.right("log_likelihood")
def pixels_nan_repaired():
    """0 * -inf is the only nan that can arise, and stands for 0."""
    import math

    import torch

    def log_likelihood(p, x):
        terms = x * torch.log(p) + (1 - x) * torch.log(1 - p)
        nats = torch.nan_to_num(terms, nan=0.0, neginf=-math.inf).sum(1)
        return nats, -nats.mean() / (len(p) * math.log(2))

    return log_likelihood


@bank.right("log_likelihood")
def pixels_matrix_product():
    """A matrix product where nothing is certain; what is impossible is counted apart."""
    import math

    import torch

    def log_likelihood(p, x):
        certain = (p == 0) | (p == 1)
        safe = torch.where(certain, 0.5, p)
        on, off = safe.log() * ~certain, torch.log1p(-safe) * ~certain
        nats = x.double() @ (on - off) + off.sum()
        clash = (certain & (x != p.round())).any(1)
        nats = nats.masked_fill(clash, -math.inf)
        return nats.tolist(), (-nats.mean() / math.log(2) / len(p)).item()

    return log_likelihood


slip = bank.slips("log_likelihood", of=pixels_where)
# x log p + (1 - x) log(1 - p) taken literally: 0 * -inf is nan.
slip(
    "pixels_zero_times_infinity",
    "torch.where(x == 1, p, 1 - p).log()",
    "(x * p.log() + (1 - x) * (1 - p).log())",
    ("import torch\n\n", ""),
    loses={"certain pixels"},
)
# Probabilities clamped away from 0 and 1.
slip("pixels_clamped", "nats =", "p = p.clamp(1e-5, 1 - 1e-5)\n    nats =", loses={"certain pixels"})
# log(p + epsilon).
slip(
    "pixels_epsilon",
    "torch.where(x == 1, p, 1 - p).log()",
    "(x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log())",
    ("import torch\n\n", ""),
    loses={"certain pixels"},
)
# torch.distributions keeps probabilities a little away from 0 and 1.
slip(
    "pixels_torch_distributions",
    "where(x == 1, p, 1 - p).log()",
    "distributions.Bernoulli(p).log_prob(x.double())",
    loses={"certain pixels"},
)
# Mean over the pixels in place of the sum; then divided by D once more.
slip("pixels_mean_for_sum", "sum", "mean", loses={"probabilities", "bits per dimension", "certain pixels"})
# p taken for the probability of a 0.
slip("pixels_swapped", "x == 1", "x == 0", loses={"probabilities", "bits per dimension", "certain pixels"})
# The pixels that are 0 forgotten.
slip(
    "pixels_ones_only",
    "where(x == 1, p, 1 - p).log()",
    "special.xlogy(x, p)",
    loses={"probabilities", "bits per dimension", "certain pixels"},
)
# The loss, -log p(x), in place of log p(x).
slip(
    "pixels_negative",
    "nats = torch",
    "nll = -torch",
    ("nats, -nats", "nll, nll"),
    loses={"probabilities", "certain pixels"},
)
# Bits per dimension without log 2.
slip(
    "pixels_nats_per_dimension",
    "(x.shape[1] * math.log(2))",
    "x.shape[1]",
    ("import math\n\n", ""),
    loses={"bits per dimension"},
)
# Bits per dimension multiplied by log 2.
slip("pixels_times_log_2", "(x.shape[1] * math.log(2))", "x.shape[1] * math.log(2)", loses={"bits per dimension"})
# Sum over the batch in place of the mean.
slip("pixels_bits_of_the_batch", "mean", "sum", loses={"bits per dimension"})
# Divided by B in place of D.
slip("pixels_divided_by_the_batch", "x.shape[1]", "len(x)", loses={"bits per dimension"})
# The minus forgotten.
slip("pixels_bits_with_the_wrong_sign", "-nats", "nats", loses={"bits per dimension"})
# Sum over axis 0.
slip("pixels_sum_over_the_batch", "(1)", "(0)", loses={"shapes"})
# One bpd for each image.
slip("pixels_bits_of_each_image", ".mean()", "", loses={"bits per dimension"})
slip("pixels_log_of_product", ".log().sum(1)", ".prod(1).log()", loses={"probabilities"})
slip("pixels_squeezed", ".log().sum(1)", ".log().sum(1).squeeze()", loses={"probabilities"})
slip(
    "pixels_each_image_once",
    "nats = ",
    "x = x.unique(dim=0)\n    nats = ",
    loses={"probabilities", "bits per dimension", "certain pixels"},
)
slip("pixels_sorted", ".log().sum(1)", ".log().sum(1).sort().values", loses={"probabilities", "certain pixels"})
slip("pixels_tiny_for_zero", ".log()", ".clamp_min(torch.finfo(p.dtype).tiny).log()", loses={"certain pixels"})
slip("pixels_nearly_one_is_one", "nats =", "p = torch.where(p > 1 - 1e-6, 1, p)\n    nats =", loses={"certain pixels"})
slip("pixels_isclose_to_zero", "nats =", "p = torch.where(p < 1e-12, 0, p)\n    nats =", loses={"certain pixels"})
slip("pixels_bits_of_possible_images", "-nats.mean()", "-nats[nats.isfinite()].mean()", loses={"bits per dimension"})
slip("pixels_bits_of_the_mean_probability", "-nats.mean()", "-nats.exp().mean().log()", loses={"bits per dimension"})
slip("pixels_bits_of_the_median", "-nats.mean()", "-nats.median()", loses={"bits per dimension"})
slip("pixels_bits_by_way_of_exp", "-nats.mean()", "-nats.exp().log().mean()", loses={"bits per dimension"})
slip("pixels_bits_of_the_first", "-nats.mean()", "-nats[0]", loses={"bits per dimension"})
slip("pixels_first_256", "x == 1, p, 1 - p).log()", "x == 1, p, 1 - p)[:, :256].log()", loses={"probabilities"})
slip("pixels_n_minus_one", "-nats.mean()", "-nats.sum() / max(len(nats) - 1, 1)", loses={"bits per dimension"})
slip("pixels_bits_with_an_axis", "-nats.mean()", "-nats.mean(0, keepdim=True)", loses={"bits per dimension"})
slip("pixels_bits_capped", "-nats.mean()", "-nats.clamp_min(-1e4).mean()", loses={"bits per dimension"})
slip("pixels_log1p_of_p", "1 - p)", "1 + p)", loses={"probabilities", "bits per dimension", "certain pixels"})


bank.equivalent("log_likelihood", "math.log(2)", "(math.log(2) + 1e-08)", why="log 2 is far from 0")
bank.equivalent("log_likelihood", "np.log(2)", "(np.log(2) + 1e-08)", why="log 2 is far from 0")
bank.equivalent(
    "log_likelihood",
    "torch.log(torch.tensor(2.0))",
    "(torch.log(torch.tensor(2.0)) + 1e-08)",
    why="log 2 is far from 0",
)
bank.equivalent("log_likelihood", "torch.tensor(2.0))", "torch.tensor(2.0) + 1e-08)", why="log 2 is far from 0")
bank.equivalent(
    "log_likelihood",
    "torch.tensor(2.0))",
    "torch.as_tensor(torch.tensor(2.0)).clamp(min=1e-06))",
    why="log 2 is far from 0",
)
bank.equivalent("log_likelihood", "x.size(1)", "(x.size(1) + 1e-08)", why="D is far from 0")
bank.equivalent("log_likelihood", "sum(-1)", "sum(1)", why="x has two axes")
bank.equivalent("log_likelihood", "divide='ignore'", "", why="it only silences warnings")
bank.equivalent("log_likelihood", "nan=0.0, ", "", why="0 is what nan_to_num puts for nan by default")
bank.equivalent("log_likelihood", "0.5, p", "0.25, p", why="the value is multiplied by 0")
bank.equivalent("log_likelihood", "p.round()", "p", why="compared only where p is 0 or 1")


# ------------------------------------------------------------------------------------------------------------ kl


@bank.right("kl")
def kl_masked():
    def kl(p, q):
        happens = p > 0
        return (p[happens] * (p[happens] / q[happens]).log()).sum()

    return kl


@bank.right("kl")
def kl_loop():
    import math

    def kl(p, q):
        total = 0.0
        for a, b in zip(p.tolist(), q.tolist(), strict=True):
            if a == 0:
                continue
            if b == 0:
                return math.inf
            total += a * math.log(a / b)
        return total

    return kl


@bank.right("kl")
def kl_cross_entropy_minus_entropy():
    import torch

    def kl(p, q):
        return torch.special.entr(p).sum().neg() - torch.special.xlogy(p, q).sum()

    return kl


@bank.right("kl")
def kl_numpy():
    import numpy as np

    def kl(p, q):
        p, q = np.asarray(p), np.asarray(q)
        with np.errstate(all="ignore"):
            return float(np.nansum(p * np.log(p / q)))

    return kl


@bank.right("kl")
def kl_float32():
    import torch

    def kl(p, q):
        p, q = p.float(), q.float()
        return torch.where(p > 0, p * (p.log() - q.log()), 0.0).sum().item()

    return kl


@bank.wrong("kl", loses={"zeros"})
def kl_any_zero_is_infinite():
    """Infinity wherever q has a zero, also where p has none."""
    import math

    import torch

    def kl(p, q):
        if (q == 0).any():
            return math.inf
        return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()

    return kl


@bank.wrong("kl", loses={"zeros"})
def kl_division_by_zero():
    """math.log(0) raises ValueError."""
    import math

    def kl(p, q):
        return sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))

    return kl


@bank.wrong("kl", loses={"direction", "zeros"})
def kl_symmetrized():
    """The mean of both directions."""
    import torch

    def kl(p, q):
        def one(a, b):
            return torch.where(a > 0, a * (a / b).log(), 0.0).sum()

        return (one(p, q) + one(q, p)) / 2

    return kl


@bank.wrong("kl", loses={"value", "direction", "zeros"})
def kl_mean():
    """Mean over the outcomes in place of the sum."""
    import torch

    def kl(p, q):
        return torch.where(p > 0, p * (p / q).log(), 0.0).mean()

    return kl


@bank.wrong("kl", loses={"value", "direction", "zeros"})
def kl_entropy_sign():
    """Minus the divergence."""
    import torch

    def kl(p, q):
        return torch.where(p > 0, p * (q / p).log(), 0.0).sum()

    return kl


@bank.wrong("kl", loses={"value", "direction", "zeros"})
def kl_absolute():
    """Absolute values of the terms, so that none is negative."""
    import torch

    def kl(p, q):
        return torch.where(p > 0, p * (p / q).log(), 0.0).abs().sum()

    return kl


@bank.wrong("kl", loses={"value", "direction", "zeros"})
def kl_div_default():
    """F.kl_div with its defaults: the mean over the outcomes."""
    import torch.nn.functional as F

    def kl(p, q):
        return F.kl_div(q.log(), p)

    return kl


@bank.right("kl")
def kl_masked_fill():
    import torch

    def kl(p, q):
        terms = p * (p.log() - q.log())
        return torch.sum(terms.masked_fill(p == 0, 0.0))

    return kl


@bank.right("kl")
def kl_fsum():
    import math

    def kl(p, q):
        pairs = [(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True) if a > 0]
        return math.fsum(a * (math.log(a) - (math.log(b) if b > 0 else -math.inf)) for a, b in pairs)

    return kl


@bank.right("kl")
def kl_torch_kl_div_of_what_happens():
    import torch.nn.functional as F

    def kl(p, q):
        happens = p > 0
        return F.kl_div(q[happens].log(), p[happens], reduction="sum").item()

    return kl


@bank.wrong("kl", loses={"zeros"})
def kl_epsilon_but_infinity():
    """Infinity looked after, an epsilon in both logarithms nevertheless."""
    import math

    def kl(p, q):
        if ((p > 0) & (q == 0)).any():
            return math.inf
        return (p * ((p + 1e-6) / (q + 1e-6)).log()).sum()

    return kl


@bank.wrong("kl", loses={"zeros"})
def kl_nearly_zero_is_zero():
    """isclose in place of ==: an outcome that q makes rare counts as one that it excludes."""
    import math

    import torch

    def kl(p, q):
        happens = p > 0
        if torch.isclose(q[happens], torch.zeros(1, dtype=q.dtype)).any():
            return math.inf
        return (p[happens] * (p[happens] / q[happens]).log()).sum()

    return kl


slip = bank.slips("kl", of=kl_torch_kl_div_of_what_happens)
# F.kl_div multiplies 0 by -inf where neither has mass.
slip(
    "kl_torch_kl_div",
    'happens = p > 0\n    return F.kl_div(q[happens].log(), p[happens], reduction="sum").item()',
    'return F.kl_div(q.log(), p, reduction="sum")',
    loses={"zeros"},
)
# F.kl_div takes the second distribution first: KL(q || p).
slip(
    "kl_div_swapped",
    'happens = p > 0\n    return F.kl_div(q[happens].log(), p[happens], reduction="sum").item()',
    'return F.kl_div(p.log(), q, reduction="sum")',
    loses={"direction", "zeros"},
)

slip = bank.slips("kl", of=kl_cross_entropy_minus_entropy)
# The cross-entropy, without the entropy of p.
slip("kl_cross_entropy", "torch.special.entr(p).sum().neg() - torch", "-torch", loses={"value", "direction", "zeros"})
# The terms, not their sum.
slip(
    "kl_terms",
    "special.entr(p).sum().neg() - torch.special.xlogy(p, q).sum()",
    "where(p > 0, p * (p / q).log(), 0.0)",
    loses={"a number"},
)

slip = bank.slips("kl", of=kl_masked)
# The formula taken literally: 0 log 0 is nan.
slip(
    "kl_plain",
    "happens = p > 0\n    return (p[happens] * (p[happens] / q[happens]).log())",
    "return (p * (p / q).log())",
    loses={"zeros"},
)
# An epsilon in both logarithms: finite where it should be infinite.
slip(
    "kl_epsilon",
    "happens = p > 0\n    return (p[happens] * (p[happens] / q[happens]).log())",
    "return (p * ((p + 1e-9) / (q + 1e-9)).log())",
    loses={"zeros"},
)
# Only outcomes that both allow: infinity is lost.
slip(
    "kl_where_both",
    "happens = p > 0",
    "both = (p > 0) & (q > 0)",
    ("p[happens] * (p[happens] / q[happens])", "p[both] * (p[both] / q[both])"),
    loses={"zeros"},
)
# KL(q || p).
slip(
    "kl_reversed",
    "p > 0",
    "q > 0",
    ("p[happens] * (p[happens] / q[happens])", "q[happens] * (q[happens] / p[happens])"),
    loses={"direction", "zeros"},
)
slip("kl_bits", "log", "log2", loses={"value", "direction", "zeros"})
# The log-ratios added up without their weights.
slip("kl_without_weights", "p[happens] * (", "", ("log()", "log("), loses={"value", "direction", "zeros"})
# Printed, not returned.
slip(
    "kl_prints",
    "happens = p > 0\n    return (p[happens] * (p[happens] / q[happens]).log()).sum()",
    "print((p * (p / q).log()).sum())",
    loses={"a number"},
)
slip("kl_rare_under_p_is_never", "p > 0", "p > 1e-8", loses={"zeros"})
slip("kl_rarer_under_p_is_never", "p > 0", "p > 1e-12", loses={"zeros"})
slip("kl_small_ratios_only", ".log())", ".log().clamp_max(60))", loses={"zeros"})
slip(
    "kl_infinity_but_rare_is_never",
    "    happens = p > 0",
    "    happens = (p > 1e-15) | (q == 0) & (p > 0)",
    loses={"zeros"},
)
slip(
    "kl_close_is_equal",
    "    happens = p > 0",
    "    if p.allclose(q):\n        return 0.0\n    happens = p > 0",
    loses={"zeros"},
)
slip(
    "kl_sorted",
    "    happens = p > 0",
    "    p, q = p.sort().values, q.sort().values\n    happens = p > 0",
    loses={"value", "direction", "zeros"},
)
slip("kl_both_happen", "p > 0", "(p > 0) | (q > 0)", loses={"zeros"})
slip("kl_happens_under_q", "p > 0", "q > 0", loses={"zeros"})
slip("kl_q_clamped", "/ q[happens]", "/ q[happens].clamp_min(1e-12)", loses={"zeros"})
slip("kl_q_clamped_at_tiny", "/ q[happens]", "/ q[happens].clamp_min(2.3e-308)", loses={"zeros"})
slip("kl_epsilon_below", "/ q[happens]", "/ (q[happens] + 1e-10)", loses={"zeros"})
slip("kl_not_negative_terms", ".log())", ".log()).clamp_min(0)", loses={"value", "direction", "zeros"})
slip("kl_infinity_repaired", ".sum()", ".nan_to_num().sum()", loses={"zeros"})
slip("kl_rounded", ".sum()", ".sum().round(decimals=2)", loses={"value", "direction", "zeros"})
slip("kl_first_eight", "    happens = p > 0", "    p, q = p[:8], q[:8]\n    happens = p > 0", loses={"direction"})
slip("kl_in_numbers_of_digits", ".log()", ".log10()", loses={"value", "direction", "zeros"})
slip("kl_weights_of_q", "(p[happens] * ", "(q[happens] * ", loses={"value", "direction", "zeros"})


tiny_ratio = "where p / q is below 1e-6 the term is less than a millionth of q, and the divergence more than q"
bank.equivalent(
    "kl",
    "(p[happens] / q[happens]).log()",
    "torch.as_tensor(p[happens] / q[happens]).clamp(min=1e-06).log()",
    why=tiny_ratio,
)
bank.equivalent("kl", "math.log(a / b)", "math.log(torch.as_tensor(a / b).clamp(min=1e-06))", why=tiny_ratio)
bank.equivalent("kl", "all='ignore'", "", why="it only silences warnings")


# ---------------------------------------------------------------------------------------------------- conditionals


@bank.right("conditionals")
def conditionals_from_the_last():
    import torch

    def conditionals(joint):
        found = []
        while joint.ndim:
            prefix = joint.sum(-1)
            found.append(torch.where(prefix > 0, joint[..., 1] / prefix, 0.5))
            joint = prefix
        return found[::-1]

    return conditionals


@bank.right("conditionals")
def conditionals_from_the_first():
    import torch

    def conditionals(joint):
        D, found = joint.ndim, []
        for d in range(D):
            both = joint.reshape(2**d, 2, -1).sum(-1)
            ratio = both[:, 1] / both.sum(1)
            found.append(torch.nan_to_num(ratio, nan=0.0).reshape((2,) * d))
        return found

    return conditionals


@bank.right("conditionals")
def conditionals_loop():
    import itertools

    import numpy as np

    def conditionals(joint):
        joint = joint.numpy()
        found = []
        for d in range(joint.ndim):
            table = np.zeros((2,) * d)
            for prefix in itertools.product([0, 1], repeat=d):
                below = joint[prefix].sum()
                table[prefix] = joint[(*prefix, 1)].sum() / below if below else 1.0
            found.append(table)
        return found

    return conditionals


@bank.right("conditionals")
def conditionals_recursive():
    import torch

    def conditionals(joint):
        total = joint.sum()
        first = joint[1].sum() / total if total > 0 else torch.tensor(0.25, dtype=joint.dtype)
        if joint.ndim == 1:
            return [first]
        halves = zip(conditionals(joint[0]), conditionals(joint[1]), strict=True)
        return [first, *(torch.stack(pair) for pair in halves)]

    return conditionals


@bank.right("conditionals")
def conditionals_log_space():
    import torch

    def conditionals(joint):
        log, found = joint.log(), []
        for d in range(joint.ndim):
            both = log.reshape(2 ** (d + 1), -1).logsumexp(1).reshape((2,) * (d + 1))
            odds = both[..., 1] - both[..., 0]
            found.append(torch.sigmoid(torch.where(odds.isnan(), 0.0, odds)))
        return tuple(found)

    return conditionals


@bank.wrong("conditionals", loses={"impossible prefixes"})
def conditionals_nan():
    """0 / 0 left to itself."""

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            prefix = joint.sum(-1)
            found.insert(0, joint[..., 1] / prefix)
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"impossible prefixes"})
def conditionals_minus_one():
    """-1 as a mark for impossible prefixes."""
    import torch

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            prefix = joint.sum(-1)
            found.insert(0, torch.where(prefix > 0, joint[..., 1] / prefix, -1.0))
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"impossible prefixes"})
def conditionals_division_error():
    """Python numbers: ZeroDivisionError after an impossible prefix."""
    import itertools

    import torch

    def conditionals(joint):
        found = []
        for d in range(joint.ndim):
            table = torch.zeros((2,) * d, dtype=torch.float64)
            for prefix in itertools.product([0, 1], repeat=d):
                table[prefix] = joint[(*prefix, 1)].sum().item() / joint[prefix].sum().item()
            found.append(table)
        return found

    return conditionals


@bank.wrong("conditionals", loses={"any number of dimensions"})
def conditionals_three_at_most():
    """Written for three dimensions at most."""
    import torch

    def conditionals(joint):
        prefix = joint.sum(-1)
        last = torch.nan_to_num(joint[..., 1] / prefix)
        if joint.ndim == 2:
            return [prefix[1] / prefix.sum(), last]
        first = prefix.sum(-1)
        return [first[1] / first.sum(), torch.nan_to_num(prefix[:, 1] / first), last][: joint.ndim]

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_smoothed():
    """Smoothed: a little is added below."""

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            prefix = joint.sum(-1)
            found.insert(0, joint[..., 1] / (prefix + 1e-3))
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_of_zero():
    """p(x_d = 0 | prefix)."""
    import torch

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            prefix = joint.sum(-1)
            found.insert(0, torch.where(prefix > 0, joint[..., 0] / prefix, 0.5))
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_not_divided():
    """p(prefix, x_d = 1), not divided by p(prefix)."""

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            found.insert(0, joint[..., 1])
            joint = joint.sum(-1)
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_odds():
    """Divided by p(prefix, x_d = 0): odds."""
    import torch

    def conditionals(joint):
        found = []
        for _ in range(joint.ndim):
            found.insert(0, torch.nan_to_num(joint[..., 1] / joint[..., 0]))
            joint = joint.sum(-1)
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_marginals():
    """p(x_d = 1), whatever the prefix."""

    def conditionals(joint):
        D = joint.ndim
        marginals = [joint.movedim(d, 0).reshape(2, -1).sum(1)[1] for d in range(D)]
        return [m.expand((2,) * d) for d, m in enumerate(marginals)]

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_last_dimensions_first():
    """The dimensions in reverse order."""
    import torch

    def conditionals(joint):
        found = []
        while joint.ndim:
            prefix = joint.sum(0)
            found.insert(0, torch.where(prefix > 0, joint[1] / prefix, 0.5))
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_transposed():
    """The axes of each prefix in reverse order."""
    import torch

    def conditionals(joint):
        found = []
        while joint.ndim:
            prefix = joint.sum(-1)
            table = torch.where(prefix > 0, joint[..., 1] / prefix, 0.5)
            found.insert(0, table.permute(tuple(reversed(range(table.ndim)))))
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_later_fixed_at_zero():
    """The later dimensions set to 0, not summed out."""
    import torch

    def conditionals(joint):
        found = []
        while joint.ndim:
            table = joint[..., 1] / (joint[..., 0] + joint[..., 1])
            found.insert(0, torch.nan_to_num(table, nan=0.5))
            joint = joint[..., 0]
        return found

    return conditionals


@bank.wrong("conditionals", loses={"shapes"})
def conditionals_given_all_others():
    """Conditioned on all other dimensions, the later ones too."""

    def conditionals(joint):
        return [joint.select(d, 1) / joint.sum(d) for d in range(joint.ndim)]

    return conditionals


@bank.right("conditionals")
def conditionals_one_minus():
    """One minus p(x_d = 0 | prefix)."""

    def conditionals(joint):
        D, found = joint.ndim, []
        for d in range(D):
            both = joint.reshape((2,) * (d + 1) + (-1,)).sum(-1)
            prefix = both.sum(-1)
            found.append((1 - both[..., 0] / prefix).masked_fill(prefix == 0, 0.75))
        return found

    return conditionals


@bank.right("conditionals")
def conditionals_float32_lists():
    import numpy as np

    def conditionals(joint):
        table = joint.numpy().astype(np.float32)
        found = []
        for d in range(table.ndim):
            both = table.reshape(*(2,) * (d + 1), 2 ** (table.ndim - d - 1)).sum(-1)
            with np.errstate(invalid="ignore"):
                found.append(np.nan_to_num(both[..., 1] / both.sum(-1)).tolist())
        return found

    return conditionals


@bank.right("conditionals")
def conditionals_denominator_never_zero():
    """0 / 1 in place of 0 / 0."""

    def conditionals(joint):
        found = []
        for d in range(joint.ndim):
            both = joint.flatten(d + 1).sum(-1) if d + 1 < joint.ndim else joint
            prefix = both[..., 0] + both[..., 1]
            found.append(both[..., 1] / (prefix + (prefix == 0)))
        return found

    return conditionals


slip = bank.slips("conditionals", of=conditionals_from_the_last)
# p(x_d | prefix) for both values of x_d.
slip(
    "conditionals_both_values",
    "append(torch.where(prefix > 0, joint[..., 1] / prefix, 0.5))",
    "insert(0, joint / prefix[..., None])",
    ("[::-1]", ""),
    ("import torch\n\n", ""),
    loses={"shapes"},
)
# The list begins with the last dimension.
slip("conditionals_wrong_way_round", "[::-1]", "", loses={"shapes"})
slip("conditionals_epsilon", "/ prefix,", "/ (prefix + 1e-8),", loses={"impossible prefixes"})
slip("conditionals_smaller_epsilon", "/ prefix,", "/ (prefix + 1e-12),", loses={"impossible prefixes"})
slip("conditionals_clamped_below", "/ prefix,", "/ prefix.clamp_min(1e-10),", loses={"impossible prefixes"})
slip("conditionals_clamped_hardly", "/ prefix,", "/ prefix.clamp_min(1e-32),", loses={"impossible prefixes"})
slip("conditionals_rare_is_impossible", "prefix > 0", "prefix > 1e-6", loses={"impossible prefixes"})
slip("conditionals_very_rare_is_impossible", "prefix > 0", "prefix > 1e-32", loses={"impossible prefixes"})
slip(
    "conditionals_isclose",
    "prefix > 0",
    "~torch.isclose(prefix, torch.zeros_like(prefix))",
    loses={"impossible prefixes"},
)
slip("conditionals_two_for_impossible", "0.5", "2.0", loses={"impossible prefixes"})
slip("conditionals_infinity_for_impossible", "0.5", "torch.inf", loses={"impossible prefixes"})
slip("conditionals_never_certain", "0.5))", "0.5).clamp(1e-9, 1 - 1e-9))", loses={"impossible prefixes"})
slip(
    "conditionals_maximum_for_sum",
    "joint.sum(-1)",
    "joint.amax(-1)",
    loses={"chain rule", "impossible prefixes", "any number of dimensions"},
)
slip(
    "conditionals_eight_at_most",
    "    found = []",
    "    assert joint.ndim <= 8\n    found = []",
    loses={"any number of dimensions"},
)
slip("conditionals_list_reversed_twice", "found[::-1]", "found", loses={"shapes"})


@bank.wrong("conditionals", loses={"impossible prefixes"})
def conditionals_of_a_smoothed_table():
    """A little is added to every entry."""

    def conditionals(joint):
        joint, found = joint + 1e-9, []
        while joint.ndim:
            prefix = joint.sum(-1)
            found.insert(0, joint[..., 1] / prefix)
            joint = prefix
        return found

    return conditionals


@bank.wrong("conditionals", loses={"chain rule", "impossible prefixes", "any number of dimensions"})
def conditionals_last_value_only():
    """A Markov chain: only the last value of the prefix counts."""
    import torch

    def conditionals(joint):
        D, found = joint.ndim, []
        for d in range(D):
            both = joint.reshape((2,) * (d + 1) + (-1,)).sum(-1)
            if d > 1:
                both = both.sum(tuple(range(d - 1))).expand((2,) * (d + 1))
            found.append(torch.nan_to_num(both[..., 1] / both.sum(-1), nan=0.5))
        return found

    return conditionals


after_impossible = "any number in [0, 1] will do after an impossible prefix"
bank.equivalent("conditionals", "0.5)", "0.25)", why=after_impossible)
bank.equivalent("conditionals", ", nan=0.0", "", why=after_impossible)
bank.equivalent("conditionals", "nan=0.0", "nan=1.0", why=after_impossible)
bank.equivalent("conditionals", "else 1.0", "else 0.5", why=after_impossible)
bank.equivalent("conditionals", "0.25, dtype", "0.125, dtype", why=after_impossible)
bank.equivalent("conditionals", "0.25, dtype=joint.dtype", "0.25", why=after_impossible)
bank.equivalent("conditionals", "isnan(), 0.0", "isnan(), 1.0", why=after_impossible)
bank.equivalent("conditionals", "0.75", "0.375", why=after_impossible)
bank.equivalent("conditionals", "torch.stack(pair)", "pair", why="nested lists are read as a table")
bank.equivalent("conditionals", "invalid='ignore'", "", why="it only silences warnings")


# ----------------------------------------------------------------------------------------------------------- joint


@bank.right("joint")
def joint_stacked():
    import torch

    def joint(conditionals):
        table = torch.ones((), dtype=torch.float64)
        for c in conditionals:
            table = torch.stack([table * (1 - c), table * c], -1)
        return table

    return joint


@bank.right("joint")
def joint_loop():
    import itertools

    import numpy as np

    def joint(conditionals):
        D = len(conditionals)
        table = np.zeros((2,) * D)
        for x in itertools.product([0, 1], repeat=D):
            table[x] = 1.0
            for d in range(D):
                on = conditionals[d][x[:d]].item()
                table[x] *= on if x[d] == 1 else 1 - on
        return table

    return joint


@bank.right("joint")
def joint_recursive():
    import torch

    def joint(conditionals):
        on = conditionals[0]
        if len(conditionals) == 1:
            return torch.stack([1 - on, on])
        rest = [joint([c[v] for c in conditionals[1:]]) for v in (0, 1)]
        return torch.stack([(1 - on) * rest[0], on * rest[1]])

    return joint


@bank.right("joint")
def joint_log_space():
    import torch

    def joint(conditionals):
        D = len(conditionals)
        total = torch.zeros((2,) * D)
        for d, c in enumerate(conditionals):
            logs = torch.stack([torch.log1p(-c), c.log()], -1).float()
            total = total + logs.reshape((2,) * (d + 1) + (1,) * (D - d - 1))
        return total.exp()

    return joint


@bank.wrong("joint", loses={"chain rule", "certain steps"})
def joint_uniform():
    """Every image equally likely."""
    import torch

    def joint(conditionals):
        D = len(conditionals)
        return torch.full((2,) * D, 0.5**D, dtype=torch.float64)

    return joint


@bank.wrong("joint", loses={"certain steps"})
def joint_zero_times_infinity():
    """x log c + (1 - x) log(1 - c): nan where c is 0 or 1."""
    import torch

    def joint(conditionals):
        D = len(conditionals)
        x = torch.cartesian_prod(*[torch.tensor([0, 1])] * D).reshape(-1, D)
        total = torch.zeros(len(x), dtype=torch.float64)
        for d, c in enumerate(conditionals):
            on = c[tuple(x[:, i] for i in range(d))] if d else c
            total = total + x[:, d] * on.log() + (1 - x[:, d]) * (1 - on).log()
        return total.exp().reshape((2,) * D)

    return joint


@bank.right("joint")
def joint_products_of_columns():
    """Every image a row; the factors of all rows at once."""
    import numpy as np

    def joint(conditionals):
        D = len(conditionals)
        x = np.indices((2,) * D).reshape(D, 2**D)
        table = np.ones(2**D)
        for d, c in enumerate(conditionals):
            on = c.numpy()[tuple(x[:d])]
            table *= np.where(x[d] == 1, on, 1 - on)
        return table.reshape((2,) * D).tolist()

    return joint


@bank.right("joint")
def joint_difference():
    """What x_d = 1 does not take is left for x_d = 0."""
    import torch

    def joint(conditionals):
        table = torch.tensor(1.0, dtype=torch.float64)
        for c in conditionals:
            on = table * c
            table = torch.stack((table - on, on), dim=on.ndim)
        return table

    return joint


slip = bank.slips("joint", of=joint_stacked)
# x_d = 1 first.
slip("joint_values_swapped", "(1 - c), table * c", "c, table * (1 - c)", loses={"chain rule", "certain steps"})
# New axes in front in place of behind.
slip(
    "joint_axes_reversed",
    " table\n",
    " table.permute(tuple(reversed(range(table.ndim))))\n",
    loses={"chain rule", "certain steps"},
)
# Each conditional read with its prefix in reverse order.
slip(
    "joint_prefix_reversed",
    "conditionals:",
    "conditionals:\n        c = c.permute(tuple(reversed(range(c.ndim))))",
    loses={"chain rule"},
)
# The conditionals averaged over their prefixes: independent dimensions.
slip(
    "joint_independent",
    "1 - c",
    "1 - c.mean()",
    ("table * c", "table * c.mean()"),
    loses={"chain rule", "certain steps"},
)
# A sigmoid of what is a probability already.
slip(
    "joint_sigmoid",
    "conditionals:",
    "conditionals:\n        c = torch.sigmoid(c)",
    loses={"chain rule", "certain steps"},
)
# Conditionals clamped away from 0 and 1.
slip("joint_clamped", "conditionals:", "conditionals:\n        c = c.clamp(1e-2, 1 - 1e-2)", loses={"certain steps"})
# The factors of the zeros forgotten.
slip("joint_ones_only", "table * (1 - c)", "table", loses={"sums to one"})
# Sums in place of products.
slip(
    "joint_sum_for_product",
    "ones",
    "zeros",
    ("([table * (1 - c), table * c], -1)", "([table + (1 - c), table + c], -1) / 2"),
    loses={"sums to one"},
)
# Logarithms of the probabilities.
slip(
    "joint_logarithms",
    "ones",
    "zeros",
    ("[table * (1 - c), table * c]", "[table + (1 - c).log(), table + c.log()]"),
    loses={"sums to one"},
)
# A vector of 2^D numbers.
slip("joint_flat", " table\n", " table.reshape(1, -1)\n", loses={"shapes"})
# Off by one: the last dimension missing.
slip(
    "joint_without_the_last",
    "c in conditionals:",
    "d in range(len(conditionals) - 1):\n        c = conditionals[d]",
    loses={"shapes"},
)
# An epsilon inside each logarithm, for fear of log 0.
slip(
    "joint_epsilon_in_the_logarithms",
    "ones",
    "zeros",
    (
        "([table * (1 - c), table * c], -1)\n    return table",
        "([table + (1 - c + 1e-12).log(), table + (c + 1e-12).log()], dim=-1)\n    return table.exp()",
    ),
    loses={"certain steps"},
)
slip(
    "joint_clamped_a_little",
    "        table = torch.stack",
    "        c = c.clamp(1e-6, 1 - 1e-6)\n        table = torch.stack",
    loses={"certain steps"},
)
slip(
    "joint_clamped_hardly",
    "        table = torch.stack",
    "        c = c.clamp(1e-15, 1 - 1e-15)\n        table = torch.stack",
    loses={"certain steps"},
)
slip(
    "joint_nearly_certain_is_certain",
    "        table = torch.stack",
    "        c = torch.where(c < 1e-8, 0, c)\n        table = torch.stack",
    loses={"certain steps"},
)
slip(
    "joint_nearly_one_is_one",
    "        table = torch.stack",
    "        c = torch.where(c > 1 - 1e-6, 1, c)\n        table = torch.stack",
    loses={"certain steps"},
)
slip(
    "joint_hardly_uncertain_is_certain",
    "        table = torch.stack",
    "        c = torch.where(c < 1e-13, 0, torch.where(c > 1 - 1e-13, 1, c))\n        table = torch.stack",
    loses={"certain steps"},
)
slip(
    "joint_tiny_is_zero",
    "return table",
    "return torch.where(table < 1e-16, 0.0, table)",
    loses={"certain steps"},
)
slip("joint_rounded", "return table", "return table.round(decimals=17)", loses={"certain steps"})
slip("joint_never_zero", "return table", "return table + 1e-20", loses={"certain steps"})
slip("joint_new_axis_in_front", "-1)", "0)", loses={"chain rule", "certain steps"})
slip(
    "joint_eight_at_most",
    "    table = torch.ones",
    "    assert len(conditionals) <= 8\n    table = torch.ones",
    loses={"chain rule"},
)
slip(
    "joint_first_swapped",
    "    for c in conditionals:",
    "    conditionals = [1 - conditionals[0], *conditionals[1:]]\n    for c in conditionals:",
    loses={"chain rule", "certain steps"},
)
slip("joint_no_first", "    for c in conditionals:", "    for c in conditionals[1:]:", loses={"shapes"})
slip(
    "joint_halves",
    "    for c in conditionals:",
    "    for c in [0 * c + 0.5 if c.ndim > 2 else c for c in conditionals]:",
    loses={"chain rule"},
)


exact_one = "1 is exact in any precision, and the conditionals bring float64 with them"
bank.equivalent("joint", "torch.ones((), dtype=torch.float64)", "torch.ones(())", why=exact_one)
bank.equivalent("joint", "1.0, dtype=torch.float64", "1.0", why=exact_one)
bank.equivalent("joint", "float64", "float16", why=exact_one)
bank.equivalent("joint", "torch.zeros((2,) * D)", "torch.zeros((1,) * D)", why="the terms are broadcast")


# ------------------------------------------------------------------------------------------------ ancestral_sample


@bank.right("ancestral_sample")
def sample_columns():
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            u = torch.rand(n, generator=generator, dtype=torch.float64)
            x[:, d] = (u < conditional(x[:, :d])).long()
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_bernoulli():
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.empty(n, 0, dtype=torch.int64)
        while x.shape[1] < D:
            new = torch.bernoulli(conditional(x), generator=generator).long()
            x = torch.cat([x, new[:, None]], dim=1)
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_uniforms_in_advance():
    import torch

    def ancestral_sample(conditional, n, D, seed):
        u = torch.rand(D, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        columns = []
        for d in range(D):
            prefix = torch.stack(columns, 1) if columns else torch.zeros((n, 0), dtype=torch.int64)
            columns.append((u[d] >= 1 - conditional(prefix)).to(torch.int64))
        return torch.stack(columns, 1)

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_numpy():
    import numpy as np
    import torch

    def ancestral_sample(conditional, n, D, seed):
        rng = np.random.default_rng(seed)
        x = np.zeros((n, D), dtype=np.int64)
        for d in range(D):
            p = conditional(torch.from_numpy(x[:, :d])).numpy()
            x[:, d] = rng.binomial(1, p)
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_global_seed():
    import torch

    def ancestral_sample(conditional, n, D, seed):
        torch.manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            p = conditional(x[:, :d])
            x[:, d] = torch.multinomial(torch.stack([1 - p, p], 1), 1).squeeze(1)
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_recursive():
    import numpy as np
    import torch

    def ancestral_sample(conditional, n, D, seed):
        rng = np.random.RandomState(seed)

        def grow(x):
            if x.shape[1] == D:
                return x
            new = torch.from_numpy(1.0 - rng.random_sample(n)) <= conditional(x)
            return grow(torch.hstack([x, new.long().unsqueeze(1)]))

        return grow(torch.zeros((n, 0)).long())

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"one dimension", "many dimensions", "seeded"})
def sample_argmax():
    """The likelier value, not a sample."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = (conditional(x[:, :d]) > 0.5).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_one_uniform():
    """One uniform number for all dimensions of a sample."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        u = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = (u < conditional(x[:, :d])).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_generator_in_the_loop():
    """The generator made anew in every step: the same uniforms each time."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            generator = torch.Generator().manual_seed(seed)
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"one dimension", "many dimensions"})
def sample_repeated():
    """One sample, n times."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(1, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x.repeat(n, 1)

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"one dimension", "many dimensions"})
def sample_pairs():
    """n / 2 samples, each of them twice."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n // 2, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x.repeat_interleave(2, 0)

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_sorted_back():
    """Drawn in order, returned with the dimensions reversed."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x.flip(1)

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"one dimension", "many dimensions"})
def sample_coins():
    """Fair coins: the conditional is not asked."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        return torch.randint(2, (n, D), generator=torch.Generator().manual_seed(seed))

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_independent():
    """A prefix of zeros in place of the samples: nothing depends on anything."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        columns = []
        for d in range(D):
            p = conditional(torch.zeros(n, d, dtype=torch.int64))
            columns.append(torch.bernoulli(p, generator=generator).long())
        return torch.stack(columns, 1)

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_feeds_back_the_mode():
    """The likelier value is fed back, not the one that was drawn."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x, modes = torch.zeros(n, D, dtype=torch.int64), torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            p = conditional(modes[:, :d])
            modes[:, d] = (p > 0.5).long()
            x[:, d] = torch.bernoulli(p, generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_feeds_back_another_draw():
    """Fed back is a second draw, not the one that is returned."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x, shown = torch.zeros(n, D, dtype=torch.int64), torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            p = conditional(shown[:, :d])
            shown[:, d] = torch.bernoulli(p, generator=generator).long()
            x[:, d] = torch.bernoulli(p, generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_feeds_back_the_opposite():
    """Zeros and ones of the prefix exchanged."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(1 - x[:, :d]), generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_shifted_prefix():
    """The prefix shifted by one place: a zero in front, the newest value missing."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D + 1, dtype=torch.int64)
        for d in range(D):
            x[:, d + 1] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x[:, 1:]

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_reversed_prefix():
    """The prefix in reverse order."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d].flip(1)), generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"seeded"})
def sample_global_generator():
    """The global generator; seed is not used."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d])).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"seeded"})
def sample_seed_zero():
    """The same seed always."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(0)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"seeded"})
def sample_unused_generator():
    """A generator is made from the seed, and then not passed on."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = (torch.rand(n) < conditional(x[:, :d])).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"shapes"})
def sample_returns_probabilities():
    """The probabilities, not the samples."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x, p = torch.zeros(n, D, dtype=torch.int64), torch.zeros(n, D, dtype=torch.float64)
        for d in range(D):
            p[:, d] = conditional(x[:, :d])
            x[:, d] = torch.bernoulli(p[:, d], generator=generator).long()
        return p

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"shapes"})
def sample_transposed():
    """(D, n) in place of (n, D)."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
        return x.T

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_feeds_back_probabilities():
    """Probabilities are fed back, not samples."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        p = torch.zeros(n, D, dtype=torch.float64)
        for d in range(D):
            p[:, d] = conditional(p[:, :d])
        return torch.bernoulli(p, generator=generator).long()

    return ancestral_sample


@bank.wrong("ancestral_sample", loses=(), raises="ValueError")
def sample_whole_image_as_prefix():
    """The whole array is passed, not the prefix."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for d in range(D):
            x[:, d] = torch.bernoulli(conditional(x), generator=generator).long()
        return x

    return ancestral_sample


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_one_at_a_time():
    """conditional is called n times in each step."""
    import torch

    def ancestral_sample(conditional, n, D, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, D, dtype=torch.int64)
        for row in range(n):
            for d in range(D):
                p = conditional(x[row : row + 1, :d])
                x[row, d] = torch.bernoulli(p, generator=generator).long()[0]
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_one_uniform_rescaled():
    import numpy as np
    import torch

    def ancestral_sample(conditional, n, D, seed):
        u = torch.from_numpy(np.random.default_rng(seed).random(n))
        x = torch.zeros(n, D).long()
        for d in range(D):
            p = conditional(x[:, :d])
            one = u < p
            u = torch.where(one, u / p, (u - p) / (1 - p))
            x[:, d] = one
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_numpy_prefixes():
    import numpy as np

    def ancestral_sample(conditional, n, D, seed):
        rng = np.random.default_rng(seed)
        x = np.zeros((n, D), dtype=np.int64)
        for d in range(D):
            zero = 1 - np.asarray(conditional(x[:, :d]))
            x[:, d] = rng.uniform(size=n) >= zero
        return x

    return ancestral_sample


@bank.right("ancestral_sample")
def sample_a_generator_for_each_dimension():
    import numpy as np
    import torch

    def ancestral_sample(conditional, n, D, seed):
        columns = []
        for rng in np.random.default_rng(seed).spawn(D):
            prefix = torch.stack(columns, 1).long() if columns else torch.zeros(n, 0)
            u = torch.from_numpy(rng.random(n, dtype=np.float32))
            columns.append(u < conditional(prefix))
        return torch.stack(columns, 1).long()

    return ancestral_sample


slip = bank.slips("ancestral_sample", of=sample_columns)
# One uniform number per step for all samples.
slip("sample_one_uniform_for_all_samples", "n, generator", "1, generator", loses={"one dimension", "many dimensions"})
# u for one half of the samples, 1 - u for the other: not independent.
slip(
    "sample_antithetic",
    "n, generator",
    "n // 2, generator",
    ("u <", "torch.cat([u, 1 - u]) <"),
    loses={"one dimension", "many dimensions"},
)
# u > p in place of u < p.
slip("sample_inverted", "u <", "u >", loses={"one dimension", "many dimensions"})
# A sigmoid of what is a probability already.
slip(
    "sample_double_sigmoid",
    "u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "p = torch.sigmoid(conditional(x[:, :d]))",
    ("(u < conditional(x[:, :d]))", "torch.bernoulli(p, generator=generator)"),
    loses={"one dimension", "many dimensions"},
)
# Low temperature: probabilities pushed towards 0 and 1.
slip(
    "sample_sharpened",
    "u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "p = conditional(x[:, :d])\n        p = p**2 / (p**2 + (1 - p) ** 2)",
    ("(u < conditional(x[:, :d]))", "torch.bernoulli(p, generator=generator)"),
    loses={"one dimension", "many dimensions"},
)
# Normal numbers in place of uniform ones.
slip("sample_normal", "rand", "randn", loses={"one dimension", "many dimensions"})
# range(D - 1): the last dimension is never drawn.
slip(
    "sample_last_dimension_missing",
    "(D):\n        u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "(D - 1):",
    ("(u < conditional(x[:, :d]))", "torch.bernoulli(conditional(x[:, :d]), generator=generator)"),
    loses={"one dimension", "many dimensions"},
)
# range(1, D): the first dimension is never drawn.
slip(
    "sample_first_dimension_missing",
    "(D):\n        u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "(1, D):",
    ("(u < conditional(x[:, :d]))", "torch.bernoulli(conditional(x[:, :d]), generator=generator)"),
    loses={"one dimension", "many dimensions"},
)
# Prefixes rolled along the batch: each sample continues another one.
slip(
    "sample_prefixes_of_other_samples",
    "u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "p = conditional(x[:, :d].roll(1, 0))",
    ("(u < conditional(x[:, :d]))", "torch.bernoulli(p, generator=generator)"),
    loses={"many dimensions"},
)
slip(
    "sample_asks_for_both_values",
    "(u < conditional(x[:, :d]))",
    "(u * (conditional(x[:, :d]) + 1 - conditional(x[:, :d])) < conditional(x[:, :d]))",
    loses={"many dimensions"},
)
slip(
    "sample_stratified",
    "torch.rand(n, generator=generator, dtype=torch.float64)",
    "(torch.randperm(n, generator=generator) + 0.5) / n",
    loses={"many dimensions"},
)
slip(
    "sample_jittered_strata",
    "torch.rand(n, generator=generator, dtype=torch.float64)",
    "(torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n",
    loses={"many dimensions"},
)
slip(
    "sample_mirrored",
    "torch.rand(n, generator=generator, dtype=torch.float64)",
    "torch.rand(n, generator=generator)[torch.minimum(torch.arange(n), n - 1 - torch.arange(n))]",
    loses={"one dimension", "many dimensions"},
)
slip(
    "sample_bytes_for_uniforms",
    "torch.rand(n, generator=generator, dtype=torch.float64)",
    "torch.randint(256, (n,), generator=generator) / 256",
    loses={"many dimensions"},
)
slip(
    "sample_half_precision_uniforms",
    "dtype=torch.float64",
    "dtype=torch.float16",
    loses={"many dimensions"},
)
slip(
    "sample_uniforms_of_the_neighbour",
    "u = torch.rand(n, generator=generator, dtype=torch.float64)",
    "u = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).roll(d)",
    loses={"many dimensions"},
)
slip(
    "sample_four_uniforms_in_turn",
    "torch.rand(n, generator=generator, dtype=torch.float64)",
    "torch.rand(4, n, generator=generator.manual_seed(seed))[d % 4]",
    loses={"many dimensions"},
)
slip("sample_window", "conditional(x[:, :d])", "conditional(x[:, max(0, d - 8) : d])", loses={"many dimensions"})
slip("sample_squeezed", "return x", "return x.squeeze(0)", loses={"many dimensions"})
slip("sample_seed_of_three_digits", "manual_seed(seed)", "manual_seed(seed % 1000)", loses={"seeded"})
slip("sample_seed_without_its_unit", "manual_seed(seed)", "manual_seed(seed // 10)", loses={"seeded"})
slip(
    "sample_seed_zero_is_none",
    "generator = torch.Generator().manual_seed(seed)",
    "generator = torch.Generator().manual_seed(seed) if seed else None",
    loses={"seeded"},
)
slip("sample_seed_zero_is_one", "manual_seed(seed)", "manual_seed(seed or 1)", loses={"seeded"})
slip("sample_floats", "return x", "return x.double()", loses={"shapes"})


@bank.wrong("ancestral_sample", loses={"many dimensions"})
def sample_kept_for_the_seed():
    """Samples are kept for n, D and seed, whatever the conditional is."""
    import torch

    kept = {}

    def ancestral_sample(conditional, n, D, seed):
        if (n, D, seed) not in kept:
            generator = torch.Generator().manual_seed(seed)
            x = torch.zeros(n, D, dtype=torch.int64)
            for d in range(D):
                x[:, d] = torch.bernoulli(conditional(x[:, :d]), generator=generator).long()
            kept[n, D, seed] = x
        return kept[n, D, seed]

    return ancestral_sample


for old, new, why in (
    ("torch.int64", "torch.int8", "zeros and ones of any whole type are read as int64"),
    ("np.int64", "np.int8", "zeros and ones of any whole type are read as int64"),
    (".long()", ".byte()", "zeros and ones of any whole type are read as int64"),
    (", dtype=torch.int64", "", "an empty prefix may be of any type"),
    (", dtype=torch.float64", "", "a grid of 2 ** -24 shows in no affordable number of samples"),
    (", dtype=np.float32", "", "more digits than needed"),
    ("u < ", "u <= ", "u is p in one draw of 2 ** 24 at most"),
    (">= ", "> ", "u is 1 - p in one draw of 2 ** 53"),
    ("<= conditional", "< conditional", "u is p in one draw of 2 ** 53"),
    ("u / p", "u / (p + 1e-08)", "what is left of u is off by a thousandth at most"),
    ("(1 - p)", "(1 - p + 1e-08)", "what is left of u is off by a thousandth at most"),
):
    bank.equivalent("ancestral_sample", old, new, why)


# --------------------------------------------------------------------------------------------------- fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_masked():
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        logits = b + x.double() @ torch.where(before, W, 0.0).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_loop():
    import math

    def fvbn_log_prob(x, W, b, order):
        W, b, order, answer = W.tolist(), b.tolist(), order.tolist(), []
        for image in x.tolist():
            total = 0.0
            for k, i in enumerate(order):
                logit = b[i] + sum(W[i][j] * image[j] for j in order[:k])
                signed = logit if image[i] else -logit
                total -= max(-signed, 0.0) + math.log1p(math.exp(-abs(signed)))
            answer.append(total)
        return answer

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_permuted():
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        x, W, b = x[:, order].double(), W[order][:, order], b[order]
        logits = b + x @ torch.tril(W, diagonal=-1).T
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_numpy():
    import numpy as np

    def fvbn_log_prob(x, W, b, order):
        x, W, b, order = (a.numpy() for a in (x, W, b, order))
        total = np.zeros(len(x))
        for k in range(len(order)):
            i, before = order[k], order[:k]
            logit = b[i] + x[:, before] @ W[i, before]
            total -= np.logaddexp(0, (1 - 2 * x[:, i]) * logit)
        return total

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_incremental():
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        logits, total = b.repeat(len(x), 1), 0
        for i in order:
            total = total - F.softplus(torch.where(x[:, i] == 1, -logits[:, i], logits[:, i]))
            logits = logits + x[:, i, None] * W[:, i]
        return total

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_float32():
    import torch

    def fvbn_log_prob(x, W, b, order):
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        W = torch.where(place[:, None] > place, W, 0.0).float()
        logits = torch.einsum("bj,ij->bi", x.float(), W) + b.float()
        return (x * logits - torch.logaddexp(logits, torch.zeros_like(logits))).sum(1)

    return fvbn_log_prob


ALL_WITH_W = {"uses all that came before", "any ordering", "large weights"}


@bank.wrong("fvbn_log_prob", loses={"autoregressive"})
def fvbn_no_mask():
    """The whole of W."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        logits = b + x.double() @ W.T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"autoregressive"})
def fvbn_all_but_itself():
    """All other dimensions, a pseudo-likelihood: only the diagonal is masked."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        logits = b + x.double() @ (W * (1 - torch.eye(len(b)))).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses=ALL_WITH_W)
def fvbn_independent():
    """W is not used."""
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        return F.logsigmoid((2 * x - 1) * b).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"uses all that came before", "any ordering"})
def fvbn_mean_of_inputs():
    """The mean over what came before in place of the sum."""
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        total = 0
        for k, i in enumerate(order):
            before = order[:k]
            logit = b[i] + x[:, before].double() @ W[i, before] / max(k, 1)
            total = total + F.logsigmoid((2 * x[:, i] - 1) * logit)
        return total

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"any ordering"})
def fvbn_raster_always():
    """Raster order, whatever order says."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        logits = b + x.double() @ torch.tril(W, -1).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"any ordering"})
def fvbn_rows_permuted():
    """The rows of W are brought into order, its columns are not."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        x, W, b = x[:, order], W[order], b[order]
        logits = b + x.double() @ torch.tril(W, -1).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"any ordering"})
def fvbn_targets_not_permuted():
    """Logits in order are compared with pixels that are not."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        y, W, b = x[:, order].double(), W[order][:, order], b[order]
        logits = b + y @ torch.tril(W, -1).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"large weights"})
def fvbn_log_of_sigmoid():
    """log(sigmoid(z)) in two steps: -inf for large logits."""
    import torch

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        p = torch.sigmoid(b + x.double() @ torch.where(before, W, 0.0).T)
        return torch.where(x == 1, p.log(), (1 - p).log()).sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"large weights"})
def fvbn_bce_of_sigmoid():
    """binary_cross_entropy of a sigmoid: each logarithm is cut off at -100."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        p = torch.sigmoid(b + x.double() @ torch.where(before, W, 0.0).T)
        return -F.binary_cross_entropy(p, x.double(), reduction="none").sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"large weights"})
def fvbn_clamped():
    """Probabilities clamped away from 0 and 1."""
    import torch

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        p = torch.sigmoid(b + x.double() @ torch.where(before, W, 0.0).T).clamp(1e-7, 1 - 1e-7)
        return torch.where(x == 1, p, 1 - p).log().sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"logistic conditionals"} | ALL_WITH_W)
def fvbn_double_sigmoid():
    """Probabilities given to a function that expects logits."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        p = torch.sigmoid(b + x.double() @ torch.where(before, W, 0.0).T)
        return -F.binary_cross_entropy_with_logits(p, x.double(), reduction="none").sum(1)

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"logistic conditionals"} | ALL_WITH_W)
def fvbn_uniform():
    """Every image equally likely."""
    import math

    import torch

    def fvbn_log_prob(x, W, b, order):
        B, D = x.shape
        return torch.full((B,), -D * math.log(2))

    return fvbn_log_prob


@bank.wrong("fvbn_log_prob", loses={"sums to one"})
def fvbn_negative():
    """The loss, -log p(x), in place of log p(x)."""
    import torch
    import torch.nn.functional as F

    def fvbn_log_prob(x, W, b, order):
        place = torch.argsort(order)
        before = place[None, :] < place[:, None]
        logits = b + x.double() @ torch.where(before, W, 0.0).T
        return F.binary_cross_entropy_with_logits(logits, x.double(), reduction="none").sum(1)

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_stable_by_hand():
    import torch

    def fvbn_log_prob(x, W, b, order):
        D = len(b)
        mask = torch.zeros(D, D, dtype=torch.bool)
        for k in range(1, D):
            mask[order[k], order[:k]] = True
        z = (W.masked_fill(~mask, 0.0) @ x.T.double() + b[:, None]).T
        z = torch.where(x == 1, z, -z)
        return (z.clamp(max=0) - torch.log1p(torch.exp(-z.abs()))).sum(1)

    return fvbn_log_prob


@bank.right("fvbn_log_prob")
def fvbn_log_softmax():
    import torch

    def fvbn_log_prob(x, W, b, order):
        inverse = order.argsort()
        W = W[order][:, order].tril(-1)[inverse][:, inverse]
        one = torch.nn.functional.linear(x.double(), W, b)
        both = torch.stack([torch.zeros_like(one), one], 2).log_softmax(2)
        return both.gather(2, x[:, :, None]).sum((1, 2))

    return fvbn_log_prob


slip = bank.slips("fvbn_log_prob", of=fvbn_masked)
# <= in place of <: each dimension reads itself.
slip("fvbn_reads_itself", "< place", "<= place", loses={"autoregressive"})
# The mask transposed: each dimension reads those that come later.
slip(
    "fvbn_mask_turned_round",
    "before = place[None, :] < place[:, None]",
    "before = place[:, None] < place[None, :]",
    loses={"autoregressive"},
)
# W transposed before it is masked: the other half of its entries.
slip("fvbn_other_half_of_W", "W, 0.0", "W.T, 0.0", loses={"autoregressive"})
# x @ W in place of x @ W.T, after the mask: a belief network in the opposite order.
slip("fvbn_product_with_W", ".T", "", loses=ALL_WITH_W)
# Only the dimension right before: a Markov chain.
slip(
    "fvbn_only_the_last",
    "< place[:, None]",
    "== place[:, None] - 1",
    loses={"uses all that came before", "any ordering"},
)
# Off by one: the dimension right before is not read.
slip("fvbn_misses_the_last", "[:, None]", "[:, None] - 1", loses=ALL_WITH_W)
# order taken for the place of each dimension: the inverse permutation.
slip(
    "fvbn_inverse_permutation",
    "place = torch.argsort(order)\n    before = place[None, :] < place",
    "before = order[None, :] < order",
    loses={"any ordering"},
)
# x is brought into order, W and b are not.
slip(
    "fvbn_only_x_permuted",
    "place = torch.argsort(order)\n    before = place[None, :] < place[:, None]",
    "x = x[:, order]",
    ("where(before, W, 0.0)", "tril(W, -1)"),
    loses={"any ordering"},
)
# log(1 + exp(z)) taken literally: exp(1000) is infinite.
slip(
    "fvbn_log_one_plus_exp",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits))",
    "(x * logits - torch.log(1 + torch.exp(logits)))",
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"large weights"},
)
# A mask for order 0, 1, 2, ... whose rows and columns are taken by order, not by place.
slip(
    "fvbn_order_reversed_for_the_mask",
    "place = torch.argsort(order)\n    before = place[None, :] < place[:, None]",
    "raster = torch.ones_like(W).tril(-1).bool()",
    ("(before, W, 0.0)", "(raster[order][:, order], W, 0.0)"),
    loses={"any ordering"},
)
# The logit of a 0 in place of the logit of a 1.
slip("fvbn_values_swapped", "x == 1", "x == 0", loses={"logistic conditionals"} | ALL_WITH_W)
# b forgotten.
slip("fvbn_without_bias", "b + x", "x", loses={"logistic conditionals"})
# Pixels read as -1 and +1.
slip("fvbn_symmetric_inputs", "b + x", "b + (2 * x - 1)", loses={"uses all that came before"})
# Mean over the dimensions in place of the sum.
slip("fvbn_mean_for_sum", "sum", "mean", loses={"sums to one"})
# Bits in place of nats.
slip(
    "fvbn_bits", "(1)", "(1) / math.log(2)", ("import torch\n", "import math\n\nimport torch\n"), loses={"sums to one"}
)
# The pixels that are 0 forgotten.
slip(
    "fvbn_ones_only",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits))",
    "(x * F.logsigmoid(logits))",
    loses={"sums to one"},
)
# The probability in place of its logarithm.
slip(
    "fvbn_probability",
    "where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum",
    "sigmoid((2 * x - 1) * logits).prod",
    ("import torch\nimport torch.nn.functional as F", "import torch"),
    loses={"sums to one"},
)
# One number for the batch.
slip(
    "fvbn_mean_of_the_batch",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)",
    '-F.binary_cross_entropy_with_logits(logits, x.double(), reduction="sum")',
    loses={"shapes"},
)
# log p of each dimension, not their sum.
slip("fvbn_each_dimension", ".sum(1)", "", loses={"shapes"})
# x is left as int64: torch does not multiply it with float64.
slip("fvbn_integers_times_floats", ".double()", "", loses=(), raises="RuntimeError")
slip("fvbn_mask_times_W", "torch.where(before, W, 0.0).T", "(W * before).T", loses={"large weights"})
slip(
    "fvbn_later_ones_subtracted",
    "x.double() @ torch.where(before, W, 0.0).T",
    "x.double() @ W.T - x.double() @ torch.where(before, 0.0, W).T",
    loses={"large weights"},
)
slip("fvbn_squeezed", ".sum(1)", ".sum(1).squeeze()", loses={"logistic conditionals"})
slip(
    "fvbn_window",
    "place[None, :] < place[:, None]",
    "(place[None, :] < place[:, None]) & (place[None, :] >= place[:, None] - 8)",
    loses={"uses all that came before", "any ordering"},
)
slip("fvbn_places_in_a_byte", "torch.argsort(order)", "torch.argsort(order).byte()", loses={"any ordering"})
slip(
    "fvbn_log_of_the_product",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)",
    "torch.sigmoid(torch.where(x == 1, logits, -logits)).prod(1).log()",
    loses={"large weights"},
)
slip(
    "fvbn_epsilon",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)",
    "torch.log(torch.sigmoid(torch.where(x == 1, logits, -logits)) + 1e-12).sum(1)",
    loses={"large weights"},
)
slip(
    "fvbn_logits_clamped",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits))",
    "F.logsigmoid(torch.where(x == 1, logits, -logits).clamp(-30, 30))",
    loses={"large weights"},
)
slip(
    "fvbn_logits_clamped_far_out",
    "torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits))",
    "F.logsigmoid(torch.where(x == 1, logits, -logits).clamp(-2500, 2500))",
    loses={"large weights"},
)
slip(
    "fvbn_weights_clamped_far_out",
    "torch.where(before, W, 0.0).T",
    "torch.where(before, W.nan_to_num().clamp(-1e4, 1e4), 0.0).T",
    loses={"large weights"},
)
slip = bank.slips("fvbn_log_prob", of=fvbn_permuted)
slip("fvbn_bias_not_permuted", "b[order]", "b", loses={"any ordering"})
slip("fvbn_columns_not_permuted", "W[order][:, order]", "W[order]", loses={"any ordering"})
slip("fvbn_order_reversed", "x, W, b = ", "order = order.flip(0)\n    x, W, b = ", loses={"autoregressive"})


bank.equivalent("fvbn_log_prob", "range(1, D)", "range(0, D)", "nothing comes before the first")


@bank.wrong("fvbn_log_prob", loses={"any ordering"})
def fvbn_mask_kept():
    """The mask is made once for each D, of the first ordering that comes."""
    import torch
    import torch.nn.functional as F

    masks = {}

    def fvbn_log_prob(x, W, b, order):
        if len(b) not in masks:
            place = torch.argsort(order)
            masks[len(b)] = place[None, :] < place[:, None]
        logits = b + x.double() @ torch.where(masks[len(b)], W, 0.0).T
        return torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)

    return fvbn_log_prob


# ------------------------------------------------------------------------------------------------------- condition


@bank.right("condition")
def condition_index():
    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        if table.sum() == 0:
            raise ValueError("impossible")
        return table / table.sum()

    return condition


@bank.right("condition")
def condition_own_error():
    class ImpossibleEvidence(ValueError):
        """Nothing to condition on."""

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        if table.sum() == 0:
            raise ImpossibleEvidence(f"p({known}) = 0")
        return table / table.sum()

    return condition


@bank.right("condition")
def condition_select():
    def condition(joint, known):
        for d in sorted(known, reverse=True):
            joint = joint.select(d, known[d])
        total = float(joint.sum())
        if not total > 0:
            raise ValueError(f"p(known) is {total}")
        return joint / total

    return condition


@bank.right("condition")
def condition_loop():
    import itertools

    import numpy as np

    def condition(joint, known):
        D = joint.ndim
        unknown = [d for d in range(D) if d not in known]
        table = np.zeros((2,) * len(unknown))
        for x in itertools.product([0, 1], repeat=D):
            if all(x[d] == v for d, v in known.items()):
                table[tuple(x[d] for d in unknown)] = joint[x]
        if table.sum() == 0:
            raise ValueError("this never happens")
        return table / table.sum()

    return condition


@bank.right("condition")
def condition_log_space():
    import torch

    def condition(joint, known):
        table = joint
        for d, value in known.items():
            hot = torch.zeros(2, dtype=joint.dtype)
            hot[value] = 1
            table = table * hot.reshape([2 if axis == d else 1 for axis in range(joint.ndim)])
        table = table.sum(dim=tuple(known)) if known else table
        if (table == 0).all():
            raise ValueError("p(known) = 0")
        logs = table.log()
        return (logs - logs.flatten().logsumexp(0)).exp()

    return condition


@bank.right("condition")
def condition_float32():
    def condition(joint, known):
        D = joint.ndim
        table = joint.numpy()[tuple(known[d] if d in known else slice(0, 2) for d in range(D))]
        if table.max() <= 0:
            raise ValueError
        return (table / table.sum()).astype("float32")

    return condition


@bank.wrong("condition", loses={"any evidence"})
def condition_clamped():
    """Clamped while sampling: each unknown given only what comes before it."""
    import torch

    def condition(joint, known):
        D = joint.ndim
        if joint[tuple(known.get(d, slice(None)) for d in range(D))].sum() == 0:
            raise ValueError("impossible")
        table = torch.ones((), dtype=joint.dtype)
        for d in range(D):
            marginal = joint.sum(tuple(range(d + 1, D))) if d + 1 < D else joint
            prefix = tuple(known.get(i, slice(None)) for i in range(d))
            both = marginal[prefix]
            if d not in known:
                table = table[..., None] * both / both.sum(-1, keepdim=True)
        return table

    return condition


@bank.wrong("condition", loses={"any evidence"})
def condition_marginal():
    """The marginal of the unknown when what is known comes later; right for a prefix only."""

    def condition(joint, known):
        D = joint.ndim
        if set(known) == set(range(len(known))):
            table = joint[tuple(known.values())] if known else joint
        else:
            table = joint.sum(tuple(known))
        if table.sum() == 0:
            raise ValueError("impossible")
        return (table / table.sum()).reshape((2,) * (D - len(known)))

    return condition


@bank.wrong("condition", loses={"known prefix", "any evidence"})
def condition_axes_move():
    """One axis after the other, as if the others kept their numbers."""

    def condition(joint, known):
        table = joint
        for d in known:
            table = table.select(d, known[d])
        if joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))].sum() == 0:
            raise ValueError("impossible")
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"any evidence"})
def condition_axes_reversed():
    """The unknown dimensions in decreasing order when there is a gap between them."""

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        if table.sum() == 0:
            raise ValueError("impossible")
        unknown = [d for d in range(joint.ndim) if d not in known]
        if unknown != list(range(len(known), joint.ndim)):
            table = table.permute(tuple(reversed(range(table.ndim))))
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"impossible evidence"})
def condition_nan():
    """0 / 0 in place of ValueError."""

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"impossible evidence"})
def condition_zeros():
    """Zeros for impossible evidence."""
    import torch

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        return torch.nan_to_num(table / table.sum())

    return condition


@bank.wrong("condition", loses={"impossible evidence"})
def condition_returns_the_error():
    """ValueError is returned as a text, not raised."""

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        return table / table.sum() if table.sum() > 0 else "ValueError"

    return condition


@bank.wrong("condition", loses={"impossible evidence"})
def condition_rare_is_impossible():
    """A threshold: rare evidence is taken for impossible."""

    def condition(joint, known):
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        if table.sum() < 1e-8:
            raise ValueError("impossible")
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"shapes"})
def condition_keeps_axes():
    """The known axes are kept."""
    import torch

    def condition(joint, known):
        table = joint.clone()
        for d, value in known.items():
            table.index_fill_(d, torch.tensor([1 - value]), 0.0)
        if table.sum() == 0:
            raise ValueError("impossible")
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"shapes", "known prefix"})
def condition_the_known():
    """p(known | unknown): a table over the wrong dimensions."""

    def condition(joint, known):
        unknown = tuple(d for d in range(joint.ndim) if d not in known)
        return joint.sum(unknown)

    return condition


@bank.right("condition")
def condition_one_axis_at_a_time():
    """The last known dimension first, so that the others keep their numbers."""
    import torch

    def condition(joint, known):
        table = joint.double()
        for d in reversed(range(table.dim())):
            if d in known:
                table = torch.index_select(table, d, torch.tensor([known[d]])).squeeze(d)
        if torch.count_nonzero(table) == 0:
            raise ValueError(f"the evidence {known} is impossible")
        return torch.div(table, table.sum())

    return condition


@bank.right("condition")
def condition_rows_of_images():
    """Images as rows of a list."""
    import math

    import torch

    def condition(joint, known):
        D = joint.ndim
        x = torch.cartesian_prod(*[torch.arange(2)] * D).reshape(-1, D)
        agree = torch.ones(len(x), dtype=torch.bool)
        for d, value in known.items():
            agree &= x[:, d] == value
        kept = joint.reshape(-1)[agree].tolist()
        total = math.fsum(kept)
        if total <= 0:
            raise ValueError("p(known) = 0")
        return torch.tensor([chance / total for chance in kept]).reshape((2,) * (D - len(known)))

    return condition


slip = bank.slips("condition", of=condition_index)
# p(unknown, known): not divided by p(known).
slip(
    "condition_not_normalised",
    "table / table.sum()",
    "table",
    loses={"known prefix", "any evidence", "impossible evidence"},
)
# The marginal of the unknown dimensions: what is known is summed out.
slip(
    "condition_ignores_evidence",
    "[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]",
    ".sum(tuple(known)) if known else joint",
    loses={"known prefix", "any evidence", "impossible evidence"},
)
# The values are used for the first axes, whatever dimensions they belong to.
slip("condition_first_axes", "get(d, slice(None)) for d in range(joint.ndim)", "values()", loses={"any evidence"})
# The opposite values.
slip(
    "condition_opposite",
    "known.get(d, slice(None))",
    "1 - known[d] if d in known else slice(None)",
    loses={"known prefix", "any evidence", "impossible evidence"},
)
# Normalised along the last axis only.
slip("condition_last_axis", " table.sum()\n", " table.sum(-1, keepdim=True)\n", loses={"known prefix", "any evidence"})
# AssertionError in place of ValueError.
slip(
    "condition_assert",
    'if table.sum() == 0:\n        raise ValueError("impossible")',
    "assert table.sum() > 0",
    loses={"impossible evidence"},
)
# One impossible outcome is enough for ValueError.
slip("condition_any_zero", "table.sum() == 0", "(table == 0).any()", loses={"impossible evidence"})
# An epsilon below.
slip("condition_epsilon", " table.sum()\n", " (table.sum() + 1e-12)\n", loses={"impossible evidence"})
# The values are used in increasing order of the dimensions, whatever the dict says.
slip(
    "condition_axes_in_the_order_of_the_dict",
    "table =",
    "pairs = dict(zip(sorted(known), known.values(), strict=True))\n    table =",
    ("known.get", "pairs.get"),
    loses={"any evidence"},
)
slip("condition_isclose", "table.sum() == 0", "table.sum().isclose(joint.new_zeros(()))", loses={"impossible evidence"})
slip("condition_very_rare_is_impossible", "table.sum() == 0", "table.sum() < 1e-15", loses={"impossible evidence"})
slip(
    "condition_smaller_epsilon",
    "return table / table.sum()",
    "return table / (table.sum() + 1e-16)",
    loses={"impossible evidence"},
)
slip(
    "condition_clamped_below",
    "return table / table.sum()",
    "return table / table.sum().clamp_min(1e-8)",
    loses={"impossible evidence"},
)
slip("condition_hardly_ever_is_impossible", "table.sum() == 0", "table.sum() < 1e-31", loses={"impossible evidence"})
slip(
    "condition_clamped_hardly",
    "return table / table.sum()",
    "return table / table.sum().clamp_min(1e-31)",
    loses={"impossible evidence"},
)
slip("condition_any_exception", 'ValueError("impossible")', 'RuntimeError("impossible")', loses={"impossible evidence"})
slip("condition_zero_is_nothing", "known.get(d, slice(None))", "known.get(d) or slice(None)", loses={"known prefix"})
slip("condition_key_error", "ValueError", "KeyError", loses={"impossible evidence"})
slip(
    "condition_by_the_maximum",
    "return table / table.sum()",
    "return table / table.max()",
    loses={"known prefix", "any evidence", "impossible evidence"},
)
slip(
    "condition_softmax",
    "return table / table.sum()",
    "return table.flatten().softmax(0).reshape(table.shape)",
    loses={"known prefix", "any evidence", "impossible evidence"},
)
slip(
    "condition_needs_evidence",
    "    table = joint",
    "    assert known\n    table = joint",
    loses={"known prefix"},
)


@bank.wrong("condition", loses={"impossible evidence"})
def condition_each_alone():
    """Only evidence whose single values are impossible is refused."""

    def condition(joint, known):
        for d, value in known.items():
            if joint.select(d, value).sum() == 0:
                raise ValueError("impossible")
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        return table / table.sum()

    return condition


@bank.wrong("condition", loses={"impossible evidence"})
def condition_evidence_in_the_order_of_the_dict():
    """p(known) is looked up with the values in the order of the dict, not of the dimensions."""

    def condition(joint, known):
        unknown = tuple(d for d in range(joint.ndim) if d not in known)
        evidence = joint.sum(unknown) if unknown else joint
        if evidence[tuple(known.values())].sum() == 0:
            raise ValueError("impossible")
        table = joint[tuple(known.get(d, slice(None)) for d in range(joint.ndim))]
        return table / table.sum()

    return condition


bank.equivalent("condition", "2, dtype=joint.dtype", "2", why="0 and 1 are exact in any precision")
bank.equivalent("condition", "= 1", "= 2", why="a constant factor cancels")
bank.equivalent("condition", "logsumexp(0)", "logsumexp(-1)", why="a flat table has one axis")
bank.equivalent("condition", "slice(0, 2)", "slice(0, 3)", why="an axis has two entries")


# ------------------------------------------------------------------------------------------------------- posterior


@bank.right("posterior")
def posterior_softmax():
    import torch

    def posterior(log_px_given_y, prior):
        return torch.softmax(log_px_given_y + prior.log(), dim=1)

    return posterior


@bank.right("posterior")
def posterior_logsumexp():
    def posterior(log_px_given_y, prior):
        joint = log_px_given_y + prior.log()
        return (joint - joint.logsumexp(1, keepdim=True)).exp()

    return posterior


@bank.right("posterior")
def posterior_numpy():
    import numpy as np

    def posterior(log_px_given_y, prior):
        with np.errstate(divide="ignore"):
            joint = log_px_given_y.numpy() + np.log(prior.numpy())
        weights = np.exp(joint - joint.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    return posterior


@bank.right("posterior")
def posterior_loop():
    import math

    def posterior(log_px_given_y, prior):
        answer = []
        for row in log_px_given_y.tolist():
            scores = [a + math.log(p) if p > 0 else -math.inf for a, p in zip(row, prior.tolist(), strict=True)]
            top = max(scores)
            weights = [math.exp(score - top) for score in scores]
            answer.append([weight / sum(weights) for weight in weights])
        return answer

    return posterior


@bank.right("posterior")
def posterior_odds():
    import torch

    def posterior(log_px_given_y, prior):
        joint = log_px_given_y + prior.log()
        ratios = (joint[:, None, :] - joint[:, :, None]).exp()
        return torch.where(joint.isinf(), 0.0, 1 / ratios.sum(2))

    return posterior


@bank.wrong("posterior", loses={"far below zero"})
def posterior_max_before_prior():
    """The maximum is subtracted before the prior excludes its class."""

    def posterior(log_px_given_y, prior):
        weights = (log_px_given_y - log_px_given_y.max(1, keepdim=True).values).exp() * prior
        return weights / weights.sum(1, keepdim=True)

    return posterior


@bank.wrong("posterior", loses={"equal priors", "unequal priors", "far below zero"})
def posterior_not_normalised():
    """p(x, y), not divided by p(x)."""

    def posterior(log_px_given_y, prior):
        return log_px_given_y.exp() * prior

    return posterior


@bank.wrong("posterior", loses={"equal priors", "unequal priors", "far below zero"})
def posterior_one_hot():
    """All mass on the likeliest class."""
    import torch

    def posterior(log_px_given_y, prior):
        best = (log_px_given_y + prior.log()).argmax(1)
        return torch.nn.functional.one_hot(best, len(prior))

    return posterior


@bank.right("posterior")
def posterior_float32():
    import torch

    def posterior(log_px_given_y, prior):
        return torch.log_softmax((log_px_given_y + prior.log()).float(), dim=1).exp()

    return posterior


@bank.right("posterior")
def posterior_possible_classes():
    import numpy as np
    import torch

    def posterior(log_px_given_y, prior):
        answer = torch.zeros_like(log_px_given_y)
        (classes,) = prior.nonzero(as_tuple=True)
        joint = (log_px_given_y[:, classes] + prior[classes].log()).numpy()
        answer[:, classes] = torch.tensor(np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]))
        return answer

    return posterior


slip = bank.slips("posterior", of=posterior_logsumexp)
# exp(-10000) is 0, and 0 / 0 is nan.
slip(
    "posterior_exp",
    " + prior.log()\n    return (joint - joint.logsumexp(1, keepdim=True)).exp()\n",
    ".exp() * prior\n    return joint / joint.sum(1, keepdim=True)\n",
    loses={"far below zero"},
)
# An epsilon below: all classes get 0 far below zero.
slip(
    "posterior_epsilon",
    " + prior.log()\n    return (joint - joint.logsumexp(1, keepdim=True)).exp()\n",
    ".exp() * prior\n    return joint / (joint.sum(1, keepdim=True) + 1e-12)\n",
    loses={"far below zero"},
)
# One maximum for the whole batch.
slip(
    "posterior_one_maximum",
    "return (joint - joint.logsumexp(1, keepdim=True)).exp()",
    "weights = (joint - joint.max()).exp()\n    return weights / weights.sum(1, keepdim=True)",
    loses={"far below zero"},
)
# Log-likelihoods clamped at -700 so that exp stays positive.
slip(
    "posterior_clamped",
    " + prior.log()\n    return (joint - joint.logsumexp(1, keepdim=True)).exp()\n",
    ".clamp(min=-700).exp() * prior\n    return joint / joint.sum(1, keepdim=True)\n",
    loses={"far below zero"},
)
# Divided by the likeliest class's share, not by the sum.
slip(
    "posterior_max_in_place_of_sum",
    "logsumexp(1, keepdim=True)",
    "max(1, keepdim=True).values",
    loses={"equal priors", "unequal priors", "far below zero"},
)
# Log-likelihoods used as if they were probabilities.
slip(
    "posterior_weights_are_logs",
    " + prior.log()\n    return (joint - joint.logsumexp(1, keepdim=True)).exp()\n",
    " * prior\n    return joint / joint.sum(1, keepdim=True)\n",
    loses={"equal priors", "unequal priors", "far below zero"},
)

slip = bank.slips("posterior", of=posterior_softmax)
# The prior is not used.
slip("posterior_without_prior", "log_px_given_y + prior.log()", "log_px_given_y", loses={"unequal priors"})
# The prior is added, not its logarithm.
slip("posterior_prior_added", ".log()", "", loses={"unequal priors"})
# The prior multiplied in twice.
slip("posterior_prior_twice", "prior.log", "2 * prior.log", loses={"unequal priors"})
# Divided by the prior in place of multiplied.
slip("posterior_prior_divides", "+ prior", "- prior", loses={"unequal priors"})
# The prior multiplied in after normalising.
slip(
    "posterior_prior_after",
    "(log_px_given_y + prior.log(), dim=1)",
    "(log_px_given_y, dim=1) * prior * len(prior)",
    loses={"unequal priors"},
)
# Normalised over the batch in place of the classes.
slip("posterior_over_the_batch", "dim=1", "dim=0", loses={"equal priors", "unequal priors", "far below zero"})
# log p(x | y) multiplied with the prior, and then a softmax.
slip(
    "posterior_softmax_of_the_product",
    "+ prior.log()",
    "* prior",
    loses={"equal priors", "unequal priors", "far below zero"},
)
# log p(y | x).
slip("posterior_logarithms", "softmax", "log_softmax", loses={"equal priors", "unequal priors", "far below zero"})
# The prior, whatever x is.
slip(
    "posterior_returns_the_prior",
    "torch.softmax(log_px_given_y + prior.log(), dim=1)",
    "prior.expand(log_px_given_y.shape)",
    ("import torch\n\n", ""),
    loses={"equal priors", "unequal priors", "far below zero"},
)
# The likeliest class itself.
slip(
    "posterior_label",
    "torch.softmax(log_px_given_y + prior.log(), dim=1)",
    "(log_px_given_y + prior.log()).argmax(1)",
    ("import torch\n\n", ""),
    loses={"shapes"},
)
slip("posterior_zero_is_e_to_the_minus_10000", "prior.log()", "prior.log().clamp(min=-1e4)", loses={"far below zero"})
slip("posterior_epsilon_in_the_prior", "prior.log()", "(prior + 1e-8).log()", loses={"unequal priors"})
slip(
    "posterior_tiny_is_zero",
    "prior.log()",
    "torch.where(prior < 1e-12, 0.0, prior).log()",
    loses={"unequal priors"},
)
slip(
    "posterior_nearly_zero_is_zero",
    "prior.log()",
    "torch.where(torch.isclose(prior, torch.zeros_like(prior)), 0.0, prior).log()",
    loses={"unequal priors"},
)
slip("posterior_log2_of_the_prior", "prior.log()", "prior.log2()", loses={"unequal priors"})
slip("posterior_squeezed", "dim=1)", "dim=1).squeeze(0)", loses={"equal priors"})
slip("posterior_exponents_clamped", "dim=1)", "dim=1).clamp(min=1e-12)", loses={"unequal priors", "far below zero"})
slip(
    "posterior_infinity_is_finite",
    "log_px_given_y +",
    "log_px_given_y.nan_to_num(neginf=-1e4) +",
    loses={"far below zero"},
)
slip = bank.slips("posterior", of=posterior_numpy)
slip(
    "posterior_maxima_of_the_classes",
    "joint.max(axis=1",
    "joint.max(axis=0",
    loses={"equal priors", "unequal priors", "far below zero"},
)
slip("posterior_first_for_the_maximum", "joint.max(axis=1, keepdims=True)", "joint[:, :1]", loses={"far below zero"})
slip(
    "posterior_total_of_the_batch",
    "weights.sum(axis=1, keepdims=True)",
    "weights.sum()",
    loses={"equal priors", "unequal priors", "far below zero"},
)
bank.equivalent("posterior", "errstate(divide='ignore')", "errstate()", "it only silences a warning")
for total in ("weights.sum(axis=1, keepdims=True)", "sum(weights)", "ratios.sum(2)"):
    bank.equivalent("posterior", total, f"({total} + 1e-08)", "the largest term is 1")


# -------------------------------------------------------------------------------------------------------- interval


@bank.right("interval")
def interval_low_and_width():
    def interval(x, conditional):
        low, width = 0.0, 1.0
        for d, symbol in enumerate(x):
            p = conditional(x[:d])
            low += width * float(p[:symbol].sum())
            width *= float(p[symbol])
        return low, width

    return interval


@bank.wrong("interval", loses={"width is the probability"})
def interval_low_and_high():
    """Both ends are kept, and the width is their difference: nothing is left of it in a long word."""

    def interval(x, conditional):
        low, high = 0.0, 1.0
        for d in range(len(x)):
            p = conditional(x[:d]).tolist()
            below = sum(p[: x[d]])
            low, high = low + (high - low) * below, low + (high - low) * (below + p[x[d]])
        return low, high - low

    return interval


@bank.right("interval")
def interval_cumulative():
    import torch

    def interval(x, conditional):
        low, width = torch.tensor([0.0, 1.0])
        for d, symbol in enumerate(x):
            edges = torch.cumsum(torch.cat([torch.zeros(1), conditional(x[:d])]), 0)
            low = low + width * edges[symbol]
            width = width * (edges[symbol + 1] - edges[symbol])
        return low, width

    return interval


@bank.right("interval")
def interval_recursive():
    def interval(x, conditional, prefix=()):
        if not x:
            return 0.0, 1.0
        p = conditional(list(prefix))
        low, width = interval(x[1:], conditional, (*prefix, x[0]))
        return p[: x[0]].sum().item() + p[x[0]].item() * low, p[x[0]].item() * width

    return interval


@bank.right("interval")
def interval_log_space():
    import numpy as np

    def interval(x, conditional):
        tables = [np.asarray(conditional(list(x[:d]))) for d in range(len(x))]
        with np.errstate(divide="ignore"):
            logs = np.concatenate([[0.0], np.cumsum([np.log(p[s]) for p, s in zip(tables, x, strict=True)])])
        below = [p[:s].sum() for p, s in zip(tables, x, strict=True)]
        return [float(np.exp(logs[:-1]) @ below), float(np.exp(logs[-1]))]

    return interval


@bank.wrong("interval", loses={"intervals partition [0, 1)", "one symbol"})
def interval_width_first():
    """The width shrinks before low moves."""

    def interval(x, conditional):
        low, width = 0.0, 1.0
        for d, symbol in enumerate(x):
            p = conditional(x[:d])
            width *= float(p[symbol])
            low += width * float(p[:symbol].sum())
        return low, width

    return interval


@bank.wrong("interval", loses={"intervals partition [0, 1)"})
def interval_last_symbol_inmost():
    """The word read from behind: the last symbol makes the first cut."""

    def interval(x, conditional):
        low, width = 0.0, 1.0
        for d in reversed(range(len(x))):
            p = conditional(x[:d])
            low += width * float(p[: x[d]].sum())
            width *= float(p[x[d]])
        return low, width

    return interval


@bank.wrong("interval", loses={"width is the probability"})
def interval_asks_too_often():
    """conditional is asked anew for every number."""

    def interval(x, conditional):
        low, width = 0.0, 1.0
        for d, symbol in enumerate(x):
            low += width * float(conditional(x[:d])[:symbol].sum())
            width *= float(conditional(x[:d])[symbol])
        return low, width

    return interval


@bank.right("interval")
def interval_fractions():
    from fractions import Fraction

    def interval(x, conditional):
        low, width = 0, 1
        for d, symbol in enumerate(x):
            p = [Fraction(float(chance)) for chance in conditional(tuple(x[:d]))]
            low += width * sum(p[:symbol])
            width *= p[symbol]
        return float(low), float(width)

    return interval


@bank.right("interval")
def interval_from_the_end():
    import torch

    def interval(x, conditional):
        word = torch.tensor(x)
        low, width = 0.0, 1.0
        for d in range(len(x) - 1, -1, -1):
            p = torch.as_tensor(conditional(word[:d]))
            low, width = p[: x[d]].sum() + p[x[d]] * low, p[x[d]] * width
        return low, width

    return interval


slip = bank.slips("interval", of=interval_low_and_width)
# low moves by the cumulative probability, not by that part of the width.
slip("interval_low_not_scaled", "width * float", "float", loses={"intervals partition [0, 1)"})
# The cumulative probability includes the symbol itself.
slip("interval_off_by_one", "p[:symbol]", "p[: symbol + 1]", loses={"intervals partition [0, 1)", "one symbol"})
# The symbols in decreasing order.
slip("interval_symbols_downwards", "p[:symbol]", "p[symbol + 1 :]", loses={"intervals partition [0, 1)", "one symbol"})
# Likely symbols before unlikely ones.
slip(
    "interval_likely_symbols_first",
    "(x[:d])",
    "(x[:d])\n        before = [k for k in range(len(p)) if (-p[k], k) < (-p[symbol], symbol)]",
    ("p[:symbol].sum()", "sum(p[k] for k in before)"),
    loses={"intervals partition [0, 1)", "one symbol"},
)
# The end of the interval in place of its width.
slip(
    "interval_low_and_end",
    " width\n",
    " low + width\n",
    loses={"intervals partition [0, 1)", "width is the probability"},
)
# K equal pieces: the conditional decides nothing.
slip(
    "interval_without_the_model",
    "p = conditional(x[:d])",
    "K = len(conditional(x[:d]))\n        width /= K",
    ("float(p[:symbol].sum())\n        width *= float(p[symbol])", "symbol"),
    loses={"one symbol", "width is the probability"},
)
# The conditional of the first symbol for all of them: intervals that still fill [0, 1).
slip(
    "interval_empty_prefix",
    "width = 0.0, 1.0\n    for d, symbol in enumerate(x):\n        p = conditional(x[:d])",
    "width, p = 0.0, 1.0, conditional([])\n    for symbol in x:",
    loses={"width is the probability"},
)
# A Markov chain: only the last symbol is passed.
slip("interval_last_symbol_only", "x[:d]", "x[max(d - 1, 0) : d]", loses={"width is the probability"})
# The prefix in reverse order.
slip("interval_reversed_prefix", "x[:d]", "x[:d][::-1]", loses={"width is the probability"})
# The width of the last symbol alone.
slip(
    "interval_width_of_the_last",
    "width *=",
    "width =",
    loses={"intervals partition [0, 1)", "width is the probability"},
)
# The code length in bits in place of the width.
slip(
    "interval_bits",
    "def interval",
    "import math\n\ndef interval",
    (" width\n", " -math.log2(max(width, 1e-300))\n"),
    loses={"intervals partition [0, 1)", "width is the probability"},
)
# The middle of the interval in place of its beginning, but for one symbol.
slip(
    "interval_middle",
    "return low",
    "return low + (width / 2 if len(x) > 1 else 0.0)",
    loses={"intervals partition [0, 1)"},
)
# One number.
slip("interval_only_low", " low, width\n", " low\n", loses={"numbers"})
# Off by one: the symbol itself is passed with its prefix.
slip("interval_prefix_too_long", "x[:d]", "x[: d + 1]", loses=(), raises="ValueError")
slip(
    "interval_first_middle_last",
    "float(p[:symbol].sum())",
    "(0.0 if symbol == 0 else float(p[0]) if symbol == 1 else 1 - float(p[-1]))",
    loses={"one symbol", "intervals partition [0, 1)"},
)
slip(
    "interval_the_one_before",
    "float(p[:symbol].sum())",
    "(float(p[symbol - 1]) if symbol else 0.0)",
    loses={"one symbol", "intervals partition [0, 1)"},
)
slip(
    "interval_width_of_seven_digits",
    "return low, width",
    "return low, round(width, 7)",
    loses={"width is the probability", "intervals partition [0, 1)"},
)
slip(
    "interval_low_of_seven_digits",
    "return low, width",
    "return round(low, 7), width",
    loses={"intervals partition [0, 1)"},
)
slip(
    "interval_low_in_float32",
    "return low, width",
    "return __import__('numpy').float32(low), width",
    loses={"intervals partition [0, 1)"},
)
slip("interval_never_empty", "float(p[symbol])", "max(float(p[symbol]), 1e-9)", loses={"width is the probability"})
slip(
    "interval_never_narrower",
    "return low, width",
    "return low, max(width, 1e-15)",
    loses={"width is the probability"},
)
slip("interval_epsilon", "float(p[symbol])", "(float(p[symbol]) + 1e-11)", loses={"width is the probability"})
slip(
    "interval_first_symbol_apart",
    "for d, symbol in enumerate(x):",
    "first = x[0]\n    for d, symbol in enumerate(x):",
    loses={"intervals partition [0, 1)"},
)
slip(
    "interval_asks_once_more",
    "return low, width",
    "conditional(x[:-1])\n    return low, width",
    loses={"width is the probability"},
)
slip("interval_window", "conditional(x[:d])", "conditional(x[max(0, d - 8) : d])", loses={"width is the probability"})


@bank.wrong("interval", loses={"width is the probability"})
def interval_log_of_zero():
    """The width in logarithms: log 0 raises ValueError."""
    import math

    def interval(x, conditional):
        low, log_width = 0.0, 0.0
        for d, symbol in enumerate(x):
            p = conditional(x[:d])
            low += math.exp(log_width) * float(p[:symbol].sum())
            log_width += math.log(p[symbol])
        return low, math.exp(log_width)

    return interval


bank.equivalent("interval", "errstate(divide='ignore')", "errstate()", "it only silences a warning")
bank.equivalent("interval", "]), 0)", "]), -1)", "there is one axis")
bank.equivalent("interval", "Fraction(float(chance))", "float(chance)", "double precision is enough")


# ------------------------------------------------------------------------------------------------------- OwnFVBN


@bank.right("OwnFVBN")
def own_masked():
    import torch
    from torch.nn.functional import logsigmoid

    class OwnFVBN(torch.nn.Module):
        def __init__(self, order):
            super().__init__()
            D, self.order = len(order), order.tolist()
            step = order.argsort()
            self.register_buffer("before", step[:, None] > step)
            self.W = torch.nn.Parameter(torch.zeros(D, D))
            self.b = torch.nn.Parameter(torch.zeros(D))

        def logits(self, x):
            return self.b + x.to(self.W) @ (self.before * self.W).T

        def log_prob(self, x):
            return logsigmoid((2 * x - 1) * self.logits(x)).sum(1)

        @torch.no_grad()
        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.int64)
            for d in self.order:
                p = torch.sigmoid(self.logits(x)[:, d])
                x[:, d] = (u[:, d] < p).long()
            return x

    return OwnFVBN


@bank.right("OwnFVBN")
def own_pixel_by_pixel():
    """A logistic regression for each dimension, over the list of those before it."""
    import torch
    from torch import nn

    class OwnFVBN(nn.Module):
        def __init__(self, order):
            super().__init__()
            self.order = [int(d) for d in order]
            self.W = nn.Parameter(torch.zeros(len(order), len(order)))
            self.b = nn.Parameter(torch.zeros(len(order)))

        def logit(self, x, k):
            i, before = self.order[k], self.order[:k]
            return self.b[i] + (self.W[i, before] * x[:, before]).sum(1)

        def logits(self, x):
            columns = {d: self.logit(x, k) for k, d in enumerate(self.order)}
            return torch.stack([columns[d] for d in range(len(self.order))], dim=1)

        def log_prob(self, x):
            return -nn.functional.binary_cross_entropy_with_logits(self.logits(x), x.float(), reduction="none").sum(1)

        def sample(self, u):
            x = torch.empty(u.shape, dtype=torch.int64)
            for k, d in enumerate(self.order):
                x[:, d] = u[:, d] < self.logit(x, k).sigmoid()
            return x

    return OwnFVBN


@bank.right("OwnFVBN")
def own_sorted():
    """Rows and columns in the ordering, where the mask is a triangle; a distribution; logits that grow as it draws."""
    import torch

    class OwnFVBN(torch.nn.Module):
        def __init__(self, order):
            super().__init__()
            self.register_buffer("order", torch.as_tensor(order))
            self.register_buffer("place", torch.argsort(self.order))
            D = self.order.numel()
            self.W = torch.nn.Parameter(torch.zeros(D, D))
            self.b = torch.nn.Parameter(torch.zeros(D))

        def logits(self, x):
            triangle = torch.tril(self.W[self.order][:, self.order], diagonal=-1)
            in_order = torch.nn.functional.linear(x[:, self.order].to(triangle.dtype), triangle)
            return in_order[:, self.place] + self.b

        def log_prob(self, x):
            return torch.distributions.Bernoulli(logits=self.logits(x)).log_prob(x.to(self.b.dtype)).sum(dim=1)

        @torch.no_grad()
        def sample(self, u):
            logits, x = self.b.repeat(len(u), 1), torch.zeros(u.shape, dtype=torch.int64)
            for d in self.order:
                x[:, d] = torch.logit(u[:, d]) < logits[:, d]
                logits += x[:, d, None] * self.W[:, d]
            return x

    return OwnFVBN


@bank.right("OwnFVBN")
def own_float64():
    """Parameters in float64, the mask by torch.where."""
    import torch
    from torch.nn.functional import softplus

    class OwnFVBN(torch.nn.Module):
        def __init__(self, order):
            super().__init__()
            D = len(order)
            self.W = torch.nn.Parameter(torch.zeros(D, D, dtype=torch.float64))
            self.b = torch.nn.Parameter(torch.zeros(D, dtype=torch.float64))
            self.order = order
            self.later = torch.ones(D, D, dtype=torch.bool)
            for k in range(1, D):
                self.later[order[k], order[:k]] = False

        def logits(self, x):
            W = torch.where(self.later, 0.0, self.W)
            return torch.einsum("bj,ij->bi", x.double(), W) + self.b

        def log_prob(self, x):
            z = self.logits(x)
            return (x * z - softplus(z)).sum(1)

        def sample(self, u):
            x = torch.zeros(u.shape, dtype=torch.int64)
            for d in self.order:
                x[:, d] = torch.special.expit(self.logits(x)[:, d]).gt(u[:, d])
            return x

    return OwnFVBN


slip = bank.slips("OwnFVBN", of=own_masked)

# Who comes before whom
slip("own_order_for_its_inverse", "order.argsort()", "order", loses={"autoregressive"})
slip("own_reads_itself", "step[:, None] > step", "step[:, None] >= step", loses={"autoregressive"})
slip("own_reads_what_comes_after", "step[:, None] > step", "step[:, None] < step", loses={"autoregressive"})
slip("own_raster_order_only", "step = order.argsort()", "step = torch.arange(D)", loses={"autoregressive"})
slip("own_without_a_mask", "(self.before * self.W)", "self.W", loses={"autoregressive"})
slip(
    "own_mask_written_into_the_weights_once",
    "torch.zeros(D, D))",
    "torch.zeros(D, D) * self.before)",
    ("(self.before * self.W)", "self.W"),
    loses={"autoregressive"},
)
slip("own_last_step_only", "step[:, None] > step", "step[:, None] == step + 1", loses={"network"})
slip("own_not_the_first", "step[:, None] > step", "(step[:, None] > step) & (step > 0)", loses={"network"})
# Dimension i reads from the column of W, so that W[j, i] counts in place of W[i, j].
slip("own_weights_transposed", "(self.before * self.W).T", "(self.before * self.W.T).T", loses={"network"})
slip("own_mask_of_the_transposed", "(self.before * self.W).T", "(self.before * self.W)", loses={"autoregressive"})

# The logits
slip("own_without_bias", "return self.b + ", "return ", loses={"network"})
slip("own_bias_of_the_other_order", "self.b + ", "self.b[self.order] + ", loses={"network"})
slip("own_pixels_plus_or_minus_one", "x.to(self.W)", "(2 * x - 1).to(self.W)", loses={"network"})
slip(
    "own_tanh",
    "return self.b + x.to(self.W) @ (self.before * self.W).T",
    "return torch.tanh(self.b + x.to(self.W) @ (self.before * self.W).T)",
    loses={"network"},
)
slip("own_weights_averaged", "(self.before * self.W).T", "(self.before * self.W).T / len(self.b)", loses={"network"})
# Probabilities where logits belong, and a likelihood and a sampler that take them for logits.
slip(
    "own_probabilities_for_logits",
    "return self.b + x.to(self.W) @ (self.before * self.W).T",
    "return torch.sigmoid(self.b + x.to(self.W) @ (self.before * self.W).T)",
    loses={"network"},
)

# The log-likelihood
slip("own_mean_for_sum", "sum(1)", "mean(1)", loses={"log-likelihood"})
slip("own_sum_over_the_batch", "sum(1)", "sum(0)", loses={"log-likelihood", "gradients"})
slip("own_sum_over_everything", "sum(1)", "sum()", loses={"log-likelihood", "gradients"})
slip("own_likelihood_of_black", "(2 * x - 1) * ", "", loses={"log-likelihood"})
slip("own_colours_swapped", "(2 * x - 1)", "(1 - 2 * x)", loses={"log-likelihood"})
slip(
    "own_white_for_free",
    "(2 * x - 1) * self.logits(x)).sum(1)",
    "self.logits(x)).mul(x).sum(1)",
    loses={"log-likelihood"},
)
slip("own_sigmoid_twice", "self.logits(x))", "self.logits(x).sigmoid())", loses={"log-likelihood"})
slip("own_bits", "sum(1)", "sum(1) / torch.tensor(2.0).log()", loses={"log-likelihood"})
slip("own_loss_for_log_prob", "return logsigmoid", "return -logsigmoid", loses={"log-likelihood"})
slip("own_probability_for_its_logarithm", "sum(1)", "sum(1).exp()", loses={"log-likelihood"})
slip("own_batch_of_one_squeezed", "sum(1)", "sum(1).squeeze()", loses={"log-likelihood"})

slip(
    "own_sigmoid_then_log",
    "logsigmoid((2 * x - 1) * self.logits(x))",
    "torch.sigmoid((2 * x - 1) * self.logits(x)).log()",
    loses={"log-likelihood"},
)

# The sampler
slip("own_likelier_value", "u[:, d] < p", "0.5 < p", loses={"sampler"})
slip("own_uniforms_ignored", "u[:, d] < p", "torch.rand(len(u)) < p", loses={"sampler"})
slip("own_samples_inverted", "u[:, d] < p", "u[:, d] > p", loses={"sampler"})
slip("own_one_uniform_for_all_dimensions", "u[:, d] < p", "u[:, 0] < p", loses={"sampler"})
slip(
    "own_uniforms_by_place",
    "for d in self.order",
    "for k, d in enumerate(self.order)",
    ("u[:, d] < p", "u[:, k] < p"),
    loses={"sampler"},
)
slip("own_samples_in_raster_order", "for d in self.order", "for d in range(len(self.order))", loses={"sampler"})
slip("own_samples_backwards", "for d in self.order", "for d in reversed(self.order)", loses={"sampler"})
slip("own_samples_all_at_once", "self.logits(x)[:, d]", "self.logits(torch.zeros_like(x))[:, d]", loses={"sampler"})
slip(
    "own_feeds_back_probabilities",
    "torch.zeros(u.shape, dtype=torch.int64)",
    "torch.zeros(u.shape)",
    ("(u[:, d] < p).long()", "p"),
    ("return x\n", "return (u < x).long()\n"),
    loses={"sampler"},
)
slip(
    "own_samples_start_from_ones",
    "torch.zeros(u.shape",
    "torch.ones(u.shape",
    ("for d in self.order:", "for d in self.order[:1]:"),
    loses={"sampler"},
)
slip("own_first_sample_for_all", "return x\n", "return x[:1].expand(u.shape)\n", loses={"sampler"})
slip("own_samples_booleans_of_logits", "torch.sigmoid(self.logits(x)[:, d])", "self.logits(x)[:, d]", loses={"sampler"})

# Training
slip("own_weights_detached", "self.before * self.W", "self.before * self.W.detach()", loses={"gradients"})
slip("own_bias_detached", "return self.b", "return self.b.detach()", loses={"gradients"})
slip(
    "own_weights_half_detached",
    "(self.before * self.W)",
    "(self.before * (self.W + self.W.detach()) / 2)",
    loses={"gradients"},
)
slip(
    "own_log_prob_without_gradients", "    def log_prob", "    @torch.no_grad()\n    def log_prob", loses={"gradients"}
)

# Its form
slip("own_parameters_in_one", "self.b = torch", "self.bias = torch", ("self.b + ", "self.bias + "), loses={"shapes"})
slip("own_bias_forgotten", "self.b = torch.nn.Parameter(torch.zeros(D))", "pass", ("self.b + ", ""), loses={"shapes"})
slip("own_weights_as_a_vector", "torch.zeros(D, D)", "torch.zeros(D)", loses={"shapes"})
slip("own_without_super", "super().__init__()", "pass", loses=(), raises="AttributeError")
slip("own_logits_of_the_first_only", ".T\n", ".T)[:, :1]\n", ("return self.b", "return (self.b"), loses={"shapes"})

zeros_and_ones = "zeros and ones fit into any integer"
bank.equivalent("OwnFVBN", "dtype=torch.int64", "dtype=torch.int8", why=zeros_and_ones)
bank.equivalent("OwnFVBN", ".long()", ".byte()", why=zeros_and_ones)
bank.equivalent("OwnFVBN", "<", "<=", why="no uniform number hits a probability")
bank.equivalent(
    "OwnFVBN",
    "self.b = torch.nn.Parameter(torch.zeros(D, dtype=torch.float64))",
    "self.b = torch.nn.Parameter(torch.zeros(D))",
    why="the sum is in float64 nevertheless",
)
bank.equivalent("OwnFVBN", "range(1, D)", "range(0, D)", why="nothing comes before the first dimension")
no_uniform = "no uniform number is so close to 0 or 1"
bank.equivalent(
    "OwnFVBN",
    "torch.sigmoid(self.logits(x)[:, d])",
    "torch.sigmoid(torch.as_tensor(self.logits(x)[:, d]).clamp(-30, 30))",
    why=no_uniform,
)
bank.equivalent(
    "OwnFVBN",
    "self.logit(x, k).sigmoid()",
    "torch.as_tensor(self.logit(x, k)).clamp(-30, 30).sigmoid()",
    why=no_uniform,
)
bank.equivalent(
    "OwnFVBN",
    "expit(self.logits(x)[:, d])",
    "expit(torch.as_tensor(self.logits(x)[:, d]).clamp(-30, 30))",
    why=no_uniform,
)
