"""Training: batches, loop, stages, schedule, optimizer, checkpoints, log."""
