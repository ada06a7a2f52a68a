"""Real weather, replayed against a service."""
