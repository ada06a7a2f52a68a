"""Models of time series and their training: knows nothing of HTTP, the store or settings."""
