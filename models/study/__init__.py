"""Experiments that answer a question, with a table and a picture."""
