"""Training series that nobody had to collect."""
