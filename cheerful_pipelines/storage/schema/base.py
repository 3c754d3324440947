"""The metadata that every table is registered in, and columns that many have."""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NOW = sa.func.now()


def when(name: str, *, nullable: bool = True) -> sa.Column:  # type: ignore[type-arg]
    """A moment in UTC."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def created() -> sa.Column:  # type: ignore[type-arg]
    """When the row was written."""
    return sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW)


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """A closed set of texts, checked by the database."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")
