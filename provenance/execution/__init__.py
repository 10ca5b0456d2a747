"""Where a stage's shards run."""
