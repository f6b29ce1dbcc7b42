"""Changes of a clip by a few parameters, for `ParameterAscent`: one file for each kind."""
