"""Pages of the service: Review, Find, People, History, Cameras, Settings; rendered on the server."""
