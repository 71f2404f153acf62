"""Stores of sightings behind one protocol: SQLite with FAISS, Milvus."""
