"""A session's state outside of its store: written as a document, read, checked, and put into a store again."""
