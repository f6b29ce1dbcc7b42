"""The one exception that users see without a traceback."""


class PipelineError(ValueError):
    """Something the user can mend. The message names the file or config key, and what to do."""
