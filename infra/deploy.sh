#!/usr/bin/env bash
# Deploy an environment: ./infra/stg/deploy.sh [--preview]. Needs flyctl, logged in.
#   1. every required secret is there (infra/secrets.txt)   --preview stops here
#   2. the daemon stops, so that nothing new starts; running work ends at its checkpoints
#   3. the new image: migrations as the release command, then web, worker, daemon
#   4. the new image's doctor, which must be content
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
environment="${1:?stg or prd}"
shift
config="$here/$environment/fly.toml"
[ -f "$config" ] || { echo "no such environment: $environment" >&2; exit 2; }
app="$(sed -n 's/^app = "\(.*\)"/\1/p' "$config")"
command -v flyctl >/dev/null || { echo "flyctl is not installed" >&2; exit 1; }

set_names="$(flyctl secrets list --app "$app" --json | python3 -c 'import json, sys; print("\n".join(s.get("Name") or s["name"] for s in json.load(sys.stdin)))')"
missing=0
while read -r name need words; do
    case "$name" in "" | \#*) continue ;; esac
    if grep -qx "$name" <<<"$set_names"; then state="set"; else
        state="missing"
        [ "$need" = required ] && missing=$((missing + 1))
    fi
    printf '%-34s %-9s %-8s %s\n' "$name" "$need" "$state" "$words"
done <"$here/secrets.txt"
if [ "$missing" -gt 0 ]; then
    echo "$missing required secrets are missing: nothing was deployed" >&2
    exit 1
fi
[ "${1:-}" = "--preview" ] && exit 0

flyctl scale count daemon=0 --app "$app" --yes
flyctl deploy --config "$config" --app "$app" "$@"
if ! flyctl ssh console --app "$app" --process-group worker --command "/app/infra/run.sh doctor"; then
    echo "the doctor is not content: the daemon stays stopped. Mend it, then: flyctl scale count daemon=1 --app $app" >&2
    exit 1
fi
flyctl scale count daemon=1 --app "$app" --yes
