"""What tests share: a tiny model, a running server."""
