"""The command scripts/fault-lab."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from tests.faults.lab import page
from tests.faults.lab.fault import Fault, Finding
from tests.faults.lab.matrix import FAULTS
from tests.faults.lab.readers import Readers, readers
from tests.faults.lab.running import require, run

_LACKING = pytest.skip.Exception, pytest.fail.Exception


@click.command()
@click.argument("names", nargs=-1)
@click.option("--list", "lists", is_flag=True, help="Name all faults, and run none.")
@click.option("--write", is_flag=True, help="Run all, and write docs/reliability.md.")
def main(names: Sequence[str], *, lists: bool, write: bool) -> None:
    """Run the faults whose names have any of NAMES as a part; all without NAMES."""
    if write and names:
        raise click.UsageError("--write needs all faults: leave the names out")
    chosen = [one for one in FAULTS if not names or any(part in one.name for part in names)]
    if not chosen:
        raise click.UsageError("no fault has such a name; --list shows all")
    if lists:
        click.echo("\n".join(one.name for one in chosen))
        return
    if shutil.which("prometheus") is None:
        raise click.ClickException("this machine lacks the program prometheus")
    findings = _run(chosen)
    click.echo(f"{len(findings)} of {len(chosen)} faults were survived as they have to be")
    if write and len(findings) == len(chosen):
        page.write(findings)
    sys.exit(len(findings) != len(chosen))


def _run(faults: Sequence[Fault]) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with readers(Path(folder)) as both:
                return [found for one in faults if (found := _try(one, both))]
        except _LACKING as lacking:
            raise click.ClickException(str(lacking)) from None


def _try(fault: Fault, both: Readers) -> Finding | None:
    """Run one fault; say what became of it, and return ``None`` if it is not as it has to be."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            require(fault)
            found = run(fault, both, Path(folder))
        except _LACKING as lacking:
            click.echo(f"SKIPPED  {fault.name}: {lacking}")
        except AssertionError as error:
            click.echo(f"FAILED   {fault.name}:\n{error}")
        else:
            click.echo(
                f"survived {fault.name}: right after {found.polls} polls and"
                f" {found.pushes} pushes, {found.seconds:.1f} s"
            )
            return found
    return None


if __name__ == "__main__":
    main(prog_name="scripts/fault-lab")
