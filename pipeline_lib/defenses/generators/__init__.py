"""Trainings of generators (`networks.generators`): entries of `models` whose `defense` states the loss."""
