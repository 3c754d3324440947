"""What Dagster's UI shows of an asset's table: its name, its columns, and which columns upstream they come from.

Told from `storage/schema`, so that it cannot drift. No I/O: definitions load without a database.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.storage import schema


def markdown_metadata(text: Markdown) -> dg.MarkdownMetadataValue:
    """Metadata that Dagster's UI renders: only text whose data is escaped. Nothing else makes such metadata."""
    return dg.MetadataValue.md(text)


def table_metadata(name: str, comes_from: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> dict[str, Any]:
    """Definition metadata of the asset that owns the table. `comes_from`: column to (asset, column)s upstream."""
    table = schema.metadata.tables[name]
    columns = [
        dg.TableColumn(
            name=column.name,
            type=str(column.type).lower(),
            constraints=dg.TableColumnConstraints(nullable=bool(column.nullable)),
        )
        for column in table.columns
    ]
    found: dict[str, Any] = {
        "dagster/table_name": name,
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    if comes_from:
        unknown = comes_from.keys() - {column.name for column in table.columns}
        if unknown:
            raise ValueError(f"{name} has no column {sorted(unknown)}")
        found["dagster/column_lineage"] = dg.TableColumnLineage(
            {
                column: [dg.TableColumnDep(asset_key=asset, column_name=theirs) for asset, theirs in deps]
                for column, deps in comes_from.items()
            }
        )
    return found
