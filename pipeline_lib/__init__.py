"""Adversarial robustness of video recognition: clips, attacks, defenses and the papers' tables."""
