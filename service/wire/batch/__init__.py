"""Batches as they are sent and answered: JSON, JSON Lines and Arrow."""
