"""Time: frequencies, grids of timestamps, zones, and what a date tells the model."""
