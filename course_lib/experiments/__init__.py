"""Measurements that take longer than a lesson has: each module has its results, and prints them when it is run."""
