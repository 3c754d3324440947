"""Whatever happened to a mailbox, history read from any point gives what a fresh listing gives."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.local_google.mail_search import find_messages, read_search
from cheerful_pipelines.local_google.mailbox_history import KINDS, history_page
from cheerful_pipelines.local_google.mailboxes import Mailboxes
from cheerful_pipelines.local_google.state import State

ADDRESS = "mia@brand.example"
LABELS = ("INBOX", "UNREAD", "STARRED", "TRASH", "SPAM")
actions = st.one_of(
    st.tuples(st.just("deliver"), st.sets(st.sampled_from(LABELS))),
    st.tuples(
        st.just("modify"), st.integers(0, 30), st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))
    ),
    st.tuples(st.sampled_from(("delete", "trash", "draft", "update_draft")), st.integers(0, 30)),
    st.tuples(st.just("remember")),
)


def listing(state: State, mailboxes: Mailboxes) -> dict[str, frozenset[str]]:
    """Message id -> labels, by the list call."""
    search = read_search(ADDRESS, q="", label_ids=[], include_spam_trash=True)
    page, _, _ = find_messages(state, search, most=500, page_token="")
    return {id_: frozenset(mailboxes.get(ADDRESS, id_).label_ids) for id_, _ in page}


def applied(
    state: State, known: dict[str, frozenset[str]], start: int, page_size: int
) -> tuple[dict[str, frozenset[str]], int]:
    """What a client that only reads history would hold, and where it would go on from."""
    known, token = dict(known), ""
    while True:
        page = history_page(state, ADDRESS, start=start, kinds=KINDS, label="", most=page_size, page_token=token)
        for record in page.records:
            for item in record.get("messagesAdded", []):
                known[item["message"]["id"]] = frozenset(item["message"].get("labelIds", []))
            for item in record.get("labelsAdded", []):
                known[item["message"]["id"]] |= set(item["labelIds"])
            for item in record.get("labelsRemoved", []):
                known[item["message"]["id"]] -= set(item["labelIds"])
            for item in record.get("messagesDeleted", []):
                known.pop(item["message"]["id"])
        if page.next_page_token is None:
            return known, page.history_id
        token = page.next_page_token


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=st.lists(actions, max_size=30), page_size=st.integers(1, 7))
def test_history_applied_equals_a_fresh_listing(tmp_path_factory, happened, page_size):
    state = State(tmp_path_factory.mktemp("history") / "state.sqlite")
    mailboxes = Mailboxes(state)
    mailboxes.add(ADDRESS)
    drafts: list[str] = []
    remembered = [({}, mailboxes.history_id(ADDRESS))]
    for action in happened:
        ids = list(listing(state, mailboxes))
        match action:
            case ("deliver", labels):
                mailboxes.deliver(ADDRESS, b"Subject: x\n\n", label_ids=labels)
            case ("modify", n, add, remove) if ids:
                mailboxes.modify(ADDRESS, ids[n % len(ids)], add=add - remove, remove=remove)
            case ("delete", n) if ids:
                mailboxes.delete(ADDRESS, ids[n % len(ids)])
            case ("trash", n) if ids:
                mailboxes.trash(ADDRESS, ids[n % len(ids)])
            case ("draft", _):
                drafts.append(mailboxes.create_draft(ADDRESS, b"Subject: d\n\n", None)[0])
            case ("update_draft", n) if drafts:
                alive = set(mailboxes.drafts_of_messages(ADDRESS).values())
                if (draft := drafts[n % len(drafts)]) in alive:
                    mailboxes.update_draft(ADDRESS, draft, b"Subject: d2\n\n", None)
            case ("remember",):
                remembered.append((listing(state, mailboxes), mailboxes.history_id(ADDRESS)))

    now = listing(state, mailboxes)
    for known, start in remembered:
        assert applied(state, known, start, page_size) == (now, mailboxes.history_id(ADDRESS))
    state.close()
