"""Reading, cleaning, writing and exporting text."""
