"""Videos to sightings: frames, boxes around people, tracks, and one pooled vector for each."""
