"""From evidence to decisions: calibration, fusion, prevalence, conflicts, review."""
