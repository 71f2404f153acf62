"""What the network learns from: one file for each loss, and `combine`, the only place that weighs them."""
