"""The recursion engine: models trained on what models wrote."""
