"""Measures transfers: Lanspread's and others', in turn, over the same links and the same disk."""
