"""Architectures without weights, their extensions, and the layers of both."""
