"""Trained models: networks with weights, their checkpoints, and the batch size that fits into a device."""
