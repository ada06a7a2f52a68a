"""Files of series: read, pushed through the service or filled into a store, and written with forecasts."""
