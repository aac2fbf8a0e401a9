"""Builds ``infoalign_dgl._native``; everything else about the package stands in ``pyproject.toml``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["infoalign_dgl", "infoalign_dgl.*"]), "infoalign_dgl.cli"],
    package_dir={"infoalign_dgl.cli": "cli"},
)
