"""SCORES and RANKINGS -> PICTURES: curves, rank lists, tables."""
