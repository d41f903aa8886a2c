# Prints a pack with the commit $BASE of the repository at $REPO, without its history.
set -euo pipefail
cd "$REPO"
git rev-list --objects --no-object-names --no-walk "$BASE" |
    git pack-objects --quiet --stdout --window=0 --delta-base-offset
