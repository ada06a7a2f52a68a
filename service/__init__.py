"""The HTTP service: sessions kept in a Redis-protocol store, folded by the models of `models/`."""
