"""Random generators: one per clip, and those for stochastic transforms."""
