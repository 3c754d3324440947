"""A conversation that only a subject joins is marked as a guess"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "thread_attribution",
        sa.Column("conversation_is_guess", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("thread_attribution", "conversation_is_guess")
