"""Open-set evaluation: calibration, thresholds, identification, verification, reliability."""
