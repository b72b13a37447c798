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


for old, new, why in (
    ("n_data / n_model", "n_data / (n_model + 1e-08)", "a count is at least 1"),
    ("(n_data + n_model)", "(n_data + n_model + 1e-08)", "a count is at least 1"),
    ("counts.log()", "torch.as_tensor(counts).clamp(min=1e-06).log()", "a count is at least 1"),
    ("counts.log()", "(counts + 1e-08).log()", "a count is at least 1"),
    ("float(n_model)", "float(n_model) + 1e-08", "a count is at least 1"),
    ("float(n_data)", "float(n_data) + 1e-08", "a count is at least 1"),
    (", dtype=torch.float64", "", "single precision is enough"),
):
    bank.equivalent("log_density_ratio", old, new, why)


slip = bank.slips("log_density_ratio", of=ratio_by_one_log)
slip("ratio_without_the_prior", "logits - math.log(n_data / n_model)", "1.0 * logits", loses={"class prior", "far out"})
slip("ratio_prior_added", "logits - ", "logits + ", loses={"class prior"})
slip("ratio_prior_inverted", "n_data / n_model", "n_model / n_data", loses={"class prior"})
slip("ratio_prior_not_logged", "math.log(n_data / n_model)", "n_data / n_model", loses={"class prior"})
slip("ratio_prior_of_all", "n_data / n_model", "n_data / (n_data + n_model)", loses={"class prior"})
slip("ratio_in_bits", "math.log(", "math.log2(", loses={"class prior"})
slip("ratio_of_whole_quotients", "n_data / n_model", "n_data // n_model + 1", loses={"class prior", "far out"})
slip("ratio_smoothed_counts", "n_data / n_model", "(n_data + 1) / (n_model + 1)", loses={"class prior"})
slip("ratio_prior_twice", "math.log(n_data / n_model)", "2 * math.log(n_data / n_model)", loses={"class prior"})
slip(
    "ratio_negated",
    "logits - math.log(n_data / n_model)",
    "math.log(n_data / n_model) - logits",
    loses={"class prior", "far out"},
)
slip("ratio_of_the_model_alone", "math.log(n_data / n_model)", "-math.log(n_model)", loses={"class prior"})
slip(
    "ratio_counts_in_32_bits",
    "math.log(n_data / n_model)",
    "torch.tensor([n_data, n_model]).int().double().log().diff().neg().item()",
    ("import math", "import torch"),
    loses={"class prior", "far out"},
)
# The ratio itself, without its log.
slip(
    "ratio_not_logged",
    "logits - math.log(n_data / n_model)",
    "logits.exp() * n_model / n_data",
    loses={"class prior", "far out"},
)
slip(
    "ratio_by_probabilities",
    "return logits - math.log(n_data / n_model)",
    "D = logits.sigmoid()\n    return (D / (1 - D) * n_model / n_data).log()",
    loses={"far out"},
)
slip(
    "ratio_with_an_epsilon",
    "return logits - math.log(n_data / n_model)",
    "D = logits.sigmoid()\n    return ((D + 1e-12) / (1 - D + 1e-12)).log() - math.log(n_data / n_model)",
    loses={"far out"},
)
slip("ratio_clamped", "return logits -", "return logits.clamp(-50, 50) -", loses={"far out"})
slip(
    "ratio_infinities_cleaned",
    "return logits -",
    "return logits.nan_to_num(posinf=1e6, neginf=-1e6) -",
    ("import math", "import math"),
    loses={"far out"},
)
slip("ratio_as_a_column", "return logits -", "return logits[:, None] -", loses={"shape"})
slip("ratio_averaged", "return logits -", "return logits.mean() -", loses={"shape"})


@bank.wrong("log_density_ratio", loses={"class prior", "far out"})
def ratio_of_the_posterior():
    """The log probability that x is from the data, with the prior taken off."""
    import math

    import torch

    def log_density_ratio(logits, n_data, n_model):
        return torch.nn.functional.logsigmoid(logits) - math.log(n_data / (n_data + n_model))

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


for old, new, why in (
    ("(log_odds)", "(torch.as_tensor(log_odds).clamp(-30, 30))", "beyond, the rarer term is below e^-30"),
    ("(-log_odds)", "(torch.as_tensor(-log_odds).clamp(-30, 30))", "beyond, the rarer term is below e^-30"),
    ("log_odds.sigmoid()", "torch.as_tensor(log_odds).clamp(-30, 30).sigmoid()", "D changes by less than e^-30"),
    ("(p + q)", "(p + q + 1e-08)", "the larger of the two is 1"),
    ("part / (p + q)", "torch.as_tensor(part / (p + q)).clamp(min=1e-06)", "a smaller part weighs less than its error"),
    ("part / (p + q)", "part / (p + q) + 1e-08", "a smaller part weighs less than its error"),
    (", dtype=log_p_data.dtype", "", "single precision is enough"),
):
    bank.equivalent("optimal_discriminator", old, new, why)


