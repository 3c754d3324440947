"""The labels: one table with everything that follows from a label. A new label is added here first (CONTRIBUTING.md).

Rows stand in order of precedence: where several labels fit, the first wins. `no_reply` is no label: a thread without
an inbound message gets no verdict, and metrics count it as silent.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

Label = Literal[
    "opt_out", "bounce", "out_of_office", "auto_reply", "details_provided", "negotiating", "referral",
    "not_now", "not_interested", "question", "interested", "unrelated", "unclear",
]  # fmt: skip
MetricClass = Literal["positive", "positive_when_paid", "neutral", "negative", "undelivered", "not_a_reply"]
CreatorStatus = Literal[
    "CONTACTED", "UNRESPONSIVE", "PENDING_DETAILS", "DECLINED", "SKIPPED", "READY_TO_SHIP", "ORDERED", "OPTED_OUT"
]

TAXONOMY_VERSION = "2026-11-1"
"""Part of every verdict. Raise it when names, definitions, examples or order change: all replies are judged again."""


class LabelDefinition(NamedTuple):
    """What one label means, and what follows from it."""

    name: Label
    definition: str
    example: str
    title: str
    """As people read it in sheet, reports and plots."""
    shown_at: int
    """Place in lists and stacked bars: what people hope for first."""
    colour: str
    metric_class: MetricClass
    stake: int
    """Place in the review queue, 1 first; `review.py` names the reasons."""
    creator_status: CreatorStatus | None = None
    """Suggested status; None: leave it as it is."""
    status_if: Mapping[str, CreatorStatus] = {}
    """Another suggestion if the verdict has that flag."""
    aliases: tuple[str, ...] = ()
    """What else people type for it in the sheet, besides name and title."""
    kinds: tuple[str, ...] = ()
    """Kinds of automatic mail that give the label without a model."""


LABELS: tuple[LabelDefinition, ...] = (
    LabelDefinition(
        "opt_out", "Asks not to be contacted, or to be erased, whatever else it says.",
        "Lovely idea, but take me off this list.",
        title="opted out", shown_at=8, colour="#c8373a", metric_class="negative", stake=1,
        creator_status="OPTED_OUT", kinds=("complaint",),
    ),
    LabelDefinition(
        "bounce", "A machine says that our mail was not delivered.",
        "550 5.1.1 user unknown",
        title="bounce", shown_at=13, colour="#5c4b51", metric_class="undelivered", stake=6,
        creator_status="SKIPPED", aliases=("bounced",), kinds=("bounce",),
    ),
    LabelDefinition(
        "out_of_office", "An automatic notice of absence, however friendly.",
        "I am away until 5 May.",
        title="out of office", shown_at=11, colour="#9fb3c8", metric_class="not_a_reply", stake=7,
        kinds=("out_of_office",),
    ),
    LabelDefinition(
        "auto_reply", "Any other automatic answer: receipt, unmonitored mailbox, left the company.",
        "We answer within two days.",
        title="automatic", shown_at=12, colour="#829ab1", metric_class="not_a_reply", stake=7,
        status_if={"left_company": "SKIPPED"}, kinds=("auto_reply",),
    ),
    LabelDefinition(
        "details_provided", "Gives what shipping needs: address, size, choice of product.",
        "Ship to 8 Elm Ave, Toronto, size M.",
        title="sent details", shown_at=2, colour="#1b6e48", metric_class="positive", stake=3,
        creator_status="PENDING_DETAILS", status_if={"address_complete": "READY_TO_SHIP"},
    ),
    LabelDefinition(
        "negotiating", "States or disputes money, deliverables, rights or payment.",
        "I charge $2,000 for a reel.",
        title="negotiating", shown_at=3, colour="#8cc63f", metric_class="positive_when_paid", stake=4,
        creator_status="PENDING_DETAILS",
    ),
    LabelDefinition(
        "referral", "Names another person or agency to deal with, or says we reached the wrong one.",
        "Write to my manager Anna.",
        title="referral", shown_at=5, colour="#7aa6e0", metric_class="neutral", stake=5,
    ),
    LabelDefinition(
        "not_now", "Open in principle, later.",
        "Try me after the holidays.",
        title="not now", shown_at=6, colour="#f2c14e", metric_class="neutral", stake=5, aliases=("later",),
    ),
    LabelDefinition(
        "not_interested", "Declines this offer without asking us to stop.",
        "I'll pass, thanks.",
        title="not interested", shown_at=7, colour="#e4873a", metric_class="negative", stake=6,
        creator_status="DECLINED", aliases=("declined",),
    ),
    LabelDefinition(
        "question", "Will not decide before an answer.",
        "Is this paid or gifted?",
        title="question", shown_at=4, colour="#3a66ab", metric_class="neutral", stake=5,
        creator_status="PENDING_DETAILS",
    ),
    LabelDefinition(
        "interested", "Says yes or wants to go on; only the next step is needed from us.",
        "Count me in!",
        title="interested", shown_at=1, colour="#2b9a66", metric_class="positive", stake=5,
        creator_status="PENDING_DETAILS",
    ),
    LabelDefinition(
        "unrelated", "A person, but another matter: spam, a pitch at us, a customer's order.",
        "Buy 10,000 followers.",
        title="unrelated", shown_at=9, colour="#b8a3c9", metric_class="not_a_reply", stake=6, kinds=("list",),
    ),
    LabelDefinition(
        "unclear", "A person, and none of the above.",
        "Thanks for the mail.",
        title="unclear", shown_at=10, colour="#cbd2d9", metric_class="neutral", stake=6, kinds=("calendar",),
    ),
)  # fmt: skip

LABEL: Mapping[str, LabelDefinition] = {one.name: one for one in LABELS}
LABEL_OF_KIND: Mapping[str, Label] = {kind: one.name for one in LABELS for kind in one.kinds}
SHOWN_LABELS: tuple[LabelDefinition, ...] = tuple(sorted(LABELS, key=lambda one: one.shown_at))
"""In the order in which people see them."""


def with_class(*classes: MetricClass) -> frozenset[Label]:
    """The labels of one or several metric classes."""
    return frozenset(one.name for one in LABELS if one.metric_class in classes)


def written_labels() -> dict[str, Label]:
    """What people may write for a label, in lower case: its name with blanks, its title, its aliases."""
    return {name: one.name for one in LABELS for name in (one.name.replace("_", " "), one.title, *one.aliases)}


def meaning_hash() -> str:
    """Hash of what a classifier is told or a rule decides: not of titles, colours and places."""
    parts = [(one.name, one.definition, one.example, one.kinds) for one in LABELS]
    return hashlib.sha256(repr((TAXONOMY_VERSION, parts)).encode()).hexdigest()
