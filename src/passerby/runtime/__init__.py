"""Embedders in any runtime: reading of images, networks from files, caches; without torch."""
