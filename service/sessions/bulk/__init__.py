"""Rows of many sessions at once, through the service and straight into the store."""
