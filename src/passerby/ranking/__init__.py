"""EMBEDDINGS -> DISTANCES -> RANKINGS: pure functions over arrays, bounded memory."""
