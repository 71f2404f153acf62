"""BATCHES -> EMBEDDINGS: the network, its weights, and how images become vectors."""
