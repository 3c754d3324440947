"""Which mailboxes are connected and wait: without a campaign or without recipients nothing of them is synced whole."""

from cheerful_pipelines.campaigns.store import CampaignStore


def waiting_mailboxes(store: CampaignStore) -> list[str]:
    """A sentence for each connected mailbox that has nothing to do yet, beginning with its alias."""
    return [
        f"{alias} waits for a campaign: name it as a sender (cheerful campaigns add ... --sender {alias})."
        if campaigns == 0
        else f"{alias} waits for recipients: none of its campaigns has any yet; they come with an import."
        for alias, campaigns, has_recipients in store.mailbox_needs()
        if not has_recipients
    ]
