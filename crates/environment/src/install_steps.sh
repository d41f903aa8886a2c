# Runs the shell commands on standard input in the repository, as the first failure ends them, with `uv` in place of
# pip and pipx; then brings the files of the repository back to the base commit: what the commands changed in them was
# for them, and is no part of any patch. $PIP is the module that stands in for pip.
tools=$(mktemp -d) || exit
mkdir -p "$tools/bin" "$tools/lib/pip"
cat > "$tools/commands"
printf '%s' "$PIP" > "$tools/lib/pip/__main__.py"
: > "$tools/lib/pip/__init__.py"
printf '#!/bin/sh\nexec python -m pip "$@"\n' | tee "$tools/bin/pip" > "$tools/bin/pip3"
cat > "$tools/bin/pipx" <<'END'
#!/bin/sh
# pipx install NAME [--python VERSION]: the interpreter of the environment serves.
case $1 in install) exec /opt/uv/uv tool install --quiet --python "$VIRTUAL_ENV/bin/python" "$2" ;; esac
END
# Hooks of git are for those who publish their commits; setting them up takes other repositories.
printf '#!/bin/sh\n' > "$tools/bin/pre-commit"
chmod +x "$tools"/bin/*

cd /testbed || exit
(
    unset PIP BASE FIXED_TIME INDEX_TIME
    export PATH="$tools/bin:$PATH" PYTHONPATH="$tools/lib"
    # Installers that bring their own list of authorities would not know those of the host.
    authorities=/etc/ssl/certs/ca-certificates.crt
    [ ! -f "$authorities" ] || export SSL_CERT_FILE="$authorities" REQUESTS_CA_BUNDLE="$authorities"
    exec bash -eo pipefail "$tools/commands" < /dev/null
) || exit
rm -rf "$tools"

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
git diff --name-only -z "$BASE" > /tmp/changed || exit
git -c core.hooksPath=/dev/null -c core.logAllRefUpdates=false reset --quiet --hard "$BASE" || exit
xargs -0 -r touch -c -h -d "@$FIXED_TIME" -- < /tmp/changed
rm -f /tmp/changed .git/ORIG_HEAD
mkdir -p .git/info && git ls-files --others --exclude-standard --directory | sed 's|^|/|' >> .git/info/exclude || exit
git update-index -q --refresh
touch -d "@$INDEX_TIME" .git/index
