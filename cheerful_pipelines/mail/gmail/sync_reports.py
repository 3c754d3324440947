"""What a sync of a mailbox says about itself: counts, marks, and the certificate after a gap. Plain values."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class GapCertificate(BaseModel):
    """What was done after Gmail had forgotten our history id, or told of it in malformed records; what that proves."""

    model_config = ConfigDict(frozen=True)
    reread_from: datetime
    reread_until: datetime
    listed: int
    found_late: int
    vanished: int
    relabelled: int
    history_id_lost: int
    history_id_taken: int
    malformed: int = 0
    """Records of the history that could not be read; 0 if Gmail had forgotten the history."""

    @property
    def statement(self) -> str:
        """In words, for the materialization."""
        since, until = f"{self.reread_from:%Y-%m-%d %H:%M}", f"{self.reread_until:%Y-%m-%d %H:%M}"
        why = f"Gmail no longer knew history id {self.history_id_lost}"
        if self.malformed:
            why = f"Gmail's history after id {self.history_id_lost} has {self.malformed} records that cannot be read"
        return (
            f"{why}. Every message from {since} to {until} UTC was "
            f"listed again ({self.listed}): {self.found_late} were missing and are stored, {self.vanished} had gone "
            f"and are marked as deleted, {self.relabelled} had other labels. The window is complete; history is "
            f"followed from id {self.history_id_taken}, which was taken before the listing."
        )


class SyncReport(BaseModel):
    """What one sync of one mailbox did: counts for the materialization's metadata."""

    model_config = ConfigDict(frozen=True)
    inserted: int = 0
    relabelled: int = 0
    unchanged: int = 0
    deleted: int = 0
    drafts: int = 0
    passed_over: int = 0  # outside the account's scope: known by id only
    pulled_in: int = 0  # passed over once, and stored since a recipient came
    gone: int = 0  # deleted between listing and fetching
    dead: int = 0
    malformed: int = 0  # records of Gmail's history that could not be read: the window was compared instead
    fetched: int = 0
    mark_before: int | None = None
    mark_after: int | None = None
    gap: GapCertificate | None = None
    is_partial: bool = False  # out of time: the next run goes on
    units_spent: int = 0
    waited_for_quota_seconds: float = 0.0


class ArchiveReport(BaseModel):
    """What one mailbox month needed."""

    model_config = ConfigDict(frozen=True)
    listed: int
    inserted: int
    vanished: int
    relabelled: int
    passed_over: int
    dead: int
    is_complete: bool
    units_spent: int


class MonthEstimate(BaseModel):
    """What one mailbox month would need: messages listed and to fetch, quota units for both."""

    model_config = ConfigDict(frozen=True)
    listed: int
    to_fetch: int
    units: int


def added(*reports: SyncReport) -> SyncReport:
    """Counts summed; of what cannot be summed the first that is there."""
    names = (
        *("inserted", "relabelled", "unchanged", "deleted", "drafts", "passed_over", "pulled_in"),
        *("gone", "dead", "malformed", "fetched"),
    )  # fmt: skip
    sums = {name: sum(getattr(report, name) for report in reports) for name in names}
    last = {
        name: next((getattr(report, name) for report in reports if getattr(report, name)), None)
        for name in ("mark_before", "mark_after", "gap")
    }
    return SyncReport(**sums, **last)
