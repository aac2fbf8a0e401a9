"""Tables of unknown kind to the sections of a spec: a module per kind of table, tried by ``recognize``."""
