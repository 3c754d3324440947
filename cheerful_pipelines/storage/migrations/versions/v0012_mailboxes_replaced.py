"""A mailbox whose alias another mailbox took: its mail stays, its address may be connected again"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gmail_account", sa.Column("replaced_at", sa.DateTime(timezone=True)))
    op.drop_constraint(op.f("uq_gmail_account_address_key"), "gmail_account")
    op.create_index(
        op.f("uq_gmail_account_address_key"), "gmail_account", ["address_key"], unique=True,
        postgresql_where=sa.text("replaced_at is null"),
    )  # fmt: skip


def downgrade() -> None:
    """Accounts that were replaced keep their mail; their address is marked, since the old constraint knows no past."""
    op.execute(
        "update gmail_account set address_key = address_key || ' replaced ' || id::text where replaced_at is not null"
    )
    op.drop_index(op.f("uq_gmail_account_address_key"), "gmail_account")
    op.create_unique_constraint(op.f("uq_gmail_account_address_key"), "gmail_account", ["address_key"])
    op.drop_column("gmail_account", "replaced_at")
