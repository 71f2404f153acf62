"""EMBEDDINGS -> DISTANCES -> RANKINGS: pure functions over arrays with bounded memory."""
