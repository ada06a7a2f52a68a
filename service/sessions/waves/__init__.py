"""Single observations: gathered into waves, stepped and committed together."""
