"""The joint table: every distribution over few enough states, and everything about it exactly."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from course_lib import distributions
from course_lib.metrics import HasLogProb
from course_lib.models.base import AutoregressiveModel, on_host

MAX_STATES = 2**24


class TabularModel(AutoregressiveModel):
    """The oracle for small worlds: a table with one log-probability a state, in float64.

    It has K^D - 1 free numbers, which is why it stops at toy sizes. It learns by counting (`fit`), not by gradients.

    `forward` gives (batch, D) logits for K = 2 and (batch, K, D) for more levels. After a prefix of probability 0,
    where conditionals are undefined, they are uniform.

    Args:
        log_joint: (K,)*D; entry [x_0, ..., x_{D-1}] is log p(x) in nats, -inf allowed.
        order: (D,) permutation for sampling; 0, 1, ..., D-1 by default. It does not change the distribution.

    Raises:
        ValueError: the table's axes differ in length, or its probabilities do not sum to 1.

    >>> xor = TabularModel.from_probs(torch.tensor([[0.5, 0.0], [0.0, 0.5]]))
    >>> xor.log_prob(torch.tensor([[1, 1], [0, 1]])).exp()
    tensor([0.5000, 0.0000], dtype=torch.float64)
    >>> xor.complete(torch.tensor([[0, 1]]), known=torch.tensor([False, True]))
    tensor([[1, 1]])
    """

    log_p: torch.Tensor

    def __init__(self, log_joint: torch.Tensor, order: Sequence[int] | None = None):
        sizes = set(log_joint.shape)
        if len(sizes) != 1:
            raise ValueError(f"the table must have D axes, all of length K; got shape {tuple(log_joint.shape)}")
        total = log_joint.double().exp().sum().item()
        if not abs(total - 1) < 1e-6:
            raise ValueError(f"the table's probabilities must sum to 1; got {total}")
        super().__init__((log_joint.ndim,), levels=sizes.pop(), order=order)
        self.register_buffer("log_p", log_joint.double().flatten())

    @classmethod
    def from_probs(cls, joint: torch.Tensor, order: Sequence[int] | None = None) -> "TabularModel":
        """The model of a table of probabilities (K,)*D.

        Raises:
            ValueError: an entry is negative, or see the class.
        """
        if (joint < 0).any():
            raise ValueError(f"probabilities cannot be negative; got {joint.min().item()}")
        return cls(joint.double().log(), order)

    @classmethod
    def fit(cls, x: torch.Tensor, levels: int = 2, smoothing: float = 0.0) -> "TabularModel":
        """The maximum-likelihood table: the share of each state in x, after adding `smoothing` to every count.

        Without smoothing a state that x lacks has probability 0.

        Args:
            x: (n, D) integers 0..levels-1.
            levels: K.
            smoothing: at least 0 (1 is Laplace's rule, 1/2 Krichevsky and Trofimov's).

        Raises:
            ValueError: x is not of this kind, there are more than 2^24 states, or nothing to count.

        >>> TabularModel.fit(torch.tensor([[0, 0], [0, 0], [1, 0]]), smoothing=1.0).joint
        tensor([[0.4286, 0.1429],
                [0.2857, 0.1429]], dtype=torch.float64)
        """
        if x.ndim != 2 or x.is_floating_point() or (x.numel() and not 0 <= int(x.min()) <= int(x.max()) < levels):
            raise ValueError(f"x must be (n, D) integers 0..{levels - 1}; got {x.dtype}, {tuple(x.shape)}")
        D = x.shape[1]
        if levels**D > MAX_STATES:
            raise ValueError(f"a table of {levels}^{D} states is too large; at most {MAX_STATES} fit")
        if smoothing < 0 or len(x) == 0 == smoothing:
            raise ValueError(f"expected images to count or smoothing > 0; got {len(x)} images, smoothing {smoothing}")
        counts = torch.bincount(_number(x, levels), minlength=levels**D).double() + smoothing
        return cls.from_probs((counts / counts.sum()).view((levels,) * D))

    @property
    def joint(self) -> torch.Tensor:
        """The table of probabilities, (K,)*D float64."""
        return self.log_p.exp().view((self.levels,) * len(self.order))

    @property
    def states(self) -> torch.Tensor:
        """All states in the order of `log_p`, the last dimension fastest: (K^D, D) int64."""
        D = len(self.order)
        return torch.cartesian_prod(*[torch.arange(self.levels)] * D).view(-1, D).to(self.order.device)

    @property
    def entropy(self) -> float:
        """The entropy in nats: the lowest expected negative log-likelihood that any model can have here."""
        return torch.special.entr(self.log_p.exp()).sum().item()

    def kl(self, model: HasLogProb) -> float:
        """KL(this || model) in nats, exactly, by a sum over all states.

        Args:
            model: has log_prob((batch, D)) -> (batch,) nats.

        >>> fair = TabularModel.from_probs(torch.tensor([0.5, 0.5]))
        >>> round(fair.kl(TabularModel.from_probs(torch.tensor([0.25, 0.75]))), 4)   # log 2 - log(3) / 2
        0.1438
        """
        possible = self.log_p > -torch.inf
        states, log_p = self.states[possible], self.log_p[possible]
        with torch.no_grad():
            log_q = torch.cat([model.log_prob(batch) for batch in states.split(4096)])
        return (log_p.exp() * (log_p - log_q.double())).sum().item()

    def conditional(self, dimension: int, known: Mapping[int, int]) -> torch.Tensor:
        """p(x_dimension | known values), exactly, for any set of known dimensions: (K,) float64.

        Args:
            dimension: the one asked for.
            known: values by dimension, possibly none.

        Raises:
            ValueError: the dimension is known already, or the known values have probability 0.

        >>> xor = TabularModel.from_probs(torch.tensor([[0.5, 0.0], [0.0, 0.5]]))
        >>> xor.conditional(0, known={1: 1})
        tensor([0., 1.], dtype=torch.float64)
        """
        if dimension in known:
            raise ValueError(f"dimension {dimension} is among the known ones, {sorted(known)}")
        D = len(self.order)
        table = self.joint[tuple(slice(known[d], known[d] + 1) if d in known else slice(None) for d in range(D))]
        p = table.movedim(dimension, 0).flatten(1).sum(1) if D > 1 else table
        if p.sum() == 0:
            raise ValueError(f"the known values {dict(known)} have probability 0, so nothing follows from them")
        return p / p.sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(self._conditionals(x)), -1)[..., self.order.argsort()]

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log p(x) in nats, (batch,), read from the table. Raises ValueError as the base class does."""
        self._check(x)
        return distributions.at_least_float32(self.log_p[_number(x, self.levels)])

    def complete(self, x: torch.Tensor, known: torch.Tensor, **settings: Any) -> torch.Tensor:
        """Exact samples of p(unknown | known) for *any* known dimensions; otherwise as in the base class.

        A table can be read in any ordering, so it takes one that starts with the known dimensions.

        Raises:
            ValueError: the known values have probability 0, or see the base class.
        """
        x, known = self._check_evidence(x, known)
        in_order = known.to(self.order.device)[self.order]
        known_first = torch.cat([self.order[in_order], self.order[~in_order]])
        model = TabularModel(self.log_p.view((self.levels,) * len(self.order)), known_first)
        evidence = int(known.sum())
        if not model._prefixes()[evidence][_number(x[:, known_first[:evidence]], self.levels)].isfinite().all():
            raise ValueError("the known values have probability 0 in at least one image: nothing follows from them")
        return super(TabularModel, model).complete(x, known, **settings)

    def _conditionals(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Read off the tables of the prefixes: log p(prefix, value) is a logit."""
        prefixes, number = self._prefixes(), torch.zeros(len(x), dtype=torch.long, device=x.device)
        for k, d in enumerate(on_host(self.order)):
            logits = prefixes[k + 1].view(-1, self.levels)[number]
            logits = torch.where(logits.isneginf().all(1, keepdim=True), 0.0, logits)
            yield logits[:, 1] - logits[:, 0] if self.levels == 2 else logits
            number = number * self.levels + x[:, d].long()

    def _prefixes(self) -> list[torch.Tensor]:
        """log p of the first k dimensions in the ordering, for k = 0..D: (K^k,) each."""
        log_p = distributions.at_least_float32(self.log_p)
        table = log_p.view((self.levels,) * len(self.order)).permute(*on_host(self.order)).flatten()
        tables = [table]
        while len(tables[-1]) > 1:
            tables.append(tables[-1].view(-1, self.levels).logsumexp(1))
        return tables[::-1]


def _number(x: torch.Tensor, levels: int) -> torch.Tensor:
    """Each row's place in the table: its digits in base `levels`, the first one highest. (n, D) -> (n,)."""
    return (x.long() * levels ** torch.arange(x.shape[1] - 1, -1, -1, device=x.device)).sum(1)
