"""Fixtures that several of these files share."""

from cheerful_pipelines_tests.mail.gmail.test_gmail_assets import installation

__all__ = ["installation"]
