git init --quiet --initial-branch=main
git config user.name tester
git config user.email tester@example.org
echo first > README
git add -A
git commit --quiet --message first

mkdir src "dir ü"
printf 'def f():\n\treturn 1\n' > src/app.py
printf 'one\r\ntwo\r\nthree\r\n' > crlf.txt
printf 'no\nnewline' > noeol.txt
printf 'spaces\n' > 'dir ü/a file.txt'
printf '\000\001\002\377' > data.bin
printf 'gone\n' > gone.txt
printf '#!/bin/sh\n' > run.sh
printf 'tracked\n' > tracked.pyc
printf 'one\ntwo\nthree\nfour\n' > moved.txt
printf '*.log\n' > .gitignore
git add -A
git commit --quiet --message second
