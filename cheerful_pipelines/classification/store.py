"""Verdicts and people's corrections in Postgres. Verdicts are never changed or deleted; an override outranks them."""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.classification.drift import LabelMix
from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.classification.llm.llm_store import SpendKind, insert_spend
from cheerful_pipelines.classification.models import (
    ClassifierIdentity,
    Conversation,
    ConversationMessage,
    EffectiveLabel,
    JudgedState,
    Override,
    PendingConversation,
    SpendRow,
    StoredVerdict,
    Verdict,
)
from cheerful_pipelines.classification.review import ReviewItem
from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.outcome_news import note_threads
from cheerful_pipelines.storage.schema.campaigns import campaign, gmail_account
from cheerful_pipelines.storage.schema.classification import llm_batch, llm_batch_item, thread_override, thread_verdict
from cheerful_pipelines.storage.schema.mail import gmail_message, message_reading
from cheerful_pipelines.storage.schema.threads import gmail_thread_state, thread_attribution

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

    def save(
        self,
        judged: Sequence[JudgedState],
        identity: ClassifierIdentity,
        *,
        run_id: str | None,
        campaign_id: UUID | None = None,
        spend: SpendRow | None = None,
        kind: SpendKind = "live",
    ) -> int:
        """Store verdicts, and what they cost; a state that has one by this classifier keeps it. Returns new rows."""
        if not judged and spend is None:
            return 0
        rows = [_row(item, identity, run_id) for item in judged]
        with self._database.transaction() as connection:
            if spend is not None:
                version = identity.version
                insert_spend(connection, kind, spend, campaign_id=campaign_id, version=version, run_id=run_id)
            return _insert_verdicts(connection, rows)

    def save_batch(
        self,
        judged: Sequence[JudgedState],
        identity: ClassifierIdentity,
        batch_id: UUID,
        *,
        campaign_id: UUID,
        spend: SpendRow,
        run_id: str | None,
    ) -> int:
        """Verdicts, their cost and the end of the batch in one transaction; a batch taken in before changes nothing."""
        rows = [_row(item, identity, run_id) for item in judged]
        with self._database.transaction() as connection:
            is_first = connection.execute(
                sa.update(llm_batch)
                .where(llm_batch.c.id == batch_id, llm_batch.c.status != "taken_in")
                .values(status="taken_in", finished_at=sa.func.now())
            ).rowcount
            if not is_first:
                return 0
            version = identity.version
            insert_spend(connection, "batch", spend, campaign_id=campaign_id, version=version, run_id=run_id)
            return _insert_verdicts(connection, rows)

    def label_mix(self, campaign_id: UUID) -> LabelMix:
        """Labels given on the campaign's threads in the last day, and in the 28 days before it."""
        threads = _threads(campaign_id).subquery()
        day_ago = sa.func.now() - timedelta(days=1)
        recent = thread_verdict.c.created_at >= day_ago
        statement = (
            sa.select(thread_verdict.c.label, recent.label("is_recent"), sa.func.count())
            .join(
                threads,
                (thread_verdict.c.gmail_account_id == threads.c.gmail_account_id)
                & (thread_verdict.c.gmail_thread_id == threads.c.gmail_thread_id),
            )
            .where(thread_verdict.c.created_at >= day_ago - timedelta(days=28))
            .group_by(thread_verdict.c.label, recent)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(statement).all()
        return LabelMix(
            recent={label: count for label, is_recent, count in rows if is_recent},
            earlier={label: count for label, is_recent, count in rows if not is_recent},
        )

    def label_history(self, campaign_id: UUID) -> dict[tuple[UUID, str], list[tuple[str, dict[str, Any]]]]:
        """Of each thread the labels in order of its states, each state's newest verdict, with its flags."""
        threads = _threads(campaign_id).subquery()
        statement = (
            sa.select(
                thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id, thread_verdict.c.label,
                thread_verdict.c.flags,
            )
            .join(
                threads,
                (thread_verdict.c.gmail_account_id == threads.c.gmail_account_id)
                & (thread_verdict.c.gmail_thread_id == threads.c.gmail_thread_id),
            )
            .distinct(thread_verdict.c.thread_state_id)
            .order_by(thread_verdict.c.thread_state_id, thread_verdict.c.id.desc())
        )  # fmt: skip
        history: dict[tuple[UUID, str], list[tuple[str, dict[str, Any]]]] = {}
        with self._database.transaction() as connection:
            for account_id, thread_id, label, flags in connection.execute(statement):
                history.setdefault((account_id, thread_id), []).append((label, flags))
        return history

    def states(self, state_ids: Collection[int]) -> list[PendingConversation]:
        """These states with their conversations; for results that come in later."""
        statement = sa.select(
            gmail_thread_state.c.id, gmail_thread_state.c.gmail_account_id, gmail_thread_state.c.gmail_thread_id,
            gmail_thread_state.c.state,
        ).where(gmail_thread_state.c.id.in_(list(state_ids)))  # fmt: skip
        with self._database.transaction() as connection:
            return _conversations(connection, connection.execute(statement).all())

    def without_any_verdict(self, state_ids: Collection[int]) -> set[int]:
        """Those of the states that nobody has judged."""
        judged = sa.select(thread_verdict.c.thread_state_id).where(
            thread_verdict.c.thread_state_id.in_(list(state_ids))
        )
        with self._database.transaction() as connection:
            return set(state_ids) - set(connection.execute(judged).scalars())

    def thread_of(self, account_alias: str, thread_id: str) -> UUID:
        """The account's id, where it has stored this thread. Raises NotFoundError."""
        statement = (
            sa.select(gmail_account.c.id)
            .join(gmail_thread_state, gmail_thread_state.c.gmail_account_id == gmail_account.c.id)
            .where(gmail_account.c.alias == account_alias, gmail_thread_state.c.gmail_thread_id == thread_id)
            .limit(1)
        )
        with self._database.transaction() as connection:
            found = connection.execute(statement).scalar_one_or_none()
        if found is None:
            raise NotFoundError(
                f"{account_alias} has no thread {thread_id}.", what_to_do="See: cheerful threads list CAMPAIGN."
            )
        return UUID(str(found))

    def overrides(self, campaign_id: UUID) -> list[Override]:
        """Every override on the campaign's threads, revoked ones too, oldest first."""
        threads = _threads(campaign_id).subquery()
        statement = (
            sa.select(thread_override, gmail_account.c.alias)
            .join(gmail_account, gmail_account.c.id == thread_override.c.gmail_account_id)
            .join(
                threads,
                (threads.c.gmail_account_id == thread_override.c.gmail_account_id)
                & (threads.c.gmail_thread_id == thread_override.c.gmail_thread_id),
            )
            .order_by(thread_override.c.id)
        )
        with self._database.transaction() as connection:
            return [
                Override(
                    gmail_account_id=row["gmail_account_id"], account=row["alias"],
                    gmail_thread_id=row["gmail_thread_id"], label=row["label"], author=row["author"],
                    reason=row["reason"], source=row["source"], created_at=row["created_at"],
                    revoked_at=row["revoked_at"],
                )
                for row in connection.execute(statement).mappings()
            ]  # fmt: skip

    def set_override(
        self, account_id: UUID, thread_id: str, label: Label, *, author: str, reason: str, source: str = "command"
    ) -> None:
        """A person's word on a thread. The one before is revoked, not deleted; the same again does nothing.

        The numbers of the thread's campaigns are counted anew: their revision grows, which the fan-out sensor sees.
        """
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
                    gmail_account_id=account_id, gmail_thread_id=thread_id, label=label, author=author,
                    reason=reason, source=source,
                )
            )  # fmt: skip
            note_threads(connection, [(account_id, thread_id)])

    def revoke_override(self, account_id: UUID, thread_id: str) -> bool:
        """Let the verdict count again. True where an override stood."""
        with self._database.transaction() as connection:
            stood = connection.execute(
                sa.update(thread_override)
                .where(
                    thread_override.c.gmail_account_id == account_id,
                    thread_override.c.gmail_thread_id == thread_id,
                    thread_override.c.revoked_at.is_(None),
                )
                .values(revoked_at=sa.func.now())
            ).rowcount
            if stood:
                note_threads(connection, [(account_id, thread_id)])
            return bool(stood)

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
                thread_verdict.c.confidence, thread_verdict.c.needs_review, thread_verdict.c.thread_state_id,
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
                newest.c.thread_state_id,
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

    def to_review(self, campaign_id: UUID) -> list[ReviewItem]:
        """Threads whose newest verdict asks for a person and on which no override stands."""
        threads = _threads(campaign_id).subquery()
        newest = (
            sa.select(thread_verdict)
            .join(
                threads,
                (thread_verdict.c.gmail_account_id == threads.c.gmail_account_id)
                & (thread_verdict.c.gmail_thread_id == threads.c.gmail_thread_id),
            )
            .distinct(thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id)
            .order_by(
                thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id,
                thread_verdict.c.thread_state_id.desc(), thread_verdict.c.id.desc(),
            )
            .subquery()
        )  # fmt: skip
        statement = (
            sa.select(newest, gmail_account.c.alias, gmail_thread_state.c.state)
            .join(gmail_account, gmail_account.c.id == newest.c.gmail_account_id)
            .join(gmail_thread_state, gmail_thread_state.c.id == newest.c.thread_state_id)
            .outerjoin(
                thread_override,
                (thread_override.c.gmail_account_id == newest.c.gmail_account_id)
                & (thread_override.c.gmail_thread_id == newest.c.gmail_thread_id)
                & thread_override.c.revoked_at.is_(None),
            )
            .where(newest.c.needs_review, thread_override.c.id.is_(None))
        )
        with self._database.transaction() as connection:
            return [
                ReviewItem(
                    gmail_account_id=row["gmail_account_id"], account=row["alias"],
                    gmail_thread_id=row["gmail_thread_id"], label=row["label"], confidence=row["confidence"],
                    rationale=row["rationale"], flags=row["flags"], has_rate="rate" in row["fields"],
                    has_address="address" in row["fields"], last_message_at=row["state"]["messages"][-1]["at"],
                )
                for row in connection.execute(statement).mappings()
            ]  # fmt: skip

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


def _insert_verdicts(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    """New verdicts only; returns how many."""
    if not rows:
        return 0
    columns = thread_verdict.c
    statement = insert(thread_verdict).on_conflict_do_nothing(
        index_elements=[columns.thread_state_id, columns.classifier_version]
    )
    found = connection.execute(statement.returning(columns.gmail_account_id, columns.gmail_thread_id), rows).all()
    note_threads(connection, [(row.gmail_account_id, row.gmail_thread_id) for row in found])
    return len(found)


def _pending_states(campaign_id: UUID, version: str, after: int, limit: int | None) -> sa.Select[Any]:
    threads = _threads(campaign_id).subquery()
    under_way = sa.exists(
        sa.select(1)
        .select_from(llm_batch_item.join(llm_batch, llm_batch.c.id == llm_batch_item.c.llm_batch_id))
        .where(
            llm_batch_item.c.thread_state_id == gmail_thread_state.c.id,
            llm_batch.c.classifier_version == version,
            llm_batch.c.status.in_(["submitting", "submitted", "ended"]),
        )
    )
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
            ~under_way,  # a batch that is paid for has it
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
        thread_state_id=row["thread_state_id"],
        model_label=row["label"],
    )
