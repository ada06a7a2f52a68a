"""One layer of the fold a file, from the scale of a series to the quantiles of its forecast."""
