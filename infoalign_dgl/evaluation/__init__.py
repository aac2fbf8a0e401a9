"""(docstring)."""
