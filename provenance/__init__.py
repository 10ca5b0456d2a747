"""Where training text came from, and what training on it, generation after generation, will do."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("corpus-provenance")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