slip = bank.slips("optimal_discriminator", of=discriminator_by_logsigmoid)
slip("discriminator_inverted", "return log_odds.sigmoid()", "return (-log_odds).sigmoid()", loses={"discriminator"})
slip(
    "discriminator_is_a_logit",
    "return log_odds.sigmoid()",
    "return log_odds",
    loses={"discriminator", "impossible states", "far apart"},
)
slip("discriminator_decides", "return log_odds.sigmoid()", "return (log_odds.sign() + 1) / 2", loses={"discriminator"})
slip(
    "discriminator_ignorant",
    "return log_odds.sigmoid()",
    "return 0.0 * log_p_data.exp() + 0.5",
    loses={"discriminator", "impossible states", "far apart"},
)
slip(
    "discriminator_density_ratio",
    "return log_odds.sigmoid()",
    "return log_odds.exp().clamp(max=1)",
    loses={"discriminator"},
)
slip(
    "discriminator_half_the_odds",
    "return log_odds.sigmoid()",
    "return (log_odds / 2).sigmoid()",
    loses={"discriminator"},
)
slip("value_as_a_loss", "(of_data + of_model).sum()", "-(of_data + of_model).sum()", loses={"value"})
slip(
    "value_is_the_divergence",
    "(of_data + of_model).sum()",
    "(of_data + of_model).sum() / 2 + 0.6931471805599453",
    loses={"value"},
)
slip(
    "value_without_log_four",
    "(of_data + of_model).sum()",
    "(of_data + of_model).sum() + 2 * 0.6931471805599453",
    loses={"value"},
)
slip("value_in_bits", "(of_data + of_model).sum()", "(of_data + of_model).sum() / 0.6931471805599453", loses={"value"})
slip("value_averaged_over_states", "(of_data + of_model).sum()", "(of_data + of_model).mean()", loses={"value"})
slip("value_of_the_data_alone", "(of_data + of_model).sum()", "of_data.sum()", loses={"value"})
slip("value_mean_of_both", "(of_data + of_model).sum()", "(of_data + of_model).sum() / 2", loses={"value"})
slip(
    "value_not_weighted",
    "log_p_model.exp() * F.logsigmoid(-log_odds)",
    "F.logsigmoid(-log_odds)",
    loses={"value", "impossible states", "far apart"},
)
slip(
    "value_of_a_worse_discriminator", "(of_data + of_model).sum()", "(of_data + of_model).sum() - 0.01", loses={"value"}
)
slip(
    "value_of_a_fixed_half",
    "(of_data + of_model).sum()",
    "0.0 * of_data.sum() - 2 * 0.6931471805599453",
    loses={"value"},
)
slip(
    "discriminator_of_nothing_nan",
    "torch.where(log_p_data == log_p_model, 0.0, log_p_data - log_p_model)",
    "log_p_data - log_p_model",
    loses={"impossible states"},
)
slip(
    "discriminator_of_nothing_zero",
    "return log_odds.sigmoid()",
    "return torch.where(log_p_data.isneginf(), 0.0, log_odds.sigmoid())",
    loses={"impossible states"},
)
slip(
    "discriminator_of_nothing_one",
    "return log_odds.sigmoid()",
    "return torch.where(log_p_model.isneginf(), 1.0, log_odds.sigmoid())",
    loses={"impossible states"},
)
slip(
    "value_zero_times_infinity",
    "torch.where(log_p_data.isneginf(), 0.0, log_p_data.exp() * F.logsigmoid(log_odds))",
    "log_p_data.exp() * F.logsigmoid(log_odds)",
    loses={"impossible states"},
)
slip(
    "value_zero_times_infinity_of_the_model",
    "torch.where(log_p_model.isneginf(), 0.0, log_p_model.exp() * F.logsigmoid(-log_odds))",
    "log_p_model.exp() * F.logsigmoid(-log_odds)",
    loses={"impossible states"},
)
slip(
    "discriminator_logs_clamped",
    "log_odds = torch",
    "log_p_data, log_p_model = log_p_data.clamp(min=-100), log_p_model.clamp(min=-100)\n    log_odds = torch",
    loses={"far apart"},
)
slip("value_as_a_row", "(of_data + of_model).sum()", "of_data + of_model", loses={"shapes"})
slip(
    "discriminator_alone",
    "return log_odds.sigmoid(), (of_data + of_model).sum()",
    "return log_odds.sigmoid()",
    loses={"shapes"},
)


@bank.wrong("optimal_discriminator", loses={"impossible states", "far apart"})
def discriminator_by_probabilities():
    def optimal_discriminator(log_p_data, log_p_model):
        p, q = log_p_data.exp(), log_p_model.exp()
        D = p / (p + q)
        return D, (p * D.log() + q * (1 - D).log()).sum()

    return optimal_discriminator


@bank.wrong("optimal_discriminator", loses={"far apart"})
def discriminator_by_probabilities_with_care():
    """Zeros are cared for; both probabilities underflow where states are improbable."""
    import torch

    def optimal_discriminator(log_p_data, log_p_model):
        p, q = log_p_data.exp(), log_p_model.exp()
        D = torch.where(p + q == 0, 0.5, p / (p + q))
        return D, (torch.xlogy(p, D) + torch.xlogy(q, q / (p + q))).nansum()

    return optimal_discriminator


@bank.wrong("optimal_discriminator", loses={"impossible states", "far apart"})
def discriminator_with_an_epsilon():
    def optimal_discriminator(log_p_data, log_p_model):
        p, q = log_p_data.exp(), log_p_model.exp()
        D = p / (p + q + 1e-8)
        return D, (p * (D + 1e-8).log() + q * (1 - D + 1e-8).log()).sum()

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


