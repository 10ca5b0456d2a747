"""The `sql` command."""

import sys
from typing import TYPE_CHECKING

import click

from .common import Output, with_catalog, with_output

if TYPE_CHECKING:
    from provenance.catalog.store import Catalog


@click.command()
@click.argument("query", required=False)
@click.option("--views", is_flag=True, help="List the views with their columns.")
@click.option(
    "-p", "--param", "params", type=(str, str), multiple=True, metavar="NAME VALUE", help="Bind $NAME to VALUE."
)
@with_output
@with_catalog
def sql(
    catalog: "Catalog", out: Output, query: str | None, params: tuple[tuple[str, str], ...], *, views: bool
) -> None:
    """Answer QUERY (or standard input with `-`) over the catalog's views. One SELECT; nothing can be written.

    \b
    provenance sql "select origin, generation, count(*) from documents group by all"
    provenance sql "from documents where source = $s" -p s web.jsonl
    """
    from provenance.catalog.query import list_views, run_query

    if views:
        rows = [
            (v.name, ", ".join(f"{name} {kind}" for name, kind in v.columns), v.comment) for v in list_views(catalog)
        ]
        out.rows("provenance.sql.views/1", ["view", "columns", "what it holds"], rows)
        return
    if query is None:
        raise click.UsageError("no query; give one, or - to read it from standard input, or --views")
    text = sys.stdin.read() if query == "-" else query
    result = run_query(catalog, text, dict(params))
    out.rows("provenance.sql/1", result.columns, result.rows, empty="no rows")
