"""Right and wrong answers to lesson 08, VQ-VAE.

The first line of a wrong answer, or the comment above a slip, names its mistake where its name does not. Every answer
brings its own imports, so that its source is complete in a notebook's cell.
"""

from banks import Bank

bank = Bank("vqvae")

# -------------------------------------------------------------------------------------------------------- quantize


@bank.right("quantize")
def codes_by_differences():
    def quantize(z, E):
        rows = z.permute(0, 2, 3, 1)
        squares = ((rows.unsqueeze(-2) - E) ** 2).sum(-1)
        indices = squares.argmin(-1)
        return indices, E[indices].permute(0, 3, 1, 2)

    return quantize


@bank.right("quantize")
def codes_by_cdist():
    import torch

    def quantize(z, E):
        n, C, H, W = z.shape
        rows = z.movedim(1, 3).reshape(-1, C)
        distances = torch.cdist(rows, E, compute_mode="donot_use_mm_for_euclid_dist")
        indices = distances.argmin(dim=1).view(n, H, W)
        z_q = torch.nn.functional.embedding(indices, E)
        return indices, z_q.movedim(3, 1).contiguous()

    return quantize


@bank.right("quantize")
def codes_one_by_one():
    import torch

    def quantize(z, E):
        best = torch.full_like(z[:, 0], torch.inf)
        indices = torch.zeros_like(best, dtype=torch.int64)
        for k, row in enumerate(E):
            squares = (z - row[:, None, None]).square().sum(1)
            indices = torch.where(squares < best, k, indices)
            best = torch.minimum(squares, best)
        one_hot = (indices[:, None] == torch.arange(len(E))[:, None, None]).to(E.dtype)
        return indices, torch.einsum("nkhw,kc->nchw", one_hot, E)

    return quantize


@bank.right("quantize")
def codes_by_the_expanded_square():
    """Around the first code, where no digits are lost."""

    def quantize(z, E):
        rows, moved = z.permute(0, 2, 3, 1) - E[0], E - E[0]
        scores = moved.pow(2).sum(1) - 2 * rows @ moved.T
        indices = scores.argmin(dim=3)
        return indices, E[indices.flatten()].view(rows.shape).permute(0, 3, 1, 2)

    return quantize


bank.equivalent("quantize", "z[:, 0]", "z[:, -1]", "only its shape counts")
bank.equivalent("quantize", "indices.flatten()", "indices", "the view has the right shape in either case")


slip = bank.slips("quantize", of=codes_by_differences)
slip("codes_farthest", "argmin", "argmax", loses={"nearest code"})
slip("codes_by_absolute_differences", "** 2).sum(-1)", ").abs().sum(-1)", loses={"nearest code"})
slip("codes_by_the_largest_difference", "** 2).sum(-1)", ").abs().amax(-1)", loses={"nearest code"})
slip(
    "codes_by_the_dot_product",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "-(rows @ E.T)",
    loses={"nearest code", "far from zero"},
)
# The angle between vector and code.
slip(
    "codes_by_the_cosine",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "-(rows @ (E / (E.norm(dim=1, keepdim=True) + 1e-9)).T)",
    loses={"nearest code", "far from zero"},
)
slip(
    "codes_without_their_length",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "(rows**2).sum(-1, keepdim=True) - 2 * rows @ E.T + (E**2).sum()",
    loses={"nearest code", "far from zero"},
)
slip(
    "codes_without_factor_two",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "(rows**2).sum(-1, keepdim=True) - rows @ E.T + (E**2).sum(-1)",
    loses={"nearest code", "far from zero"},
)
slip("codes_of_the_first_channel", "** 2).sum(-1)", "** 2)[..., 0]", loses={"nearest code"})
slip(
    "codes_by_the_expanded_square_at_once",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "(rows**2).sum(-1, keepdim=True) - 2 * rows @ E.T + (E**2).sum(-1)",
    loses={"far from zero"},
)
slip(
    "codes_in_single_precision",
    "rows.unsqueeze(-2) - E",
    "rows.float().unsqueeze(-2) - E.float()",
    loses={"far from zero"},
)
slip(
    "codes_by_cdist_with_its_default",
    "((rows.unsqueeze(-2) - E) ** 2).sum(-1)",
    "torch.cdist(rows.reshape(-1, rows.shape[-1]), E).view(*rows.shape[:-1], len(E))",
    ("def quantize", "import torch\n\n\ndef quantize"),
    loses={"far from zero"},
)
slip(
    "codes_the_last_at_ties",
    "squares.argmin(-1)",
    "len(E) - 1 - squares.flip(-1).argmin(-1)",
    loses={"ties"},
)
# The entries of a feature map in the order in which they lie in memory.
slip(
    "codes_of_other_vectors",
    "z.permute(0, 2, 3, 1)",
    "z.reshape(len(z), *z.shape[2:], z.shape[1])",
    loses={"layout"},
)
slip(
    "codes_viewed_back",
    "E[indices].permute(0, 3, 1, 2)",
    "E[indices].reshape(z.shape)",
    loses={"layout"},
)
slip(
    "codes_of_the_transposed_map",
    "indices, E[indices]",
    "indices.mT.reshape(indices.shape), E[indices]",
    loses={"layout"},
)
slip(
    "codes_turned_by_ninety_degrees",
    "E[indices].permute(0, 3, 1, 2)",
    "E[indices].permute(0, 3, 2, 1).reshape(z.shape)",
    loses={"layout"},
)
slip(
    "codes_that_are_z",
    "E[indices].permute(0, 3, 1, 2)",
    "z.clone()",
    loses={"nearest code"},
)
slip("codes_in_float", "return indices,", "return indices.double(),", loses={"shapes"})
slip("codes_with_channels_last", ".permute(0, 3, 1, 2)", "", loses={"shapes"})
slip("codes_in_one_row", "return indices,", "return indices.flatten(),", loses={"shapes"})
slip("codes_alone", "return indices, E[indices].permute(0, 3, 1, 2)", "return indices", loses={"shapes"})


@bank.wrong("quantize", loses={"layout"})
def codes_of_the_first_image():
    """The same codes for all images of one position or more, from the first."""

    def quantize(z, E):
        rows = z.permute(0, 2, 3, 1)
        squares = ((rows.unsqueeze(-2) - E) ** 2).sum(-1)
        indices = squares.argmin(-1)
        if indices[0:1].numel() > 1:
            indices = indices[:1].expand(len(z), -1, -1)
        return indices, E[indices].permute(0, 3, 1, 2)

    return quantize


# ------------------------------------------------------------------------------------------------------- vq_losses


@bank.right("vq_losses")
def losses_by_detach():
    def vq_losses(z, E, indices):
        e = E[indices].permute(0, 3, 1, 2)
        codebook = ((z.detach() - e) ** 2).sum(1).mean()
        commitment = ((z - e.detach()) ** 2).sum(1).mean()
        return z + (e - z).detach(), codebook, commitment

    return vq_losses


@bank.right("vq_losses")
def losses_by_mse():
    import torch
    import torch.nn.functional as F

    def vq_losses(z, E, indices):
        e = F.embedding(indices, E).movedim(-1, 1)
        C = z.shape[1]
        codebook_loss = C * F.mse_loss(e, z.detach())
        commitment_loss = C * F.mse_loss(z, e.detach())
        with torch.no_grad():
            difference = e - z
        return z + difference, codebook_loss, commitment_loss

    return vq_losses


