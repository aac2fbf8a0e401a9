"""The command line: each command parses its options, calls one library function, and prints."""

from infoalign_dgl.cli.main import main

__all__ = ["main"]
