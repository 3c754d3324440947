#!/usr/bin/env bash
# The two commands of the README, and a few beside them. Needs bash and Python 3.11 to 3.13; makes everything else.
# What happens after the environment stands is in infra/supervise.py (start, stop, ...) and infra/check.py (test).
set -euo pipefail

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$repository"
venv="$repository/.venv"

usage() {
    cat <<'TEXT'
./infra/dev.sh COMMAND

  start [--fresh] [--port N] [--no-demo] [--keep-alive] [--celery] [--play-per-minute N]
                 everything on this machine, until Ctrl-C; --fresh wipes the data first
  stop           stop what start started
  status         what runs, and where
  logs [NAME]    the last lines of every log, or all of one (web, daemon, code, google, player)
  env            export lines for a shell of your own: eval "$(./infra/dev.sh env)"
  test [ARGS]    lint, types, layers, definitions and the test suite; ARGS go to pytest
  lock           renew requirements.lock and requirements-production.lock from pyproject.toml
  audit          known vulnerabilities of what is locked (asks the package index); secrets in the repository
  help           this text
TEXT
}

say() { printf '%s\n' "$*" >&2; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "Python 3.11, 3.12 or 3.13 is needed and was not found. Install one, or name it: PYTHON=/path/to/python $0 ..."
    exit 1
}

# Make .venv equal to the lock file. A stamp of both makes the second time instant.
ensure_environment() {
    local python wanted
    wanted="$(cksum requirements.lock pyproject.toml | cksum)"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/installed" 2>/dev/null || true)" = "$wanted" ]; then
        return
    fi
    python="$(find_python)"
    if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        say "making .venv with $("$python" --version)"
        if ! "$python" -m venv "$venv"; then
            say "Python's venv module failed. On Debian and Ubuntu: apt-get install python3-venv"
            exit 1
        fi
    fi
    say "installing the locked dependencies (once; a minute or two)"
    # --no-deps: the lock is complete, and resolving again would only cost time.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --only-binary :all: \
        -r requirements.lock
    # The package itself: its folder on the path and one script, so that nothing has to be built.
    site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    printf '%s\n' "$repository" >"$site/cheerful_pipelines.pth"
    printf '#!%s\nfrom cheerful_pipelines.cli import main\n\nmain()\n' "$venv/bin/python" >"$venv/bin/cheerful"
    chmod +x "$venv/bin/cheerful"
    printf '%s' "$wanted" >"$venv/installed"
}

command="${1:-help}"
[ $# -gt 0 ] && shift
case "$command" in
start | stop | status | logs | env)
    ensure_environment
    exec "$venv/bin/python" infra/supervise.py "$command" "$@"
    ;;
test)
    ensure_environment
    exec "$venv/bin/python" infra/check.py "$@"
    ;;
lock)
    ensure_environment
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
    # A person's own uv.toml may ask for any of these to be emitted, and name a mirror with its password.
    compile=("$venv/bin/python" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
        --no-emit-index-url --no-emit-find-links --no-emit-index-annotation --no-annotate --no-header pyproject.toml)
    new="$(mktemp -d)"
    trap 'rm -rf "$new"' EXIT
    cp requirements.lock requirements-production.lock "$new" # what is pinned stays so where it can
    "${compile[@]}" --extra dev -o "$new/requirements.lock"
    # What the image installs: no development tools, and otherwise the very versions that were tested.
    "${compile[@]}" --extra llm --extra celery --extra k8s --constraint "$new/requirements.lock" \
        -o "$new/requirements-production.lock"
    if grep --line-number -e '://' -e '^ *--find-links' -e '^ *--[a-z-]*index' "$new"/*.lock | cut -d: -f1,2 >&2; then
        say "these lines name a package index or a folder; nothing was renewed. Which setting of uv put them there?"
        exit 1
    fi
    cp "$new"/*.lock .
    ;;
audit)
    ensure_environment
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit
    "$venv/bin/python" -m pip_audit --requirement requirements.lock --require-hashes --disable-pip
    git ls-files | grep -v -e '\.json' -e '\.gz$' -e '\.png$' -e 'requirements.lock' -e '.secrets.baseline' |
        xargs "$venv/bin/detect-secrets-hook" --baseline .secrets.baseline
    ;;
help | -h | --help) usage ;;
*)
    say "unknown command: $command"
    usage >&2
    exit 2
    ;;
esac
