"""Which sessions there are: an index that is derived from the records and may lag behind them."""
