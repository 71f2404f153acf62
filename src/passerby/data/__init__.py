"""Data sets: readers, decoding, samplers, statistics, checks."""