slip = bank.slips("gan_losses", of=losses_by_softplus)
slip(
    "losses_discriminator_maximised",
    "return F.softplus(-real_logits).mean() + caught",
    "return -F.softplus(-real_logits).mean() - caught",
    loses={"discriminator loss"},
)
slip(
    "losses_mean_of_both_batches",
    "return F.softplus(-real_logits).mean() + caught",
    "return (F.softplus(-real_logits).mean() + caught) / 2",
    loses={"discriminator loss"},
)
slip(
    "losses_of_one_batch",
    "return F.softplus(-real_logits).mean() + caught",
    "return 2 * torch.cat([F.softplus(-real_logits), F.softplus(fake_logits)]).mean()",
    ("import torch.nn.functional as F", "import torch\nimport torch.nn.functional as F"),
    loses={"discriminator loss"},
)
slip(
    "losses_summed_over_real",
    "F.softplus(-real_logits).mean()",
    "F.softplus(-real_logits).sum()",
    loses={"discriminator loss"},
)
slip(
    "losses_of_real_alone",
    "F.softplus(-real_logits).mean() + caught",
    "F.softplus(-real_logits).mean() + 0 * caught",
    loses={"discriminator loss"},
)
slip(
    "losses_of_fake_alone",
    "F.softplus(-real_logits).mean() + caught",
    "0 * F.softplus(-real_logits).mean() + caught",
    loses={"discriminator loss"},
)
slip(
    "losses_labels_of_real_flipped", "F.softplus(-real_logits)", "F.softplus(real_logits)", loses={"discriminator loss"}
)
slip(
    "losses_labels_smoothed",
    "F.softplus(-real_logits).mean()",
    "(F.softplus(-real_logits) + 0.1 * real_logits).mean()",
    loses={"discriminator loss"},
)
slip("losses_saturating_sign", "caught, -caught, F", "caught, caught, F", loses={"saturating loss"})
slip("losses_saturating_twice", "F.softplus(-fake_logits).mean()", "-caught", loses={"non-saturating loss"})
slip(
    "losses_generators_swapped",
    "-caught, F.softplus(-fake_logits).mean()",
    "F.softplus(-fake_logits).mean(), -caught",
    loses={"saturating loss", "non-saturating loss"},
)
slip("losses_non_saturating_sign", "+ caught, -caught, F", "+ caught, -caught, -F", loses={"non-saturating loss"})
slip(
    "losses_non_saturating_summed",
    "F.softplus(-fake_logits).mean()",
    "F.softplus(-fake_logits).sum()",
    loses={"non-saturating loss"},
)
slip(
    "losses_non_saturating_of_both",
    "F.softplus(-fake_logits).mean()",
    "F.softplus(-fake_logits).mean() + F.softplus(real_logits).mean()",
    loses={"non-saturating loss"},
)
slip(
    "losses_in_bits",
    "-caught, F.softplus(-fake_logits).mean()",
    "-caught / 0.6931471805599453, F.softplus(-fake_logits).mean()",
    loses={"saturating loss"},
)
slip("losses_wasserstein", "F.softplus(-fake_logits).mean()", "-fake_logits.mean()", loses={"non-saturating loss"})
slip(
    "losses_least_squares",
    "F.softplus(-fake_logits).mean()",
    "((fake_logits.sigmoid() - 1) ** 2).mean()",
    loses={"non-saturating loss"},
)
slip(
    "losses_of_mean_logits",
    "caught = F.softplus(fake_logits).mean()",
    "caught = F.softplus(fake_logits.mean())",
    loses={"discriminator loss", "saturating loss"},
)
slip(
    "losses_double_sigmoid",
    "F.softplus(-fake_logits).mean()",
    "F.softplus(-fake_logits.sigmoid()).mean()",
    loses={"non-saturating loss"},
)
slip(
    "losses_by_log_of_sigmoid",
    "F.softplus(-fake_logits).mean()",
    "-fake_logits.sigmoid().log().mean()",
    loses={"far out"},
)
slip(
    "losses_by_log_of_one_minus_sigmoid",
    "caught = F.softplus(fake_logits)",
    "caught = -(1 - fake_logits.sigmoid()).log()",
    loses={"far out"},
)
slip("losses_with_epsilon", "F.softplus(-real_logits)", "-(real_logits.sigmoid() + 1e-12).log()", loses={"far out"})
slip("losses_by_exp", "F.softplus(-real_logits)", "(1 + (-real_logits).exp()).log()", loses={"far out"})
slip(
    "losses_by_clamped_cross_entropy",
    "F.softplus(-fake_logits).mean()",
    "F.binary_cross_entropy(fake_logits.sigmoid(), fake_logits.detach() * 0 + 1)",
    loses={"far out"},
)
# The value is right, and its gradient NaN.
slip(
    "losses_where_of_infinities",
    "F.softplus(-real_logits)",
    "torch.where(real_logits < -30, -real_logits, (1 + (-real_logits).exp()).log())",
    ("import torch.nn.functional as F", "import torch\nimport torch.nn.functional as F"),
    loses={"far out"},
)
slip(
    "losses_clamped_logits",
    "caught = F.softplus(fake_logits)",
    "caught = F.softplus(fake_logits.clamp(-30, 30))",
    loses={"far out"},
)
slip(
    "losses_fake_detached",
    "caught = F.softplus(fake_logits)",
    "caught = F.softplus(fake_logits.detach())",
    loses={"gradients"},
)
slip(
    "losses_non_saturating_detached",
    "F.softplus(-fake_logits).mean()",
    "F.softplus(-fake_logits).mean().detach()",
    loses={"gradients"},
)
slip("losses_real_detached", "F.softplus(-real_logits)", "F.softplus(-real_logits.detach())", loses={"gradients"})
slip("losses_as_numbers", "caught, -caught", "caught, -caught.item()", loses={"gradients"})
slip("losses_of_two_players", "+ caught, -caught, F", "+ caught, F", loses={"shapes"})
slip("losses_per_sample", "F.softplus(-fake_logits).mean()", "F.softplus(-fake_logits)", loses={"shapes"})


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


bank.equivalent("generator_grads", "/ n", "/ (n + 1e-08)", "a count is at least 1")
bank.equivalent("generator_grads", "/ logits.size", "/ (logits.size + 1e-08)", "a count is at least 1")
bank.equivalent("generator_grads", "[0]", "[-1]", "there is one gradient")


