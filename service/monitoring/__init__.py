"""What an operator hears of the service: numbers, logs, traces."""
