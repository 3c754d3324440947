"""What people type, checked before anything is asked or stored."""

import email_validator

from cheerful_pipelines.core.errors import ConfigurationError


def require_address(text: str) -> str:
    """The text itself. Raises ConfigurationError for what is not an e-mail address, without repeating it in full."""
    try:
        email_validator.validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except email_validator.EmailNotValidError:
        shown = "What was given" if "@" in text else repr(text)
        raise ConfigurationError(
            f"{shown} is not an e-mail address.", what_to_do="Write it like name@brand.example."
        ) from None
    return text
