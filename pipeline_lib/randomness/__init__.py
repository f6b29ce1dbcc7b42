"""Random generators: one for each clip, and those that stochastic transforms draw from."""
