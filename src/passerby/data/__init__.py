"""Images to batches: data sets, decoding, transforms, samplers, and what is wrong with a data set."""
