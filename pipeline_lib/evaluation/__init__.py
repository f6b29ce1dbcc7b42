"""What is done with trained models: adversarial sets and their audit, predictions, features, metrics."""