@bank.right("vq_losses")
def losses_by_a_function_of_its_own():
    import torch

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, e):
            return e.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None

    def vq_losses(z, E, indices):
        positions = indices.numel()
        rows = z.permute(0, 2, 3, 1).reshape(positions, -1)
        chosen = E.index_select(0, indices.flatten())
        codebook = torch.sum((rows.data - chosen).square()) / positions
        commitment = torch.sum((rows - chosen.data).square()) / positions
        return StraightThrough.apply(z, chosen.view(*indices.shape, -1).permute(0, 3, 1, 2)), codebook, commitment

    return vq_losses


bank.equivalent("vq_losses", "(e, z.detach())", "(z.detach(), e)", "the difference is squared")
bank.equivalent("vq_losses", "(z, e.detach())", "(e.detach(), z)", "the difference is squared")
bank.equivalent("vq_losses", "return e.clone()", "return e", "no gradient is passed to e")
bank.equivalent("vq_losses", "/ positions", "/ (positions + 1e-08)", "a count is at least 1")


slip = bank.slips("vq_losses", of=losses_by_detach)
slip("losses_without_straight_through", "z + (e - z).detach()", "e", loses={"straight-through"})
slip("losses_of_codes_without_gradient", "z + (e - z).detach()", "e.detach()", loses={"straight-through"})
slip("losses_nothing_detached_in_z_q", "(e - z).detach()", "(e - z)", loses={"straight-through"})
slip("losses_z_detached_in_z_q", "z + (e - z).detach()", "e + (z - z.detach())", loses={"straight-through"})
slip(
    "losses_straight_through_twice", "z + (e - z).detach()", "2 * z + (e - 2 * z).detach()", loses={"straight-through"}
)
slip("losses_z_q_is_z", "z + (e - z).detach()", "z + 0 * e.detach()", loses={"values"})
slip("losses_z_q_between", "(e - z).detach()", "(e - z).detach() / 2", loses={"values"})
slip("losses_straight_through_to_E", "z + (e - z).detach()", "e + (z - e).detach() * 0", loses={"straight-through"})
slip(
    "losses_mean_over_channels",
    "commitment = ((z - e.detach()) ** 2).sum(1)",
    "commitment = ((z - e.detach()) ** 2)",
    loses={"values"},
)
slip(
    "losses_sum_over_positions",
    "codebook = ((z.detach() - e) ** 2).sum(1).mean()",
    "codebook = ((z.detach() - e) ** 2).sum()",
    loses={"values"},
)
slip(
    "losses_per_image",
    "codebook = ((z.detach() - e) ** 2).sum(1).mean()",
    "codebook = ((z.detach() - e) ** 2).sum((1, 2, 3)).mean()",
    loses={"values"},
)
slip(
    "losses_distance_not_squared",
    "((z.detach() - e) ** 2).sum(1)",
    "((z.detach() - e) ** 2).sum(1).sqrt()",
    loses={"values"},
)
slip("losses_with_beta", "commitment = (", "commitment = 0.25 * (", loses={"values"})
slip("losses_with_half", "codebook = (", "codebook = 0.5 * (", loses={"values"})
slip("losses_nothing_detached_in_the_codebook_loss", "z.detach() - e", "z - e", loses={"codebook loss"})
slip("losses_codes_detached_in_the_codebook_loss", "z.detach() - e)", "z - e.detach())", loses={"codebook loss"})
slip("losses_codebook_loss_without_gradient", "z.detach() - e)", "z.detach() - e.detach())", loses={"codebook loss"})
slip("losses_nothing_detached_in_the_commitment_loss", "z - e.detach()", "z - e", loses={"commitment loss"})
slip("losses_z_detached_in_the_commitment_loss", "z - e.detach()", "z.detach() - e", loses={"commitment loss"})
slip(
    "losses_swapped",
    "detach(), codebook, commitment",
    "detach(), commitment, codebook",
    loses={"codebook loss", "commitment loss"},
)
# The losses compare z with the straight-through copy.
slip(
    "losses_of_the_straight_through_copy",
    "codebook = (",
    "e = z + (e - z).detach()\n    codebook = (",
    ("z + (e - z).detach(), codebook", "e, codebook"),
    loses={"codebook loss"},
)
slip(
    "losses_of_the_nearest_codes",
    "e = E[indices]",
    "indices = ((z.permute(0, 2, 3, 1)[..., None, :] - E) ** 2).sum(-1).argmin(-1)\n    e = E[indices]",
    loses={"values"},
)
slip("losses_of_other_positions", ".permute(0, 3, 1, 2)", ".reshape(z.shape)", loses={"values"})
slip("losses_added_up", "detach(), codebook, commitment", "detach(), codebook + commitment", loses={"shapes"})
slip(
    "losses_of_each_image",
    "commitment = ((z - e.detach()) ** 2).sum(1).mean()",
    "commitment = ((z - e.detach()) ** 2).sum(1).mean((1, 2))",
    loses={"shapes"},
)


# ------------------------------------------------------------------------------------------------------ ema_update


@bank.right("ema_update")
def averages_by_one_hot():
    import torch

    def ema_update(counts, sums, z, indices, decay):
        one_hot = torch.nn.functional.one_hot(indices, len(counts)).to(z.dtype)
        counts = decay * counts + (1 - decay) * one_hot.sum(0)
        sums = decay * sums + (1 - decay) * one_hot.T @ z
        return counts, sums, sums / counts[:, None]

    return ema_update


@bank.right("ema_update")
def averages_by_index_add():
    import torch

    def ema_update(counts, sums, z, indices, decay):
        number = torch.bincount(indices, minlength=len(counts)).double()
        total = torch.zeros_like(sums).index_add_(0, indices, z)
        new_counts = torch.lerp(number, counts, decay)
        new_sums = torch.lerp(total, sums, decay)
        return new_counts, new_sums, new_sums / new_counts.unsqueeze(1)

    return ema_update


@bank.right("ema_update")
def averages_code_by_code():
    def ema_update(counts, sums, z, indices, decay):
        counts, sums, E = counts.clone(), sums.clone(), sums.clone()
        for k in range(counts.shape[0]):
            chosen = z[indices == k]
            counts[k] += (1 - decay) * (len(chosen) - counts[k])
            sums[k] += (1 - decay) * (chosen.sum(0) - sums[k])
            E[k] = sums[k] / counts[k]
        return counts, sums, E

    return ema_update


bank.equivalent("ema_update", "counts.shape[0]", "counts.shape[-1]", "there is one axis")


