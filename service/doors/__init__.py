"""Doors for those who send a whole history with each request: other APIs' shapes, and no session."""
