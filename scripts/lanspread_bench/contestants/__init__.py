"""Who takes part: Lanspread and the others, each in a module of its own."""
