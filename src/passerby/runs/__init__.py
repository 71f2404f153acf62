"""Whole jobs: train, resume, evaluate, calibrate, find a threshold; the files of a run."""
