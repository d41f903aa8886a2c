# Prints a line for each error in the file $LINTED: code, line and message with tabs between them.
python=$(command -v python || command -v python3) || exit 0
if "$python" -c 'import pylint' 2>/dev/null; then
  "$python" -m pylint --disable=all --enable=E,F --score=n --persistent=n \
    --msg-template='{msg_id}	{line}	{msg}' -- "$LINTED" 2>/dev/null | grep -v '^\*'
elif "$python" -c 'import pyflakes' 2>/dev/null; then
  "$python" -m pyflakes -- "$LINTED" 2>/dev/null | sed -nE 's/^[^:]*:([0-9]+):([0-9]+:)? (.*)$/pyflakes\t\1\t\3/p'
else
  "$python" -c 'import os, sys
try:
    compile(open(os.environ["LINTED"], "rb").read(), "file", "exec")
except SyntaxError as error:
    print("syntax", error.lineno or 0, error.msg, sep="\t")' 2>/dev/null
fi
exit 0
