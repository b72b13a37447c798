"""Right and wrong answers to lesson 10, evaluation.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("evaluation")

# ------------------------------------------------------------------------------------------------ frechet_distance


@bank.right("frechet_distance")
def distance_by_symmetric_roots():
    import torch

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        values, vectors = torch.linalg.eigh(cov_1)
        root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
        roots = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()
        difference = mean_1 - mean_2
        return difference @ difference + cov_1.trace() + cov_2.trace() - 2 * roots.sum()

    return frechet_distance


@bank.right("frechet_distance")
def distance_by_eigenvalues_of_the_product():
    import torch

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        roots = torch.linalg.eigvals(cov_1 @ cov_2).real.clamp(min=0) ** 0.5
        traces = torch.diagonal(cov_1 + cov_2).sum()
        return float((mean_1 - mean_2).square().sum() + traces - 2 * roots.sum())

    return frechet_distance


@bank.right("frechet_distance")
def distance_by_the_nuclear_norm():
    """Both covariances are split into a matrix times its transpose; the singular values of what overlaps add up."""
    import torch

    def factor(cov):
        vectors, values, _ = torch.linalg.svd(cov)
        return vectors * values.sqrt()

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        overlap = torch.linalg.matrix_norm(factor(cov_1).mT @ factor(cov_2), "nuc")
        spread = factor(cov_1).pow(2).sum() + factor(cov_2).pow(2).sum()
        return torch.dist(mean_1, mean_2) ** 2 + spread - 2 * overlap

    return frechet_distance


@bank.right("frechet_distance")
def distance_by_a_whole_root():
    """The matrix of the formula itself, with a symmetric one under its root."""
    import numpy as np
    import torch

    def root(C):
        values, vectors = np.linalg.eigh(C)
        return (vectors * np.where(values > 0, values, 0) ** 0.5) @ vectors.T

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        mean_1, cov_1, mean_2, cov_2 = (torch.as_tensor(x).double().numpy() for x in (mean_1, cov_1, mean_2, cov_2))
        first = root(cov_2)
        matrix = cov_1 + cov_2 - 2 * root(first @ cov_1 @ first)
        return np.linalg.norm(mean_1 - mean_2) ** 2 + np.trace(matrix)

    return frechet_distance


bank.equivalent("frechet_distance", "mean_1, mean_2)", "mean_2, mean_1)", "a distance is symmetric")
bank.equivalent("frechet_distance", "values > 0", "values >= 0", "0 stays 0")


slip = bank.slips("frechet_distance", of=distance_by_symmetric_roots)
slip("distance_of_the_means_not_squared", "difference @ difference", "difference.norm()", loses={"means"})
slip("distance_of_the_means_by_absolute_values", "difference @ difference", "difference.abs().sum()", loses={"means"})
slip("distance_with_the_mean_of_squares", "difference @ difference", "(difference**2).mean()", loses={"means"})
slip("distance_without_the_means", "difference @ difference + ", "", loses={"means"})
slip("distance_of_the_means_subtracted", "difference @ difference", "-difference @ difference", loses={"means"})
slip("distance_from_sums", "mean_1 - mean_2", "mean_1 + mean_2", loses={"means", "covariances", "singular covariances"})
slip(
    "distance_of_the_means_expanded",
    "difference @ difference",
    "mean_1 @ mean_1 - 2 * mean_1 @ mean_2 + mean_2 @ mean_2",
    loses={"means"},
)
slip("distance_without_factor_two", "2 * roots", "roots", loses={"covariances", "singular covariances"})
slip("distance_without_overlap", " - 2 * roots.sum()", "", loses={"covariances", "singular covariances"})
slip("distance_with_overlap_added", " - 2 * roots", " + 2 * roots", loses={"covariances", "singular covariances"})
slip("distance_with_one_trace", " + cov_2.trace()", "", loses={"covariances", "singular covariances"})
slip(
    "distance_without_the_last_root",
    "root).clamp(min=0).sqrt()",
    "root).clamp(min=0)",
    loses={"covariances", "singular covariances", "any scale"},
)
# The root is split into two, as if the two covariances commuted.
slip(
    "distance_of_covariances_that_commute",
    "torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()",
    "torch.linalg.eigvalsh(cov_1).clamp(min=0).sqrt() * torch.linalg.eigvalsh(cov_2).clamp(min=0).sqrt()",
    loses={"covariances", "singular covariances"},
)
slip(
    "distance_by_the_product_of_roots",
    "roots = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()",
    "other, basis = torch.linalg.eigh(cov_2)\n"
    "    roots = (root @ (basis * other.clamp(min=0).sqrt()) @ basis.T).trace()",
    loses={"covariances"},
)
slip(
    "distance_by_roots_of_the_entries",
    "torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()",
    "(cov_1 @ cov_2).diagonal().clamp(min=0).sqrt()",
    loses={"covariances"},
)
slip(
    "distance_of_the_variances",
    "torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()",
    "(cov_1.diagonal() * cov_2.diagonal()).sqrt()",
    loses={"covariances"},
)
slip(
    "distance_by_eigvalsh_of_the_product",
    "root @ cov_2 @ root)",
    "cov_1 @ cov_2)",
    loses={"covariances"},
)
slip(
    "distance_with_the_covariance_for_its_root",
    "clamp(min=0).sqrt()) @",
    "clamp(min=0)) @",
    loses={"covariances", "singular covariances", "any scale"},
)
slip(
    "distance_by_one_root_only",
    "root @ cov_2 @ root)",
    "root @ cov_2)",
    loses={"covariances", "singular covariances", "any scale"},
)
slip(
    "distance_with_vectors_on_the_wrong_side",
    "vectors @ torch.diag",
    "vectors.T @ torch.diag",
    loses={"covariances", "singular covariances"},
)
# Rounded eigenvalues below 0 have no root.
slip("distance_not_clamped_at_first", "values.clamp(min=0)", "values", loses={"singular covariances"})
slip("distance_not_clamped_at_last", "root).clamp(min=0)", "root)", loses={"singular covariances"})
slip(
    "distance_by_cholesky",
    "vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T",
    "torch.linalg.cholesky(cov_1)",
    ("root @ cov_2 @ root)", "root.T @ cov_2 @ root)"),
    loses={"singular covariances"},
)
slip(
    "distance_by_an_inverse",
    "root @ cov_2 @ root)",
    "torch.linalg.inv(root) @ cov_1 @ cov_2 @ root)",
    loses={"singular covariances"},
)
slip(
    "distance_with_something_added",
    "    values, vectors",
    "    cov_1, cov_2 = (C + 1e-6 * torch.eye(len(C), dtype=C.dtype) for C in (cov_1, cov_2))\n    values, vectors",
    loses={"singular covariances", "any scale"},
)
slip("distance_in_single_precision", "eigh(cov_1)", "eigh(cov_1.float().double())", loses={"singular covariances"})
slip(
    "distance_with_small_values_cut_off",
    "values.clamp(min=0)",
    "values.clamp(min=1e-4)",
    loses={"singular covariances", "any scale"},
)
slip("distance_with_small_roots_left_out", "2 * roots.sum()", "2 * roots[roots > 1e-4].sum()", loses={"any scale"})
slip("distance_in_one_entry", "return difference", "return mean_1[:1] * 0 + difference", loses={"a number"})
slip(
    "distance_with_its_parts", "return difference @ difference +", "return difference @ difference,", loses={"a number"}
)
slip(
    "distance_is_complex",
    "torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0)",
    "torch.linalg.eigvals(cov_1 @ cov_2)",
    loses={"a number"},
)


@bank.wrong("frechet_distance", loses={"means", "covariances", "singular covariances", "any scale"})
def distance_not_squared():
    """The root of the squared distance."""
    import torch

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        values, vectors = torch.linalg.eigh(cov_1)
        root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
        roots = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()
        difference = mean_1 - mean_2
        square = difference @ difference + cov_1.trace() + cov_2.trace() - 2 * roots.sum()
        return square.clamp(min=0).sqrt()

    return frechet_distance


@bank.wrong("frechet_distance", loses={"covariances", "singular covariances"})
def distance_of_the_roots_of_numbers():
    """The Frobenius norm of the difference of two covariances."""

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        return ((mean_1 - mean_2) ** 2).sum() + ((cov_1 - cov_2) ** 2).sum() ** 0.5

    return frechet_distance


@bank.wrong("frechet_distance", loses={"covariances", "singular covariances", "any scale"})
def divergence_for_distance():
    """The Kullback-Leibler divergence, with the means right."""
    import torch

    def frechet_distance(mean_1, cov_1, mean_2, cov_2):
        ratio = torch.linalg.solve(cov_2, cov_1)
        divergence = (ratio.trace() - len(mean_1) - ratio.logdet()) / 2
        return ((mean_1 - mean_2) ** 2).sum() + divergence

    return frechet_distance


# ------------------------------------------------------------------------------------------------------------ c2st


@bank.right("c2st")
def test_with_whole_numbers():
    def c2st(scores, labels):
        n = len(scores)
        hits = int(((scores > 0) == (labels == 1)).sum())
        ways, total = 1, 0
        for j in range(n, hits - 1, -1):
            total += ways
            ways = ways * j // (n - j + 1)
        return hits / n, total / 2**n

    return c2st


@bank.right("c2st")
def test_by_logsumexp():
    import math

    import torch

    def c2st(scores, labels):
        n = scores.numel()
        predictions = torch.where(scores > 0, 1, 0)
        accuracy = (predictions == labels).double().mean()
        j = torch.arange(int(torch.sum(predictions == labels)), n + 1, dtype=torch.float64)
        logs = math.lgamma(n + 1) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1) - n * math.log(2)
        return accuracy, logs.logsumexp(0).exp()

    return c2st


@bank.right("c2st")
def test_by_tosses():
    """The distribution of the number of heads, toss after toss."""
    import numpy as np

    def c2st(scores, labels):
        right = [(score > 0) == label for score, label in zip(scores.tolist(), labels.tolist(), strict=True)]
        n, hits = len(right), sum(right)
        heads = np.ones(1)
        for _ in range(n):
            heads = (np.append(heads, 0.0) + np.append(0.0, heads)) / 2
        return hits / n, float(heads[hits:].sum())

    return c2st


@bank.right("c2st")
def test_by_ratios_of_the_coefficients():
    import torch

    def c2st(scores, labels):
        n = len(labels)
        hits = int((scores.gt(0).long() == labels).sum())
        j = torch.arange(n, dtype=torch.float64)
        steps = ((n - j) / (j + 1)).log()
        logs = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)])
        return hits / n, float(torch.softmax(logs, 0)[hits:].sum())

    return c2st


for old, new, why in (
    ("hits / n", "hits / (n + 1e-08)", "n is at least 1"),
    ("torch.where(scores > 0, 1, 0)", "scores > 0", "True is equal to 1"),
    ("n + 1, dtype", "n + 2, dtype", "the coefficient beyond n is 0"),
    ("logsumexp(0)", "logsumexp(-1)", "there is one axis"),
    ("cumsum(0)", "cumsum(-1)", "there is one axis"),
    ("softmax(logs, 0)", "softmax(logs, -1)", "there is one axis"),
    ("torch.zeros(1, dtype=torch.float64)", "torch.zeros(1)", "0 in either type"),
    ("torch.zeros(1, dtype=torch.float64)", "torch.zeros(1, dtype=torch.float16)", "0 in either type"),
    ("((n - j) / (j + 1)).log()", "torch.as_tensor((n - j) / (j + 1)).clamp(min=1e-06).log()", "at least 1e-4"),
    ("(j + 1)", "(j + 1 + 1e-08)", "j is at least 0"),
    ("heads = np.ones(1)", "heads = 1", "append makes an array of a number"),
    (".long()", ".byte()", "0 and 1 in either type"),
):
    bank.equivalent("c2st", old, new, why)


slip = bank.slips("c2st", of=test_with_whole_numbers)
slip("test_of_the_other_label", "labels == 1", "labels == 0", loses={"accuracy"})
slip("test_of_positive_scores", "((scores > 0) == (labels == 1))", "(scores > 0)", loses={"accuracy"})
slip("test_with_zero_for_data", "scores > 0", "scores >= 0", loses={"accuracy"})
slip("test_of_probabilities", "scores > 0", "scores > 0.5", loses={"accuracy"})
slip("test_in_percent", "return hits / n", "return 100 * hits / n", loses={"accuracy"})
slip("test_with_the_number_right", "return hits / n", "return hits", loses={"accuracy"})
slip("test_with_the_error_rate", "return hits / n", "return 1 - hits / n", loses={"accuracy"})
slip(
    "test_with_the_accuracy_of_the_better_label",
    "return hits / n",
    "return max(hits, n - hits) / n",
    loses={"accuracy"},
)
slip("test_with_the_share_of_data", "return hits / n", "return float((scores > 0).double().mean())", loses={"accuracy"})
slip("test_of_scores_rounded", "scores > 0", "scores.round() > 0", loses={"accuracy"})
slip("test_more_than_the_number_right", "hits - 1, -1", "hits, -1", loses={"p-value"})
slip("test_without_all_right", "range(n, hits", "range(n - 1, hits", loses={"p-value", "tails"})
slip("test_of_as_few_or_fewer", "hits - 1, -1", "n - hits - 1, -1", loses={"p-value"})
slip("test_on_both_sides", "total / 2**n", "min(1.0, 2 * total / 2**n)", loses={"p-value"})
slip("test_by_one_minus", "total / 2**n", "1 - (1 - total / 2**n)", loses={"tails"})
slip("test_not_divided", "total / 2**n", "total", loses={"accuracy", "p-value", "tails"})
slip("test_one_minus_p", "total / 2**n", "1 - total / 2**n", loses={"p-value", "tails"})
slip("test_of_one_outcome", "total += ways", "total = ways", loses={"p-value", "tails"})
slip("test_with_a_floor", "total / 2**n", "max(total / 2**n, 1e-16)", loses={"tails"})
slip(
    "test_in_floats",
    "ways, total = 1, 0",
    "ways, total = 0.5**n, 0",
    ("* j //", "* j /"),
    ("total / 2**n", "total"),
    loses={"tails"},
)
slip("test_p_alone", "return hits / n, total", "return total", loses={"two numbers"})
slip("test_row_by_row", "return hits / n,", "return ((scores > 0) == (labels == 1)).double(),", loses={"two numbers"})
slip("test_three_results", "return hits / n,", "return hits, hits / n,", loses={"two numbers"})


@bank.wrong("c2st", loses={"p-value", "tails"})
def test_by_the_normal_distribution():
    import math

    def c2st(scores, labels):
        n = len(scores)
        accuracy = float(((scores > 0) == (labels == 1)).double().mean())
        z = (accuracy - 0.5) * 2 * math.sqrt(n)
        return accuracy, math.erfc(z / math.sqrt(2)) / 2

    return c2st


@bank.wrong("c2st", loses={"p-value", "tails"})
def test_by_the_normal_distribution_corrected():
    """With half a point off, for continuity."""
    import math

    def c2st(scores, labels):
        n, hits = len(scores), int(((scores > 0) == (labels == 1)).sum())
        z = (hits - 0.5 - n / 2) / math.sqrt(n / 4)
        return hits / n, math.erfc(z / math.sqrt(2)) / 2

    return c2st


@bank.wrong("c2st", loses={"p-value", "tails"})
def test_by_permutation():
    """The share of 999 shuffled labels that are predicted as well."""
    import torch

    def c2st(scores, labels):
        torch.manual_seed(0)
        right = ((scores > 0) == (labels == 1)).double().mean()
        shuffled = torch.stack([labels[torch.randperm(len(labels))] for _ in range(999)])
        others = ((scores > 0) == (shuffled == 1)).double().mean(1)
        return right, (1 + (others >= right).sum()) / 1000

    return c2st


@bank.wrong("c2st", loses={"tails"})
def test_in_single_precision():
    import math

    import torch

    def c2st(scores, labels):
        n = len(scores)
        hits = int(((scores > 0) == (labels == 1)).sum())
        j = torch.arange(hits, n + 1)
        logs = math.lgamma(n + 1) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1) - n * math.log(2)
        return hits / n, logs.logsumexp(0).exp()

    return c2st


@bank.wrong("c2st", loses={"p-value", "tails"})
def test_with_fixed_counts():
    """The labels' own shares for the coin's."""
    import math

    def c2st(scores, labels):
        n, hits = len(scores), int(((scores > 0) == (labels == 1)).sum())
        q = max(float(labels.double().mean()), 1e-300)
        terms = [
            math.lgamma(n + 1)
            - math.lgamma(j + 1)
            - math.lgamma(n - j + 1)
            + j * math.log(q)
            + (n - j) * math.log1p(-q + 1e-17)
            if q < 1
            else 0.0
            for j in range(hits, n + 1)
        ]
        return hits / n, min(1.0, math.fsum(math.exp(term) for term in terms))

    return c2st


# ------------------------------------------------------------------------------------------ mixture_log_likelihood


@bank.right("mixture_log_likelihood")
def mixture_by_logaddexp():
    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        log_weight = torch.log(torch.tensor(weight, dtype=torch.float64))
        log_rest = torch.log1p(torch.tensor(-weight, dtype=torch.float64))
        return torch.logaddexp(log_weight + log_p, log_rest + log_q)

    return mixture_log_likelihood


@bank.right("mixture_log_likelihood")
def mixture_by_cases():
    import math

    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        if weight == 0:
            return log_q.clone()
        if weight == 1:
            return log_p.clone()
        both = torch.stack([math.log(weight) + log_p, math.log1p(-weight) + log_q])
        return both.logsumexp(0)

    return mixture_log_likelihood


@bank.right("mixture_log_likelihood")
def mixture_by_the_larger_one():
    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        weights = torch.tensor([weight, 1 - weight], dtype=log_p.dtype)
        summands = torch.stack([log_p, log_q], dim=1) + weights.log()
        larger = summands.max(dim=1).values
        rest = summands.min(dim=1).values - larger
        return torch.where(larger == -torch.inf, larger, larger + torch.log1p(torch.exp(rest)))

    return mixture_log_likelihood


bank.equivalent("mixture_log_likelihood", "log_q.clone()", "log_q", "the argument is not changed")
bank.equivalent("mixture_log_likelihood", "log_p.clone()", "log_p", "the argument is not changed")


slip = bank.slips("mixture_log_likelihood", of=mixture_by_logaddexp)
slip(
    "mixture_exchanged",
    "log_weight + log_p, log_rest + log_q",
    "log_weight + log_q, log_rest + log_p",
    loses={"mixture"},
)
slip(
    "mixture_in_bits",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q) / 0.6931471805599453",
    loses={"mixture", "far apart", "weights 0 and 1"},
)
slip("mixture_without_the_other_weight", "log_rest + log_q", "log_q", loses={"mixture", "far apart", "weights 0 and 1"})
slip(
    "mixture_without_weights",
    "log_weight + log_p, log_rest + log_q",
    "log_p, log_q",
    loses={"mixture", "far apart", "weights 0 and 1"},
)
slip(
    "mixture_of_the_logarithms",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "weight * log_p + (1 - weight) * log_q",
    loses={"mixture", "far apart", "weights 0 and 1"},
)
slip("mixture_of_the_larger_one", "torch.logaddexp(", "torch.maximum(", loses={"mixture", "far apart"})
slip(
    "mixture_weight_times_log",
    "log_weight + log_p",
    "log_weight * log_p",
    loses={"mixture", "far apart", "weights 0 and 1"},
)
slip(
    "mixture_by_densities",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "torch.log(weight * log_p.exp() + (1 - weight) * log_q.exp())",
    loses={"far apart"},
)
slip(
    "mixture_by_densities_and_an_epsilon",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "torch.log(weight * log_p.exp() + (1 - weight) * log_q.exp() + 1e-300)",
    loses={"far apart", "weights 0 and 1"},
)
slip(
    "mixture_relative_to_p",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "log_p + torch.log(weight + (1 - weight) * torch.exp(log_q - log_p))",
    loses={"far apart", "weights 0 and 1"},
)
slip(
    "mixture_relative_to_the_larger_one",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "(m := torch.maximum(log_p, log_q)) + (weight * torch.exp(log_p - m) + (1 - weight) * torch.exp(log_q - m)).log()",
    loses={"far apart", "weights 0 and 1"},
)
slip(
    "mixture_clamped",
    "log_weight + log_p, log_rest + log_q",
    "log_weight + log_p.clamp(min=-1000), log_rest + log_q.clamp(min=-1000)",
    loses={"far apart", "weights 0 and 1"},
)
slip(
    "mixture_with_an_epsilon",
    "torch.tensor(weight, dtype=torch.float64)",
    "torch.tensor(weight + 1e-10, dtype=torch.float64)",
    loses={"mixture", "weights 0 and 1"},
)
slip(
    "mixture_in_single_precision",
    "torch.tensor(weight, dtype=torch.float64)",
    "torch.tensor(weight)",
    loses={"mixture"},
)
slip("mixture_of_the_mean", "torch.logaddexp(", "torch.mean(torch.logaddexp(", ("log_q)", "log_q))"), loses={"shape"})
slip("mixture_as_a_column", "log_q)", "log_q)[:, None]", loses={"shape"})
slip(
    "mixture_of_two",
    "torch.logaddexp(log_weight + log_p, log_rest + log_q)",
    "log_weight + log_p, log_rest + log_q",
    loses={"shape"},
)


@bank.wrong("mixture_log_likelihood", loses={"weights 0 and 1"})
def mixture_by_logarithms_of_math():
    """math.log(0) raises an error."""
    import math

    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        return torch.logaddexp(math.log(weight) + log_p, math.log1p(-weight) + log_q)

    return mixture_log_likelihood


@bank.wrong("mixture_log_likelihood", loses={"weights 0 and 1"})
def mixture_with_tiny_weights():
    """Weights are kept away from 0 and 1."""
    import math

    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        weight = min(max(weight, 1e-300), 1 - 1e-16)
        return torch.logaddexp(math.log(weight) + log_p, math.log1p(-weight) + log_q)

    return mixture_log_likelihood


@bank.wrong("mixture_log_likelihood", loses={"weights 0 and 1"})
def mixture_times_the_weight():
    """0 times -inf is not a number."""
    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        if weight in (0, 1):
            return weight * log_p + (1 - weight) * log_q
        weights = torch.tensor([weight, 1 - weight], dtype=torch.float64).log()
        return torch.logaddexp(log_p + weights[0], log_q + weights[1])

    return mixture_log_likelihood


@bank.wrong("mixture_log_likelihood", loses={"far apart"})
def mixture_by_the_sigmoid():
    """-inf minus -inf is not a number."""
    import torch

    def mixture_log_likelihood(log_p, log_q, weight):
        if weight in (0, 1):
            return log_p.clone() if weight else log_q.clone()
        weights = torch.tensor([weight, 1 - weight], dtype=torch.float64).log()
        gap = log_p + weights[0] - log_q - weights[1]
        return log_q + weights[1] + torch.nn.functional.softplus(gap)

    return mixture_log_likelihood


# ----------------------------------------------------------------------------------------------- paired_difference


@bank.right("paired_difference")
def differences_by_std():
    import math

    def paired_difference(a, b):
        d = a - b
        mean, stderr = float(d.mean()), float(d.std()) / math.sqrt(len(d))
        if stderr == 0:
            return mean, stderr, 0.0 if mean == 0 else math.copysign(math.inf, mean)
        return mean, stderr, mean / stderr

    return paired_difference


@bank.right("paired_difference")
def differences_by_squares():
    import torch

    def paired_difference(a, b):
        n, d = len(a), a - b
        mean = d.sum() / n
        variance = ((d - mean) ** 2).sum() / (n - 1)
        stderr = (variance / n).sqrt()
        z = torch.where(mean == 0, 0.0, mean / stderr)
        return mean, stderr, z

    return paired_difference


@bank.right("paired_difference")
def differences_one_by_one():
    """By Welford's updates."""

    def paired_difference(a, b):
        mean = squares = 0.0
        for n, (first, second) in enumerate(zip(a.tolist(), b.tolist(), strict=True), start=1):
            step = first - second - mean
            mean += step / n
            squares += step * (first - second - mean)
        stderr = (squares / (n * (n - 1))) ** 0.5
        if stderr:
            return mean, stderr, mean / stderr
        return mean, stderr, mean * float("inf") if mean else 0.0

    return paired_difference