slip = bank.slips("generator_grads", of=grads_by_sigmoid)
slip(
    "grads_saturating_sign",
    "return -torch.sigmoid(logits) / n",
    "return torch.sigmoid(logits) / n",
    loses={"saturating"},
)
slip(
    "grads_non_saturating_sign",
    ", -torch.sigmoid(-logits) / n",
    ", torch.sigmoid(-logits) / n",
    loses={"non-saturating"},
)
slip(
    "grads_swapped",
    "-torch.sigmoid(logits) / n, -torch.sigmoid(-logits) / n",
    "-torch.sigmoid(-logits) / n, -torch.sigmoid(logits) / n",
    loses={"saturating", "non-saturating", "far out"},
)
slip("grads_saturating_of_one", "-torch.sigmoid(logits) / n", "-torch.sigmoid(logits)", loses={"saturating"})
slip("grads_of_one", "n = len(logits)", "n = 1", loses={"saturating", "non-saturating", "far out"})
slip("grads_non_saturating_of_one", "-torch.sigmoid(-logits) / n", "-torch.sigmoid(-logits)", loses={"non-saturating"})
slip(
    "grads_by_probability",
    "-torch.sigmoid(logits) / n",
    "-(torch.sigmoid(logits) * torch.sigmoid(-logits)) / n",
    loses={"saturating"},
)
slip("grads_of_log_d_by_d", "-torch.sigmoid(-logits) / n", "-1 / torch.sigmoid(logits) / n", loses={"non-saturating"})
slip("grads_saturating_twice", "-torch.sigmoid(-logits) / n", "-torch.sigmoid(logits) / n", loses={"non-saturating"})
slip("grads_normalised", "-torch.sigmoid(logits) / n", "-torch.softmax(logits, 0)", loses={"saturating"})
slip("grads_one_minus_sigmoid", "-torch.sigmoid(-logits) / n", "-(1 - torch.sigmoid(logits)) / n", loses={"far out"})
slip("grads_one_minus_the_other", "-torch.sigmoid(logits) / n", "-(1 - torch.sigmoid(-logits)) / n", loses={"far out"})
slip(
    "grads_in_single_precision",
    "-torch.sigmoid(logits) / n",
    "-torch.sigmoid(logits.float()).double() / n",
    loses={"far out"},
)
slip(
    "grads_by_exp",
    "-torch.sigmoid(logits) / n",
    "-(logits.exp() / (1 + logits.exp())) / n",
    loses={"far out"},
)
slip("grads_with_epsilon", "-torch.sigmoid(-logits) / n", "-(torch.sigmoid(-logits) + 1e-12) / n", loses={"far out"})
slip("grads_clamped", "-torch.sigmoid(-logits) / n", "-torch.sigmoid(-logits.clamp(-30, 30)) / n", loses={"far out"})
slip("grads_averaged", "-torch.sigmoid(logits) / n", "-torch.sigmoid(logits).mean()", loses={"shapes"})
slip(
    "grads_alone",
    "return -torch.sigmoid(logits) / n, -torch.sigmoid(-logits) / n",
    "return -torch.sigmoid(logits) / n",
    loses={"shapes"},
)


@bank.wrong("generator_grads", loses={"saturating", "non-saturating", "far out"})
def grads_of_losses():
    """The losses for their derivatives."""
    import torch

    def generator_grads(logits):
        n = len(logits)
        return torch.nn.functional.logsigmoid(-logits) / n, -torch.nn.functional.logsigmoid(logits) / n

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


bank.equivalent("OwnGAN", "[:, 0]", "[:, -1]", "there is one output")
bank.equivalent("OwnGAN", ", dtype=torch.float64", "", "any precision will do")


