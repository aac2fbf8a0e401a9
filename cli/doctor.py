"""``infoalign-dgl doctor``."""

from __future__ import annotations

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Say which versions, backends and devices work, and why not.

    Exits with 1 if something that the toolkit cannot do without is broken.
    """
    from infoalign_dgl.diagnosis import diagnose

    checks = diagnose()
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        print_table(
            "", ["", "works", "details"], [(c.name, "yes" if c.works else "NO", c.details) for c in checks]
        )
    if any(check.required and not check.works for check in checks):
        raise SystemExit(1)
