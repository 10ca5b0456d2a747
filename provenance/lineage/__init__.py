"""Where things came from: graph questions, proofs, standards."""
