"""Failures of the class unclear, and how much changed work has failed again"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_CLASSES = "'transient', 'throttled', 'auth', 'permanent', 'crashed', 'interrupted', 'unknown'"
_NAME = "ck_work_failure_failure_class_known"


def upgrade() -> None:
    op.add_column("work_failure", sa.Column("changes_failed", sa.Integer(), server_default="0", nullable=False))
    op.drop_constraint(op.f(_NAME), "work_failure", type_="check")
    op.create_check_constraint(op.f(_NAME), "work_failure", f"failure_class in ({_CLASSES}, 'unclear')")


def downgrade() -> None:
    op.execute("update work_failure set failure_class = 'transient' where failure_class = 'unclear'")
    op.drop_constraint(op.f(_NAME), "work_failure", type_="check")
    op.create_check_constraint(op.f(_NAME), "work_failure", f"failure_class in ({_CLASSES})")
    op.drop_column("work_failure", "changes_failed")
