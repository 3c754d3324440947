"""Tables of `people`: who asked for their data or to be forgotten, and mail that may be about them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cheerful_pipelines.storage.schema.base import created, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import gmail_account, users

person_request = sa.Table(
    "person_request",  # who asked for their data or to be forgotten, by a keyed hash of the address
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("address_hash", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    created(),
    when("finished_at"),
    sa.Column("blobs_to_remove", ARRAY(sa.Text)),  # their rows are gone; null once the bytes are, too
    sa.Column("report", JSONB),  # people/models.py: ErasureReport; counts only
    one_of("kind", "erase", "export"),
)
sa.Index("ix_person_request_user_id_kind", person_request.c.user_id, person_request.c.kind)

person_mention = sa.Table(
    "person_mention",  # mail that may be about an erased person: names no address of theirs. A person decides
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("address_hash", sa.Text, nullable=False),  # whose erasure found it, as in person_request
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_message_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("starts_at", sa.Integer, nullable=False),  # where in the field, so that no words are kept here
    sa.Column("length", sa.Integer, nullable=False),
    created(),
    when("decided_at"),
    sa.Column("decision", sa.Text),
    sa.Column("decided_by", sa.Text),
    one_of("kind", "name", "handle", "postal_address"),
    one_of("field", "subject", "body_text", "attachments"),
    one_of("decision", "deleted", "kept"),
    sa.UniqueConstraint("address_hash", "gmail_account_id", "gmail_message_id"),
)
