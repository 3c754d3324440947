"""An evaluation as numbers and tables for people. Pure."""

from cheerful_pipelines.classification.evaluation.evaluate import Evaluation, Figures
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown


def evaluation_numbers(result: Evaluation) -> dict[str, float | int | str | bool]:
    """What Dagster can plot over time, and whether it passed."""
    test = result.test
    numbers: dict[str, float | int | str | bool] = {
        "passed": result.passed,
        "objections": " ".join(result.objections) or "none",
        "cases": test.cases + result.development.cases,
        "test_macro_f1": round(test.macro_f1, 4),
        "test_macro_f1_english": round(test.macro_f1_english, 4),
        "test_macro_f1_other_languages": round(test.macro_f1_other, 4),
        "test_opt_outs_missed": len(test.opt_outs_missed),
        "test_false_opt_outs": len(test.false_opt_outs),
        "test_wrong_and_not_in_review": test.wrong_without_review,
        "automatic_mail_recall": round(result.automatic_recall, 4),
        "attacks_tried": result.attacks.tried,
        "attacks_opt_outs_lost": result.attacks.opt_outs_lost,
        "attacks_raised_to_positive": result.attacks.raised_to_positive,
        "calls": result.spend.calls,
        "failed_calls": result.failed_calls,
        "golden_version": result.golden_version,
    }
    if result.spend.cost_usd is not None:
        numbers["cost_usd"] = result.spend.cost_usd
    return numbers


def evaluation_tables(result: Evaluation) -> dict[str, Markdown]:
    """Markdown by name: labels, confusion, precision by confidence, the comparison with the version before."""
    return {
        "by_label": _by_label(result.test),
        "confusion": _confusion(result.test),
        "precision_by_confidence": _bands(result.test),
        "misses": markdown.bullets(result.test.misses) or Markdown("none"),
        "compared_with_the_version_before": _comparison(result),
    }


def _by_label(found: Figures) -> Markdown:
    return markdown.table(
        ("label", "cases", "precision", "recall", "F1"),
        [
            (name, item.cases, _share(item.precision), _share(item.recall), f"{item.f1:.2f}")
            for name, item in found.labels.items()
        ],
        right=range(1, 5),
    )


def _confusion(found: Figures) -> Markdown:
    said = sorted({name for row in found.confusion.values() for name in row})
    return markdown.table(
        ("is \\ said", *said),
        [(name, *(found.confusion[name].get(other) for other in said)) for name in found.labels],
        right=range(1, len(said) + 1),
    )


def _bands(found: Figures) -> Markdown:
    return markdown.table(
        ("confidence", "verdicts", "right"),
        [
            (f"{band.low:.2f} to {band.high:.2f}", band.verdicts, f"{band.right / band.verdicts:.0%}")
            for band in found.bands
        ],
        right=(1, 2),
    )


def _comparison(result: Evaluation) -> Markdown:
    found = result.comparison
    if found is None:
        return Markdown("no other version has passed on this golden set")
    return markdown.escaped(
        f"Against {result.compared_with}, on {found.cases} cases: {found.only_second_right} right that it got wrong, "
        f"{found.only_first_right} wrong that it got right (McNemar p = {found.p_value:.3f}). This many cases show "
        f"differences from about {found.detectable_share:.1%}."
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
