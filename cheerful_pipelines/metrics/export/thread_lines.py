"""One line a thread, as the client's sheet shows it. Pure."""

from collections import defaultdict

from cheerful_pipelines.metrics.models import CampaignFacts, ThreadLine


def thread_lines(facts: CampaignFacts) -> list[ThreadLine]:
    """One line for each thread of the campaign with at least one message, by key."""
    known = {recipient.id: recipient for recipient in facts.recipients}
    messages = defaultdict(list)
    for message in facts.messages:
        messages[message.thread_key].append(message)
    newest = {item.thread_key: item for item in sorted(facts.verdicts, key=lambda item: item.state_version)}
    overridden = {item.thread_key: item.label for item in facts.overrides}
    lines = []
    for thread in sorted(facts.threads, key=lambda item: item.key):
        mails = messages[thread.key]
        if not mails:
            continue
        recipient = known[min(thread.recipient_ids)]
        verdict = newest.get(thread.key)
        override = overridden.get(thread.key)
        label = override or (verdict.label if verdict else None)
        sent = [mail.at for mail in mails if mail.is_sent]
        replies = {
            mail.message_id
            for mail in mails
            if mail.kind == "human" and mail.from_key not in facts.our_keys and mail.direction == "theirs"
        }
        lines.append(
            ThreadLine(
                key=thread.key,
                creator=recipient.name or recipient.handle or "",
                sheet_row=recipient.sheet_row,
                sender=thread.account_alias,
                first_sent_at=min(sent, default=None),
                last_message_at=max(mail.at for mail in mails),
                label=label,
                confidence=verdict.confidence if verdict and override is None else None,
                needs_review=verdict is not None and override is None and verdict.needs_review,
                replies=len(replies),
            )
        )
    return lines
