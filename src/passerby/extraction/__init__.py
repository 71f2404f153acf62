"""Embed images to shards, by several processes and machines."""
