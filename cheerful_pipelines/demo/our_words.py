"""What we write: first mails, follow-ups and answers, with the footer that replies quote back. Pure."""

from random import Random

from cheerful_pipelines.demo.models import DemoAccount, DemoCampaign, Person

_GIFT_SUBJECTS = (
    "A little something from {brand} for {first}", "{first}, may we send you our {product}?",
    "{brand} x {handle}", "A gift for your next routine, {first}",
)  # fmt: skip
_PAID_SUBJECTS = (
    "Paid collaboration: {brand} x {handle}", "{first}, a paid partnership with {brand}",
    "Campaign request for {handle}", "Working together on the {product}?",
)  # fmt: skip
_GIFT_FIRST = (
    "I'm {sender} from {brand}. I've been following {handle} on {platform} for a while, and your way of "
    "showing things "
    "is just what our {product} was made for. May we send you one as a gift? There are no strings attached.",
    "Our {product} comes out this season, and we keep a few for people whose taste we trust. Yours is "
    "on the list. "
    "If you like the idea, tell me where the parcel can go and which variant you prefer.",
    "Your last post on {platform} made our whole team smile. We'd love to send you the {product} for free, "
    "and if you like it, your followers may hear about it.",
)
_PAID_FIRST = (
    "I'm {sender}, and I look after creators for {brand}. We plan a paid campaign around the {product} "
    "and think that "
    "{handle} would be a fine match. The frame is one reel and two stories within four weeks.",
    "{brand} has asked us to bring together twenty voices for the {product}. I thought of you first. It "
    "is a paid "
    "partnership, the brief is short, and you keep your own style.",
    "We're looking for creators on {platform} for the launch of the {product}. It's paid, usage is "
    "limited to 30 days, "
    "and we work fast. Would you like to see the brief?",
)
_SECOND = (
    "I just wanted to bring my note back to the top of your inbox. The offer stands.",
    "Did you get a chance to look at my last mail? I'd be happy to hear what you think.",
    "A short nudge from me, in case my mail got lost between all the others.",
)
_THIRD = (
    "This is my last note on this, I promise. If the {product} speaks to you, one line is enough.",
    "I don't want to fill your inbox, so I'll leave it at this. You know where to find us.",
    "We close the list this week. If you'd still like to join, now is the time.",
)
_FOOTER = (
    "\n\n--\n{sender} | {brand}\n"
    "If you no longer wish to hear from us, reply with \"unsubscribe\" and we take you off "
    "our list.",
    "\n\n{brand}, 5 Harbour Steps, Gullport\nNot interested? Tell us to stop and we will not contact "
    "you again.",
)  # fmt: skip
ANSWERS: dict[str, tuple[str, ...]] = {
    "interested": (
        "That's wonderful to hear. Could you send me your delivery address and your size or shade?",
        "Lovely, thank you! For the next step I need your address and the variant you'd like.",
    ),
    "interested_paid": (
        "Great! Could you tell me your usual rate for one reel and two stories?",
        "Glad to hear it. What would your fee be for the package in the brief?",
    ),
    "details_provided": (
        "Thank you, the parcel leaves our studio this week.",
        "Got it, I'll send you the tracking.",
    ),
    "negotiating": (
        "Thanks for being open about this. I've taken it to the brand, and we can meet you half way.",
        "That's a bit above our frame. Would you do it without the usage rights for a little less?",
    ),
    "question": (
        "Good question! It's all in the short brief: one post, your own words, no exclusivity.",
        "Happy to explain: we ship anywhere, there are no costs for you, and the timing is yours.",
    ),
    "referral": ("Thank you for pointing me the right way. Adding your colleague here.",),
    "not_interested": ("Thank you for letting me know, and all the best!",),
    "handover": (
        "I'm handing you over to my colleague {colleague}, in Cc, who takes care of everything from here.",
        "{colleague} in Cc runs this part of the campaign and will write to you.",
    ),
    "takeover": ("Hi, {sender} here, I'm taking over from my colleague. Shall we go on?",),
}


def first_mail(random: Random, campaign: DemoCampaign, sender: DemoAccount, to: Person) -> tuple[str, str]:
    """Subject and words of step 1."""
    is_paid = campaign.campaign_type == "PAID_PROMOTION"
    subject = random.choice(_PAID_SUBJECTS if is_paid else _GIFT_SUBJECTS)
    return _fill(subject, campaign, sender, to), _letter(
        random, random.choice(_PAID_FIRST if is_paid else _GIFT_FIRST), campaign, sender, to
    )


def follow_up(random: Random, step: int, campaign: DemoCampaign, sender: DemoAccount, to: Person) -> str:
    """Words of step 2 or 3."""
    return _letter(random, random.choice(_SECOND if step == 2 else _THIRD), campaign, sender, to)


def answer(
    random: Random, topic: str, campaign: DemoCampaign, sender: DemoAccount, to: Person, colleague: str = ""
) -> str:
    """Our answer to a reply of that label."""
    text = random.choice(ANSWERS[topic]).replace("{colleague}", colleague).replace("{sender}", sender.first_name)
    return f"Hi {to.first_name},\n\n{text}\n\nBest,\n{sender.first_name}"


def _letter(random: Random, core: str, campaign: DemoCampaign, sender: DemoAccount, to: Person) -> str:
    greeting = random.choice(("Hi {first},", "Hello {first},", "Dear {first},"))
    text = f"{greeting}\n\n{core}\n\nWarmly,\n{{sender}}{random.choice(_FOOTER)}"
    return _fill(text, campaign, sender, to)


def _fill(text: str, campaign: DemoCampaign, sender: DemoAccount, to: Person) -> str:
    return text.format(
        first=to.first_name, handle=to.handle, platform=to.platform, brand=campaign.brand,
        product=campaign.product, sender=sender.first_name,
    )  # fmt: skip
