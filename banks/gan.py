"""Right and wrong answers to lesson 09, GANs.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("gan")

# ----------------------------------------------------------------------------------------------- log_density_ratio


@bank.right("log_density_ratio")
def ratio_by_one_log():
    import math

    def log_density_ratio(logits, n_data, n_model):
        return logits - math.log(n_data / n_model)

    return log_density_ratio


@bank.right("log_density_ratio")
def ratio_by_two_logs():
    import torch

    def log_density_ratio(logits, n_data, n_model):
        counts = torch.tensor([n_data, n_model], dtype=torch.float64)
        of_data, of_model = counts.log()
        return logits - of_data + of_model

    return log_density_ratio


@bank.right("log_density_ratio")
def ratio_by_prior_log_odds():
    import torch

    def log_density_ratio(logits, n_data, n_model):
        prior = torch.tensor(n_data / (n_data + n_model), dtype=torch.float64)
        other = torch.tensor(n_model / (n_data + n_model), dtype=torch.float64)
        return torch.add(logits, other.log() - prior.log())

    return log_density_ratio


@bank.right("log_density_ratio")
def ratio_in_numpy():
    import numpy as np

    def log_density_ratio(logits, n_data, n_model):
        return logits.numpy() + np.log(float(n_model)) - np.log(float(n_data))

    return log_density_ratio


# ------------------------------------------------------------------------------------------- optimal_discriminator


@bank.right("optimal_discriminator")
def discriminator_by_logsigmoid():
    import torch
    import torch.nn.functional as F

    def optimal_discriminator(log_p_data, log_p_model):
        log_odds = torch.where(log_p_data == log_p_model, 0.0, log_p_data - log_p_model)
        of_data = torch.where(log_p_data.isneginf(), 0.0, log_p_data.exp() * F.logsigmoid(log_odds))
        of_model = torch.where(log_p_model.isneginf(), 0.0, log_p_model.exp() * F.logsigmoid(-log_odds))
        return log_odds.sigmoid(), (of_data + of_model).sum()

    return optimal_discriminator


@bank.right("optimal_discriminator")
def discriminator_by_the_mixture():
    """The value as 2 JSD - log 4."""
    import math

    import torch

    def optimal_discriminator(log_p_data, log_p_model):
        log_sum = torch.logaddexp(log_p_data, log_p_model)
        possible = log_sum > -torch.inf
        D = torch.full_like(log_sum, 0.5)
        D[possible] = (log_p_data - log_sum)[possible].exp()
        log_mean = log_sum - math.log(2)
        divergences = 0.0
        for log_p in (log_p_data, log_p_model):
            some = log_p > -torch.inf
            divergences = divergences + (log_p[some].exp() * (log_p - log_mean)[some]).sum()
        return D, divergences - math.log(4)

    return optimal_discriminator


@bank.right("optimal_discriminator")
def discriminator_state_by_state():
    import math

    import torch

    def optimal_discriminator(log_p_data, log_p_model):
        D, value = [], 0.0
        for a, b in zip(log_p_data.tolist(), log_p_model.tolist(), strict=True):
            most = max(a, b)
            if most == -math.inf:
                D.append(0.5)
                continue
            p, q = math.exp(a - most), math.exp(b - most)
            D.append(p / (p + q))
            for log_p, part in ((a, p), (b, q)):
                if part > 0:
                    value += math.exp(log_p) * math.log(part / (p + q))
        return torch.tensor(D, dtype=log_p_data.dtype), value

    return optimal_discriminator


# ------------------------------------------------------------------------------------------------------ gan_losses


@bank.right("gan_losses")
def losses_by_softplus():
    import torch.nn.functional as F

    def gan_losses(real_logits, fake_logits):
        caught = F.softplus(fake_logits).mean()
        return F.softplus(-real_logits).mean() + caught, -caught, F.softplus(-fake_logits).mean()

    return gan_losses


@bank.right("gan_losses")
def losses_by_cross_entropy():
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    def gan_losses(real_logits, fake_logits):
        ones, zeros = torch.ones_like(fake_logits), torch.zeros_like(fake_logits)
        on_real = binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
        on_fake = binary_cross_entropy_with_logits(fake_logits, zeros)
        return on_real + on_fake, -on_fake, binary_cross_entropy_with_logits(fake_logits, ones)

    return gan_losses


@bank.right("gan_losses")
def losses_by_logsigmoid():
    import torch

    def gan_losses(real_logits, fake_logits):
        log_d_real = torch.nn.functional.logsigmoid(real_logits)
        log_d_fake = torch.nn.functional.logsigmoid(fake_logits)
        log_not_d_fake = log_d_fake - fake_logits
        saturating = log_not_d_fake.sum() / len(fake_logits)
        return -log_d_real.sum() / len(real_logits) - saturating, saturating, -log_d_fake.mean()

    return gan_losses


# ------------------------------------------------------------------------------------------------- generator_grads


@bank.right("generator_grads")
def grads_by_sigmoid():
    import torch

    def generator_grads(logits):
        n = len(logits)
        return -torch.sigmoid(logits) / n, -torch.sigmoid(-logits) / n

    return generator_grads


@bank.right("generator_grads")
def grads_by_autograd():
    import torch

    def generator_grads(logits):
        own = logits.clone().requires_grad_()
        saturating = torch.nn.functional.logsigmoid(-own).mean()
        non_saturating = -torch.nn.functional.logsigmoid(own).mean()
        return torch.autograd.grad(saturating, own)[0], torch.autograd.grad(non_saturating, own)[0]

    return generator_grads


@bank.right("generator_grads")
def grads_in_numpy():
    from scipy.special import expit

    def generator_grads(logits):
        logits = logits.numpy()
        return -expit(logits) / logits.size, -expit(-logits) / logits.size

    return generator_grads


# ---------------------------------------------------------------------------------------------------------- OwnGAN


@bank.right("OwnGAN")
def own_by_softplus():
    import torch
    import torch.nn.functional as F

    class OwnGAN(torch.nn.Module):
        def __init__(self, noise, D, hidden):
            super().__init__()
            self.generator_hidden = torch.nn.Linear(noise, hidden)
            self.generator_out = torch.nn.Linear(hidden, D)
            self.discriminator_hidden = torch.nn.Linear(D, hidden)
            self.discriminator_out = torch.nn.Linear(hidden, 1)

        def sample(self, z):
            return self.generator_out(torch.relu(self.generator_hidden(z)))

        def logits(self, x):
            return self.discriminator_out(torch.relu(self.discriminator_hidden(x))).squeeze(1)

        def discriminator_loss(self, x, z):
            fake = self.sample(z).detach()
            return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()

        def generator_loss(self, z):
            return F.softplus(-self.logits(self.sample(z))).mean()

    return OwnGAN


@bank.right("OwnGAN")
def own_by_cross_entropy():
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    class OwnGAN(nn.Module):
        def __init__(self, noise, D, hidden):
            super().__init__()
            self.generator_hidden, self.generator_out = nn.Linear(noise, hidden), nn.Linear(hidden, D)
            self.discriminator_hidden, self.discriminator_out = nn.Linear(D, hidden), nn.Linear(hidden, 1)

        def sample(self, z):
            return self.generator_out(self.generator_hidden(z).clamp(min=0))

        def logits(self, x):
            return self.discriminator_out(self.discriminator_hidden(x).clamp(min=0))[:, 0]

        def against(self, logits, label):
            return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

        def discriminator_loss(self, x, z):
            with torch.no_grad():
                fake = self.sample(z)
            return self.against(self.logits(x), 1.0) + self.against(self.logits(fake), 0.0)

        def generator_loss(self, z):
            return self.against(self.logits(self.sample(z)), 1.0)

    return OwnGAN


@bank.right("OwnGAN")
def own_in_double_precision():
    import torch
    from torch.nn.functional import logsigmoid, relu

    class OwnGAN(torch.nn.Module):
        def __init__(self, noise, D, hidden):
            super().__init__()
            sizes = dict(generator_hidden=(noise, hidden), generator_out=(hidden, D))
            for name, size in (sizes | dict(discriminator_hidden=(D, hidden), discriminator_out=(hidden, 1))).items():
                self.add_module(name, torch.nn.Linear(*size, dtype=torch.float64))

        def sample(self, z):
            return self.generator_out(relu(self.generator_hidden(z)))

        def logits(self, x):
            return self.discriminator_out(relu(self.discriminator_hidden(x))).flatten()

        def discriminator_loss(self, x, z):
            both = self.logits(torch.cat([x, self.sample(z).detach()]))
            real, fake = both.tensor_split([len(x)])
            return -logsigmoid(real).sum() / len(x) - logsigmoid(-fake).sum() / len(z)

        def generator_loss(self, z):
            return -logsigmoid(self.logits(self.sample(z))).mean()

    return OwnGAN


# ------------------------------------------------------------------------------------------------------------- gda


@bank.right("gda")
def path_by_branches():
    import torch

    def gda(x, y, lr, n, alternating):
        path = [(x, y)]
        for _ in range(n):
            new_x = x - lr * y
            y = y + lr * (new_x if alternating else x)
            x = new_x
            path.append((x, y))
        return torch.tensor(path, dtype=torch.float64)

    return gda


@bank.right("gda")
def path_by_a_matrix():
    import torch

    def gda(x, y, lr, n, alternating):
        step = torch.tensor([[1.0, -lr], [lr, 1.0 - lr**2 * alternating]], dtype=torch.float64)
        path = torch.empty(n + 1, 2, dtype=torch.float64)
        path[0] = torch.tensor([x, y])
        for t in range(n):
            path[t + 1] = step @ path[t]
        return path

    return gda


@bank.right("gda")
def path_by_autograd():
    import torch

    def gda(x, y, lr, n, alternating):
        x, y = (torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in (x, y))
        path = [torch.stack([x, y]).detach()]
        for _ in range(n):
            by_x, by_y = torch.autograd.grad(x * y, [x, y])
            x = (x - lr * by_x).detach().requires_grad_()
            if alternating:
                (by_y,) = torch.autograd.grad(x * y, [y])
            y = (y + lr * by_y).detach().requires_grad_()
            path.append(torch.stack([x, y]).detach())
        return torch.stack(path)

    return gda


# ------------------------------------------------------------------------------------------------ gradient_penalty


@bank.right("gradient_penalty")
def penalty_by_grad():
    import torch

    def gradient_penalty(critic, real, fake, u, weight):
        u = u.view(-1, *[1] * (real.ndim - 1))
        between = (u * real + (1 - u) * fake).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return weight * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()

    return gradient_penalty


@bank.right("gradient_penalty")
def penalty_by_lerp():
    import torch

    def gradient_penalty(critic, real, fake, u, weight):
        with torch.no_grad():
            mixed = torch.lerp(fake, real, u.reshape([len(u)] + [1] * (fake.dim() - 1)))
        mixed.requires_grad_(True)
        scores = critic(mixed)
        gradient = torch.autograd.grad(scores, mixed, torch.ones_like(scores), create_graph=True)[0]
        norms = torch.linalg.vector_norm(gradient, dim=tuple(range(1, gradient.dim())))
        return weight * (norms - 1).square().sum() / len(norms)

    return gradient_penalty


@bank.right("gradient_penalty")
def penalty_image_by_image():
    import torch

    def gradient_penalty(critic, real, fake, u, weight):
        total = 0.0
        for one, other, share in zip(real.detach(), fake.detach(), u, strict=True):
            image = (share * one + (1 - share) * other).unsqueeze(0).requires_grad_()
            (slope,) = torch.autograd.grad(critic(image)[0], image, create_graph=True)
            total = total + (slope.norm() - 1) ** 2
        return weight * total / len(u)

    return gradient_penalty


# -------------------------------------------------------------------------------------------------- wasserstein_1d


@bank.right("wasserstein_1d")
def distance_by_distribution_functions():
    import torch

    def wasserstein_1d(x, y):
        x, y = x.sort().values, y.sort().values
        every = torch.cat([x, y]).sort().values
        F = torch.searchsorted(x, every[:-1], right=True) / len(x)
        G = torch.searchsorted(y, every[:-1], right=True) / len(y)
        return ((F.double() - G.double()).abs() * every.diff()).sum()

    return wasserstein_1d


@bank.right("wasserstein_1d")
def distance_by_repeated_numbers():
    import math

    def wasserstein_1d(x, y):
        common = math.lcm(len(x), len(y))
        x, y = (sample.repeat_interleave(common // len(sample)).sort()[0] for sample in (x, y))
        return (x - y).abs().mean()

    return wasserstein_1d


@bank.right("wasserstein_1d")
def distance_by_moving_earth():
    def wasserstein_1d(x, y):
        x, y = sorted(x.tolist()), sorted(y.tolist())
        n, m = len(x), len(y)
        i = j = 0
        left, right, cost = m, n, 0.0  # earth in units of 1 / (n m)
        while i < n and j < m:
            earth = min(left, right)
            cost += earth * abs(x[i] - y[j])
            left, right = left - earth, right - earth
            if left == 0:
                i, left = i + 1, m
            if right == 0:
                j, right = j + 1, n
        return cost / (n * m)

    return wasserstein_1d


# --------------------------------------------------------------------------------------------------- modes_covered


@bank.right("modes_covered")
def covered_by_cdist():
    import torch

    def modes_covered(samples, centres, radius):
        distances = torch.cdist(samples, centres, compute_mode="donot_use_mm_for_euclid_dist")
        nearest, index = distances.min(dim=1)
        near = nearest <= radius
        return len(index[near].unique()), near.double().mean()

    return modes_covered


@bank.right("modes_covered")
def covered_by_one_hot():
    import torch

    def modes_covered(samples, centres, radius):
        distances = (samples[:, None] - centres).norm(dim=2)
        own = torch.nn.functional.one_hot(distances.argmin(1), len(centres)).bool()
        hits = own & (distances <= radius)
        return hits.any(0).sum(), hits.sum() / len(samples)

    return modes_covered


@bank.right("modes_covered")
def covered_one_by_one():
    def modes_covered(samples, centres, radius):
        covered, near = set(), 0
        for sample in samples:
            squares = [float((sample - centre).square().sum()) for centre in centres]
            if min(squares) ** 0.5 <= radius:
                covered.add(squares.index(min(squares)))
                near += 1
        return len(covered), near / len(samples)

    return modes_covered
