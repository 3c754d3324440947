"""Verdicts and people's corrections in Postgres. Verdicts are never changed or deleted; an override outranks them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.classification.models import (
    ClassifierIdentity,
    Conversation,
    ConversationMessage,
    EffectiveLabel,
    JudgedState,
    Label,
    PendingConversation,
    StoredVerdict,
    Verdict,
)
from cheerful_pipelines.errors import NotFoundError
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import (
    campaign,
    gmail_message,
    gmail_thread_state,
    message_reading,
    thread_attribution,
    thread_override,
    thread_verdict,
)

_VERDICT_FIELDS = tuple(name for name in Verdict.model_fields if name != "decided_by")


class VerdictStore:
    """Reads what waits for a verdict, writes verdicts and overrides."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def campaign_id(self, slug: str) -> UUID:
        """Id of a campaign. Raises NotFoundError."""
        with self._database.transaction() as connection:
            found = connection.execute(sa.select(campaign.c.id).where(campaign.c.slug == slug)).scalar_one_or_none()
        if found is None:
            raise NotFoundError(f"There is no campaign {slug!r}.", what_to_do="See: cheerful campaigns list.")
        return UUID(str(found))

    def pending(
        self, campaign_id: UUID, classifier_version: str, *, chunk_size: int = 200
    ) -> Iterator[list[PendingConversation]]:
        """Latest states of the campaign's threads with mail to us and no verdict by this classifier, in chunks.

        Each chunk is read in a transaction of its own, closed before it is yielded.
        """
        after = 0
        while True:
            with self._database.transaction() as connection:
                states = connection.execute(_pending_states(campaign_id, classifier_version, after, chunk_size)).all()
                chunk = [] if not states else _conversations(connection, states)
            if not chunk:
                return
            after = chunk[-1].thread_state_id
            yield chunk

    def earlier(self, cache_keys: Collection[str]) -> dict[str, Verdict]:
        """Stored verdicts by cache key, the oldest of each."""
        if not cache_keys:
            return {}
        statement = (
            sa.select(thread_verdict)
            .distinct(thread_verdict.c.cache_key)
            .where(thread_verdict.c.cache_key.in_(list(cache_keys)))
            .order_by(thread_verdict.c.cache_key, thread_verdict.c.id)
        )
        with self._database.transaction() as connection:
            return {row["cache_key"]: _verdict(row) for row in connection.execute(statement).mappings()}

    def save(self, judged: Sequence[JudgedState], identity: ClassifierIdentity, *, run_id: str | None) -> int:
        """Store verdicts; a state that has one by this classifier keeps it. Returns the rows inserted."""
        if not judged:
            return 0
        rows = [_row(item, identity, run_id) for item in judged]
        statement = insert(thread_verdict).on_conflict_do_nothing(
            index_elements=[thread_verdict.c.thread_state_id, thread_verdict.c.classifier_version]
        )
        with self._database.transaction() as connection:
            return len(connection.execute(statement.returning(thread_verdict.c.id), rows).all())

    def set_override(self, account_id: UUID, thread_id: str, label: Label, *, author: str, reason: str) -> None:
        """A person's word on a thread. The one before is revoked, not deleted; the same again does nothing."""
        this_thread = (
            (thread_override.c.gmail_account_id == account_id)
            & (thread_override.c.gmail_thread_id == thread_id)
            & thread_override.c.revoked_at.is_(None)
        )
        with self._database.transaction() as connection:
            standing = connection.execute(
                sa.select(thread_override.c.label, thread_override.c.author, thread_override.c.reason)
                .where(this_thread)
                .with_for_update()
            ).one_or_none()
            if standing is not None and tuple(standing) == (label, author, reason):
                return
            connection.execute(sa.update(thread_override).where(this_thread).values(revoked_at=sa.func.now()))
            connection.execute(
                sa.insert(thread_override).values(
                    gmail_account_id=account_id, gmail_thread_id=thread_id, label=label, author=author, reason=reason
                )
            )

    def revoke_override(self, account_id: UUID, thread_id: str) -> bool:
        """Let the verdict count again. True where an override stood."""
        with self._database.transaction() as connection:
            return bool(
                connection.execute(
                    sa.update(thread_override)
                    .where(
                        thread_override.c.gmail_account_id == account_id,
                        thread_override.c.gmail_thread_id == thread_id,
                        thread_override.c.revoked_at.is_(None),
                    )
                    .values(revoked_at=sa.func.now())
                ).rowcount
            )

    def effective_labels(self, campaign_id: UUID) -> list[EffectiveLabel]:
        """One label a thread of the campaign: the standing override, else the newest verdict."""
        threads = _threads(campaign_id).subquery()
        on_thread = [
            (thread_verdict.c.gmail_account_id == threads.c.gmail_account_id)
            & (thread_verdict.c.gmail_thread_id == threads.c.gmail_thread_id)
        ]
        newest = (
            sa.select(
                thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id, thread_verdict.c.label,
                thread_verdict.c.confidence, thread_verdict.c.needs_review,
            )
            .join(threads, on_thread[0])
            .distinct(thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id)
            .order_by(
                thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id,
                thread_verdict.c.thread_state_id.desc(), thread_verdict.c.id.desc(),
            )
            .subquery()
        )  # fmt: skip
        statement = (
            sa.select(
                threads.c.gmail_account_id, threads.c.gmail_thread_id,
                thread_override.c.label.label("said"), newest.c.label, newest.c.confidence, newest.c.needs_review,
            )
            .outerjoin(
                newest,
                (newest.c.gmail_account_id == threads.c.gmail_account_id)
                & (newest.c.gmail_thread_id == threads.c.gmail_thread_id),
            )
            .outerjoin(
                thread_override,
                (thread_override.c.gmail_account_id == threads.c.gmail_account_id)
                & (thread_override.c.gmail_thread_id == threads.c.gmail_thread_id)
                & thread_override.c.revoked_at.is_(None),
            )
            .where(sa.or_(newest.c.label.is_not(None), thread_override.c.label.is_not(None)))
            .order_by(threads.c.gmail_account_id, threads.c.gmail_thread_id)
        )  # fmt: skip
        with self._database.transaction() as connection:
            return [_effective(row) for row in connection.execute(statement).mappings()]

    def latest_verdicts(self, campaign_id: UUID) -> list[StoredVerdict]:
        """Every verdict on the latest states of the campaign's threads, with the words of their mails to us."""
        threads = _threads(campaign_id).subquery()
        statement = (
            sa.select(thread_verdict.c.thread_state_id, thread_verdict.c.label, thread_verdict.c.evidence_quote,
                      gmail_thread_state.c.gmail_account_id, gmail_thread_state.c.state)
            .join(gmail_thread_state, gmail_thread_state.c.id == thread_verdict.c.thread_state_id)
            .join(threads, (threads.c.gmail_account_id == gmail_thread_state.c.gmail_account_id)
                  & (threads.c.gmail_thread_id == gmail_thread_state.c.gmail_thread_id))
            .where(gmail_thread_state.c.is_latest)
            .order_by(thread_verdict.c.id)
        )  # fmt: skip
        with self._database.transaction() as connection:
            rows = connection.execute(statement).all()
            texts = _texts(connection, [(row.gmail_account_id, row.state) for row in rows])
        return [
            StoredVerdict(
                thread_state_id=row.thread_state_id, label=row.label, evidence_quote=row.evidence_quote,
                inbound_words=tuple(
                    texts[row.gmail_account_id, item["gmail_message_id"]][1]
                    for item in row.state["messages"]
                    if item["direction"] == "theirs" and (row.gmail_account_id, item["gmail_message_id"]) in texts
                ),
            )
            for row in rows
        ]  # fmt: skip

    def unjudged(self, campaign_id: UUID, classifier_version: str) -> list[int]:
        """Ids of latest states in which a person has written to us, without a verdict by this classifier."""
        statement = _pending_states(campaign_id, classifier_version, 0, None).where(
            gmail_thread_state.c.state["newest_human_id"].astext.is_not(None)
        )
        with self._database.transaction() as connection:
            states = connection.execute(statement).all()
            chunk = _conversations(connection, states) if states else []
        return [
            item.thread_state_id
            for item in chunk
            if any(message.direction == "theirs" and message.kind == "human" and message.new_words.strip()
                   for message in item.conversation.messages)
        ]  # fmt: skip


