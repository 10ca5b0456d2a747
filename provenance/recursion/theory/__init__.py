"""Closed forms of collapse, and the checks that hold the engine to them."""
