"""Whether this machine was told to stop. Long work asks at its checkpoints and leaves the rest to the next run."""

from cheerful_pipelines.core.settings import load_settings


def is_stopping() -> bool:
    """Whether the file is there that the worker makes when it is told to stop (CHEERFUL_STOP_FILE)."""
    path = load_settings().stop_file
    return path is not None and path.exists()
