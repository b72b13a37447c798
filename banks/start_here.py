"""Right and wrong answers to lesson 00, start here."""

from banks import Bank

bank = Bank("start_here")


@bank.right("normalise")
def keeps_the_axis():
    def normalise(weights):
        return weights / weights.sum(1, keepdim=True)

    return normalise


@bank.right("normalise")
def loop():
    import torch

    def normalise(weights):
        return torch.stack([row / row.sum() for row in weights])

    return normalise


@bank.right("normalise")
def numpy_columns():
    import numpy as np

    def normalise(weights):
        weights = np.asarray(weights)
        return (weights.T / weights.sum(axis=1)).T

    return normalise


@bank.right("normalise")
def softmax_of_logarithms():
    import torch

    def normalise(weights):
        return torch.softmax(weights.log(), dim=-1)

    return normalise


@bank.right("normalise")
def plain_lists():
    def normalise(weights):
        return [[entry / sum(row) for entry in row] for row in weights.tolist()]

    return normalise


@bank.right("normalise")
def matrix_product():
    """The sums as a product with a column of ones."""
    import torch

    def normalise(weights):
        return torch.div(weights, weights @ weights.new_ones(weights.shape[1], 1))

    return normalise


@bank.right("normalise")
def scaled_first():
    """Divided by the largest weight first, so that no sum can overflow."""

    def normalise(weights):
        weights = weights / weights.amax(dim=1, keepdim=True)
        return weights / weights.sum(dim=1, keepdim=True)

    return normalise


slip = bank.slips("normalise", of=loop)
# A softmax of the weights themselves.
slip(
    "softmax",
    "stack([row / row.sum() for row in weights])",
    "softmax(weights, dim=1)",
    loses={"proportions", "exact"},
)
# All entries alike.
slip(
    "uniform",
    "stack([row / row.sum() for row in weights])",
    "full_like(weights, 1 / weights.shape[1])",
    loses={"proportions", "exact"},
)

slip = bank.slips("normalise", of=softmax_of_logarithms)
# An epsilon inside the logarithm, for fear of log 0.
slip(
    "softmax_of_logarithms_with_an_epsilon",
    "(weights.log(), dim=-1)",
    "((weights + 1e-10).log(), dim=1)",
    loses={"exact"},
)

slip = bank.slips("normalise", of=keeps_the_axis)
# Divided by the sum of all rows.
slip("whole_sum", "(1, keepdim=True)", "()", loses={"rows sum to one"})
# Columns that sum to one.
slip("over_the_columns", "(1, keepdim=True)", "(0)", loses={"rows sum to one"})
# The summed axis is dropped, and the sums line up with the columns.
slip("axis_dropped", "(1, keepdim=True)", "(1)", loses={"rows sum to one"})
# Divided by the largest weight.
slip("by_the_maximum", "sum(1, keepdim=True)", "max(1, keepdim=True).values", loses={"rows sum to one"})
# Mean for sum.
slip("by_the_mean", "sum", "mean", loses={"rows sum to one"})
# Logarithms of the probabilities.
slip(
    "logarithms",
    "weights / weights.sum(1, keepdim=True)",
    "(weights / weights.sum(1, keepdim=True)).log()",
    loses={"rows sum to one"},
)
# Normalised in the Euclidean sense, then squared.
slip(
    "squares",
    "weights / weights.sum(1, keepdim=True)",
    "(weights / weights.norm(dim=1, keepdim=True)) ** 2",
    loses={"proportions", "exact"},
)
# Computed in float32.
slip("float32", "(weights):", "(weights):\n    weights = weights.float()", loses={"exact"})
# An epsilon below, for fear of zero.
slip("epsilon", "weights.sum(1, keepdim=True)", "(weights.sum(1, keepdim=True) + 1e-8)", loses={"exact"})
# The sums themselves.
slip("row_sums", " weights / weights.sum(1, keepdim=True)\n", " weights.sum(1)\n", loses={"shapes"})
# return forgotten.
slip("nothing_returned", "return weights", "weights", loses={"shapes"})
# The entries of each row in reverse order.
slip(
    "order_of_the_columns",
    "weights / weights.sum(1, keepdim=True)",
    "(weights / weights.sum(1, keepdim=True)).flip(1)",
    loses={"proportions", "exact"},
)
# The smallest weight taken away first.
slip(
    "shifted",
    "(weights):",
    "(weights):\n    weights = weights - weights.min(1, keepdim=True).values / 2",
    loses={"proportions", "exact"},
)
slip("smaller_epsilon", "weights.sum(1, keepdim=True)", "(weights.sum(1, keepdim=True) + 1e-15)", loses={"exact"})
slip("clamped_below", "keepdim=True)", "keepdim=True).clamp_min(1e-12)", loses={"exact"})
slip("clamped_above", "keepdim=True)", "keepdim=True).clamp_max(1e12)", loses={"exact"})
slip("whole_numbers", "return weights", "weights = weights.long()\n    return weights", loses={"exact"})
slip("first_four_columns", "sum(1, keepdim=True)", "T[:4].T.sum(1, keepdim=True)", loses={"proportions"})
slip(
    "rounded",
    "return weights / weights.sum(1, keepdim=True)",
    "return (weights / weights.sum(1, keepdim=True)).round(decimals=10)",
    loses={"exact"},
)
slip("cumulative", "sum(1, keepdim=True)", "cumsum(1)", loses={"rows sum to one"})
slip("only_the_first_row", "sum(1, keepdim=True)", "sum(1)[0]", loses={"rows sum to one"})


bank.equivalent(
    "normalise",
    "torch.stack([row / row.sum() for row in weights])",
    "[row / row.sum() for row in weights]",
    why="a list of rows is read as the table",
)
bank.equivalent("normalise", "dim=-1", "dim=1", why="weights has two axes")
bank.equivalent(
    "normalise", "weights = weights / weights.amax(dim=1, keepdim=True)", "pass", why="it only scales a row"
)
bank.equivalent(
    "normalise",
    "weights / weights.amax(dim=1, keepdim=True)",
    "weights / (weights.amax(dim=1, keepdim=True) + 1e-08)",
    why="it only scales a row, in another way",
)
