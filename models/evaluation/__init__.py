"""How good forecasts are, one step ahead and over a horizon, beside what a model must beat."""
