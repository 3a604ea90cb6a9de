"""The training side of the recognizer: data, models, training, evaluation, export."""
