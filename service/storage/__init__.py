"""The record of a session and where it lives: bytes, commits, connections, the embedded server."""
