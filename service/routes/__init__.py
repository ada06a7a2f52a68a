"""The HTTP routes: parse, call, reply. The hot route stands in front of them, in hot.py."""
