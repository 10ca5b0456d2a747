"""One file per generative model."""