for old, new in (
    ("(n - 1)", "(n - 1 + 1e-08)"),
    ("variance / n", "variance / (n + 1e-08)"),
    ("(n * (n - 1))", "(n * (n - 1) + 1e-08)"),
):
    bank.equivalent("paired_difference", old, new, "n is at least 2")


slip = bank.slips("paired_difference", of=differences_by_std)
slip(
    "differences_the_other_way_round",
    "mean, stderr = float(d.mean())",
    "mean, stderr = -float(d.mean())",
    loses={"mean"},
)
slip("differences_by_the_median", "float(d.mean())", "float(d.median())", loses={"mean"})
slip("differences_absolute", "float(d.mean())", "float(d.abs().mean())", loses={"mean"})
slip("differences_summed", "float(d.mean())", "float(d.sum())", loses={"mean"})
slip("differences_without_the_root_of_n", " / math.sqrt(len(d))", "", loses={"standard error"})
slip("differences_divided_by_n", "math.sqrt(len(d))", "len(d)", loses={"standard error"})
slip("differences_with_n", "d.std()", "d.std(correction=0)", loses={"standard error"})
slip("differences_with_n_minus_one_twice", "math.sqrt(len(d))", "math.sqrt(len(d) - 1)", loses={"standard error"})
slip("differences_with_variances", "d.std()", "d.var()", loses={"standard error"})
slip("differences_unpaired", "float(d.std())", "float((a.var() + b.var()).sqrt())", loses={"standard error"})
slip("differences_of_one_model", "float(d.std())", "float(a.std())", loses={"standard error"})
slip(
    "differences_z_inverted", "mean, stderr, mean / stderr", "mean, stderr, stderr / mean if mean else 0.0", loses={"z"}
)
slip("differences_z_without_its_sign", "mean, stderr, mean / stderr", "mean, stderr, abs(mean) / stderr", loses={"z"})
slip("differences_z_of_one_image", "mean, stderr, mean / stderr", "mean, stderr, mean / float(d.std())", loses={"z"})
slip("differences_z_without_sign_at_zero", "math.copysign(math.inf, mean)", "math.inf", loses={"z"})
slip("differences_z_zero_without_spread", "0.0 if mean == 0 else math.copysign(math.inf, mean)", "0.0", loses={"z"})
slip(
    "differences_z_infinite_for_equal",
    "0.0 if mean == 0 else math.copysign(math.inf, mean)",
    "math.copysign(math.inf, mean)",
    loses={"z"},
)
slip("differences_z_not_a_number", "0.0 if mean == 0 else math.copysign(math.inf, mean)", "math.nan", loses={"z"})
slip(
    "differences_z_with_an_epsilon", "if stderr == 0:", "stderr += 1e-12\n    if stderr == 0:", loses={"standard error"}
)
slip(
    "differences_z_clipped",
    "mean, stderr, mean / stderr",
    "mean, stderr, max(-5.0, min(5.0, mean / stderr))",
    loses={"z"},
)
slip("differences_of_means", "float(d.mean())", "float(a.mean() - b.mean())", loses={"large scores"})
slip("differences_in_single_precision", "d = a - b", "d = a.float() - b.float()", loses={"large scores"})
slip("differences_rounded", "d = a - b", "d = (a - b).round(decimals=6)", loses={"large scores"})
slip("differences_without_z", "return mean, stderr, mean / stderr", "return mean, stderr", loses={"three numbers"})
slip(
    "differences_row_by_row",
    "return mean, stderr, mean / stderr",
    "return d, stderr, mean / stderr",
    loses={"three numbers"},
)


