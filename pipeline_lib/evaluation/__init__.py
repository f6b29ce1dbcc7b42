"""Evaluation of trained models: adversarial sets and their audit, predictions, features."""
