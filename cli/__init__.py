"""The `provenance` command: parse, call one stage, print its result."""

from .main import cli, main

__all__ = ["cli", "main"]
