"""`cheerful verdicts` and `cheerful override`: what was said, what waits for a person, and a person's own word.

Prints ids and labels, and quotations only where asked for by thread: it is for the person at the terminal.
"""

import getpass
from typing import Annotated

import typer

from cheerful_pipelines.campaigns.store import database_of_account
from cheerful_pipelines.classification.choice import budget_of, chosen_classifier
from cheerful_pipelines.classification.estimate import pending_work
from cheerful_pipelines.classification.evaluation.evaluation_report import evaluation_numbers, evaluation_tables
from cheerful_pipelines.classification.evaluation.run_evaluation import evaluate_and_store, stored_evaluation
from cheerful_pipelines.classification.labels.creator_status import status_after
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.overrides.overrides_in_sheet import label_of, titles
from cheerful_pipelines.classification.review import queue
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.cli.connections import campaign_store, database, database_of, shown_campaign
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings

app = typer.Typer(no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The campaign.")]
Thread = Annotated[str, typer.Argument(help="ALIAS/THREAD, as `cheerful threads list` prints it.")]


@app.command("list")
def list_verdicts(slug: Slug) -> None:
    """Every thread with its label, who decided (model, rule or person), and the status suggested for the creator."""
    store, campaign = VerdictStore(database_of(slug)), shown_campaign(slug)
    aliases = {account.id: account.alias for account in campaign_store().accounts()}
    history = store.label_history(campaign.id)
    labels = store.effective_labels(campaign.id)
    print_table(
        ("thread", "label", "sure", "by", "review", "suggested status"),
        [
            (
                f"{aliases[item.gmail_account_id]}/{item.gmail_thread_id}",
                item.label,
                None if item.confidence is None else f"{item.confidence:.0%}",
                "a person" if item.is_override else "classifier",
                "yes" if item.needs_review else "",
                status_after(history.get((item.gmail_account_id, item.gmail_thread_id), [])),
            )
            for item in labels
        ],
    )
    print(f"{len(labels)} threads with a label")


@app.command("review")
def review(slug: Slug) -> None:
    """What a person should look at, most at stake first. Answer with `cheerful override`."""
    entries = queue(VerdictStore(database_of(slug)).to_review(shown_campaign(slug).id))
    print_table(
        ("stake", "thread", "label", "sure", "why", "last mail"),
        [
            (
                entry.stake, f"{entry.item.account}/{entry.item.gmail_thread_id}", entry.item.label,
                f"{entry.item.confidence:.0%}", entry.why, f"{entry.item.last_message_at:%Y-%m-%d}",
            )
            for entry in entries
        ],
    )  # fmt: skip
    print(f"{len(entries)} wait for a person" if entries else "nobody needs to look at anything")


@app.command("overrides")
def overrides(slug: Slug) -> None:
    """Every word that a person has said on the campaign's threads, revoked ones too."""
    found = VerdictStore(database_of(slug)).overrides(shown_campaign(slug).id)
    print_table(
        ("thread", "label", "author", "by", "set", "revoked", "reason"),
        [
            (
                f"{item.account}/{item.gmail_thread_id}", item.label, item.author, item.source,
                f"{item.created_at:%Y-%m-%d %H:%M}", item.revoked_at and f"{item.revoked_at:%Y-%m-%d %H:%M}",
                item.reason,
            )
            for item in found
        ],
    )  # fmt: skip
    print(f"{len(found)} overrides; each that stands is a candidate for the golden set")


@app.command("estimate")
def estimate(slug: Slug) -> None:
    """What judging everything pending would take: calls, tokens, dollars. Asks no model."""
    classifier = chosen_classifier(load_settings())
    identity = classifier.identity()
    found = pending_work(VerdictStore(database_of(slug)), shown_campaign(slug), classifier)
    print_table(
        ("what", "value"),
        [
            ("classifier", f"{identity.provider}:{identity.model}"),
            ("settled by rules, no call", found.settled_by_rules),
            ("judged before, no call", found.judged_before),
            ("to be judged", found.to_judge),
            ("calls to a paid model", found.calls),
            ("tokens in, about", found.tokens_in),
            ("tokens out, about", found.tokens_out),
            ("dollars, about", _dollars(found.usd)),
            ("as a batch, about", _dollars(found.usd_as_batch)),
        ],
    )


def _dollars(usd: float | None) -> str:
    return "unknown price" if usd is None else f"{usd:.2f}"


@app.command("evaluate")
def evaluate_classifier(
    again: Annotated[bool, typer.Option(help="Even where this version was evaluated. Costs calls.")] = False,
) -> None:
    """How the chosen classifier does on the golden set; what keeps it out, where something does."""
    settings, store = load_settings(), LlmStore(database())
    classifier = chosen_classifier(settings)
    result = None if again else stored_evaluation(store, classifier)
    if result is None:
        result = evaluate_and_store(store, classifier, budget_of(settings, store, None, classifier), run_id=None)
    print_table(("what", "value"), list(evaluation_numbers(result).items()))
    for name, text in evaluation_tables(result).items():
        print(f"\n{name.replace('_', ' ')}\n{text}")


@app.command("spend")
def spend(days: Annotated[int, typer.Option(help="Days back.", min=1, max=36_500)] = 30) -> None:
    """What language models cost, by day."""
    rows = LlmStore(database()).spent_by_day(days=days)
    print_table(
        ("day", "for", "calls", "dollars"),
        [(day, kind, calls, "unknown" if usd is None else f"{usd:.4f}") for day, kind, calls, usd in rows],
    )
    if not rows:
        print("no language model was asked")


def override(
    thread: Thread,
    label: Annotated[str, typer.Argument(help="What it means. Not needed with --revoke.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept beside your word.")] = "",
    author: Annotated[str, typer.Option(help="Who says so. Default: the name you are logged in with.")] = "",
    revoke: Annotated[bool, typer.Option(help="Take the standing override back: the verdict counts again.")] = False,
) -> None:
    """Say what a thread means. It outranks every verdict, now and later, and is counted within seconds."""
    alias, slash, thread_id = thread.rpartition("/")
    if not slash:
        raise ConfigurationError(
            f"{thread!r} names no account.", what_to_do="Write ALIAS/THREAD: a thread's id alone is not unique."
        )
    store = VerdictStore(database_of_account(database(), alias))
    account_id = store.thread_of(alias, thread_id)
    if revoke:
        print("taken back" if store.revoke_override(account_id, thread_id) else "no override stood")
        return
    chosen = label_of(label)
    if chosen is None:
        raise ConfigurationError(f"{label!r} is no label.", what_to_do=f"Write one of: {', '.join(titles())}.")
    if not reason.strip():
        raise ConfigurationError("An override needs a reason.", what_to_do='Add --reason "she said so on the phone".')
    store.set_override(account_id, thread_id, chosen, author=author or getpass.getuser(), reason=reason.strip())
    print(f"{thread} counts as {chosen}; `cheerful override {thread} --revoke` takes it back")