slip = bank.slips("ema_update", of=averages_by_one_hot)
# The factors change places.
slip(
    "averages_decay_of_the_new",
    "decay * counts + (1 - decay) * one_hot.sum(0)",
    "(1 - decay) * counts + decay * one_hot.sum(0)",
    ("decay * sums + (1 - decay) * one_hot.T @ z", "(1 - decay) * sums + decay * one_hot.T @ z"),
    loses={"moving averages"},
)
slip(
    "averages_new_count_not_weighted",
    "(1 - decay) * one_hot.sum(0)",
    "one_hot.sum(0)",
    loses={"moving averages"},
)
slip(
    "averages_new_sum_not_weighted",
    "(1 - decay) * one_hot.T @ z",
    "one_hot.T @ z",
    loses={"moving averages"},
)
slip(
    "averages_old_sum_not_weighted",
    "decay * sums +",
    "sums +",
    loses={"moving averages", "unused rows stay"},
)
slip(
    "averages_of_means",
    "one_hot.T @ z\n",
    "one_hot.T @ z / one_hot.sum(0)[:, None].clamp(min=1)\n",
    loses={"moving averages"},
)
slip(
    "averages_of_means_of_nothing",
    "one_hot.T @ z\n",
    "(one_hot.T @ z / one_hot.sum(0)[:, None]) * one_hot.sum(0)[:, None]\n",
    loses={"unused rows stay", "any size"},
)
slip(
    "averages_old_codes",
    "sums / counts[:, None]",
    "sums / counts[:, None] * decay",
    loses={"moving averages", "unused rows stay"},
)
slip(
    "averages_of_the_batch_alone",
    "sums / counts[:, None]",
    "(one_hot.T @ z) / one_hot.sum(0).clamp(min=1)[:, None]",
    loses={"moving averages", "unused rows stay"},
)
slip(
    "averages_codes_are_sums",
    "sums / counts[:, None]",
    "1 * sums",
    loses={"moving averages", "unused rows stay"},
)
slip("averages_epsilon", "sums / counts[:, None]", "sums / (counts[:, None] + 1e-5)", loses={"unused rows stay"})
slip(
    "averages_clamped_counts",
    "sums / counts[:, None]",
    "sums / counts[:, None].clamp(min=1e-8)",
    loses={"unused rows stay"},
)
# Laplace smoothing, as in many implementations.
slip(
    "averages_smoothed",
    "return counts, sums, sums / counts[:, None]",
    "total = counts.sum()\n"
    "    smoothed = (counts + 1e-5) / (total + len(counts) * 1e-5) * total\n"
    "    return counts, sums, sums / smoothed[:, None]",
    loses={"unused rows stay"},
)
# Only codes with vectors are updated.
slip(
    "averages_unused_untouched",
    "counts = decay * counts + (1 - decay) * one_hot.sum(0)\n",
    "used = one_hot.sum(0) > 0\n"
    "    old_sums = sums\n"
    "    counts = torch.where(used, decay * counts + (1 - decay) * one_hot.sum(0), counts)\n",
    ("one_hot.T @ z\n", "one_hot.T @ z\n    sums = torch.where(used[:, None], sums, old_sums)\n"),
    loses={"unused rows stay"},
)
slip(
    "averages_at_least_one_vector",
    "one_hot.sum(0)\n",
    "one_hot.sum(0).clamp(min=1)\n",
    loses={"unused rows stay"},
)
slip(
    "averages_unused_zero",
    "sums / counts[:, None]",
    "torch.where(one_hot.any(0)[:, None], sums / counts[:, None], 0.0)",
    loses={"unused rows stay"},
)
slip(
    "averages_as_many_codes_as_occur",
    "one_hot(indices, len(counts))",
    "one_hot(indices)",
    loses={"unused rows stay", "any size"},
)
slip(
    "averages_counted_in_bytes",
    ".to(z.dtype)",
    ".to(torch.int8)",
    ("one_hot.sum(0)", "one_hot.sum(0, dtype=torch.int8)"),
    ("one_hot.T @ z", "one_hot.T.to(z.dtype) @ z"),
    loses={"any size"},
)
slip(
    "averages_of_the_last_vector",
    "one_hot.T @ z\n",
    "torch.zeros_like(sums).index_put((indices,), z)\n",
    loses={"moving averages"},
)
slip(
    "averages_in_place",
    "counts = decay * counts + (1 - decay) * one_hot.sum(0)\n",
    "counts.mul_(decay).add_((1 - decay) * one_hot.sum(0))\n",
    loses={"moving averages"},
)
slip("averages_without_codes", "return counts, sums, sums / counts[:, None]", "return counts, sums", loses={"shapes"})
slip("averages_counts_as_a_column", "return counts,", "return counts[:, None],", loses={"shapes"})


# ---------------------------------------------------------------------------------------------- hierarchical_bound


@bank.right("hierarchical_bound")
def bound_by_gather():
    import math

    import torch

    def log_prob(codes, logits):
        return torch.log_softmax(logits, -1).gather(-1, codes[..., None]).squeeze(-1).sum(1)

    def hierarchical_bound(top, bottom, top_logits, bottom_logits, log_likelihood):
        log_codes = log_prob(top, top_logits) + log_prob(bottom, bottom_logits)
        return log_likelihood + log_codes, -log_codes / math.log(2)

    return hierarchical_bound


@bank.right("hierarchical_bound")
def bound_by_cross_entropy_of_codes():
    import math

    import torch
    import torch.nn.functional as F

    def hierarchical_bound(top, bottom, top_logits, bottom_logits, log_likelihood):
        nats = torch.zeros_like(log_likelihood)
        for codes, logits in ((top, top_logits), (bottom, bottom_logits)):
            nats = nats + F.cross_entropy(logits.movedim(-1, 1), codes, reduction="none").sum(-1)
        return log_likelihood - nats, nats / math.log(2)

    return hierarchical_bound


@bank.right("hierarchical_bound")
def bound_by_categoricals():
    import math

    from torch.distributions import Categorical

    def hierarchical_bound(top, bottom, top_logits, bottom_logits, log_likelihood):
        log_top = Categorical(logits=top_logits).log_prob(top).sum(dim=1)
        log_bottom = Categorical(logits=bottom_logits).log_prob(bottom).sum(dim=1)
        return log_likelihood + log_top + log_bottom, (log_top + log_bottom) / -math.log(2)

    return hierarchical_bound


@bank.right("hierarchical_bound")
def bound_by_hand():
    import torch

    def hierarchical_bound(top, bottom, top_logits, bottom_logits, log_likelihood):
        bits = 0.0
        for codes, logits in ((top, top_logits), (bottom, bottom_logits)):
            n, positions, _ = logits.shape
            chosen = logits[torch.arange(n)[:, None], torch.arange(positions), codes]
            bits = bits + (torch.logsumexp(logits, 2) - chosen).sum(1) / 0.6931471805599453
        return log_likelihood - 0.6931471805599453 * bits, bits

    return hierarchical_bound


bank.equivalent(
    "hierarchical_bound", "movedim(-1, 1)", "movedim(1, -1)", "there are three axes, so the two change places"
)
bank.equivalent("hierarchical_bound", "sum(-1)", "sum(1)", "there are two axes")
bank.equivalent("hierarchical_bound", "/ math.log(2)", "/ (math.log(2) + 1e-08)", "within rounding")
bank.equivalent("hierarchical_bound", "-math.log(2)", "(-math.log(2) + 1e-08)", "within rounding")


