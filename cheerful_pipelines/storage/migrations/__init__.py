"""Alembic migrations; `cheerful_pipelines.storage.migrate` runs them."""