slip = bank.slips("OwnGAN", of=own_by_softplus)
slip(
    "own_generator_without_relu",
    "torch.relu(self.generator_hidden(z))",
    "self.generator_hidden(z)",
    loses={"generator"},
)
slip(
    "own_generator_tanh",
    "torch.relu(self.generator_hidden(z))",
    "torch.tanh(self.generator_hidden(z))",
    loses={"generator"},
)
slip(
    "own_generator_leaky",
    "torch.relu(self.generator_hidden(z))",
    "F.leaky_relu(self.generator_hidden(z), 0.2)",
    loses={"generator"},
)
slip(
    "own_generator_tanh_out",
    "return self.generator_out(torch.relu(self.generator_hidden(z)))",
    "return self.generator_out(torch.relu(self.generator_hidden(z))).tanh()",
    loses={"generator"},
)
slip(
    "own_generator_relu_out",
    "return self.generator_out(torch.relu(self.generator_hidden(z)))",
    "return self.generator_out(torch.relu(self.generator_hidden(z))).relu()",
    loses={"generator"},
)
slip(
    "own_generator_adds_noise",
    "torch.relu(self.generator_hidden(z))",
    "torch.relu(self.generator_hidden(z + torch.randn_like(z)))",
    loses={"generator", "discriminator loss", "generator loss", "discriminator gradients", "generator gradients"},
)
slip(
    "own_generator_normalised",
    "return self.generator_out(torch.relu(self.generator_hidden(z)))",
    "x = self.generator_out(torch.relu(self.generator_hidden(z)))\n        return x - x.mean(0)",
    loses={"generator"},
)
slip(
    "own_generator_off_in_eval",
    "return self.generator_out(torch.relu(self.generator_hidden(z)))",
    "h = torch.relu(self.generator_hidden(z))\n        return self.generator_out(h if self.training else h / 2)",
    loses={"generator"},
)
slip(
    "own_discriminator_gives_probabilities",
    "return self.discriminator_out(torch.relu(self.discriminator_hidden(x))).squeeze(1)",
    "return self.discriminator_out(torch.relu(self.discriminator_hidden(x))).squeeze(1).sigmoid()",
    loses={"discriminator"},
)
slip(
    "own_discriminator_without_relu",
    "torch.relu(self.discriminator_hidden(x))",
    "self.discriminator_hidden(x)",
    loses={"discriminator"},
)
slip(
    "own_discriminator_leaky",
    "torch.relu(self.discriminator_hidden(x))",
    "F.leaky_relu(self.discriminator_hidden(x), 0.2)",
    loses={"discriminator"},
)
slip(
    "own_discriminator_tanh_out",
    "self.discriminator_hidden(x))).squeeze(1)",
    "self.discriminator_hidden(x))).squeeze(1).tanh()",
    loses={"discriminator"},
)
slip(
    "own_discriminator_dropout",
    "self.discriminator_out(torch.relu(self.discriminator_hidden(x)))",
    "self.discriminator_out(F.dropout(torch.relu(self.discriminator_hidden(x)), 0.5, self.training))",
    loses={"discriminator", "discriminator loss", "generator loss", "discriminator gradients", "generator gradients"},
)
slip(
    "own_discriminator_of_the_batch",
    "torch.relu(self.discriminator_hidden(x))",
    "torch.relu(self.discriminator_hidden(x - x.mean(0)))",
    loses={"discriminator"},
)
slip("own_logits_as_a_column", ".squeeze(1)", "", loses={"shapes"})
slip("own_logits_without_axes_for_one", ".squeeze(1)", ".squeeze()", loses={"shapes"})
slip(
    "own_loss_mean_of_both",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return (F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()) / 2",
    loses={"discriminator loss"},
)
slip(
    "own_loss_of_one_batch",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return 2 * torch.cat([F.softplus(-self.logits(x)), F.softplus(self.logits(fake))]).mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_of_pairs",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return (F.softplus(-self.logits(x)).sum() + F.softplus(self.logits(fake)).sum()) / len(x)",
    loses={"discriminator loss"},
)
slip(
    "own_labels_flipped",
    "F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "F.softplus(self.logits(x)).mean() + F.softplus(-self.logits(fake)).mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_maximised",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return -F.softplus(-self.logits(x)).mean() - F.softplus(self.logits(fake)).mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_of_data_alone",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return F.softplus(-self.logits(x)).mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_double_sigmoid",
    "F.softplus(self.logits(fake)).mean()",
    "F.softplus(self.logits(fake).sigmoid()).mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_by_log_of_sigmoid",
    "F.softplus(self.logits(fake)).mean()",
    "-(1 - self.logits(fake).sigmoid()).log().mean()",
    loses={"discriminator loss"},
)
slip(
    "own_loss_by_clamped_cross_entropy",
    "F.softplus(-self.logits(x)).mean()",
    "F.binary_cross_entropy(self.logits(x).sigmoid(), torch.ones_like(self.logits(x)))",
    loses={"discriminator loss"},
)
slip(
    "own_label_smoothing",
    "F.softplus(-self.logits(x)).mean()",
    "F.binary_cross_entropy_with_logits(self.logits(x), torch.full_like(self.logits(x), 0.9))",
    loses={"discriminator loss"},
)
slip(
    "own_loss_of_other_noise",
    "fake = self.sample(z).detach()",
    "fake = self.sample(torch.randn_like(z)).detach()",
    loses={"discriminator loss", "discriminator gradients"},
)
# The weights are clipped as in a Wasserstein GAN.
slip(
    "own_loss_clips_weights",
    "fake = self.sample(z).detach()\n",
    "self.discriminator_out.weight.data.clamp_(-0.5, 0.5)\n        fake = self.sample(z).detach()\n",
    loses={"discriminator loss", "discriminator gradients"},
)
slip(
    "own_generator_loss_saturating",
    "return F.softplus(-self.logits(self.sample(z))).mean()",
    "return -F.softplus(self.logits(self.sample(z))).mean()",
    loses={"generator loss"},
)
slip(
    "own_generator_loss_sign",
    "return F.softplus(-self.logits(self.sample(z))).mean()",
    "return -F.softplus(-self.logits(self.sample(z))).mean()",
    loses={"generator loss"},
)
slip(
    "own_generator_loss_of_the_discriminator",
    "F.softplus(-self.logits(self.sample(z)))",
    "F.softplus(self.logits(self.sample(z)))",
    loses={"generator loss"},
)
slip("own_generator_loss_summed", "self.sample(z))).mean()", "self.sample(z))).sum()", loses={"generator loss"})
slip(
    "own_generator_loss_of_the_critic",
    "F.softplus(-self.logits(self.sample(z))).mean()",
    "-self.logits(self.sample(z)).mean()",
    loses={"generator loss"},
)
slip(
    "own_generator_loss_by_log_of_sigmoid",
    "F.softplus(-self.logits(self.sample(z))).mean()",
    "-self.logits(self.sample(z)).sigmoid().log().mean()",
    loses={"generator loss"},
)
slip(
    "own_generator_steps_in_the_loss",
    "return F.softplus(-self.logits(self.sample(z)))",
    "self.generator_out.bias.data.sub_(1e-3)\n        return F.softplus(-self.logits(self.sample(z)))",
    loses={"generator loss"},
)
slip(
    "own_discriminator_step_trains_the_generator",
    "self.sample(z).detach()",
    "self.sample(z)",
    loses={"discriminator gradients"},
)
slip(
    "own_discriminator_blind_to_samples",
    "F.softplus(self.logits(fake)).mean()",
    "F.softplus(self.logits(fake).detach()).mean()",
    loses={"discriminator gradients"},
)
slip(
    "own_discriminator_blind_to_data",
    "F.softplus(-self.logits(x)).mean()",
    "F.softplus(-self.logits(x).detach()).mean()",
    loses={"discriminator gradients"},
)
slip(
    "own_discriminator_detached",
    "return F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()",
    "return (F.softplus(-self.logits(x)).mean() + F.softplus(self.logits(fake)).mean()).detach()",
    loses={"discriminator gradients"},
)
slip(
    "own_generator_detached",
    "self.logits(self.sample(z))",
    "self.logits(self.sample(z).detach())",
    loses={"generator gradients"},
)
slip(
    "own_generator_loss_without_gradients",
    "return F.softplus(-self.logits(self.sample(z))).mean()",
    "with torch.no_grad():\n            return F.softplus(-self.logits(self.sample(z))).mean()",
    loses={"generator gradients"},
)
slip(
    "own_generator_half_detached",
    "self.generator_out(torch.relu(self.generator_hidden(z)))",
    "self.generator_out(torch.relu(self.generator_hidden(z)).detach())",
    loses={"generator gradients"},
)
slip(
    "own_sample_without_gradients",
    "return self.generator_out(torch.relu(self.generator_hidden(z)))",
    "with torch.no_grad():\n            return self.generator_out(torch.relu(self.generator_hidden(z)))",
    loses={"generator gradients"},
)
# The discriminator's parameters stay frozen after the first generator's step.
slip(
    "own_discriminator_stays_frozen",
    "return F.softplus(-self.logits(self.sample(z)))",
    "self.discriminator_hidden.requires_grad_(False)\n        return F.softplus(-self.logits(self.sample(z)))",
    loses={"discriminator gradients"},
)
slip("own_without_bias", "torch.nn.Linear(hidden, D)", "torch.nn.Linear(hidden, D, bias=False)", loses={"shapes"})
slip("own_with_two_outputs", "torch.nn.Linear(hidden, 1)", "torch.nn.Linear(hidden, 2)", loses={"shapes"})
slip(
    "own_other_names",
    "self.generator_hidden = ",
    "self.generator = self.hidden = ",
    ("self.generator_hidden(z)", "self.hidden(z)"),
    loses={"shapes"},
)
slip("own_hidden_reads_data", "torch.nn.Linear(noise, hidden)", "torch.nn.Linear(D, hidden)", loses={"shapes"})


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


