"""Build the default model, which is shipped with the package: render, train, whiten, calibrate, describe."""
