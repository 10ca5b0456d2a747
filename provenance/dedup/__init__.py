"""Near-duplicates: signatures, band index, exact verification, and a reason for every document set aside."""
