"""The Open Inference Protocol as it is sent and answered."""
