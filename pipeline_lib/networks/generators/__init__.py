"""Generative models of images, which a transform of the input purifies with. They have no classes."""
