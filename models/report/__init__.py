"""The report on a trained model: how good it is on the test parts, in figures and tables, as one page."""