@bank.wrong("paired_difference", loses={"large scores"})
def differences_by_covariances():
    """The variance of a difference from two variances and a covariance."""
    import math

    import torch

    def paired_difference(a, b):
        both = torch.cov(torch.stack([a, b]))
        d = a - b
        mean = float(d.mean())
        variance = float(both[0, 0] + both[1, 1] - 2 * both[0, 1])
        if (d == d[0]).all():
            return mean, 0.0, mean * math.inf if mean else 0.0
        stderr = math.sqrt(abs(variance) / len(a))
        return mean, stderr, mean / stderr if stderr else 0.0

    return paired_difference


@bank.wrong("paired_difference", loses={"large scores"})
def differences_by_the_mean_of_squares():
    """The mean of squares minus the square of the mean: where the mean is large, no digits of the spread are left."""

    def paired_difference(a, b):
        d = a - b
        n, mean = len(d), float(d.mean())
        stderr = max(float((d * d).mean()) - mean * mean, 0.0) ** 0.5 / (n - 1) ** 0.5
        if stderr:
            return mean, stderr, mean / stderr
        return mean, stderr, mean * float("inf") if mean else 0.0

    return paired_difference


@bank.wrong("paired_difference", loses={"standard error"})
def differences_by_squares_of_n():
    """The mean of squares minus the square of the mean, without the correction n / (n - 1)."""

    def paired_difference(a, b):
        d = a - b
        mean = float(d.mean())
        stderr = (float((d - mean).square().mean()) / len(d)) ** 0.5
        if stderr:
            return mean, stderr, mean / stderr
        return mean, stderr, mean * float("inf") if mean else 0.0

    return paired_difference


