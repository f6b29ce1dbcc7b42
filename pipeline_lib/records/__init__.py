"""The rows of the CSV files between rules: their columns are named here, for those who write and those who read."""
