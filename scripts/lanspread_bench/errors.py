"""Everything the benchmark can raise, as one tree."""


class BenchError(Exception):
    """Root of all errors of the benchmark: a measurement could not be made."""


class LackingError(BenchError):
    """The machine lacks what a contestant needs; the message is the reason that is printed."""
