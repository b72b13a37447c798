# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 00 · Start here
#
# A short lesson that makes the rest easy. You see whether the installation is right, how the course writes data and numbers, and how an exercise works:
# you write a function, a check shows where it breaks, you mend it.
#
# **Builds on**: a little Python; you have seen arrays before. **Marks**: none. This lesson is not collected; its points are practice.
#
# To run a cell, click on it and press Shift + Enter. Run them from top to bottom.
#
# **On Google Colab?** Read the section *On Colab* at the end first.

# %% [markdown]
# ## Is the installation right?
#
# This cell compares what is installed with what the course asks for.

# %% tags=["demo"]
try:
    from course_lib import installation

    print(installation.report())
except ModuleNotFoundError as error:
    print(f"{error}. Install the course: in a terminal, in the folder that holds pyproject.toml, type")
    print("    pip install --editable .")

# %% [markdown]
# Is a package missing that you *have* installed? Then this notebook runs another Python than the one you installed into: compare the path in the first
# line with what `python -c "import sys; print(sys.executable)"` says in your terminal. Activate the course's environment there and start `jupyter lab` from it.
#
# Next, the imports that every lesson begins with, and the device that PyTorch computes on. A CPU is fine for everything in this course. An NVIDIA GPU (`cuda`)
# or an Apple one (`mps`) is used automatically, where there is one.

# %% setup=true
import numpy as np
import torch

# %% tags=["demo"]
import course_lib
from autograder.checks import start_here as checks
from course_lib import data, plots

print(f"PyTorch {torch.__version__} computes on: {course_lib.device()}")

# %% [markdown]
# ## Tensors, as this course uses them
#
# A batch of images is a tensor of shape `(batch, C, H, W)`: how many images, channels, height, width. The course's default data, 8x8 handwritten digits, come with
# scikit-learn, so that no network is needed. Here they are with black and white pixels:

# %% tags=["demo"]
digits = data.digits(view="binary")
x, y = digits.train.x, digits.train.y
print(f"images {tuple(x.shape)} {x.dtype}, values {x.unique().tolist()}; labels {tuple(y.shape)} {y.dtype}")
print(f"The same as rows of {digits.flatten().train.x.shape[1]} pixels: {tuple(digits.flatten().train.x.shape)}")
fig = plots.image_grid(x[:20], columns=10, title="Twenty of the training digits")
plots.show(fig, alt="Two rows of ten handwritten digits, 8 by 8 pixels each, in black and white.")

# %% [markdown]
# | what | how the course writes it |
# | --- | --- |
# | images | `(batch, C, H, W)`; where pixels are only a list, `(batch, D)` with D = C · H · W, row by row from the top left (raster order) |
# | pixel values that are counted (black and white, grey levels) | `int64`, 0 to K - 1: they are labels, not amounts of light |
# | probabilities where exactness is asked | `float64`, 16 digits; networks compute in `float32`, 7 digits |
# | logarithms | natural, always; so log-probabilities are in *nats* |
# | bits | nats divided by log 2 = 0.693...; *bits per dimension* are bits divided by D |
# | one number for each image | shape `(batch,)`, so that you decide whether to average |
#
# Two habits save hours. Look at shapes: `print(x.shape)`. And convert before you compute: PyTorch does not multiply an `int64` matrix with a `float64` one.

# %% tags=["demo"]
rows = digits.flatten().train.x[:3]
ones = torch.ones(64, dtype=torch.float64)
try:
    rows @ ones
except RuntimeError as error:
    print("RuntimeError:", error)
print("After conversion, the number of black pixels in each of three images:", rows.double() @ ones)

# %% [markdown]
# ## Your first exercise, and its check
#
# Throughout the course, non-negative numbers become distributions: each row is divided so that it adds up to 1. Before you write that, see what a check has to
# say about somebody else's attempt. Can you see what is wrong with it before you run the cell?


# %% tags=["demo"]
def first_attempt(weights):
    return weights / weights.sum()


checks.normalise(first_attempt)

# %% [markdown]
# A check does not compare your code with a stored answer. It tests *properties* that every right answer has, on small random cases, so you may write your
# function in any way that you like. Read the report like this:
#
# * A line with ✓ is a property that held in every case.
# * A line with ✗ is a property that does not hold. Below it is the smallest counter-example: here, two rows that should each add up to 1, and what they add up to.
# * Properties with points earn them one by one. Those without points are *gates*: they earn nothing, but while one is broken nothing else counts, and testing stops there.
# * *Not tested to the end* names what the check had not finished when it stopped. Mend what is above it first.
#
# Now it is your turn. Run the check below once before you write anything, so that you have seen what an unanswered exercise looks like. Then replace the line
# `raise NotImplementedError` by your answer, run both cells, and read.

# %% [markdown]
# ### Exercise (practice) · Rows that sum to one


