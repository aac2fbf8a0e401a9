"""``infoalign-dgl check``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl._html import counted
from infoalign_dgl.cli._output import StageProgress, json_option, print_json

if TYPE_CHECKING:
    from infoalign_dgl.context.check import Checked
    from infoalign_dgl.context.findings import Finding


@click.command("check")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--data-root", type=click.Path(path_type=Path, file_okay=False), help="Where the spec's paths start."
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes for reading molecules [default: all cores]."
)
@json_option
def command(spec: Path, data_root: Path | None, workers: int | None, as_json: bool) -> None:
    """Say all that is wrong with a spec and its tables, at once, and build nothing.

    SPEC is a TOML file that lists tables, as for build-graph. Problems would stop a build or leave nothing
    of a table; remarks are about what a build would leave out. The exit code is 1 if there is a problem.
    """
    from infoalign_dgl.context.check import check_spec
    from infoalign_dgl.context.means import Means

    progress = StageProgress()
    checked = check_spec(spec, data_root=data_root, means=Means(workers, progress=progress))
    progress.close()
    if as_json:
        findings = [dataclasses.asdict(finding) for finding in (*checked.problems, *checked.remarks)]
        print_json({"findings": findings, "tables": [account.to_json() for account in checked.tables]})
    else:
        _print(checked)
    sys.exit(1 if checked.problems else 0)


def _print(checked: Checked) -> None:
    rows = sum(account.rows for account in checked.tables)
    _print_findings("Problems", checked.problems)
    _print_findings("Remarks: what a build would leave out", checked.remarks)
    click.echo(
        f"{counted(len(checked.problems), 'problem')} and {counted(len(checked.remarks), 'remark')}; "
        f"{counted(len(checked.tables), 'table')} with {counted(rows, 'row')} could be read."
    )


def _print_findings(title: str, findings: list[Finding]) -> None:
    if findings:
        click.echo(f"{title}\n")
        for number, finding in enumerate(findings, start=1):
            click.echo(f"{number:>4}. {finding.message}")
        click.echo()
