"""`cheerful keys`: the installation's keys, made once and kept."""

import os
import sys

from cheerful_pipelines.core.kept_keys import FILE, kept_keys
from cheerful_pipelines.core.settings import load_settings


def keys() -> None:
    """Print the keys as lines for a shell or a secret store; make what is missing, once: eval "$(cheerful keys)".

    A key that the environment sets already is printed as it is set.
    """
    home = load_settings().home
    for name, kept in kept_keys(home).items():
        print(f"export {name}={os.environ.get(name) or kept}")
    print(f"kept in {home / FILE}; back it up: a lost key cannot be replaced", file=sys.stderr)
