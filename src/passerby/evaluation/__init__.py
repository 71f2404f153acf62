"""RANKINGS -> SCORES: who counts, CMC, average precision, and how sure the figures are."""
