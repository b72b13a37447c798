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
def distance_by_the_root_of_the_library():
    """With a symmetric matrix under the root, as a root of a singular product may not exist."""
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
def test_with_the_combinations():
    import math
    from fractions import Fraction

    def c2st(scores, labels):
        n = len(labels)
        hits = int((scores.gt(0).long() == labels).sum())
        if n <= 100:
            return hits / n, float(Fraction(sum(math.comb(n, j) for j in range(hits, n + 1)), 2**n))
        top = math.comb(n, hits)
        ratio, term = 1.0, 1.0
        for j in range(hits + 1, n + 1):
            term *= (n - j + 1) / j
            ratio += term
        return hits / n, math.exp(min(math.log(top) - n * math.log(2) + math.log(ratio), 0.0))

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
                covs.append(torch.atleast_2d(features.T.cov(correction=1)))
            product = torch.linalg.eigvals(covs[0] @ covs[1])
            overlap = product.sqrt().real.sum()
            return (means[0] - means[1]).pow(2).sum() + torch.trace(covs[0] + covs[1]) - 2 * overlap

    return OwnEvaluator


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
            return ((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(-1)

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
