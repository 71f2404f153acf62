"""Whole jobs: train, resume, evaluate. Everything that a verb of the command line does, in the same words."""