# ---------------------------------------------------------------------------------------------------- OwnEvaluator


@bank.right("OwnEvaluator")
def own_by_functions():
    import torch
    import torch.nn.functional as F

    class OwnEvaluator(torch.nn.Module):
        def __init__(self, D, hidden, classes):
            super().__init__()
            self.hidden = torch.nn.Linear(D, hidden)
            self.out = torch.nn.Linear(hidden, classes)

        def features(self, x):
            return F.relu(self.hidden(x))

        def logits(self, x):
            return self.out(self.features(x))

        def loss(self, x, y):
            return F.cross_entropy(self.logits(x), y)

        @torch.no_grad()
        def inception_score(self, x):
            logs = F.log_softmax(self.logits(x).double(), dim=1)
            p = logs.exp()
            divergence = torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))
            return divergence.sum(1).mean().exp()

        @torch.no_grad()
        def frechet(self, x, y):
            f, g = self.features(x).double(), self.features(y).double()
            first, second = f - f.mean(0), g - g.mean(0)
            cov_1, cov_2 = first.T @ first / (len(x) - 1), second.T @ second / (len(y) - 1)
            values, vectors = torch.linalg.eigh(cov_1)
            root = vectors * values.clamp(min=0).sqrt() @ vectors.T
            roots = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt()
            difference = f.mean(0) - g.mean(0)
            return (difference**2).sum() + cov_1.trace() + cov_2.trace() - 2 * roots.sum()

    return OwnEvaluator


@bank.right("OwnEvaluator")
def own_by_sequence_and_entropy():
    import math

    import torch
    from torch import nn

    class OwnEvaluator(nn.Module):
        def __init__(self, D, hidden, classes):
            super().__init__()
            self.hidden, self.out = nn.Linear(D, hidden), nn.Linear(hidden, classes)

        def features(self, x):
            return self.hidden(x).clamp(min=0)

        def logits(self, x):
            return self.out(self.features(x))

        def loss(self, x, y):
            logits = self.logits(x)
            return (logits.logsumexp(1) - logits.gather(1, y[:, None]).squeeze(1)).mean()

        def inception_score(self, x):
            logs = self.logits(x).detach().double().log_softmax(-1)
            log_marginal = logs.logsumexp(0) - math.log(len(x))
            return math.exp((logs.exp() * (logs - log_marginal)).sum(1).mean())

        def frechet(self, x, y):
            f, g = (self.features(sample).detach().double() for sample in (x, y))
            first = (f - f.mean(0)) / (len(f) - 1) ** 0.5
            second = (g - g.mean(0)) / (len(g) - 1) ** 0.5
            overlap = torch.linalg.svdvals(first @ second.T).sum()
            return float((f.mean(0) - g.mean(0)).square().sum() + (first**2).sum() + (second**2).sum() - 2 * overlap)

    return OwnEvaluator


