"""What the service answers, as values with typed attributes that print in a line and turn into frames."""
