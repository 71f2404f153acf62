"""HTML report on finished runs: the page and its sections."""
