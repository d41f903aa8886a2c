# Prints the difference between the commit $BASE and the files under $REPO as a patch.
#
# The repository's own .git is in the hands of whoever worked here: locks, index, HEAD, configuration, hooks,
# filters and drivers cannot be relied on, and must not run. So the comparison is made from a repository of
# its own, which borrows the objects and nothing else; where $OBJECTS is `stdin`, not even those: then a pack of
# the base commit comes in.
set -eu

if [ ! -d "$REPO" ] || [ -L "$REPO" ]; then
    echo "$REPO is no folder any more" >&2
    exit 1
fi
if [ "$OBJECTS" = own ]; then
    if [ ! -d "$REPO/.git/objects" ]; then
        echo "$REPO has no .git/objects any more" >&2
        exit 1
    fi
    # Git opens whatever lies there, and would wait for ever for somebody to write into a pipe.
    if [ -n "$(find "$REPO/.git/objects" ! -type f ! -type d -print -quit)" ]; then
        echo "$REPO/.git/objects holds what is neither a file nor a folder" >&2
        exit 1
    fi
fi
scratch=$(mktemp -d 2>/dev/null || mktemp -d -p /)
trap 'rm -rf "$scratch"' EXIT
export HOME="$scratch" XDG_CONFIG_HOME="$scratch"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1

git init --quiet --bare --template= --object-format="$OBJECT_FORMAT" "$scratch/comparison" >&2
export GIT_DIR="$scratch/comparison" GIT_WORK_TREE="$REPO"
if [ "$OBJECTS" = own ]; then
    printf '%s\n' "$REPO/.git/objects" > "$GIT_DIR/objects/info/alternates"
else
    git index-pack --stdin >&2
fi
mkdir -p "$GIT_DIR/info"
printf '%s\n' "$EXCLUDE" > "$GIT_DIR/info/exclude"
# What the image holds beside the repository's files may be listed there.
if [ -f "$REPO/.git/info/exclude" ]; then
    head -c 65536 "$REPO/.git/info/exclude" >> "$GIT_DIR/info/exclude"
fi

cd "$REPO"
# As above: git opens files of these names wherever they lie.
find . -name '.git*' -type p -delete >&2 || true
git read-tree "$BASE"
# New files belong to it or not, as is asked for.
others=
[ "$ADDED" != --all ] || others=--others
added=0
git add "$ADDED" --ignore-errors >&2 || added=$?
# 1 says that some paths could not be added. A repository within the repository that has no commit is such a
# path, and no part of the work; anything else would be missing from the patch.
if [ "$added" -eq 1 ]; then
    git ls-files --modified $others --exclude-standard | grep -v '/$' > "$scratch/left" || true
    [ ! -s "$scratch/left" ] || exit 1
elif [ "$added" -ne 0 ]; then
    exit "$added"
fi

# Renames as deletion and addition, and full object ids: this is what every program that applies patches
# understands, and what does not depend on thresholds or on the number of objects.
git diff --cached --binary --full-index --no-renames --no-color --no-ext-diff --no-textconv \
    --ignore-submodules=all --src-prefix=a/ --dst-prefix=b/ "$BASE"