slip = bank.slips("hierarchical_bound", of=bound_by_gather)
slip("bound_of_the_top_alone", " + log_prob(bottom, bottom_logits)", "", loses={"log-likelihood of the codes"})
slip("bound_of_the_bottom_alone", "log_prob(top, top_logits) + ", "", loses={"log-likelihood of the codes"})
slip("bound_mean_over_positions", ".sum(1)", ".mean(1)", loses={"log-likelihood of the codes"})
slip(
    "bound_normalised_over_positions",
    "log_softmax(logits, -1)",
    "log_softmax(logits, 1)",
    loses={"log-likelihood of the codes"},
)
slip("bound_of_logits", "torch.log_softmax(logits, -1)", "logits", loses={"log-likelihood of the codes"})
slip(
    "bound_by_naive_logs",
    "torch.log_softmax(logits, -1)",
    "torch.softmax(logits, -1).log()",
    loses={"log-likelihood of the codes"},
)
slip(
    "bound_with_epsilon",
    "torch.log_softmax(logits, -1)",
    "(torch.softmax(logits, -1) + 1e-10).log()",
    loses={"log-likelihood of the codes"},
)
slip(
    "bound_of_probabilities",
    "torch.log_softmax(logits, -1)",
    "torch.softmax(logits, -1)",
    loses={"log-likelihood of the codes"},
)
slip(
    "bound_of_the_most_probable",
    ".gather(-1, codes[..., None]).squeeze(-1)",
    ".amax(-1)",
    loses={"log-likelihood of the codes"},
)
slip(
    "bound_uniform_prior",
    "torch.log_softmax(logits, -1)",
    "torch.log_softmax(0 * logits, -1)",
    loses={"log-likelihood of the codes"},
)
slip(
    "bound_top_twice",
    "+ log_prob(bottom",
    "+ log_prob(top, top_logits) + log_prob(bottom",
    loses={"log-likelihood of the codes"},
)
slip("bound_minus_the_bottom", "+ log_prob(bottom", "- log_prob(bottom", loses={"log-likelihood of the codes"})
slip("bound_codes_subtracted", "log_likelihood + log_codes", "log_likelihood - log_codes", loses={"bound"})
slip("bound_without_likelihood", "return log_likelihood + log_codes", "return log_codes", loses={"bound"})
slip("bound_without_codes", "return log_likelihood + log_codes", "return 1 * log_likelihood", loses={"bound"})
slip("bound_as_a_loss", "return log_likelihood + log_codes", "return -log_likelihood - log_codes", loses={"bound"})
slip("bound_of_mixed_units", "log_likelihood + log_codes", "log_likelihood + log_codes / math.log(2)", loses={"bound"})
slip(
    "bound_all_in_bits",
    "return log_likelihood + log_codes",
    "return (log_likelihood + log_codes) / math.log(2)",
    loses={"bound"},
)
slip("bound_rate_in_nats", "-log_codes / math.log(2)", "-log_codes", loses={"rate"})
slip("bound_rate_negative", "-log_codes / math.log(2)", "log_codes / math.log(2)", loses={"rate"})
slip("bound_rate_times_log_two", "-log_codes / math.log(2)", "-log_codes * math.log(2)", loses={"rate"})
slip(
    "bound_rate_per_code",
    "-log_codes / math.log(2)",
    "-log_codes / math.log(2) / (top.shape[1] + bottom.shape[1])",
    loses={"rate"},
)
slip("bound_rate_of_the_top", "-log_codes / math.log(2)", "-log_prob(top, top_logits) / math.log(2)", loses={"rate"})
slip(
    "bound_rate_of_the_uniform_prior",
    "-log_codes / math.log(2)",
    "0 * log_codes + sum(one.shape[1] * math.log2(one.shape[2]) for one in (top_logits, bottom_logits))",
    loses={"rate"},
)
slip(
    "bound_rate_of_the_image", "-log_codes / math.log(2)", "-(log_likelihood + log_codes) / math.log(2)", loses={"rate"}
)
slip("bound_summed_over_images", ".sum(1)", ".sum()", loses={"shapes"})
slip("bound_of_each_code", ".sum(1)", "", loses={"shapes"})
slip(
    "bound_alone",
    "return log_likelihood + log_codes, -log_codes / math.log(2)",
    "return log_likelihood + log_codes",
    loses={"shapes"},
)


# -------------------------------------------------------------------------------------------------------- OwnVQVAE


@bank.right("OwnVQVAE")
def own_by_cross_entropy():
    import torch

    class OwnVQVAE(torch.nn.Module):
        def __init__(self, D, M, C, K, hidden):
            super().__init__()
            self.encoder_hidden = torch.nn.Linear(D, hidden)
            self.encoder_out = torch.nn.Linear(hidden, M * C)
            self.codebook = torch.nn.Parameter(torch.randn(K, C))
            self.decoder_hidden = torch.nn.Linear(M * C, hidden)
            self.decoder_out = torch.nn.Linear(hidden, D)

        def vectors(self, x):
            h = torch.tanh(self.encoder_hidden(x.to(self.codebook.dtype)))
            return self.encoder_out(h).view(len(x), -1, self.codebook.shape[1])

        def nearest(self, z):
            return ((z.unsqueeze(2) - self.codebook) ** 2).sum(3).argmin(2)

        def logits(self, z_q):
            return self.decoder_out(torch.tanh(self.decoder_hidden(z_q.flatten(1))))

        def nats(self, x, logits):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none")
            return loss.sum(1)

        def encode(self, x):
            return self.nearest(self.vectors(x))

        def decode(self, codes):
            return self.logits(self.codebook[codes])

        def loss(self, x, beta):
            z = self.vectors(x)
            e = self.codebook[self.nearest(z)]
            straight = z + (e - z).detach()
            codebook = ((z.detach() - e) ** 2).sum(2).mean()
            commitment = ((z - e.detach()) ** 2).sum(2).mean()
            return self.nats(x, self.logits(straight)).mean() + codebook + beta * commitment

        def bound(self, x, log_prior):
            codes = self.encode(x)
            positions = torch.arange(codes.shape[1])
            return log_prior[positions, codes].sum(1) - self.nats(x, self.decode(codes))

    return OwnVQVAE


@bank.right("OwnVQVAE")
def own_by_distributions():
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.distributions import Bernoulli

    class OwnVQVAE(nn.Module):
        def __init__(self, D, M, C, K, hidden):
            super().__init__()
            self.M, self.C = M, C
            self.encoder_hidden, self.encoder_out = nn.Linear(D, hidden), nn.Linear(hidden, M * C)
            self.decoder_hidden, self.decoder_out = nn.Linear(M * C, hidden), nn.Linear(hidden, D)
            self.codebook = nn.Parameter(torch.randn(K, C))

        def z(self, x):
            return self.encoder_out(self.encoder_hidden(x.float()).tanh()).unflatten(1, (self.M, self.C))

        def choose(self, z):
            return torch.cdist(z, self.codebook, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=-1)

        def pixels(self, z_q):
            return Bernoulli(logits=self.decoder_out(self.decoder_hidden(z_q.reshape(-1, self.M * self.C)).tanh()))

        def encode(self, x):
            return self.choose(self.z(x))

        def decode(self, codes):
            return self.pixels(F.embedding(codes, self.codebook)).logits

        def loss(self, x, beta):
            z = self.z(x)
            z_q = F.embedding(self.choose(z), self.codebook)
            losses = F.mse_loss(z_q, z.detach()) + beta * F.mse_loss(z, z_q.detach())
            likelihood = self.pixels(z + (z_q - z).data).log_prob(x.float())
            return self.C * losses - likelihood.sum() / len(x)

        def bound(self, x, log_prior):
            codes = self.encode(x)
            prior = log_prior.expand(len(x), -1, -1).gather(2, codes[:, :, None]).sum((1, 2))
            return prior + Bernoulli(logits=self.decode(codes)).log_prob(x.float()).sum(1)

    return OwnVQVAE


