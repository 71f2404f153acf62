"""Metrics learned in closed form from pairs of one identity and of two: linear maps of the parts of vectors."""
