"""The report: one page for a run, that works without a network."""
