"""From a video to sightings: frames, detection of people, tracking, and one pooled vector per track."""
