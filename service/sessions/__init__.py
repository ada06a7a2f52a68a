"""What is done with sessions: the rules of time, waves, folds, corrections, views and proofs."""
