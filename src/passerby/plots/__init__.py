"""Plots: arrays or plain dataclasses in, image files out. No module here reads runs or data, or computes embeddings.

matplotlib is in the extra `report`. It is imported when the first figure is made.
"""
