"""RANKINGS -> METRICS: protocols, CMC, average precision, mINP, and their confidence intervals."""