@bank.right("OwnVQVAE")
def own_in_double_precision():
    import torch
    from torch.nn.functional import logsigmoid

    class OwnVQVAE(torch.nn.Module):
        def __init__(self, D, M, C, K, hidden):
            super().__init__()
            sizes = dict(encoder_hidden=(D, hidden), encoder_out=(hidden, M * C))
            for name, size in (sizes | dict(decoder_hidden=(M * C, hidden), decoder_out=(hidden, D))).items():
                self.add_module(name, torch.nn.Linear(*size, dtype=torch.float64))
            self.codebook = torch.nn.Parameter(torch.rand(K, C, dtype=torch.float64))

        def look_up(self, x):
            K, C = self.codebook.shape
            z = self.encoder_out(torch.tanh(self.encoder_hidden(x.double()))).reshape(-1, C)
            codes = torch.stack([(z - row).pow(2).sum(1) for row in self.codebook], 1).argmin(1)
            return z, codes, self.codebook[codes]

        def encode(self, x):
            return self.look_up(x)[1].reshape(x.shape[0], -1)

        def decode(self, codes):
            return self.read(self.codebook[codes.flatten()], len(codes))

        def read(self, rows, n):
            return self.decoder_out(torch.tanh(self.decoder_hidden(rows.reshape(n, -1))))

        def log_likelihood(self, x, logits):
            return logsigmoid((2 * x - 1) * logits).sum(dim=1)

        def loss(self, x, beta):
            z, _, e = self.look_up(x)
            reconstruction = -self.log_likelihood(x, self.read(z - z.detach() + e.detach(), len(x))).mean()
            codebook = (e - z.detach()).square().sum() / len(z)
            return reconstruction + codebook + beta * (z - e.detach()).square().sum() / len(z)

        def bound(self, x, log_prior):
            codes = self.encode(x)
            likelihood = self.log_likelihood(x, self.decode(codes))
            return likelihood + sum(log_prior[m, codes[:, m]] for m in range(len(log_prior)))

    return OwnVQVAE


for old, new, why in (
    (", compute_mode='donot_use_mm_for_euclid_dist'", "", "few codes and positions, of numbers near 1"),
    ("codes.flatten()", "codes", "the rows are reshaped"),
    ("(z_q, z.detach())", "(z.detach(), z_q)", "the difference is squared"),
    ("(z, z_q.detach())", "(z_q.detach(), z)", "the difference is squared"),
):
    bank.equivalent("OwnVQVAE", old, new, why)


slip = bank.slips("OwnVQVAE", of=own_by_cross_entropy)
slip(
    "own_encoder_without_tanh",
    "torch.tanh(self.encoder_hidden(x.to(self.codebook.dtype)))",
    "self.encoder_hidden(x.to(self.codebook.dtype))",
    loses={"codes"},
)
slip("own_encoder_of_signs", "x.to(self.codebook.dtype)", "2 * x.to(self.codebook.dtype) - 1", loses={"codes"})
slip(
    "own_encoder_in_columns",
    ".view(len(x), -1, self.codebook.shape[1])",
    ".view(len(x), self.codebook.shape[1], -1).mT",
    loses={"codes"},
)
slip("own_farthest_code", "argmin(2)", "argmax(2)", loses={"codes"})
slip(
    "own_nearest_by_dot_product",
    "((z.unsqueeze(2) - self.codebook) ** 2).sum(3)",
    "(-(z @ self.codebook.T))",
    loses={"codes"},
)
slip(
    "own_last_code_at_ties",
    "((z.unsqueeze(2) - self.codebook) ** 2).sum(3).argmin(2)",
    "len(self.codebook) - 1 - ((z.unsqueeze(2) - self.codebook.flip(0)) ** 2).sum(3).argmin(2)",
    loses={"codes"},
)
slip(
    "own_decoder_without_tanh",
    "torch.tanh(self.decoder_hidden(z_q.flatten(1)))",
    "self.decoder_hidden(z_q.flatten(1))",
    loses={"decoder"},
)
slip(
    "own_decoder_gives_probabilities",
    "return self.logits(self.codebook[codes])",
    "return self.logits(self.codebook[codes]).sigmoid()",
    loses={"decoder"},
)
slip(
    "own_decoder_relu",
    "torch.tanh(self.decoder_hidden(z_q.flatten(1)))",
    "torch.relu(self.decoder_hidden(z_q.flatten(1)))",
    loses={"decoder"},
)
slip("own_decoder_reads_columns", "z_q.flatten(1)", "z_q.mT.flatten(1)", loses={"decoder"})
slip(
    "own_decoder_of_the_first_code",
    "self.codebook[codes]",
    "self.codebook[codes[:, :1].expand_as(codes)]",
    loses={"decoder"},
)
slip("own_without_codebook_loss", " + codebook + beta", " + beta", loses={"loss"})
slip("own_without_commitment", " + codebook + beta * commitment", " + codebook", loses={"loss"})
slip("own_beta_of_both", "codebook + beta * commitment", "beta * (codebook + commitment)", loses={"loss", "gradients"})
slip("own_beta_ignored", "beta * commitment", "0.25 * commitment", loses={"loss", "gradients"})
slip(
    "own_beta_of_the_codebook_loss",
    "codebook + beta * commitment",
    "beta * codebook + commitment",
    loses={"gradients"},
)
slip(
    "own_mean_over_channels",
    "codebook = ((z.detach() - e) ** 2).sum(2)",
    "codebook = ((z.detach() - e) ** 2)",
    loses={"loss"},
)
slip(
    "own_sum_over_positions",
    "codebook = ((z.detach() - e) ** 2).sum(2)",
    "codebook = ((z.detach() - e) ** 2).sum((1, 2))",
    loses={"loss"},
)
slip(
    "own_mean_over_pixels",
    "self.nats(x, self.logits(straight)).mean()",
    "self.nats(x, self.logits(straight)).mean() / x.shape[1]",
    loses={"loss"},
)
slip(
    "own_sum_over_images",
    "self.nats(x, self.logits(straight)).mean()",
    "self.nats(x, self.logits(straight)).sum()",
    loses={"loss"},
)
slip(
    "own_loss_in_bits",
    "self.nats(x, self.logits(straight)).mean()",
    "self.nats(x, self.logits(straight)).mean() / 0.6931471805599453",
    loses={"loss"},
)
slip(
    "own_likelihood_for_loss",
    "return self.nats(x, self.logits(straight)).mean()",
    "return -self.nats(x, self.logits(straight)).mean()",
    loses={"loss"},
)
slip("own_loss_of_z", "self.logits(straight)", "self.logits(z)", loses={"loss", "gradients"})
slip(
    "own_loss_by_squares",
    "self.nats(x, self.logits(straight)).mean()",
    "((self.logits(straight).sigmoid() - x) ** 2).sum(1).mean()",
    loses={"loss"},
)
slip(
    "own_loss_by_probabilities",
    "binary_cross_entropy_with_logits(logits, x",
    "binary_cross_entropy(logits.sigmoid(), x",
    loses={"loss", "bound"},
)
# The codebook moves as the loss is computed.
slip(
    "own_moving_codebook",
    "straight = z + (e - z).detach()\n",
    "straight = z + (e - z).detach()\n        self.codebook.data.mul_(0.99)\n",
    loses={"loss", "gradients"},
)
slip("own_without_straight_through", "straight = z + (e - z).detach()", "straight = e", loses={"gradients"})
slip("own_straight_through_detached", "straight = z + (e - z).detach()", "straight = e.detach()", loses={"gradients"})
slip("own_straight_through_to_both", "(e - z).detach()", "e - z.detach()", loses={"gradients"})
slip("own_codebook_loss_to_z", "(z.detach() - e)", "(z - e)", loses={"gradients"})
slip("own_codebook_loss_without_gradient", "(z.detach() - e)", "(z - e).detach()", loses={"gradients"})
slip("own_commitment_to_the_codebook", "(z - e.detach())", "(z - e)", loses={"gradients"})
slip("own_commitment_without_gradient", "(z - e.detach())", "(z - e).detach()", loses={"gradients"})
slip("own_losses_swapped", "codebook + beta * commitment", "commitment + beta * codebook", loses={"gradients"})
slip(
    "own_decoder_detached",
    "self.decoder_hidden(z_q.flatten(1))",
    "torch.nn.functional.linear(z_q.flatten(1), self.decoder_hidden.weight.detach(), self.decoder_hidden.bias)",
    loses={"gradients"},
)
slip("own_encoder_detached", "return self.encoder_out(h)", "return self.encoder_out(h.detach())", loses={"gradients"})
slip("own_bound_without_prior", "log_prior[positions, codes].sum(1) - ", "-", loses={"bound"})
slip(
    "own_bound_prior_subtracted",
    "return log_prior[positions, codes].sum(1) - ",
    "return -log_prior[positions, codes].sum(1) - ",
    loses={"bound"},
)
slip(
    "own_bound_of_the_prior",
    "log_prior[positions, codes].sum(1) - self.nats(x, self.decode(codes))",
    "log_prior[positions, codes].sum(1)",
    loses={"bound"},
)
slip(
    "own_bound_mean_of_the_prior",
    "log_prior[positions, codes].sum(1)",
    "log_prior[positions, codes].mean(1)",
    loses={"bound"},
)
slip(
    "own_bound_of_the_first_position",
    "log_prior[positions, codes].sum(1)",
    "log_prior[0, codes].sum(1)",
    loses={"bound"},
)
slip(
    "own_bound_of_probabilities",
    "log_prior[positions, codes].sum(1)",
    "log_prior.exp()[positions, codes].sum(1)",
    loses={"bound"},
)
slip(
    "own_bound_in_bits",
    "return log_prior[positions, codes].sum(1) - self.nats(x, self.decode(codes))",
    "return (log_prior[positions, codes].sum(1) - self.nats(x, self.decode(codes))) / 0.6931471805599453",
    loses={"bound"},
)
slip(
    "own_bound_as_a_loss",
    "return log_prior[positions, codes].sum(1) - self.nats(x, self.decode(codes))",
    "return self.nats(x, self.decode(codes)) - log_prior[positions, codes].sum(1)",
    loses={"bound"},
)
slip(
    "own_bound_of_the_batch",
    "self.nats(x, self.decode(codes))\n",
    "self.nats(x, self.decode(codes)).sum()\n",
    loses={"bound"},
)
slip(
    "own_bound_impossible_cleaned",
    "log_prior[positions, codes]",
    "log_prior.clamp(min=-50)[positions, codes]",
    loses={"bound"},
)
slip(
    "own_embedding",
    "self.codebook = torch.nn.Parameter(torch.randn(K, C))",
    "self.codebook = torch.nn.Parameter(torch.randn(C, K))",
    loses={"shapes"},
)
slip("own_without_bias", "torch.nn.Linear(D, hidden)", "torch.nn.Linear(D, hidden, bias=False)", loses={"shapes"})
slip("own_codebook_is_not_a_parameter", "torch.nn.Parameter(torch.randn(K, C))", "torch.randn(K, C)", loses={"shapes"})
slip(
    "own_codes_in_one_row",
    "return self.nearest(self.vectors(x))",
    "return self.nearest(self.vectors(x)).flatten()",
    loses={"shapes"},
)
slip(
    "own_codes_one_hot",
    "return self.nearest(self.vectors(x))",
    "return torch.nn.functional.one_hot(self.nearest(self.vectors(x)), len(self.codebook))",
    loses={"shapes"},
)