def _threads(campaign_id: UUID) -> sa.Select[Any]:
    """Threads of a campaign; one may belong to several recipients and still comes once."""
    return (
        sa.select(thread_attribution.c.gmail_account_id, thread_attribution.c.gmail_thread_id)
        .where(thread_attribution.c.campaign_id == campaign_id)
        .distinct()
    )


def _pending_states(campaign_id: UUID, version: str, after: int, limit: int | None) -> sa.Select[Any]:
    threads = _threads(campaign_id).subquery()
    return (
        sa.select(
            gmail_thread_state.c.id, gmail_thread_state.c.gmail_account_id, gmail_thread_state.c.gmail_thread_id,
            gmail_thread_state.c.state,
        )
        .join(
            threads,
            (threads.c.gmail_account_id == gmail_thread_state.c.gmail_account_id)
            & (threads.c.gmail_thread_id == gmail_thread_state.c.gmail_thread_id),
        )
        .outerjoin(
            thread_verdict,
            (thread_verdict.c.thread_state_id == gmail_thread_state.c.id)
            & (thread_verdict.c.classifier_version == version),
        )
        .where(
            gmail_thread_state.c.is_latest,
            gmail_thread_state.c.id > after,
            gmail_thread_state.c.state["newest_inbound_id"].astext.is_not(None),
            thread_verdict.c.id.is_(None),
        )
        .order_by(gmail_thread_state.c.id)
        .limit(limit)
    )  # fmt: skip


