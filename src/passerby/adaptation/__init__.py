"""Adapt a model to the cameras of a site: try several rungs, compare them on held-out crops, write the best."""
