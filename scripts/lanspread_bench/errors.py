"""Everything the benchmark can raise, as one tree."""


class BenchError(Exception):
    """Root of all errors of the benchmark: a measurement could not be made."""


class MissedError(BenchError):
    """What was to be measured did not come about this time; the next round may have it."""


class LackingError(BenchError):
    """The machine lacks what a contestant needs; the message is the reason that is printed."""
