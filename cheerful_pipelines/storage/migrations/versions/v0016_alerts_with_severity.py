"""Alerts say how bad it is, since when, and which run shows it"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert", sa.Column("severity", sa.Text(), nullable=False, server_default="error"))
    op.add_column("alert", sa.Column("since", sa.DateTime(timezone=True)))
    op.add_column("alert", sa.Column("run_id", sa.Text()))
    op.create_check_constraint(op.f("ck_alert_severity_known"), "alert", "severity in ('critical', 'error', 'warning')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_alert_severity_known"), "alert", type_="check")
    for name in ("run_id", "since", "severity"):
        op.drop_column("alert", name)
