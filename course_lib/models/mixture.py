"""Mixtures of autoregressive models, the base class of ensembles."""

import math

import torch

from course_lib import distributions
from course_lib.models.base import AutoregressiveModel, GenerativeModel, checked_uniforms


class Mixture(GenerativeModel):
    """A mean of M autoregressive models' probabilities, p(x) = 1/M sum over m of p_m(x).

    A mean of distributions is a distribution. (A mean of their *logits* does not define one.) By Jensen's inequality it
    never costs more nats than its members on average. A subclass defines `member` and the buffer `orders`.

    It is not a product of conditionals, since its members may have different orderings. So it has no `conditionals`,
    and an image cannot be coded with it, only with one member.

    Attributes:
        orders: (M, D) long, the members' orderings.
    """

    orders: torch.Tensor

    def member(self, m: int) -> AutoregressiveModel:
        """The m-th model. The members share their weights."""
        raise NotImplementedError(f"{type(self).__name__} must define member")

    def member_in_order(self, m: int, order: torch.Tensor) -> AutoregressiveModel:
        """The m-th model in another ordering than its own, (D,) long.

        Raises:
            ValueError: the members cannot change their ordering.
        """
        raise NotImplementedError(f"{type(self).__name__} must define member_in_order")

    def log_prob(
        self, x: torch.Tensor, *, labels: torch.Tensor | None = None, context: torch.Tensor | None = None
    ) -> torch.Tensor:
        """log p(x) of the mixture in nats, (batch,): one evaluation per member. Raises ValueError as they do."""
        return self._mixture_log_prob(len(self.orders), x, labels=labels, context=context)

    def _mixture_log_prob(self, members: int, x: torch.Tensor, **given: torch.Tensor | None) -> torch.Tensor:
        """log p(x) of the mixture of so many members, the first ones."""
        each = torch.stack([self.member(m).log_prob(x, **given) for m in range(members)])
        return each.logsumexp(0) - math.log(members)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """n exact, independent samples of the mixture, (n, *event_shape), each from a member drawn for it.

        The uniforms decide as in `AutoregressiveModel.sample`, but uniforms[i, 0] first chooses the member that draws
        sample i. What remains of it, the place inside the member's share of [0, 1), decides dimension 0.

        Args:
            n, labels, context, generator, uniforms, cached: as in `AutoregressiveModel.sample`.

        Raises:
            ValueError: as in `AutoregressiveModel.sample`.
        """
        x = torch.zeros(n, *self.event_shape, dtype=self._dtype(), device=self.orders.device)
        nothing = torch.zeros(self.event_shape, dtype=torch.bool)
        members = [self.member(m) for m in range(len(self.orders))]
        weights = torch.full((n, len(members)), 1 / len(members), dtype=torch.float64)
        given = members[0]._given(n, labels, context)
        uniforms = checked_uniforms(uniforms, generator, (n, nothing.numel()))
        return _draw(members, weights, x, nothing, uniforms, cached, given)

    @torch.no_grad()
    def complete(
        self,
        x: torch.Tensor,
        known: torch.Tensor,
        *,
        labels: torch.Tensor | None = None,
        context: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        uniforms: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """Exact samples of p(unknown dimensions | known dimensions), one for each x, each from a member drawn for it.

        Given the known dimensions, a member's weight is its probability of them. To have this probability, every
        member takes its ordering with the known dimensions moved to the front. Where that changes an ordering, the
        draw is exact for the mixture in the changed orderings, which a network trained in all orderings models as well.

        Args:
            x, known: as in `AutoregressiveModel.complete`.
            labels, context, generator, uniforms, cached: as in `sample`; the first unknown dimension's uniform chooses.

        Raises:
            ValueError: as in `AutoregressiveModel.complete`; the known dimensions are not the first ones of an ordering
                that cannot be changed.
        """
        x, known = self._check_evidence(x, known)
        members = [self._knowing(m, known.flatten()) for m in range(len(self.orders))]
        given = members[0]._given(len(x), labels, context)
        with torch.autocast(x.device.type, enabled=False):  # as in all sampling
            each = [member._log_likelihood(member(x, **given), x).flatten(1) for member in members]
        log_p = torch.stack([log_p[:, known.flatten()].sum(1) for log_p in each], 1)
        weights = log_p.double().softmax(1).cpu()
        uniforms = checked_uniforms(uniforms, generator, (len(x), known.numel()))
        return _draw(members, weights, x, known, uniforms, cached, given)

    def _knowing(self, m: int, known: torch.Tensor) -> AutoregressiveModel:
        """The m-th member in the ordering that begins with the known dimensions, a (D,) mask on the CPU."""
        order = self.orders[m]
        known_first = torch.cat([order[known[order.cpu()]], order[~known[order.cpu()]]])
        return self.member(m) if torch.equal(known_first, order) else self.member_in_order(m, known_first)


def _draw(
    members: list[AutoregressiveModel],
    weights: torch.Tensor,
    x: torch.Tensor,
    known: torch.Tensor,
    uniforms: torch.Tensor,
    cached: bool,
    given: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Draw each x's unknown dimensions from a member, chosen by weights (n, M) and the first unknown one's uniform."""
    if known.all() or not len(x):
        return x
    uniforms, first = uniforms.cpu().double().clone(), int(known.flatten().long().argmin())
    ends = weights.cumsum(1)
    chosen = (ends[:, :-1] <= uniforms[:, first, None]).sum(1, keepdim=True)
    share = weights.gather(1, chosen).clamp_min(torch.finfo(torch.float64).tiny)
    rest = (uniforms[:, first, None] - (ends - weights).gather(1, chosen)) / share
    uniforms[:, first] = distributions.below_one(rest.clamp_min(0), torch.float64)[:, 0]
    drawn = torch.empty_like(x)
    for m in chosen.unique().tolist():
        rows = chosen[:, 0] == m
        here = rows.to(x.device)
        its = {name: tensor[rows.to(tensor.device)] for name, tensor in given.items()}
        drawn[here] = members[m].complete(x[here], known, uniforms=uniforms[rows], cached=cached, **its)
    return drawn
