//! What real programs need works behind all walls.

use std::time::Duration;

use swegym_sandbox::{ExecRequest, ExecStatus, Sandbox};

use super::{Subject, sh, text};

/// Whether the image has a program; prints that the case is skipped when not.
/// Whether the image has a program; says so where it has not.
pub(super) async fn has(sandbox: &dyn Sandbox, program: &str) -> bool {
    let found = sh(sandbox, &format!("command -v {program}")).await.success();
    if !found {
        println!("skipped: no `{program}` in the image");
    }
    found
}

async fn python(sandbox: &dyn Sandbox, script: &str) -> String {
    sandbox.write_file("/tmp/script.py", script.as_bytes()).await.unwrap();
    let request = ExecRequest::new(["python3", "/tmp/script.py"]).merged().within(Duration::from_secs(120));
    let output = sandbox.exec(&request).await.unwrap();
    assert_eq!(output.status, ExecStatus::Exited(0), "{}", output.stdout.to_text());
    output.stdout.to_text()
}

pub(crate) async fn python_uses_processes_and_threads(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    if !has(&*sandbox, "python3").await {
        return;
    }
    let script = "\
import asyncio, multiprocessing as mp, threading, concurrent.futures as cf, subprocess
from multiprocessing import shared_memory
def square(n): return n * n
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        with mp.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(4)))
    context = mp.get_context('fork')
    lock, queue = context.Lock(), context.Queue()
    child = context.Process(target=lambda: (lock.acquire(), queue.put('queued')))
    child.start(); print(queue.get()); child.join()
    block = shared_memory.SharedMemory(create=True, size=100)
    block.buf[0] = 7; print(block.buf[0]); block.close(); block.unlink()
    with cf.ThreadPoolExecutor(8) as pool: print(sum(pool.map(square, range(100))))
    async def main():
        child = await asyncio.create_subprocess_exec('echo', 'child', stdout=subprocess.PIPE)
        print((await child.communicate())[0])
    asyncio.run(main())
";
    let expected =
        "fork [0, 1, 4, 9]\nspawn [0, 1, 4, 9]\nforkserver [0, 1, 4, 9]\nqueued\n7\n328350\nb'child\\n'\n";
    assert_eq!(python(&*sandbox, script).await, expected);
}

pub(crate) async fn python_uses_the_network_of_its_own(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    if !has(&*sandbox, "python3").await {
        return;
    }
    let script = "\
import http.server, socket, threading, urllib.request, os, tempfile
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'served')
for host, family in (('127.0.0.1', socket.AF_INET), ('localhost', socket.AF_INET)):
    server = http.server.ThreadingHTTPServer((host, 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(urllib.request.urlopen(f'http://{host}:{server.server_port}/').read())
path = tempfile.mktemp()
for name in (path, '\\0abstract'):
    a = socket.socket(socket.AF_UNIX); a.bind(name); a.listen()
    b = socket.socket(socket.AF_UNIX); b.connect(name); print('connected')
print([name for _, name in socket.if_nameindex()])
";
    let expected = "b'served'\nb'served'\nconnected\nconnected\n['lo']\n";
    assert_eq!(python(&*sandbox, script).await, expected);
}

pub(crate) async fn git_keeps_a_history(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    if !has(&*sandbox, "git").await {
        return;
    }
    let script = "\
set -e
export GIT_TEMPLATE_DIR=
cd /root; git init -q one; cd one
git config user.email a@example.com; git config user.name a
mkdir -p a/b; echo 1 > a/b/file; ln -s b a/link; git add .; git commit -q -m first
git checkout -q -b other; git mv a c; git commit -q -a -m moved
git gc -q; git clone -q . ../two; cd ../two
git stash -q 2> /dev/null || true
git log --format=%s; git fsck --no-progress; cat c/b/file; git worktree add -q ../three HEAD; ls ../three";
    assert_eq!(text(&*sandbox, script).await, "moved\nfirst\n1\nc\n");
}

pub(crate) async fn programs_are_built(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    for program in ["make", "gcc"] {
        if !has(&*sandbox, program).await {
            return;
        }
    }
    let script = "\
set -e
mkdir /root/p; cd /root/p
printf '#include <pthread.h>\\n#include <stdio.h>\\nstatic void *f(void *x) { return x; }\\n' > p.c
printf 'int main(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); puts(\"ran\"); }\\n' >> p.c
printf 'all: p\\n\\t./p\\np: p.o\\n\\tgcc -o p p.o -pthread\\np.o: p.c\\n\\tgcc -c p.c\\n' > Makefile
make -s -j4";
    assert_eq!(text(&*sandbox, script).await, "ran\n");
}

pub(crate) async fn the_shell_controls_jobs(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
set -m
exec 2> /dev/null
sleep 100 > /dev/null & kill -STOP %1; while [ \"$(jobs -s | wc -l)\" = 0 ]; do :; done > /dev/null; echo stopped
kill -CONT %1; kill %1; wait %1 2> /dev/null; echo $?
(trap 'echo caught; exit 5' USR1; kill -USR1 $BASHPID; sleep 100); echo $?
cat <(echo substituted) | tee >(cat > /dev/null)
ulimit -n 64; ulimit -n; nice -n 5 echo nicer; timeout 5 echo in time";
    assert_eq!(text(&*sandbox, script).await, "stopped\n143\ncaught\n5\nsubstituted\n64\nnicer\nin time\n");
}

pub(crate) async fn files_move_between_folders(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let script = "\
set -e
mkdir -p /root/a /root/b /tmp/c; echo x > /root/a/file
mv /root/a/file /root/b/file; ln /root/b/file /root/a/again; mv /root/b/file /tmp/c/file
mkfifo /root/pipe; (echo through > /root/pipe &); cat /root/pipe
stat -c %h /root/a/again; cat /root/a/again /tmp/c/file; cp -a /root/a /tmp/copy; ls /tmp/copy";
    assert_eq!(text(&*sandbox, script).await, "through\n2\nx\nx\nagain\n");
}
