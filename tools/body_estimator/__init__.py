"""Build the body estimator, which is shipped with the package: render, train, measure, describe."""
