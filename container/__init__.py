"""What runs inside the images: `train` and `serve`, and `predict` for many pictures without a server."""
