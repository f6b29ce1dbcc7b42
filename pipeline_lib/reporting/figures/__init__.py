"""Kinds of figures, one file each.

Their classes are also loaded while the job graph is planned: modules for drawing and computing are imported inside
functions.
"""
