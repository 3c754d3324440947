"""Figures on real mail may only get better. `benchmarks/threads_on_real_mail.py` prints them."""

from pathlib import Path

import pytest

from cheerful_pipelines_tests.mail.reading import real_mail

pytestmark = pytest.mark.real_mail


@pytest.mark.parametrize("seed", [None, *range(1, 21)])
def test_every_thread_on_which_two_programs_agree_is_ours_too(shared_data: Path, seed: int | None) -> None:
    assert real_mail.agreed_threads(shared_data, shuffle=seed).wrong == ()


def test_nine_replies_of_ten_are_exact(shared_data: Path) -> None:
    scores = real_mail.exact_replies(shared_data).values()

    assert sum(score.right for score in scores) / sum(score.cases for score in scores) >= 0.93


def test_no_word_of_a_writer_is_lost(shared_data: Path) -> None:
    assert real_mail.lost_words(shared_data).wrong == ()


def test_no_public_library_is_closer_on_the_same_cases(shared_data: Path) -> None:
    """The reason for writing our own; where this fails, take the library."""
    library = real_mail.library_replies(shared_data)
    if library is None:
        pytest.skip("mail-parser-reply is not installed; it is no dependency of ours")
    scores = [score for name, score in real_mail.exact_replies(shared_data).items() if "html" not in name]

    assert sum(score.right for score in scores) / sum(score.cases for score in scores) > library.share


def test_whole_mails_of_a_dozen_programs_give_their_reply(shared_data: Path) -> None:
    assert real_mail.whole_replies(shared_data).wrong == ()


def test_reports_are_told_from_other_mail(shared_data: Path) -> None:
    """All by our rules; where the sources have others, real_mail.py names each and says why."""
    assert real_mail.bounce_kinds(shared_data).wrong == ()
    assert real_mail.bounce_kinds_as_sources_say(shared_data).share >= 0.95


def test_failed_addresses_are_found(shared_data: Path) -> None:
    """The one that is not: AOL wrote a screen name without its domain."""
    assert set(real_mail.failed_addresses(shared_data).wrong) <= {"flufl.bounce/aol_01.eml"}


def test_a_bounce_finds_the_mail_that_failed(shared_data: Path) -> None:
    assert real_mail.bounced_message_ids(shared_data).wrong == ()


def test_hard_and_soft_agree_with_sisimai_where_the_rules_do(shared_data: Path) -> None:
    assert real_mail.bounce_severity(shared_data).share >= 0.9
    assert real_mail.unexplained_severities(shared_data) == ()


def test_no_human_is_lost_and_no_machine_counted(shared_data: Path) -> None:
    assert real_mail.automatic_replies(shared_data).wrong == ()


def test_people_on_mailing_lists_are_not_taken_for_machines(shared_data: Path) -> None:
    """Three notices of absence stand in this mail; nothing else is automatic."""
    kinds = real_mail.kinds_of_list_mail(shared_data)

    assert kinds["bounce"] + kinds["delayed"] + kinds["complaint"] + kinds["delivered"] + kinds["calendar"] == 0
    assert (kinds["out_of_office"], kinds["auto_reply"]) == (3, 0)
