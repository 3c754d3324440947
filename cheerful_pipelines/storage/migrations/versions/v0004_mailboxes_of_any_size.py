"""First listings go on where they stopped, and a repair after a gap counts over several runs"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account_mark", sa.Column("listing_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account_mark", sa.Column("gap_from_seq", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("account_mark", "gap_from_seq")
    op.drop_column("account_mark", "listing_before")
