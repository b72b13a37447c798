"""Measurements that need longer than a lesson has, shipped as data with command, seeds and date."""