@bank.right("OwnEvaluator")
def own_in_double_precision():
    import torch

    class OwnEvaluator(torch.nn.Module):
        def __init__(self, D, hidden, classes):
            super().__init__()
            self.hidden = torch.nn.Linear(D, hidden, dtype=torch.float64)
            self.out = torch.nn.Linear(hidden, classes, dtype=torch.float64)

        def features(self, x):
            h = self.hidden(x)
            return torch.where(h > 0, h, 0.0)

        def logits(self, x):
            return self.out(self.features(x))

        def loss(self, x, y):
            return -torch.distributions.Categorical(logits=self.logits(x)).log_prob(y).mean()

        def inception_score(self, x):
            p = torch.softmax(self.logits(x), dim=1)
            conditional = -torch.special.entr(p).sum(1).mean()
            return torch.exp(torch.special.entr(p.mean(0)).sum() + conditional)

        def frechet(self, x, y):
            means, covs = [], []
            for features in (self.features(x), self.features(y)):
                means.append(features.mean(dim=0))
                covs.append(features.T.cov(correction=1))
            product = torch.linalg.eigvals(covs[0] @ covs[1])
            overlap = product.sqrt().real.sum()
            return (means[0] - means[1]).pow(2).sum() + torch.trace(covs[0] + covs[1]) - 2 * overlap

    return OwnEvaluator


@bank.right("OwnEvaluator")
def own_by_torch_cov():
    import torch

    class OwnEvaluator(torch.nn.Module):
        def __init__(self, D, hidden, classes):
            super().__init__()
            self.hidden = torch.nn.Linear(D, hidden)
            self.out = torch.nn.Linear(hidden, classes)

        def features(self, x):
            return self.hidden(x).relu()

        def logits(self, x):
            return self.out(self.features(x))

        def loss(self, x, y):
            return torch.nn.functional.cross_entropy(self.logits(x), y)

        def inception_score(self, x):
            p = self.logits(x).double().softmax(1)
            return torch.exp(torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean())

        def frechet(self, x, y):
            f, g = self.features(x).double(), self.features(y).double()
            cov_1, cov_2 = f.T.cov(), g.T.cov()
            roots = torch.linalg.eigvals(cov_1 @ cov_2).sqrt().real
            return (f.mean(0) - g.mean(0)).square().sum() + torch.trace(cov_1 + cov_2) - 2 * roots.sum()

    return OwnEvaluator


few = "the logarithm of the score is below 5, as there are at most 10 classes"
for old, new, why in (
    (".double(), dim=1)", ".double())", "there are two axes"),
    ("log_softmax(-1)", "log_softmax(1)", "there are two axes"),
    ("divergence.sum(1).mean()", "torch.as_tensor(divergence.sum(1).mean()).clamp(-5, 5)", few),
    (
        "(logs.exp() * (logs - log_marginal)).sum(1).mean()",
        "torch.as_tensor((logs.exp() * (logs - log_marginal)).sum(1).mean()).clamp(-5, 5)",
        few,
    ),
    (
        "torch.special.entr(p.mean(0)).sum() + conditional",
        "torch.as_tensor(torch.special.entr(p.mean(0)).sum() + conditional).clamp(-5, 5)",
        few,
    ),
    (
        "torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()",
        "torch.as_tensor(torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()).clamp(-5, 5)",
        few,
    ),
    (".squeeze(1)", "", "the mean of all differences is the difference of the means"),
    (".squeeze(1)", ".squeeze(0)", "the mean of all differences is the difference of the means"),
    ("logits(x).detach()", "logits(x)", "a score may carry a gradient"),
    ("features(sample).detach()", "features(sample)", "a score may carry a gradient"),
    ("h > 0", "h >= 0", "0 stays 0"),
    ("cov(correction=1)", "cov()", "1 is the default"),
):
    bank.equivalent("OwnEvaluator", old, new, why)


slip = bank.slips("OwnEvaluator", of=own_by_functions)
slip("own_without_relu", "F.relu(self.hidden(x))", "self.hidden(x)", loses={"network"})
slip(
    "own_score_with_an_epsilon",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "p * ((p + 1e-6).log() - (p.mean(0) + 1e-6).log())",
    loses={"inception score"},
)
slip("own_with_tanh", "F.relu(", "torch.tanh(", loses={"network"})
slip("own_with_gelu", "F.relu(", "F.gelu(", loses={"network"})
slip("own_logits_of_pixels", "self.out(self.features(x))", "self.out(self.features(-x))", loses={"network"})
slip("own_logits_with_relu", "self.out(self.features(x))", "F.relu(self.out(self.features(x)))", loses={"network"})
slip(
    "own_relu_twice_of_probabilities",
    "self.out(self.features(x))",
    "self.out(self.features(x)).softmax(1)",
    loses={"network"},
)
slip(
    "own_features_standardised",
    "F.relu(self.hidden(x))",
    "F.normalize(F.relu(self.hidden(x)), dim=1)",
    loses={"network"},
)
slip(
    "own_loss_summed",
    "F.cross_entropy(self.logits(x), y)",
    'F.cross_entropy(self.logits(x), y, reduction="sum")',
    loses={"loss"},
)
slip(
    "own_loss_row_by_row",
    "F.cross_entropy(self.logits(x), y)",
    'F.cross_entropy(self.logits(x), y, reduction="none")',
    loses={"loss", "gradients"},
)
slip(
    "own_loss_of_probabilities",
    "F.cross_entropy(self.logits(x), y)",
    "F.cross_entropy(self.logits(x).softmax(1), y)",
    loses={"loss"},
)
slip(
    "own_loss_in_bits",
    "F.cross_entropy(self.logits(x), y)",
    "F.cross_entropy(self.logits(x), y) / 0.6931471805599453",
    loses={"loss"},
)
slip("own_loss_with_a_sign", "return F.cross_entropy(", "return -F.cross_entropy(", loses={"loss"})
slip(
    "own_loss_smoothed",
    "F.cross_entropy(self.logits(x), y)",
    "F.cross_entropy(self.logits(x), y, label_smoothing=0.1)",
    loses={"loss"},
)
slip(
    "own_loss_by_probabilities",
    "F.cross_entropy(self.logits(x), y)",
    "-self.logits(x).softmax(1)[torch.arange(len(x)), y].log().mean()",
    loses={"loss"},
)
slip(
    "own_loss_with_an_epsilon",
    "F.cross_entropy(self.logits(x), y)",
    "-(self.logits(x).softmax(1)[torch.arange(len(x)), y] + 1e-12).log().mean()",
    loses={"loss"},
)
slip(
    "own_loss_detached",
    "F.cross_entropy(self.logits(x), y)",
    "F.cross_entropy(self.out(self.features(x).detach()), y)",
    loses={"gradients"},
)
slip(
    "own_loss_without_gradient",
    "    def loss(self, x, y):",
    "    @torch.no_grad()\n    def loss(self, x, y):",
    loses={"gradients"},
)
slip(
    "own_loss_that_trains_one_layer",
    "F.cross_entropy(self.logits(x), y)",
    "F.cross_entropy(F.linear(self.features(x), self.out.weight.detach(), self.out.bias), y)",
    loses={"gradients"},
)
slip("own_score_without_exp", "mean().exp()", "mean()", loses={"inception score"})
slip("own_score_summed", "sum(1).mean().exp()", "sum().exp()", loses={"inception score"})
slip("own_score_of_means", "sum(1).mean().exp()", "mean().exp()", loses={"inception score"})
slip("own_score_exp_before_the_mean", "sum(1).mean().exp()", "sum(1).exp().mean()", loses={"inception score"})
slip(
    "own_score_of_the_reverse_divergence",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "torch.special.xlogy(p.mean(0), p.mean(0)) - p.mean(0) * logs",
    loses={"inception score"},
)
slip(
    "own_score_mean_over_classes", "xlogy(p, p.mean(0))", "xlogy(p, p.mean(1, keepdim=True))", loses={"inception score"}
)
slip(
    "own_score_against_the_uniform",
    "torch.special.xlogy(p, p.mean(0))",
    "torch.special.xlogy(p, 0 * p + 1 / p.shape[1])",
    loses={"inception score"},
)
slip("own_score_of_entropies_alone", "torch.special.xlogy(p, p) - ", "-", loses={"inception score"})
slip("own_score_with_logits", "p = logs.exp()", "p = self.logits(x).double()", loses={"inception score"})
slip(
    "own_score_of_features",
    "F.log_softmax(self.logits(x).double(), dim=1)",
    "F.log_softmax(self.features(x).double(), dim=1)",
    loses={"inception score"},
)
slip(
    "own_score_softmax_over_rows",
    "self.logits(x).double(), dim=1)",
    "self.logits(x).double(), dim=0)",
    loses={"inception score"},
)
slip(
    "own_score_by_plain_logarithms",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "p * (p.log() - p.mean(0).log())",
    loses={"inception score"},
)
slip(
    "own_score_of_certain_classes",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "-torch.special.xlogy(p, p.mean(0))",
    loses={"inception score"},
)
slip(
    "own_score_of_argmax",
    "p = logs.exp()",
    "p = F.one_hot(logs.argmax(1), logs.shape[1]).double()",
    loses={"inception score"},
)
slip("own_frechet_with_n", "/ (len(x) - 1), second", "/ len(x), second", loses={"frechet"})
slip("own_frechet_of_other_counts", "/ (len(y) - 1)", "/ (len(x) - 1)", loses={"frechet"})
slip("own_frechet_not_centred", "second = f - f.mean(0), g - g.mean(0)", "second = f, g - g.mean(0)", loses={"frechet"})
slip(
    "own_frechet_centred_together",
    "second = f - f.mean(0), g - g.mean(0)",
    "second = f - f.mean(0), g - f.mean(0)",
    loses={"frechet"},
)
slip(
    "own_frechet_of_logits",
    "self.features(x).double(), self.features(y).double()",
    "self.logits(x).double(), self.logits(y).double()",
    loses={"frechet"},
)
slip(
    "own_frechet_of_pixels",
    "self.features(x).double(), self.features(y).double()",
    "x.double(), y.double()",
    loses={"frechet"},
)
slip("own_frechet_without_means", "(difference**2).sum() + ", "", loses={"frechet"})
slip("own_frechet_of_a_mean_over_features", "(difference**2).sum()", "(difference**2).mean()", loses={"frechet"})
slip("own_frechet_without_factor_two", "2 * roots", "roots", loses={"frechet"})
slip("own_frechet_not_clamped_at_first", "values.clamp(min=0)", "values", loses={"frechet"})
slip("own_frechet_not_clamped_at_last", "root).clamp(min=0)", "root)", loses={"frechet"})
slip(
    "own_frechet_in_single_precision",
    "self.features(x).double(), self.features(y).double()",
    "self.features(x).float(), self.features(y).float()",
    loses={"frechet"},
)
slip(
    "own_frechet_not_squared",
    "return (difference**2).sum() + cov_1.trace() + cov_2.trace() - 2 * roots.sum()",
    "return ((difference**2).sum() + cov_1.trace() + cov_2.trace() - 2 * roots.sum()).abs().sqrt()",
    loses={"frechet"},
)
slip(
    "own_frechet_by_cholesky",
    "vectors * values.clamp(min=0).sqrt() @ vectors.T",
    "torch.linalg.cholesky(cov_1)",
    ("root @ cov_2 @ root)", "root.T @ cov_2 @ root)"),
    loses={"frechet"},
)
slip(
    "own_frechet_of_commuting_ones",
    "torch.linalg.eigvalsh(root @ cov_2 @ root)",
    "values * torch.linalg.eigvalsh(cov_2)",
    loses={"frechet"},
)
slip("own_without_bias", "torch.nn.Linear(D, hidden)", "torch.nn.Linear(D, hidden, bias=False)", loses={"shapes"})
slip(
    "own_layers_of_other_sizes",
    "torch.nn.Linear(hidden, classes)",
    "torch.nn.Linear(classes, hidden)",
    loses={"shapes"},
)
slip(
    "own_features_of_one_column",
    "F.relu(self.hidden(x))",
    "F.relu(self.hidden(x)).mean(1)",
    loses={"shapes"},
)


