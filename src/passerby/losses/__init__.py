"""Losses, one file each, and `combine`, the one place that weights them."""
