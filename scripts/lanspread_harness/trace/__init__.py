"""Answers questions about what a run left behind, on the terminal or as JSON lines."""