def _conversations(connection: sa.Connection, states: Sequence[Any]) -> list[PendingConversation]:
    """States with the subjects and new words of their messages. A message not read yet has no words."""
    texts = _texts(connection, [(row.gmail_account_id, row.state) for row in states])
    return [
        PendingConversation(
            thread_state_id=row.id, gmail_account_id=row.gmail_account_id, gmail_thread_id=row.gmail_thread_id,
            conversation=Conversation(messages=tuple(
                ConversationMessage(
                    direction=item["direction"], kind=item["kind"], at=item["at"],
                    subject=texts.get((row.gmail_account_id, item["gmail_message_id"]), ("", ""))[0],
                    new_words=texts.get((row.gmail_account_id, item["gmail_message_id"]), ("", ""))[1],
                )
                for item in row.state["messages"]
            )),
        )
        for row in states
    ]  # fmt: skip


def _texts(
    connection: sa.Connection, states: Sequence[tuple[UUID, dict[str, Any]]]
) -> dict[tuple[UUID, str], tuple[str, str]]:
    """(account, message) to (subject, new words) for all messages of some thread documents."""
    wanted: dict[UUID, set[str]] = {}
    for account_id, state in states:
        wanted.setdefault(account_id, set()).update(item["gmail_message_id"] for item in state["messages"])
    found: dict[tuple[UUID, str], tuple[str, str]] = {}
    for account_id, message_ids in wanted.items():
        statement = (
            sa.select(gmail_message.c.gmail_message_id, gmail_message.c.subject,
                      sa.func.coalesce(message_reading.c.new_words, ""))
            .outerjoin(message_reading,
                       (message_reading.c.gmail_account_id == gmail_message.c.gmail_account_id)
                       & (message_reading.c.gmail_message_id == gmail_message.c.gmail_message_id))
            .where(gmail_message.c.gmail_account_id == account_id,
                   gmail_message.c.gmail_message_id == sa.any_(sa.literal(sorted(message_ids), sa.ARRAY(sa.Text))))
        )  # fmt: skip
        for message_id, subject, words in connection.execute(statement):
            found[account_id, message_id] = (subject, words)
    return found


def _row(item: JudgedState, identity: ClassifierIdentity, run_id: str | None) -> dict[str, Any]:
    verdict = item.verdict
    return {
        "thread_state_id": item.thread_state_id,
        "gmail_account_id": item.gmail_account_id,
        "gmail_thread_id": item.gmail_thread_id,
        "cache_key": item.cache_key,
        "classifier_version": identity.version,
        "provider": "rules" if verdict.decided_by == "rules" else identity.provider,
        "model": identity.model,
        "prompt_version": identity.prompt_version,
        "taxonomy_version": identity.taxonomy_version,
        "run_id": run_id,
        **{name: getattr(verdict, name) for name in _VERDICT_FIELDS},
    }


def _verdict(row: Any) -> Verdict:
    values = {name: row[name] for name in _VERDICT_FIELDS}
    return Verdict(**values, decided_by="rules" if row["provider"] == "rules" else "classifier")


def _effective(row: Any) -> EffectiveLabel:
    is_override = row["said"] is not None
    return EffectiveLabel(
        gmail_account_id=row["gmail_account_id"],
        gmail_thread_id=row["gmail_thread_id"],
        label=row["said"] if is_override else row["label"],
        is_override=is_override,
        confidence=None if is_override else row["confidence"],
        needs_review=not is_override and bool(row["needs_review"]),
    )