# ------------------------------------------------------------------------------------------------- inception_score


@bank.right("inception_score")
def scores_by_logsumexp():
    import math

    import torch

    def inception_score(log_probs, splits):
        parts = log_probs.reshape(splits, -1, log_probs.shape[1])
        log_mean = parts.logsumexp(1, keepdim=True) - math.log(parts.shape[1])
        terms = torch.where(parts > -torch.inf, parts.exp() * (parts - log_mean), 0.0)
        return terms.sum(2).mean(1).exp()

    return inception_score


@bank.right("inception_score")
def scores_part_by_part():
    import torch

    def inception_score(log_probs, splits):
        scores = []
        for part in log_probs.chunk(splits):
            p = part.exp()
            divergence = torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))
            scores.append(divergence.sum(1).mean().exp())
        return torch.stack(scores)

    return inception_score


@bank.right("inception_score")
def scores_by_entropies():
    import torch

    def inception_score(log_probs, splits):
        n, K = log_probs.shape
        p = log_probs.exp().view(splits, n // splits, K)
        of_mean = torch.special.entr(p.mean(dim=1)).sum(dim=1)
        of_rows = torch.special.entr(p).sum(dim=2).mean(dim=1)
        return torch.exp(of_mean - of_rows)

    return inception_score


bank.equivalent("inception_score", "torch.stack(scores)", "scores", "a list of numbers is read as well")


slip = bank.slips("inception_score", of=scores_part_by_part)
slip("scores_without_exp", ".mean().exp()", ".mean()", loses={"score"})
slip("scores_summed", "sum(1).mean().exp()", "sum().exp()", loses={"score"})
slip("scores_of_means", "sum(1).mean().exp()", "mean().exp()", loses={"score"})
slip("scores_exp_before_the_mean", "sum(1).mean().exp()", "sum(1).exp().mean()", loses={"score"})
slip("scores_in_bits", ".mean().exp()", ".mean().exp2()", loses={"score"})
slip("scores_with_a_sign", ".mean().exp()", ".mean().neg().exp()", loses={"score"})
slip(
    "scores_of_the_reverse_divergence",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "torch.special.xlogy(p.mean(0), p.mean(0)) - torch.special.xlogy(p.mean(0), p)",
    loses={"score"},
)
slip("scores_against_the_uniform", "xlogy(p, p.mean(0))", "xlogy(p, 0 * p + 1 / p.shape[1])", loses={"score"})
slip("scores_mean_over_classes", "xlogy(p, p.mean(0))", "xlogy(p, p.mean(1, keepdim=True))", loses={"score"})
slip(
    "scores_by_plain_logarithms",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "p * (part - p.mean(0).log())",
    loses={"score"},
)
slip(
    "scores_with_an_epsilon",
    "torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))",
    "p * ((p + 1e-4).log() - (p.mean(0) + 1e-4).log())",
    loses={"score"},
)
slip("scores_of_log_probs", "p = part.exp()", "p = part", loses={"score", "parts"})
slip("scores_against_all_rows", "p.mean(0)", "log_probs.exp().mean(0)", loses={"parts"})
slip(
    "scores_of_every_other_row",
    "log_probs.chunk(splits)",
    "[log_probs[i::splits] for i in range(splits)]",
    loses={"parts"},
)
slip("scores_of_parts_backwards", "return torch.stack(scores)", "return torch.stack(scores[::-1])", loses={"parts"})
slip(
    "scores_in_parts_of_that_size",
    "return torch.stack(scores)",
    "return torch.stack(scores).mean().expand(splits)",
    loses={"parts"},
)
slip("scores_of_shuffled_rows", "log_probs.chunk(splits)", "log_probs.flip(0).chunk(splits)", loses={"parts"})
slip("scores_as_their_mean", "return torch.stack(scores)", "return torch.stack(scores).mean()", loses={"shape"})
slip(
    "scores_as_mean_and_deviation",
    "return torch.stack(scores)",
    "return torch.stack(scores).mean(), torch.stack(scores).var(correction=0)",
    loses={"shape"},
)
slip("scores_of_parts_of_that_many_rows", ".chunk(splits)", ".split(splits)", loses={"shape"})


@bank.wrong("inception_score", loses={"score"})
def scores_by_rolled_masses():
    """-inf minus -inf where a class has no mass at all."""
    import math

    def inception_score(log_probs, splits):
        parts = log_probs.reshape(splits, -1, log_probs.shape[1])
        log_mean = parts.logsumexp(1, keepdim=True) - math.log(parts.shape[1])
        return (parts.exp() * (parts.clamp(min=-1e4) - log_mean)).sum(2).mean(1).exp()

    return inception_score


@bank.wrong("inception_score", loses={"score"})
def scores_of_the_mean_entropy():
    """The entropy of the mean alone."""
    import torch

    def inception_score(log_probs, splits):
        p = log_probs.exp().view(splits, -1, log_probs.shape[1])
        return torch.exp(torch.special.entr(p.mean(1)).sum(1))

    return inception_score


# ------------------------------------------------------------------------------------------------------------- kid


@bank.right("kid")
def kid_by_matrices():
    def kid(x, y):
        m, n, d = len(x), len(y), x.shape[1]
        within_x = (x @ x.T / d + 1) ** 3
        within_y = (y @ y.T / d + 1) ** 3
        across = (x @ y.T / d + 1) ** 3
        first = (within_x.sum() - within_x.diagonal().sum()) / (m * (m - 1))
        second = (within_y.sum() - within_y.diagonal().sum()) / (n * (n - 1))
        return first + second - 2 * across.mean()

    return kid


@bank.right("kid")
def kid_by_masks():
    import torch

    def kid(x, y):
        def k(a, b):
            return torch.einsum("id,jd->ij", a, b).div(a.size(1)).add(1).pow(3)

        def mean_of_pairs(a):
            return k(a, a)[~torch.eye(len(a), dtype=torch.bool)].mean()

        return float(mean_of_pairs(x) + mean_of_pairs(y) - 2 * k(x, y).mean())

    return kid


@bank.right("kid")
def kid_pair_by_pair():
    import itertools

    def kid(x, y):
        x, y, d = x.tolist(), y.tolist(), x.shape[1]

        def k(a, b):
            return (sum(first * second for first, second in zip(a, b, strict=True)) / d + 1) ** 3

        def mean(pairs):
            values = [k(a, b) for a, b in pairs]
            return sum(values) / len(values)

        within = mean(itertools.combinations(x, 2)) + mean(itertools.combinations(y, 2))
        return within - 2 * mean(itertools.product(x, y))

    return kid


for old, new in (
    ("x.T / d", "x.T / (d + 1e-08)"),
    ("y.T / d", "y.T / (d + 1e-08)"),
    ("strict=True))) / d", "strict=True))) / (d + 1e-08)"),
    ("(m * (m - 1))", "(m * (m - 1) + 1e-08)"),
    ("(n * (n - 1))", "(n * (n - 1) + 1e-08)"),
):
    bank.equivalent("kid", old, new, "all counts are at least 1")
for old, new in (
    ("k(x, y)", "k(y, x)"),
    ("zip(a, b,", "zip(b, a,"),
    ("k(a, b) for", "k(b, a) for"),
    ("product(x, y)", "product(y, x)"),
):
    bank.equivalent("kid", old, new, "the kernel is symmetric")


slip = bank.slips("kid", of=kid_by_matrices)
slip(
    "kid_with_the_diagonal",
    "(within_x.sum() - within_x.diagonal().sum()) / (m * (m - 1))",
    "within_x.mean()",
    loses={"unbiased"},
)
slip(
    "kid_with_both_diagonals",
    "(within_x.sum() - within_x.diagonal().sum()) / (m * (m - 1))",
    "within_x.mean()",
    ("(within_y.sum() - within_y.diagonal().sum()) / (n * (n - 1))", "within_y.mean()"),
    loses={"unbiased"},
)
slip(
    "kid_without_the_diagonal_across",
    "2 * across.mean()",
    "2 * (across.sum() - across.diagonal().sum()) / (m * n - min(m, n))",
    loses={"unbiased"},
)
slip(
    "kid_never_negative",
    "return first + second - 2 * across.mean()",
    "return (first + second - 2 * across.mean()).clamp(min=0)",
    loses={"unbiased"},
)
slip(
    "kid_absolute",
    "return first + second - 2 * across.mean()",
    "return (first + second - 2 * across.mean()).abs()",
    loses={"unbiased"},
)
slip(
    "kid_rooted",
    "return first + second - 2 * across.mean()",
    "return (first + second - 2 * across.mean()).clamp(min=0) ** 0.5",
    loses={"kernel", "unbiased"},
)
slip("kid_across_once", "2 * across", "across", loses={"kernel", "unbiased"})
slip("kid_across_added", "second - 2", "second + 2", loses={"kernel", "unbiased"})
slip("kid_of_sums", "/ (m * (m - 1))", "", loses={"kernel", "unbiased"})
slip("kid_divided_by_squares", "/ (m * (m - 1))", "/ m**2", loses={"kernel", "unbiased"})
slip("kid_of_halved_pairs", "/ (n * (n - 1))", "/ (n * (n - 1) / 2)", loses={"kernel", "unbiased"})
slip("kid_with_equal_sizes", "/ (n * (n - 1))", "/ (m * (m - 1))", loses={"kernel", "unbiased"})
slip("kid_without_d", "x.shape[1]", "1", loses={"kernel"})
slip("kid_with_d_of_all", "x.shape[1]", "x.numel()", loses={"kernel", "unbiased"})
slip("kid_with_the_root_of_d", "x.shape[1]", "x.shape[1] ** 0.5", loses={"kernel"})


@bank.wrong("kid", loses={"kernel"})
def kid_of_degree_two():
    def kid(x, y):
        def k(a, b):
            return (a @ b.T / a.shape[1] + 1) ** 2

        def within(a):
            return (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))

        return within(x) + within(y) - 2 * k(x, y).mean()

    return kid


