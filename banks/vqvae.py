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
    loses={"moving averages", "unused codes stay"},
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
    loses={"unused codes stay", "any size"},
)
slip(
    "averages_old_codes",
    "sums / counts[:, None]",
    "sums / counts[:, None] * decay",
    loses={"moving averages", "unused codes stay"},
)
slip(
    "averages_of_the_batch_alone",
    "sums / counts[:, None]",
    "(one_hot.T @ z) / one_hot.sum(0).clamp(min=1)[:, None]",
    loses={"moving averages", "unused codes stay"},
)
slip(
    "averages_codes_are_sums",
    "sums / counts[:, None]",
    "1 * sums",
    loses={"moving averages", "unused codes stay"},
)
slip("averages_epsilon", "sums / counts[:, None]", "sums / (counts[:, None] + 1e-5)", loses={"unused codes stay"})
slip(
    "averages_clamped_counts",
    "sums / counts[:, None]",
    "sums / counts[:, None].clamp(min=1e-8)",
    loses={"unused codes stay"},
)
# Laplace smoothing, as in many implementations.
slip(
    "averages_smoothed",
    "return counts, sums, sums / counts[:, None]",
    "total = counts.sum()\n"
    "    smoothed = (counts + 1e-5) / (total + len(counts) * 1e-5) * total\n"
    "    return counts, sums, sums / smoothed[:, None]",
    loses={"unused codes stay"},
)
# Only codes with vectors are updated.
slip(
    "averages_unused_untouched",
    "counts = decay * counts + (1 - decay) * one_hot.sum(0)\n",
    "used = one_hot.sum(0) > 0\n"
    "    old_sums = sums\n"
    "    counts = torch.where(used, decay * counts + (1 - decay) * one_hot.sum(0), counts)\n",
    ("one_hot.T @ z\n", "one_hot.T @ z\n    sums = torch.where(used[:, None], sums, old_sums)\n"),
    loses={"unused codes stay"},
)
slip(
    "averages_at_least_one_vector",
    "one_hot.sum(0)\n",
    "one_hot.sum(0).clamp(min=1)\n",
    loses={"unused codes stay"},
)
slip(
    "averages_unused_zero",
    "sums / counts[:, None]",
    "torch.where(one_hot.any(0)[:, None], sums / counts[:, None], 0.0)",
    loses={"unused codes stay"},
)
slip(
    "averages_as_many_codes_as_occur",
    "one_hot(indices, len(counts))",
    "one_hot(indices)",
    loses={"unused codes stay", "any size"},
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
