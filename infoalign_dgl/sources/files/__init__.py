"""Kinds of files that hold tables: of each, a module with ``header(path)`` and ``read(path, text, numbers)``.

:mod:`infoalign_dgl.sources.tables` chooses among them.
"""
