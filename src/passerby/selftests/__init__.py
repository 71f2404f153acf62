"""Checks of a whole device: speed, numbers, training, export. Each prints rows of one table."""
