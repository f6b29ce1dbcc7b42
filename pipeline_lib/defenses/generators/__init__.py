"""Trainings of generators (`networks.generators`): entries of `models` whose `defense` says what is minimized."""
