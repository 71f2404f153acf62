"""The HTML report of finished runs and its sections."""
