"""Near-duplicates: signatures, index, exact verification."""
