"""JSON Schemas, catalog SQL migrations and the origin vocabulary, read with importlib.resources."""
