"""``python -m infoalign_dgl.cli``."""

from infoalign_dgl.cli.main import main

main()
