"""Golden vectors of other toolkits' networks, made with their own code; see `python -m tools.peers --help`."""
