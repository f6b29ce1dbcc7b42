"""The exception that is shown to users without a traceback."""


class PipelineError(ValueError):
    """An error that the user can correct. The message names the file or config key, and what to do."""