bank.equivalent("gda", ", dtype=torch.float64", "", "single precision is enough")
bank.equivalent(
    "gda", ".detach().requires_grad_()", ".requires_grad_()", "the gradient is taken at the last point alone"
)
bank.equivalent("gda", "torch.stack(path)", "path", "a list of rows is read as well")


slip = bank.slips("gda", of=path_by_branches)
slip("path_both_descend", "y = y + lr", "y = y - lr", loses={"simultaneous"})
slip("path_both_ascend", "new_x = x - lr * y", "new_x = x + lr * y", loses={"simultaneous"})
slip(
    "path_signs_swapped",
    "new_x = x - lr * y",
    "new_x = x + lr * y",
    ("y = y + lr", "y = y - lr"),
    loses={"simultaneous"},
)
slip("path_of_own_derivatives", "new_x = x - lr * y", "new_x = x - lr * x", loses={"simultaneous"})
slip("path_half_steps", "new_x = x - lr * y", "new_x = x - lr * y / 2", loses={"simultaneous"})
slip("path_always_alternating", "new_x if alternating else x", "new_x", loses={"simultaneous"})
slip(
    "path_modes_swapped",
    "new_x if alternating else x",
    "x if alternating else new_x",
    loses={"simultaneous", "alternating"},
)
slip("path_never_alternating", "new_x if alternating else x", "x", loses={"alternating"})
slip(
    "path_alternating_average",
    "new_x if alternating else x",
    "(x + new_x) / 2 if alternating else x",
    loses={"alternating"},
)
slip(
    "path_one_after_the_other",
    "x = new_x\n",
    "x, y = (new_x, old_y) if alternating and len(path) % 2 else (x if alternating else new_x, y)\n",
    ("new_x = x - lr * y", "new_x, old_y = x - lr * y, y"),
    loses={"alternating"},
)
slip("path_without_the_start", "path = [(x, y)]", "path = []", loses={"shape"})
slip(
    "path_start_twice",
    "path.append((x, y))",
    "path.append((x, y))\n    path = [path[0], *path[:-1]] if n else path",
    loses={"simultaneous", "alternating"},
)
slip(
    "path_end_first",
    "return torch.tensor(path, dtype=torch.float64)",
    "return torch.tensor(path[::-1], dtype=torch.float64)",
    loses={"simultaneous", "alternating"},
)
slip("path_y_first", "path.append((x, y))", "path.append((y, x))", loses={"simultaneous", "alternating"})
slip("path_start_of_zeros", "path = [(x, y)]", "path = [(0.0, 0.0)]", loses={"simultaneous", "alternating"})
slip(
    "path_in_columns",
    "return torch.tensor(path, dtype=torch.float64)",
    "return torch.tensor(path, dtype=torch.float64).T",
    loses={"shape"},
)
slip(
    "path_lr_decays",
    "new_x = x - lr * y",
    "lr = lr * 0.99\n        new_x = x - lr * y",
    loses={"simultaneous", "alternating"},
)
slip(
    "path_in_half_precision",
    "torch.tensor(path, dtype=torch.float64)",
    "torch.tensor(path, dtype=torch.bfloat16)",
    loses={"simultaneous", "alternating"},
)


@bank.wrong("gda", loses={"alternating"})
def path_with_y_first():
    """y moves first, and x uses the new y."""
    import torch

    def gda(x, y, lr, n, alternating):
        path = [[x, y]]
        for _ in range(n):
            new_y = y + lr * x
            x = x - lr * (new_y if alternating else y)
            y = new_y
            path.append([x, y])
        return torch.tensor(path, dtype=torch.float64)

    return gda


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


bank.equivalent(
    "modes_covered",
    ", compute_mode='donot_use_mm_for_euclid_dist'",
    "",
    "samples at exactly the radius are few, and near zero",
)


