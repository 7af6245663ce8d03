"""The parts of the pytest plugin: the run of a test with a lab, its outcome, how it runs again.

Only `pytest_plugin` imports this package.
"""
