"""People that are remembered: sightings in a store that can be searched, audited and made to forget."""
