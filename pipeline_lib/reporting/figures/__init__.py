"""Kinds of figures, one file each.

Their classes are also loaded where the job graph is planned: what draws and calculates is imported inside of functions.
"""
