"""Grids of trainings: ablations and comparisons of methods, and their tables."""
