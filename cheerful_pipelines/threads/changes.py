"""What one version of a thread says that the one before did not, in words and ids. Pure."""

from cheerful_pipelines.threads.models import ThreadDocument, ThreadMessage


def changes_between(before: ThreadDocument | None, after: ThreadDocument) -> tuple[str, ...]:
    """Each difference in a few words: mail that came, went or is read otherwise, and who has to move now."""
    old = {message.gmail_message_id: message for message in before.messages} if before else {}
    new = {message.gmail_message_id: message for message in after.messages}
    found = [f"{_what(message)} {name} came" for name, message in new.items() if name not in old]
    found += [f"{_what(message)} {name} went" for name, message in old.items() if name not in new]
    found += [
        f"{name} is {_what(message)}, was {_what(old[name])}"
        for name, message in new.items()
        if name in old and _what(message) != _what(old[name])
    ]
    waited = before.waiting_on if before else "nobody"
    if waited != after.waiting_on:
        found.append(f"waits on {after.waiting_on}, not {waited}")
    return tuple(found) or ("read anew, nothing visible differs",)


def _what(message: ThreadMessage) -> str:
    return f"{message.direction} {message.kind}"
