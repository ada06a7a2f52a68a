"""A model as it is shipped and served: its folder, its compiled graphs, and the law that they keep."""
