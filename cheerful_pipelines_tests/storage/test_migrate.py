"""Rolling back: a release that is older than the database leaves it alone."""

import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import is_ahead, is_current, main


def test_a_database_of_a_newer_release_is_left_alone(owner: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    url = owner.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("CHEERFUL_MIGRATION_DATABASE_URL", url)
    load_settings.cache_clear()
    assert is_current(owner)
    assert not is_ahead(owner)
    with owner.login_transaction() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))

    assert is_ahead(owner)
    assert not is_current(owner)
    main()

    with owner.login_transaction() as connection:
        assert connection.execute(sa.text("select version_num from alembic_version")).scalar_one() == "9999"
    load_settings.cache_clear()
