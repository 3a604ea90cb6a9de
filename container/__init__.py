"""What runs inside the images: `train` and `serve`."""
