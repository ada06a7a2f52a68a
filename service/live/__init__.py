"""What happens to sessions, told while it happens: a bounded log in the store, and those who listen to it."""
