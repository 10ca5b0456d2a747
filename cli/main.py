"""The root command: which commands there are, and the one place where errors become messages and exit codes.

Commands load their modules when they run, so `--help` stays fast; the table below is the list.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import provenance
from provenance.errors import ProvenanceError

EXIT_USAGE = 2
EXIT_RUNTIME = 3
EXIT_INTERRUPTED = 130

COMMANDS = {
    "init": ("provenance.cli.catalog:init", "Create a catalog in this folder."),
    "demo": ("provenance.cli.demo:demo", "Run the whole job on the sample corpora that ship."),
    "status": ("provenance.cli.catalog:status", "What the catalog holds, at a glance."),
    "corpus": ("provenance.cli.corpus:corpus", "Add, look at, deduplicate and export corpora."),
    "detector": ("provenance.cli.detector:detector", "Train and evaluate detectors of model text."),
    "tag": ("provenance.cli.tag:tag", "Decide who wrote what, and how sure that is."),
    "mix": ("provenance.cli.mix:mix", "Plan, lock and build training mixes."),
    "experiment": ("provenance.cli.experiment:experiment", "Train on what models wrote, generation after generation."),
    "report": ("provenance.cli.report:report", "Build one self-contained HTML report."),
    "lineage": ("provenance.cli.lineage:lineage", "Where things came from, and what came of them."),
    "sql": ("provenance.cli.sql:sql", "Ask the catalog in SQL, read-only."),
    "review": ("provenance.cli.review:review", "Human verdicts: queue, import, export."),
    "snapshot": ("provenance.cli.snapshot:snapshot", "Name and compare states of the catalog."),
    "diff": ("provenance.cli.verify:diff", "What entered, left or changed between two corpora or snapshots."),
    "verify": ("provenance.cli.verify:verify", "Recompute every hash and name the first thing that does not match."),
    "metadata": ("provenance.cli.metadata:metadata", "Croissant, PROV, OpenLineage, dataset cards: out and in."),
    "log": ("provenance.cli.catalog:log", "The activities ledger: which command did what, when."),
    "doctor": ("provenance.cli.catalog:doctor", "Check the catalog's files and clear what killed runs left."),
}


class LazyGroup(click.Group):
    """A group whose commands are `module:attribute` strings, imported when one is run."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Lazy commands in table order, then the rest."""
        return [*self.lazy, *(name for name in super().list_commands(ctx) if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command called `cmd_name`."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with their short help without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            command = None if name in self.lazy else self.get_command(ctx, name)
            rows.append((name, command.get_short_help_str(80) if command else self.lazy[name][1]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Root(LazyGroup):
    """The root group. Every error leaves through here."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run, and turn the outcome into an exit code; see the table in `provenance.errors`."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **extra)
        except ProvenanceError as error:
            _say(error.message, error.hint)
            sys.exit(error.exit_code)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(0)
        except click.ClickException as error:
            usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "provenance"
            _say(error.format_message(), f"see: {usage} --help")
            sys.exit(EXIT_USAGE)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted; nothing half-done is kept, the same command continues", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output went away (`| head`): not an error, and nothing more can be printed.
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            _say(
                f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""), "nothing was changed"
            )
            sys.exit(EXIT_RUNTIME)
        sys.exit(code if isinstance(code, int) else 0)


def _say(message: str, hint: str) -> None:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


@click.group(
    cls=Root, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(provenance.__version__, prog_name="provenance")
def cli() -> None:
    """Know where training text came from, and what training on it will do.

    Corpora are tagged human or model-generated and kept with their lineage in one DuckDB catalog; mixes are drawn
    from them by share and can be rebuilt byte for byte; the recursion engine trains on those mixes, generation
    after generation, and shows what collapses first.
    """


def main() -> None:
    """The console entry point."""
    cli.main(prog_name="provenance")
