"""LOGIN IN FRONT OF DAGSTER'S UI: who signs in, what their role may do, and who did what.

    tokens        whose token is it? Supabase's JSON web tokens, verified
    roles         viewer, analyst, engineer: which GraphQL mutations each may send (pure)
    sessions      signed cookies, so that a browser signs in once
    sign_in       asks Supabase Auth for a token in exchange for address and password
    gate          the ASGI application in front: pages, cookies, origin, limits
    webserver     Dagster's own web server, whose GraphQL asks the roles
    health        what may be known without a login
    __main__      `python -m cheerful_pipelines.web`

`dagster-webserver` itself has no login and stays what `./infra/dev.sh start` runs on this machine.
"""
