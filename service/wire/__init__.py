"""What goes over HTTP, both ways: bodies, headers, answers, problems, and their description."""
