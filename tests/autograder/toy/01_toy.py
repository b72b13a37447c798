# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A lesson for the tests

# %% setup=true
import math

# %% tags=["demo"]
import os
import sys

import autograder.checks

autograder.checks.__path__.append(os.environ.get("TOY_CHECKS", ""))
sys.modules.pop("autograder.checks.toy", None)
from autograder.checks import toy as checks

# %% [markdown]
# ## Exercise 1 · Twice


# %% exercise="double"
def double(x):
    """Twice the number."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% check="double"

# %% [markdown]
# ## Exercise 2 · Ask


# %% exercise="ask"
def ask(f, n):
    """The square root of the sum of f(0), ..., f(n - 1)."""
    ### BEGIN SOLUTION
    return math.sqrt(sum(f(i) for i in range(n)))
    ### END SOLUTION


# %% check="ask"

# %% [markdown]
# ## Exercise 3 · Count


# %% exercise="Counter"
class Counter:
    """`add(k)` adds k to `total`, and returns it."""

    ### BEGIN SOLUTION
    def __init__(self):
        self.total = 0

    def add(self, k):
        self.total += k
        return self.total

    ### END SOLUTION


# %% check="Counter"

# %% tags=["demo"]
print("the end")
