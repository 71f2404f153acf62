"""HTTP service of a gallery: `passerby serve`, and the client that has the methods of `Gallery`."""
