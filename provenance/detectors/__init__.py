"""One file per detector. Sees texts, never labels of the catalog, tags, lineage or policies."""
