"""The facts as they would be had the world stopped at a moment: what had happened by then, as we know it today. Pure.

What was *known* then is another question: `OutcomeStore.outcomes(as_of=...)`. The two differ by mail that came late.
"""

from dataclasses import replace
from datetime import datetime

from cheerful_pipelines.metrics.models import CampaignFacts


def happened_by(facts: CampaignFacts, moment: datetime) -> CampaignFacts:
    """Mail, bounces and verdicts on mail up to the moment. The list of recipients and persons' words are today's."""
    return replace(
        facts,
        read_at=moment,
        messages=tuple(item for item in facts.messages if item.at <= moment),
        bounces=tuple(item for item in facts.bounces if item.at <= moment),
        verdicts=tuple(item for item in facts.verdicts if item.judged_at is not None and item.judged_at <= moment),
    )
