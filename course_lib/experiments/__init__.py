"""Experiments that take too long for a lesson: each module has their results, and the command that measures them."""
