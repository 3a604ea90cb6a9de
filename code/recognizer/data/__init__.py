"""Data sets: reading them, splitting them, and making batches of them."""
