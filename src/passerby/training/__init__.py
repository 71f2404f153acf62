"""Batches and losses in, a trained network out: the loop, its schedule, its checkpoints, its diary."""