slip = bank.slips("modes_covered", of=covered_by_cdist)
slip("covered_strictly_within", "nearest <= radius", "nearest < radius", loses={"covered", "share"})
slip(
    "covered_squared_distances",
    "nearest, index = distances",
    "nearest, index = distances.square()",
    loses={"covered", "share"},
)
slip("covered_twice_the_radius", "nearest <= radius", "nearest <= 2 * radius", loses={"covered", "share"})
slip(
    "covered_centres_near_any_sample",
    "len(index[near].unique())",
    "int((distances <= radius).any(0).sum())",
    loses={"covered"},
)
slip("covered_without_radius", "index[near]", "index", loses={"covered"})
slip("covered_samples_counted", "len(index[near].unique())", "len(index[near])", loses={"covered"})
slip("covered_as_a_share", "len(index[near].unique())", "len(index[near].unique()) / len(centres)", loses={"covered"})
slip(
    "covered_largest_index",
    "len(index[near].unique())",
    "int(index[near].max()) + 1 if near.any() else 0",
    loses={"covered"},
)
slip(
    "covered_twice_at_least",
    "len(index[near].unique())",
    "int((torch.bincount(index[near]) > 1).sum())",
    loses={"covered"},
)
slip("share_of_centres", "near.double().mean()", "len(index[near].unique()) / len(centres)", loses={"share"})
slip("share_of_outliers", "near.double().mean()", "1 - near.double().mean()", loses={"share"})
slip("share_counted", "near.double().mean()", "near.double().sum()", loses={"share"})
slip("share_in_percent", "near.double().mean()", "100 * near.double().mean()", loses={"share"})
slip("share_of_pairs", "near.double().mean()", "(distances <= radius).double().mean()", loses={"share"})
slip(
    "share_of_all_centres",
    "near.double().mean()",
    "(distances <= radius).double().sum() / len(samples)",
    loses={"share"},
)
slip(
    "covered_swapped",
    "return len(index[near].unique()), near.double().mean()",
    "return near.double().mean(), len(index[near].unique())",
    loses={"covered", "share"},
)
slip(
    "covered_alone",
    "return len(index[near].unique()), near.double().mean()",
    "return len(index[near].unique())",
    loses={"shapes"},
)
slip(
    "covered_listed",
    "return len(index[near].unique()), near.double().mean()",
    "return index[near].unique(), near.double().mean()",
    loses={"shapes"},
)


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
def distance_by_one_sweep():
    from itertools import pairwise

    def wasserstein_1d(x, y):
        numbers = [(t, 1 / len(x)) for t in x.tolist()] + [(t, -1 / len(y)) for t in y.tolist()]
        surplus = cost = 0.0
        for (t, share), (following, _) in pairwise(sorted(numbers)):
            surplus += share
            cost += abs(surplus) * (following - t)
        return cost

    return wasserstein_1d


bank.equivalent("wasserstein_1d", "math.lcm(len(x), len(y))", "math.lcm(len(y), len(x))", "a symmetric function")


slip = bank.slips("wasserstein_1d", of=distance_by_repeated_numbers)
slip("distance_squared", "(x - y).abs().mean()", "(x - y).pow(2).mean()", loses={"equal sizes"})
slip("distance_of_order_two", "(x - y).abs().mean()", "(x - y).pow(2).mean().sqrt()", loses={"equal sizes"})
slip("distance_summed", "(x - y).abs().mean()", "(x - y).abs().sum()", loses={"equal sizes", "different sizes"})
slip("distance_of_means", "(x - y).abs().mean()", "(x - y).mean().abs()", loses={"equal sizes"})
slip("distance_largest", "(x - y).abs().mean()", "(x - y).abs().max()", loses={"equal sizes"})
slip("distance_median", "(x - y).abs().mean()", "(x - y).abs().median()", loses={"equal sizes"})
slip("distance_signed", "(x - y).abs().mean()", "(x - y).mean()", loses={"equal sizes"})
slip("distance_not_sorted", ".sort()[0] for", " for", loses={"equal sizes"})
slip("distance_sorted_against_each_other", "(x - y).abs()", "(x - y.flip(0)).abs()", loses={"equal sizes"})
slip("distance_in_single_precision", "(x - y).abs()", "(x.float() - y.float()).abs()", loses={"equal sizes"})
slip(
    "distance_cyclic",
    "sample.repeat_interleave(common // len(sample)).sort()[0]",
    "sample.sort()[0].repeat(common // len(sample))",
    loses={"different sizes"},
)
slip(
    "distance_truncated",
    "common = math.lcm(len(x), len(y))",
    "common = min(len(x), len(y))",
    ("sample.repeat_interleave(common // len(sample)).sort()[0]", "sample.sort()[0][:common]"),
    loses={"different sizes"},
)
slip("distance_of_each_number", "(x - y).abs().mean()", "(x - y).abs()", loses={"a number"})

slip = bank.slips("wasserstein_1d", of=distance_by_distribution_functions)
slip("distance_sizes_ignored", ") / len(y)", ") / len(x)", loses={"different sizes"})
slip("distance_counts", ") / len(x)", ") / 1", (") / len(y)", ") / 1"), loses={"equal sizes", "different sizes"})
slip(
    "distance_from_the_left",
    "torch.searchsorted(x, every[:-1], right=True)",
    "torch.searchsorted(x, every[:-1])",
    loses={"equal sizes"},
)
slip(
    "distance_of_right_ends",
    "torch.searchsorted(x, every[:-1], right=True)",
    "torch.searchsorted(x, every[1:], right=True)",
    ("torch.searchsorted(y, every[:-1], right=True)", "torch.searchsorted(y, every[1:], right=True)"),
    loses={"equal sizes"},
)
slip(
    "distance_kolmogorov",
    "((F.double() - G.double()).abs() * every.diff()).sum()",
    "(F.double() - G.double()).abs().max()",
    loses={"equal sizes", "different sizes"},
)
slip("distance_cramer", ".abs() * every.diff()", ".pow(2) * every.diff()", loses={"equal sizes"})


@bank.wrong("wasserstein_1d", loses={"different sizes"})
def distance_by_quantiles():
    """Quantiles are interpolated."""
    import torch

    def wasserstein_1d(x, y):
        n = max(len(x), len(y))
        q = torch.linspace(0, 1, n, dtype=x.dtype)
        return (x.quantile(q) - y.quantile(q)).abs().mean()

    return wasserstein_1d


@bank.wrong("wasserstein_1d", loses={"equal sizes"})
def distance_of_all_pairs():
    def wasserstein_1d(x, y):
        return (x[:, None] - y).abs().mean()

    return wasserstein_1d


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