@bank.wrong("kid", loses={"kernel"})
def kid_without_one():
    def kid(x, y):
        def k(a, b):
            return (a @ b.T / a.shape[1]) ** 3

        def within(a):
            return (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))

        return within(x) + within(y) - 2 * k(x, y).mean()

    return kid


@bank.wrong("kid", loses={"kernel", "unbiased"})
def kid_with_a_gaussian_kernel():
    import torch

    def kid(x, y):
        def k(a, b):
            return torch.exp(-(torch.cdist(a, b) ** 2) / a.shape[1])

        def within(a):
            return (k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1))

        return within(x) + within(y) - 2 * k(x, y).mean()

    return kid


@bank.wrong("kid", loses={"a number"})
def kid_row_by_row():
    def kid(x, y):
        return ((x @ x.T / x.shape[1] + 1) ** 3).mean(1) - ((x @ y.T / x.shape[1] + 1) ** 3).mean(1)

    return kid


# ------------------------------------------------------------------------------------------------ precision_recall


@bank.right("precision_recall")
def manifolds_by_kthvalue():
    import torch

    def precision_recall(real, fake, k):
        def covered(points, centres):
            radii = torch.cdist(centres, centres).kthvalue(k + 1, dim=1).values
            return (torch.cdist(points, centres) <= radii).any(1).double().mean()

        return covered(fake, real), covered(real, fake)

    return precision_recall


@bank.right("precision_recall")
def manifolds_without_the_diagonal():
    import torch

    def precision_recall(real, fake, k):
        def squares(a, b):
            return ((a.unsqueeze(1) - b) ** 2).sum(-1)

        def radii(a):
            distances = squares(a, a) + torch.diag(torch.full((len(a),), torch.inf, dtype=a.dtype))
            return distances.topk(k, largest=False).values.amax(1)

        across = squares(real, fake)
        in_real = across <= radii(real)[:, None]
        in_fake = across <= radii(fake)
        return float(in_real.any(0).float().mean()), float(in_fake.any(1).float().mean())

    return precision_recall


