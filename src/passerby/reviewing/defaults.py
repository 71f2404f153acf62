"""Defaults that the library, the command line and the service share. This module imports nothing."""

PAIR_PRIOR = 0.01
"""Prior probability that a random pair of sightings shows one identity."""
ERROR_RATE = 0.03
"""Assumed fraction of wrong answers."""
