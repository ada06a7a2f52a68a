"""What the client asks the service, when it asks again, and what it keeps until there is an answer."""
