"""Each sink of alerts has a state of its own: which open alerts it was told of

What addresses were told before is not known per address: each is told once more of the alerts that are open.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_notified",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("alert_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_key"], ["alert.key"], name=op.f("fk_alert_notified_alert_key_alert"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sink", "alert_key", name=op.f("pk_alert_notified")),
    )
    op.create_index(op.f("ix_alert_notified_alert_key"), "alert_notified", ["alert_key"])
    op.execute("revoke all on alert_notified from public, anon, authenticated")
    op.execute("grant select, insert, update, delete on alert_notified to cheerful_one_client, cheerful_every_client")
    op.execute("alter table alert_notified enable row level security")
    op.execute("alter table alert_notified force row level security")
    op.execute("create policy own_rows on alert_notified to cheerful_one_client using (false)")
    op.execute("create policy every_row on alert_notified to cheerful_every_client using (true)")
    op.execute("insert into alert_notified (sink, alert_key) select 'log', key from alert where said = 'opened'")
    op.drop_constraint(op.f("ck_alert_said_known"), "alert", type_="check")
    op.drop_column("alert", "said")


def downgrade() -> None:
    op.add_column("alert", sa.Column("said", sa.Text(), nullable=False, server_default="resolved"))
    op.execute(
        "update alert set said = case when key in (select alert_key from alert_notified where sink = 'log') "
        "then 'opened' when resolved_at is null then 'nothing' else 'resolved' end"
    )
    op.alter_column("alert", "said", server_default=None)
    op.create_check_constraint(op.f("ck_alert_said_known"), "alert", "said in ('nothing', 'opened', 'resolved')")
    op.drop_table("alert_notified")
