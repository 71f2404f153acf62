"""Plots: arrays in, a figure out; nothing here trains, embeds or reads a run."""
