"""Tables of `web`: who signs in. Nobody's client data, no address, only keyed hashes."""

import sqlalchemy as sa

from cheerful_pipelines.storage.schema.base import NOW, created, metadata, one_of, when

web_session = sa.Table(
    "web_session",  # one sign-in of one browser; the cookie carries the id, signed
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, index=True),  # the user's id at Supabase Auth
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("refresh_token", sa.Text),  # sealed with a key derived from CHEERFUL_SESSION_KEY; null: none was given
    created(),
    when("expires_at", nullable=False),
    when("checked_at", nullable=False),  # when Supabase Auth last confirmed the role
    when("trusted_until", nullable=False),  # how long that confirmation holds if Supabase Auth does not answer
    when("checking_until"),  # one process asks at a time
    when("ended_at"),
    one_of("role", "viewer", "analyst", "engineer"),
)

sign_in_attempt = sa.Table(
    "sign_in_attempt",  # written before Supabase Auth is asked, deleted when it agrees; what is left has failed
    metadata,
    sa.Column("attempt", sa.Uuid, primary_key=True),
    sa.Column("bucket", sa.Text, primary_key=True),  # keyed hash: address and network, network, address, or browser
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW, index=True),
)
sa.Index("ix_sign_in_attempt_bucket_created_at", sign_in_attempt.c.bucket, sign_in_attempt.c.created_at)

sign_in_known = sa.Table(
    "sign_in_known",  # address and network (one keyed hash) from which somebody has signed in
    metadata,
    sa.Column("bucket", sa.Text, primary_key=True),
    when("last_success_at", nullable=False),
)
