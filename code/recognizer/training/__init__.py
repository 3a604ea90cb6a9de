"""Training: the loop, its schedule, precision, checkpoints, processes, and the job around them."""
