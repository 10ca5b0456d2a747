"""Experiment and policy files that ship."""
