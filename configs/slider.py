"""The default run."""

from configs import default


def get_config():
    """Returns the default config."""
    return default.get_config()
