"""From series to a published artifact: windows, truncated BPTT, checkpoints, the model card."""
