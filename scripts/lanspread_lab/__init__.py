"""A lab that stays open between calls: many peers in the hands of a shell, an agent or a person.

`lanspread-lab open NAME` starts a core in the background, which holds a lab of `lanspread_harness`.
Every other call is a process of its own that sends one request to the core and prints the answer.
What a call imports is the standard library alone, so that it costs little; only the core imports
the harness.
"""