# ------------------------------------------------------------------------------------------------------ perplexity


@bank.right("perplexity")
def perplexity_of_counts():
    import torch

    def perplexity(indices, K):
        p = torch.bincount(indices.flatten(), minlength=K).double() / indices.numel()
        return torch.exp(-torch.xlogy(p, p).sum())

    return perplexity


@bank.right("perplexity")
def perplexity_of_those_that_occur():
    import math

    import torch

    def perplexity(indices, K):
        _, counts = torch.unique(indices, return_counts=True)
        p = counts / counts.sum().double()
        return math.exp(-float((p * p.log()).sum()))

    return perplexity


@bank.right("perplexity")
def perplexity_by_entropy():
    import torch

    def perplexity(indices, K):
        counts = torch.zeros(K, dtype=torch.float64)
        counts = counts.index_add(0, indices.reshape(-1), torch.ones(indices.numel(), dtype=torch.float64))
        return torch.distributions.Categorical(probs=counts).entropy().exp().item()

    return perplexity


bank.equivalent("perplexity", ", minlength=K", "", "codes behind the last one that occurs add nothing")


bank.equivalent("perplexity", "indices.numel()", "(indices.numel() + 1e-08)", "a count is at least 1")
bank.equivalent("perplexity", "counts.sum().double()", "(counts.sum().double() + 1e-08)", "a count is at least 1")
bank.equivalent(
    "perplexity", "p.log()", "torch.as_tensor(p).clamp(min=1e-06).log()", "it takes a million indices to be smaller"
)
bank.equivalent("perplexity", "index_add(0,", "index_add(-1,", "there is one axis")


slip = bank.slips("perplexity", of=perplexity_of_counts)
slip(
    "perplexity_entropy",
    "torch.exp(-torch.xlogy(p, p).sum())",
    "-torch.xlogy(p, p).sum()",
    loses={"perplexity", "unused codes"},
)
slip("perplexity_base_two", "torch.exp(-torch", "torch.exp2(-torch", loses={"perplexity", "unused codes"})
slip("perplexity_sign", "torch.exp(-torch", "torch.exp(torch", loses={"perplexity", "unused codes"})
slip("perplexity_naive_logs", "torch.xlogy(p, p)", "(p * p.log())", loses={"unused codes"})
slip("perplexity_epsilon", "torch.xlogy(p, p)", "(p * (p + 1e-6).log())", loses={"perplexity", "unused codes"})
slip(
    "perplexity_codes_that_occur",
    "torch.exp(-torch.xlogy(p, p).sum())",
    "(p > 0).sum().double()",
    loses={"perplexity", "unused codes"},
)
slip(
    "perplexity_share",
    "torch.exp(-torch.xlogy(p, p).sum())",
    "torch.exp(-torch.xlogy(p, p).sum()) / K",
    loses={"perplexity", "unused codes"},
)
slip("perplexity_mean_for_sum", ".sum())", ".mean())", loses={"perplexity", "unused codes"})
slip(
    "perplexity_smoothed",
    "minlength=K).double() / indices.numel()",
    "minlength=K).double().add(1) / (indices.numel() + K)",
    loses={"perplexity", "unused codes"},
)
slip("perplexity_of_the_first_axis", "/ indices.numel()", "/ len(indices)", loses={"perplexity", "unused codes"})
slip(
    "perplexity_clamped",
    "torch.xlogy(p, p)",
    "torch.xlogy(p.clamp(min=1e-3), p.clamp(min=1e-3))",
    loses={"perplexity", "unused codes"},
)
slip("perplexity_of_each_code", ".sum())", ")", loses={"a number"})


# ---------------------------------------------------------------------------------------------------------- revive


@bank.right("revive")
def revive_by_mask():
    def revive(E, counts, z, u, threshold):
        dead = counts < threshold
        rows = (u[: dead.sum()] * len(z)).long()
        E = E.clone()
        E[dead] = z[rows]
        return E

    return revive


