"""SIGN-IN IN FRONT OF DAGSTER'S UI: who signs in, what their role may do, and who did what.

    tokens            whose token is it? Supabase's JSON web tokens, verified
    published_keys    the keys they are verified by, fetched without holding anybody up
    provider          calls to Supabase Auth, with limits
    sign_in           asks Supabase Auth for tokens in exchange for address and password
    roles             viewer, analyst, engineer: which GraphQL mutations each may send (pure)
    launches          which tags and which run config a launch may carry (pure)
    origin            which network a request comes from (pure)
    attempts          how many failed sign-ins are enough; attempt_store counts them in Postgres
    sessions          who a browser's cookie stands for; session_store keeps sessions in Postgres
    headers, pages    what browsers are told; our own HTML (pure)
    door              signing in, from the form to the cookie
    well_formed       whether a request, or a websocket's message, is one at all (pure)
    gate              the ASGI application in front: cookies, tokens, origin
    guarded_instance  Dagster's instance as one request sees it: checks each launch before it is stored
    webserver         Dagster's own web server, whose GraphQL asks the roles
    health            what may be known without signing in
    __main__          `python -m cheerful_pipelines.web`

`dagster-webserver` itself has no login and stays what `./infra/dev.sh start` runs on this machine.
"""