# %% exercise="normalise"
def normalise(weights):
    """Turn rows of weights into distributions.

    Args:
        weights: (B, K) float64, none negative, no row all zeros; of any size, 1e-300 and 1e300 included.

    Returns:
        (B, K) float64: every row in the proportions of its weights, adding up to 1, both to twelve digits.
    """
    ### BEGIN SOLUTION
    return weights / weights.sum(1, keepdim=True)
    ### END SOLUTION


# %% check="normalise"

# %% [markdown]
# **Stuck?** Every exercise has three hints, from a nudge to nearly there. Each call shows one more:

# %% tags=["demo"]
checks.normalise.hint()

# %% [markdown]
# Once all is ✓, try a few things; the check does not mind. What if you compute in float32, with `weights.float()`? What does a softmax give? What if you return
# nothing at all?

# %% [markdown]
# ## Ten minutes to test yourself
#
# The lessons use four things all the time. Nothing here is graded, and nothing waits for it: replace the dots by your answers, one
# line at a time, and run the cell again. It says which are right; for the others it says where to read. Use paper, and do not run the
# expressions first.
#
# 1. **Log-sum-exp.** What is $\log(e^{-1000} + e^{-1000})$, to two decimals? (And what does a computer return for
#    `math.log(math.exp(-1000) + math.exp(-1000))`?)
# 2. **Bayes' rule.** One email in five is spam. A filter flags 90 % of the spam and 10 % of the rest. With what probability is a flagged
#    email spam?
# 3. **Broadcasting.** `a` has shape `(5, 1, 3)`, `b` has shape `(4, 1)`. What is the shape of `a + b`?
# 4. **gather.** `log_p` has shape `(3, 2)`: three rows, two classes. `y = [1, 0, 1]` are the labels. `log_p.gather(1, y[:, None])` has
#    shape `(3, 1)`. Which columns of `log_p` do its rows hold?

# %% tags=["demo"]
from course_lib.self_test import self_test

self_test(log_sum_exp=..., bayes=..., broadcasting=(...,), gather=[...])

# %% [markdown]
# ## While you work
#
# * **Only the cell with the function is yours.** Its name and its arguments stay as they are. You may define helpers *inside the same cell*; other cells you may add
#   and change as you like, but only the exercise cells are graded.
# * **Imports** that you need beyond `numpy`, `torch` and `math` do not belong in an exercise: everything can be answered with these.
# * **A function leaves no traces.** It does not change its arguments, no later call changes what an earlier one returned, and asked again it answers the same. The checks look at this in every call.
# * **No exercise needs an earlier one's answer.** If one resists, go on and come back.
# * **Training cells** take the time that you allow: set the environment variable `COURSE_BUDGET` to `smoke` (seconds, poor models), `cpu` (minutes, the default) or `gpu`
#   (longer training on the same data) before you start JupyterLab.
# * **Help with a function of the library**: `help(plots.image_grid)`, or its name followed by `?` in a cell. Each says what it computes, with shapes and units.

# %% [markdown]
# ## Solutions
#
# The lessons with solutions are in the course's repository, as `solutions/00_start_here.py` and so on: plain text, in which the answer to an
# exercise is between two marked lines. They are not in the bundle for students. If you learn by yourself, compare after your own
# answer passes: there is usually more than one good way to write it.

# %% [markdown]
# ## Validate and hand in
#
# 1. In the menu *Kernel*, choose *Restart Kernel and Run All Cells*. Your answers must work in a fresh kernel, from top to bottom.
# 2. Look at each check. In a terminal, `nbgrader validate 01_likelihood.ipynb` does the same for the whole notebook, in its folder.
# 3. Save, and hand in the `.ipynb` file under the name that it has, in the way your course told you.
#
# The points that you see are practice: they come from public random numbers, on your machine. Grading runs the same checks with secret ones, on your exercise cells
# alone. A right answer passes there too.

# %% [markdown]
# ## On Colab
#
# Colab opens single notebooks, without the files around them. So bring those: upload `student.zip` (what your course gave you, or what `make student` makes in the repository)
# with the folder icon on the left, then put this into a new cell at the top of the notebook and run it:
#
# ```
# !unzip -q -o student.zip
# %cd deep-generative-models
# %pip install -q --no-deps --editable .
# %pip install -q lightning-fabric
# ```
#
# PyTorch and most of the rest are there already. The cell below *Is the installation right?* tells what is not, or is too old; do not mind `jupyterlab` and `nbgrader` there, Colab
# has its own notebooks. If `pip` says that the runtime must be restarted, do so and run
# `%cd /content/deep-generative-models` again. Files on Colab vanish with the session: download your notebook before you leave.

# %% [markdown]
# ## Where next
#
# [Lesson 01](../01_likelihood/01_likelihood.ipynb) asks what it means to give every image a probability, and what that is good for.
