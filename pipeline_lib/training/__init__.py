"""One training loop for every defense: settings, steps, state, processes."""
