"""People that do not exist, drawn into a data set like any other."""