bank.equivalent("gradient_penalty", "create_graph=True)[0]", "create_graph=True)[-1]", "there is one gradient")
bank.equivalent("gradient_penalty", "critic(image)[0]", "critic(image)[-1]", "there is one image")


slip = bank.slips("gradient_penalty", of=penalty_by_grad)
# The norm of each row of pixels, as in many implementations.
slip(
    "penalty_norm_over_one_axis", "slope.flatten(1).norm(dim=1)", "slope.norm(2, dim=1)", loses={"norm of the gradient"}
)
slip(
    "penalty_norm_over_the_last_axis",
    "slope.flatten(1).norm(dim=1)",
    "slope.norm(dim=-1)",
    loses={"norm of the gradient"},
)
slip("penalty_norm_over_the_batch", "slope.flatten(1).norm(dim=1)", "slope.norm()", loses={"norm of the gradient"})
slip(
    "penalty_squared_norm",
    "slope.flatten(1).norm(dim=1)",
    "slope.flatten(1).pow(2).sum(dim=1)",
    loses={"norm of the gradient"},
)
slip("penalty_other_norm", "norm(dim=1)", "norm(p=1, dim=1)", loses={"norm of the gradient"})
slip(
    "penalty_largest_entry",
    "slope.flatten(1).norm(dim=1)",
    "slope.flatten(1).abs().amax(dim=1)",
    loses={"norm of the gradient"},
)
slip(
    "penalty_root_mean_square",
    "slope.flatten(1).norm(dim=1)",
    "slope.flatten(1).norm(dim=1) / slope[0].numel() ** 0.5",
    loses={"norm of the gradient"},
)
slip("penalty_around_zero", "norm(dim=1) - 1", "norm(dim=1)", loses={"norm of the gradient"})
slip("penalty_not_squared", "- 1) ** 2", "- 1).abs()", loses={"norm of the gradient"})
slip(
    "penalty_one_sided",
    "(slope.flatten(1).norm(dim=1) - 1)",
    "(slope.flatten(1).norm(dim=1) - 1).relu()",
    loses={"norm of the gradient"},
)
slip(
    "penalty_of_the_mean_norm",
    "((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()",
    "(slope.flatten(1).norm(dim=1).mean() - 1) ** 2",
    loses={"norm of the gradient"},
)
slip("penalty_summed", "** 2).mean()", "** 2).sum()", loses={"norm of the gradient"})
slip("penalty_weight_of_ten", "weight * (", "10 * (", loses={"norm of the gradient"})
slip("penalty_half_the_weight", "weight * (", "weight / 2 * (", loses={"norm of the gradient"})
slip("penalty_of_the_mean_score", "critic(between).sum()", "critic(between).mean()", loses={"norm of the gradient"})
slip("penalty_u_of_fake", "u * real + (1 - u) * fake", "u * fake + (1 - u) * real", loses={"interpolation"})
slip("penalty_at_real", "u * real + (1 - u) * fake", "u * real + (1 - u) * real", loses={"interpolation"})
slip("penalty_at_fake", "u * real + (1 - u) * fake", "0 * u * real + fake", loses={"interpolation"})
slip("penalty_halfway", "u * real + (1 - u) * fake", "0 * u + 0.5 * real + 0.5 * fake", loses={"interpolation"})
slip(
    "penalty_u_of_the_first", "u * real + (1 - u) * fake", "u[:1] * real + (1 - u[:1]) * fake", loses={"interpolation"}
)
slip(
    "penalty_own_random_numbers",
    "u = u.view(-1, *[1] * (real.ndim - 1))",
    "u = torch.rand(len(u), *[1] * (real.ndim - 1))",
    loses={"interpolation", "gradients"},
)
slip(
    "penalty_u_for_pixels",
    "u.view(-1, *[1] * (real.ndim - 1))",
    "u.view(-1, *[1] * (real.ndim - 1)) if len(u) != real.shape[-1] else u",
    loses={"interpolation"},
)
slip("penalty_u_for_vectors", "u.view(-1, *[1] * (real.ndim - 1))", "u.view(-1, 1)", loses={"interpolation"}, raises="")
slip(
    "penalty_extrapolates",
    "u * real + (1 - u) * fake",
    "u * real + (1 + u) * fake",
    loses={"norm of the gradient", "interpolation"},
)
slip("penalty_without_create_graph", "create_graph=True", "create_graph=False", loses={"gradients"})
slip("penalty_gradient_detached", "slope.flatten(1)", "slope.detach().flatten(1)", loses={"gradients"})
slip("penalty_as_a_number", "** 2).mean()", "** 2).mean().item()", loses={"gradients"})
slip(
    "penalty_nan_at_zero",
    "slope.flatten(1).norm(dim=1)",
    "slope.flatten(1).pow(2).sum(dim=1).sqrt()",
    loses={"gradients"},
)
slip(
    "penalty_trains_the_images",
    ".detach().requires_grad_()",
    " + 0 * next(critic.parameters()).sum()",
    loses={"gradients"},
)
slip(
    "penalty_images_attached",
    "between = (u * real + (1 - u) * fake).detach().requires_grad_()",
    "between = u * real + (1 - u) * fake\n    between = between if between.requires_grad else between.requires_grad_()",
    loses={"gradients"},
)
# The critic's weights keep the gradient of the scores.
slip(
    "penalty_by_backward",
    "(slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)",
    "critic(between).sum().backward(create_graph=True)\n    slope = between.grad",
    loses={"gradients"},
)
slip(
    "penalty_clips_weights",
    "return weight * ",
    "for parameter in critic.parameters():\n        parameter.data.clamp_(-1e-2, 1e-2)\n    return weight * ",
    loses={"gradients"},
)
slip("penalty_of_each_image", "** 2).mean()", "** 2)", loses={"shape"})
slip(
    "penalty_gradient_itself",
    "return weight * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()",
    "return slope",
    loses={"shape"},
)