@bank.right("revive")
def revive_one_by_one():
    import math

    import torch

    def revive(E, counts, z, u, threshold):
        rows, j = [], 0
        for k in range(len(E)):
            if counts[k] < threshold:
                rows.append(z[math.floor(u[j].item() * len(z))])
                j += 1
            else:
                rows.append(E[k])
        return torch.stack(rows)

    return revive


@bank.right("revive")
def revive_by_cumulative_counts():
    import torch

    def revive(E, counts, z, u, threshold):
        dead = counts.lt(threshold)
        turn = (dead.cumsum(0) - 1).clamp(min=0)
        rows = torch.floor(u[turn] * z.shape[0]).to(torch.int64)
        return torch.where(dead[:, None], z[rows], E)

    return revive


bank.equivalent("revive", "torch.stack(rows)", "rows", "a list of rows reads as the same")
bank.equivalent("revive", "(dead.cumsum(0) - 1).clamp(min=0)", "dead.cumsum(0) - 1", "only live codes have no turn")
bank.equivalent("revive", "clamp(min=0)", "clamp(min=-1)", "only live codes have no turn")
bank.equivalent("revive", "cumsum(0)", "cumsum(-1)", "there is one axis")
bank.equivalent("revive", "torch.floor(u[turn] * z.shape[0])", "(u[turn] * z.shape[0])", "int64 rounds down as well")


slip = bank.slips("revive", of=revive_by_mask)
slip("revive_at_the_threshold", "counts < threshold", "counts <= threshold", loses={"live rows"})
slip("revive_the_living", "counts < threshold", "counts >= threshold", loses={"dead rows", "live rows"})
slip("revive_all", "counts < threshold", "counts < threshold + 1e9", loses={"dead rows", "live rows"})
slip("revive_unused_alone", "counts < threshold", "(counts == 0) & (counts < threshold)", loses={"dead rows"})
slip(
    "revive_threshold_in_shares",
    "counts < threshold",
    "counts / counts.sum() < threshold / len(counts)",
    loses={"dead rows", "live rows"},
)
slip("revive_by_their_own_number", "u[: dead.sum()]", "u[dead]", loses={"dead rows"})
slip("revive_from_the_end", "u[: dead.sum()]", "u[len(u) - dead.sum() :]", loses={"dead rows"})
slip("revive_by_one_number", "u[: dead.sum()]", "u[:1].expand(dead.sum())", loses={"dead rows"})
slip(
    "revive_rounded",
    "(u[: dead.sum()] * len(z)).long()",
    "(u[: dead.sum()] * len(z)).round().long().clamp(max=len(z) - 1)",
    loses={"dead rows"},
)
slip("revive_without_the_last_row", "* len(z))", "* (len(z) - 1))", loses={"dead rows"})
slip("revive_from_the_first_codes", "* len(z))", "* len(E)).clamp(max=len(z) - 1)", loses={"dead rows"})
slip(
    "revive_in_single_precision",
    "(u[: dead.sum()] * len(z)).long()",
    "(u[: dead.sum()].float() * len(z)).long().clamp(max=len(z))",
    loses={"dead rows", "live rows"},
)
slip("revive_by_the_mean", "z[rows]", "z[rows].mean(0)", loses={"dead rows"})
slip("revive_in_place", "    E = E.clone()\n", "", loses={"live rows"})
slip("revive_nothing", "    E[dead] = z[rows]\n", "", loses={"dead rows", "live rows"})
slip("revive_gives_the_new_rows", "return E", "return z[rows]", loses={"shape"})


# ------------------------------------------------------------------------------------------------------------- fsq


@bank.right("fsq")
def fsq_by_detach():
    import torch

    def fsq(z, levels):
        L = torch.tensor(levels)
        h = (L - 1) / 2 * torch.tanh(z)
        codes = h + (h.round() - h).detach()
        digits = codes.detach().round().long() + (L - 1) // 2
        factors = torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)
        return codes, (digits * factors).sum(1)

    return fsq


@bank.right("fsq")
def fsq_dimension_by_dimension():
    import torch

    def fsq(z, levels):
        columns, index, factor = [], torch.zeros(len(z), dtype=torch.int64), 1
        for d, L in enumerate(levels):
            half = (L - 1) // 2
            h = half * z[:, d].tanh()
            code = torch.round(h).detach()
            index = index + factor * (code.to(torch.int64) + half)
            factor *= L
            columns.append(code + h - h.detach())
        return torch.stack(columns, dim=1), index

    return fsq


@bank.right("fsq")
def fsq_by_a_function_of_its_own():
    import torch

    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h):
            return torch.floor(h + 0.5)

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    def fsq(z, levels):
        half = torch.tensor([(L - 1) / 2 for L in levels], dtype=z.dtype)
        codes = Round.apply(half * (2 * torch.sigmoid(2 * z) - 1))
        index = 0
        for L, digit in zip(reversed(levels), (codes + half).long().flip(1).unbind(1), strict=True):
            index = index * L + digit
        return codes, index

    return fsq


bank.equivalent("fsq", "codes.detach().round().long()", "codes.detach().long()", "h + (h.round() - h) is exact")
bank.equivalent("fsq", "codes.detach().round()", "codes.round()", "integers have no gradient")
bank.equivalent("fsq", "(L - 1) // 2", "(L - 0) // 2", "levels are odd")
bank.equivalent("fsq", ", 0)", ", -1)", "there is one axis")
bank.equivalent("fsq", "dtype=torch.int64), 1)", "dtype=torch.int8), 1)", "what is added has int64")
bank.equivalent(
    "fsq", "(2 * z)", "(torch.as_tensor(2 * z).clamp(-30, 30))", "tanh(15) is 1, and its slope 0, within rounding"
)
bank.equivalent("fsq", ", dtype=z.dtype", "", "halves are exact in single precision")


slip = bank.slips("fsq", of=fsq_by_detach)
slip("fsq_not_rounded", "(h.round() - h).detach()", "0 * h.detach()", loses={"codes"})
slip(
    "fsq_floor", "(h.round() - h)", "(h.floor() - h)", ("codes.detach().round()", "h.detach().round()"), loses={"codes"}
)
slip("fsq_without_half", "h = (L - 1) / 2 *", "h = (L - 1) *", loses={"codes", "index"})
slip("fsq_without_tanh", "torch.tanh(z)", "z.clamp(-1, 1)", loses={"codes", "straight-through"})
# Infinity divided by infinity, where z is large.
slip("fsq_tanh_by_exponentials", "torch.tanh(z)", "(1 - 2 / (torch.exp(2 * z) + 1))", loses={"straight-through"})
slip("fsq_sigmoid", "torch.tanh(z)", "(2 * torch.sigmoid(z) - 1)", loses={"codes", "straight-through"})
slip(
    "fsq_half_levels",
    "(L - 1) / 2 * torch",
    "L / 2 * torch",
    (
        "digits = codes.detach().round().long() + (L - 1) // 2",
        "digits = (codes.detach().round().long() + (L - 1) // 2).clamp(min=0)",
    ),
    loses={"codes"},
)
slip(
    "fsq_last_dimension_fastest",
    "factors = torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)",
    "factors = torch.cumprod(torch.tensor([1, *levels[:0:-1]]), 0).flip(0)",
    loses={"index"},
)
slip("fsq_factors_one_late", "[1, *levels[:-1]]", "[*levels]", loses={"index"})
slip(
    "fsq_factors_not_multiplied",
    "torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)",
    "torch.tensor([1, *levels[:-1]])",
    loses={"index"},
)
slip(
    "fsq_powers_of_the_first",
    "torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)",
    "levels[0] ** torch.arange(len(levels))",
    loses={"index"},
)
slip("fsq_negative_digits", " + (L - 1) // 2", "", loses={"index"})
slip("fsq_digits_from_one", "(L - 1) // 2\n", "(L + 1) // 2\n", loses={"index"})
slip(
    "fsq_index_in_single_precision",
    "(digits * factors).sum(1)",
    "(digits * factors).float().sum(1).long()",
    loses={"index"},
)
slip(
    "fsq_index_of_32_bits",
    "(digits * factors).sum(1)",
    "(digits * factors).int().sum(1, dtype=torch.int32)",
    loses={"index"},
)
slip("fsq_without_gradient", "h + (h.round() - h).detach()", "h.round()", loses={"straight-through"})
slip("fsq_detached", "h + (h.round() - h).detach()", "h.round().detach()", loses={"straight-through"})
slip("fsq_gradient_of_z", "h + (h.round() - h).detach()", "z + (h.round() - z).detach()", loses={"straight-through"})
slip(
    "fsq_gradient_twice",
    "h + (h.round() - h).detach()",
    "2 * h + (h.round() - 2 * h).detach()",
    loses={"straight-through"},
)
slip("fsq_index_alone", "return codes, (digits", "return (digits", loses={"shapes"})
slip("fsq_index_of_reals", "(digits * factors).sum(1)", "(digits * factors).sum(1).double()", loses={"shapes"})


