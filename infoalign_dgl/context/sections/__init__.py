"""The sections of a build specification: for each, its keys and how its tables become rows."""
