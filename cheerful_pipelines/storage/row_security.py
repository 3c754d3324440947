"""Whether this database keeps clients apart: what the login may do, and what the tables enforce.

The policies themselves stand in migration 0009.
"""

import sqlalchemy as sa

from cheerful_pipelines.storage.engine import Database

_LOGIN = sa.text("""
    select r.rolsuper as is_superuser, r.rolbypassrls as bypasses_row_security, r.rolcreaterole as may_make_roles,
           exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relowner = r.oid) as owns_tables,
           exists (select 1 from pg_roles s where s.rolname = 'service_role' and pg_has_role(r.oid, s.oid, 'member')
                   and not r.rolsuper) as is_service_role
      from pg_roles r where r.rolname = session_user
""")
_OPEN_TABLES = sa.text("""
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
       and not (c.relrowsecurity and c.relforcerowsecurity
                and exists (select 1 from pg_policy p where p.polrelid = c.oid))
     order by 1
""")


def row_security_problems(database: Database) -> list[str]:
    """What is wrong, in words; empty where clients are kept apart. Raises TransientError where nothing answers."""
    with database.login_transaction() as connection:
        login = connection.execute(_LOGIN).mappings().one()
        tables = list(connection.execute(_OPEN_TABLES).scalars())
    found = [f"the login {name.replace('_', ' ')}" for name, is_so in login.items() if is_so]
    if tables:
        found.append(f"no row-level security on {', '.join(tables)}")
    return found