# ---------------------------------------------------------------------------------------------------- sample_codes


@bank.right("sample_codes")
def sample_by_cumulative_sums():
    import torch

    def choose(logits, u):
        return (logits.softmax(-1).cumsum(-1)[:, :-1] <= u[:, None]).sum(-1)

    def sample_codes(n_top, n_bottom, top_net, bottom_net, u):
        top = torch.zeros(len(u), n_top, dtype=torch.int64)
        bottom = torch.zeros(len(u), n_bottom, dtype=torch.int64)
        for j in range(n_top):
            top[:, j] = choose(top_net(top)[:, j], u[:, j])
        for j in range(n_bottom):
            bottom[:, j] = choose(bottom_net(top, bottom)[:, j], u[:, n_top + j])
        return top, bottom

    return sample_codes


@bank.right("sample_codes")
def sample_by_search():
    import torch

    def draw(net, positions, u):
        codes = torch.zeros(u.shape[0], positions, dtype=torch.int64)
        for j, column in enumerate(u.unbind(1)):
            borders = torch.softmax(net(codes)[:, j], dim=1).cumsum(1)[:, :-1].contiguous()
            codes[:, j] = torch.searchsorted(borders, column[:, None].contiguous(), right=True).squeeze(1)
        return codes

    def sample_codes(n_top, n_bottom, top_net, bottom_net, u):
        top = draw(top_net, n_top, u[:, :n_top])
        return top, draw(lambda bottom: bottom_net(top, bottom), n_bottom, u[:, n_top:])

    return sample_codes


@bank.right("sample_codes")
def sample_code_by_code():
    import torch

    def sample_codes(n_top, n_bottom, top_net, bottom_net, u):
        n = len(u)
        drawn = torch.zeros((n, n_top + n_bottom), dtype=torch.long)
        for j in range(n_top + n_bottom):
            top, bottom = drawn[:, :n_top], drawn[:, n_top:]
            logits = top_net(top)[:, j] if j < n_top else bottom_net(top, bottom)[:, j - n_top]
            p = torch.nn.functional.softmax(logits, dim=-1)
            total = torch.zeros(n, dtype=p.dtype)
            for k in range(p.shape[1] - 1):
                total = total + p[:, k]
                drawn[:, j] += total <= u[:, j]
        return drawn[:, :n_top].clone(), drawn[:, n_top:].clone()

    return sample_codes


for old, new in ((".softmax(-1)", ".softmax(1)"), (".cumsum(-1)", ".cumsum(1)"), (".sum(-1)", ".sum(1)")):
    bank.equivalent("sample_codes", old, new, "there are two axes")
for new in ("", ", dim=1"):
    bank.equivalent("sample_codes", ", dim=-1", new, "there are two axes")
bank.equivalent("sample_codes", "torch.zeros(n, dtype=p.dtype)", "torch.zeros(n)", "what is added has float64")
for part in ("drawn[:, :n_top]", "drawn[:, n_top:]"):
    bank.equivalent("sample_codes", f"{part}.clone()", part, "the two are parts of a tensor that nothing else has")


slip = bank.slips("sample_codes", of=sample_by_cumulative_sums)
slip(
    "sample_all_top_at_once",
    "choose(top_net(top)[:, j], u[:, j])",
    "choose(logits[:, j], u[:, j])",
    ("    for j in range(n_top):", "    logits = top_net(top)\n    for j in range(n_top):"),
    loses={"top"},
)
slip(
    "sample_all_bottom_at_once",
    "choose(bottom_net(top, bottom)[:, j],",
    "choose(logits[:, j],",
    ("    for j in range(n_bottom):", "    logits = bottom_net(top, bottom)\n    for j in range(n_bottom):"),
    loses={"bottom given top"},
)
slip("sample_bottom_without_top", "bottom_net(top, bottom)", "bottom_net(0 * top, bottom)", loses={"bottom given top"})
slip("sample_bottom_with_the_numbers_of_the_top", "u[:, n_top + j]", "u[:, j % n_top]", loses={"bottom given top"})
slip("sample_bottom_one_number_late", "u[:, n_top + j]", "u[:, -1 - j]", loses={"bottom given top"})
slip("sample_one_number_for_the_top", "u[:, j])\n", "u[:, 0])\n", loses={"top"})
slip("sample_below", "<= u[:, None]", "< u[:, None]", loses={"top", "bottom given top"})
slip("sample_turned_around", "u[:, None]", "1 - u[:, None]", loses={"top", "bottom given top"})
slip(
    "sample_most_probable",
    "(logits.softmax(-1).cumsum(-1)[:, :-1] <= u[:, None]).sum(-1)",
    "logits.argmax(-1)",
    loses={"top", "bottom given top"},
)
slip("sample_with_the_last_sum", "cumsum(-1)[:, :-1]", "cumsum(-1)", loses={"top", "bottom given top"})
slip("sample_of_logits", "logits.softmax(-1)", "logits.sigmoid()", loses={"top", "bottom given top"})
slip(
    "sample_by_naive_softmax",
    "logits.softmax(-1)",
    "(logits.exp() / logits.exp().sum(-1, keepdim=True))",
    loses={"top", "bottom given top"},
)
slip(
    "sample_with_noise_of_its_own",
    "(logits.softmax(-1).cumsum(-1)[:, :-1] <= u[:, None]).sum(-1)",
    "torch.multinomial(logits.softmax(-1), 1)[:, 0]",
    loses={"top", "bottom given top"},
)
slip("sample_top_in_reverse", "    for j in range(n_top):", "    for j in reversed(range(n_top)):", loses={"top"})
slip(
    "sample_asks_once_more",
    "    return top, bottom",
    "    top_net(top)\n    return top, bottom",
    loses=(),
    raises="TooManyCalls",
)
slip("sample_bottom_first", "return top, bottom", "return bottom, top", loses={"shapes"})
slip("sample_in_reals", "return top, bottom", "return top.double(), bottom", loses={"shapes"})
