"""Architectures without weights, what extends them, and the layers that both are made of."""