@bank.right("precision_recall")
def manifolds_one_by_one():
    import math

    def precision_recall(real, fake, k):
        real, fake = real.tolist(), fake.tolist()

        def share(points, centres):
            radii = []
            for i, centre in enumerate(centres):
                others = sorted(math.dist(centre, other) for j, other in enumerate(centres) if j != i)
                radii.append(others[k - 1])
            inside = [any(math.dist(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in points]
            return sum(inside) / len(points)

        return share(fake, real), share(real, fake)

    return precision_recall


for old, new, why in (
    ("kthvalue(k + 1, dim=1)", "kthvalue(k + 1)", "there are two axes"),
    ("kthvalue(k + 1, dim=1)", "kthvalue(k + 1, dim=0)", "the distances of one sample are symmetric"),
    ("torch.inf, dtype=a.dtype", "torch.inf", "infinite in either precision"),
    ("dist(centre, other)", "dist(other, centre)", "a distance is symmetric"),
    ("dist(p, c)", "dist(c, p)", "a distance is symmetric"),
):
    bank.equivalent("precision_recall", old, new, why)


slip = bank.slips("precision_recall", of=manifolds_by_kthvalue)
slip(
    "manifolds_exchanged",
    "covered(fake, real), covered(real, fake)",
    "covered(real, fake), covered(fake, real)",
    loses={"precision"},
)
slip("manifolds_precision_twice", "covered(real, fake)", "covered(fake, real)", loses={"recall"})
slip("manifolds_recall_twice", "return covered(fake, real)", "return covered(real, fake)", loses={"precision"})
slip("manifolds_with_oneself_as_a_neighbour", "kthvalue(k + 1", "kthvalue(k", loses={"precision", "recall"})
slip(
    "manifolds_with_one_neighbour_more",
    "kthvalue(k + 1,",
    "kthvalue(min(k + 2, len(centres)),",
    loses={"precision", "recall"},
)
slip("manifolds_without_the_border", "<= radii", "< radii", loses={"border"})
slip("manifolds_with_a_wider_border", "<= radii", "<= 1.3 * radii + 0.1", loses={"precision", "recall", "border"})
slip("manifolds_in_all_balls", ".any(1)", ".all(1)", loses={"precision", "recall", "border"})
slip("manifolds_in_the_share_of_balls", ".any(1)", "", loses={"precision", "recall", "border"})
slip("manifolds_of_the_first_ball", ".any(1)", "[:, 0]", loses={"precision", "recall", "border"})
slip(
    "manifolds_with_radii_of_the_points",
    "torch.cdist(centres, centres)",
    "torch.cdist(points, points)",
    loses=(),
    raises="RuntimeError",
)
slip(
    "manifolds_with_one_radius",
    "dim=1).values",
    "dim=1).values.mean()",
    loses={"precision", "recall", "border"},
)
slip(
    "manifolds_by_the_centres",
    "torch.cdist(points, centres) <= radii",
    "torch.cdist(points, centres) <= radii.max()",
    loses={"precision", "recall", "border"},
)
slip(
    "manifolds_by_absolute_differences",
    "torch.cdist(points, centres)",
    "torch.cdist(points, centres, p=1.0)",
    loses={"precision", "recall", "border"},
)
slip(
    "manifolds_by_squares_for_radii",
    "torch.cdist(points, centres) <=",
    "torch.cdist(points, centres) ** 2 <=",
    loses={"precision", "recall", "border"},
)
slip(
    "manifolds_of_different_points",
    "torch.cdist(centres, centres)",
    "torch.cdist(centres.unique(dim=0), centres.unique(dim=0))",
    loses={"precision", "recall", "border"},
)
slip("manifolds_of_k_one", "kthvalue(k + 1", "kthvalue(2", loses={"precision", "recall", "border"})
slip("manifolds_counted", ".double().mean()", ".sum()", loses={"precision", "recall", "border"})
slip(
    "manifolds_not_covered",
    ".any(1).double().mean()",
    ".any(1).logical_not().double().mean()",
    loses={"precision", "recall", "border"},
)
slip("manifolds_point_by_point", ".double().mean()", "", loses={"two numbers"})
slip(
    "manifolds_precision_alone",
    "covered(fake, real), covered(real, fake)",
    "covered(fake, real)",
    loses={"two numbers"},
)


@bank.wrong("precision_recall", loses={"precision", "recall", "border"})
def manifolds_of_the_other_samples():
    """The radius reaches the k-th nearest sample of the other kind: density and coverage differ in this."""
    import torch

    def precision_recall(real, fake, k):
        across = torch.cdist(real, fake)
        in_real = across <= across.kthvalue(k, dim=1).values[:, None]
        in_fake = across <= across.kthvalue(k, dim=0).values
        return in_real.any(0).double().mean(), in_fake.any(1).double().mean()

    return precision_recall


@bank.wrong("precision_recall", loses={"recall"})
def manifolds_coverage_for_recall():
    """The share of real balls that hold a fake sample."""
    import torch

    def precision_recall(real, fake, k):
        radii = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
        inside = torch.cdist(fake, real) <= radii
        return inside.any(1).double().mean(), inside.any(0).double().mean()

    return precision_recall


# ---------------------------------------------------------------------------------------------------- bits_per_dim


@bank.right("bits_per_dim")
def bits_at_once():
    import math

    def bits_per_dim(nats, shape, scale):
        D = math.prod(shape)
        return (nats - D * math.log(scale)) / (D * math.log(2))

    return bits_per_dim


@bank.right("bits_per_dim")
def bits_by_log2():
    import math

    def bits_per_dim(nats, shape, scale):
        dimensions = 1
        for size in shape:
            dimensions *= size
        return nats * math.log2(math.e) / dimensions - math.log2(scale)

    return bits_per_dim


@bank.right("bits_per_dim")
def bits_by_a_tensor():
    import torch

    def bits_per_dim(nats, shape, scale):
        D = torch.empty(shape).numel()
        log_jacobian = D * torch.tensor(scale, dtype=torch.float64).log()
        return nats.sub(log_jacobian).div(D).div(torch.tensor(2.0, dtype=torch.float64).log())

    return bits_per_dim


for old, new, why in (
    ("(D * math.log(2))", "(D * math.log(2) + 1e-08)", "D is at least 1"),
    ("/ dimensions", "/ (dimensions + 1e-08)", "there is at least one dimension"),
    ("math.log2(math.e)", "math.log2(torch.as_tensor(math.e).clamp(min=1e-06))", "a constant"),
    ("torch.tensor(scale, dtype=torch.float64)", "torch.tensor(scale)", "single precision is enough for the logarithm"),
    ("torch.tensor(2.0, dtype=torch.float64)", "torch.tensor(2.0)", "single precision is enough for the logarithm"),
):
    bank.equivalent("bits_per_dim", old, new, why)


slip = bank.slips("bits_per_dim", of=bits_at_once)
slip("bits_with_the_sign_of_the_scale", "nats - D", "nats + D", loses={"change of scale"})
slip("bits_without_the_scale", "(nats - D * math.log(scale))", "nats", loses={"change of scale"})
slip("bits_with_one_dimension_scaled", "D * math.log(scale)", "math.log(scale)", loses={"change of scale"})
slip("bits_times_the_scale", "nats - D * math.log(scale)", "nats * scale", loses={"change of scale"})
slip("bits_with_log2_of_the_scale", "math.log(scale)", "math.log2(scale)", loses={"change of scale"})
slip(
    "bits_of_256_levels",
    "math.log(scale)",
    "(math.log(1 / 256) if scale < 1 else math.log(scale))",
    loses={"change of scale"},
)
slip(
    "bits_with_the_scale_after_all",
    "(nats - D * math.log(scale)) / (D * math.log(2))",
    "nats / (D * math.log(2)) - math.log(scale)",
    loses={"change of scale"},
)
slip("bits_in_nats", "(D * math.log(2))", "D", loses={"bits"})
slip("bits_of_the_image", "(D * math.log(2))", "math.log(2)", loses={"bits"})
slip("bits_times_log_two", "/ (D * math.log(2))", "/ D * math.log(2)", loses={"bits"})
slip("bits_negative", "return (nats", "return -(nats", loses={"bits"})
slip("bits_per_pixel", "(D * math.log(2))", "(math.prod(shape[-2:]) * math.log(2))", loses={"bits"})
slip("bits_of_log_ten", "math.log(2)", "math.log(10)", loses={"bits"})
slip("bits_of_the_batch", "(D * math.log(2))", "(len(nats) * D * math.log(2))", loses={"bits"})
slip("bits_of_the_first_axis", "math.prod(shape)", "shape[0]", loses={"bits"})
slip("bits_of_the_sum", "D = math.prod(shape)", "D = sum(shape)", loses={"bits"})
slip(
    "bits_never_negative",
    "/ (D * math.log(2))",
    "/ (D * math.log(2)) * (nats > D * math.log(scale))",
    loses={"bits", "change of scale"},
)
slip("bits_as_their_mean", "return (nats - D", "return (nats.mean() - D", loses={"shape"})
slip("bits_as_a_column", "return (nats - D", "return (nats[:, None] - D", loses={"shape"})
