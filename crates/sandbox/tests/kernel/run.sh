#!/usr/bin/env bash
# Runs the tests of the local backend on another kernel, in a virtual machine whose files come from this one.
#
#   cargo test -p swegym-sandbox --no-run
#   apt-get download linux-image-6.1.0-56-cloud-amd64
#   crates/sandbox/tests/kernel/run.sh linux-image-*.deb v2 TARGET/debug/deps/local-HASH TARGET/debug/swegym-guest [FILTER...]
#
# `v2` mounts version 2 of cgroups alone, `v1` version 1, `delegated` version 2 with a group that belongs to the
# ordinary user, as whom the tests then run; the others run as root, and from there as an ordinary user. Needs
# qemu-system-x86, busybox-static, cpio, dpkg-deb and python3 of the distribution. Not part of `cargo test`.
set -euo pipefail

deb=$(realpath "$1") cgroups=$2 tests=$(realpath "$3") guest=$(realpath "$4")
shift 4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
mkdir -p "$root"/{proc,sys,dev,run,tmp,root,etc,var,home,new,usr/bin,usr/lib,usr/sbin,usr/lib64,swegym}
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done

# A program with the libraries that it is linked to.
copy() {
    local file
    for file in "$@" $(ldd "$@" 2> /dev/null | grep -o '/[^ :]*' | sort -u); do
        [ -e "$root$file" ] || [ -L "$root$file" ] || { mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"; }
    done
}
for program in bash cat chmod chroot cut date dd df env expr find grep head hostname id kill ls mkdir mknod mount od \
    pgrep printf ps rm sed seq setsid sh sleep sort stat tail tee timeout touch tr true false truncate umount uname unshare wc \
    yes python3 curl ln mv cp readlink; do
    path=$(PATH=/usr/bin:/bin:/usr/sbin:/sbin type -P "$program" || true)
    [ ! -x "$path" ] || copy "$path"
done
library=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir -p "$root$library"
tar -C "$library" --exclude='config-*' --exclude=test --exclude=__pycache__ -c . | tar -C "$root$library" -x
for module in "$library"/lib-dynload/*.so; do copy "$module"; done
# Names are looked up by libraries that no program is linked to.
copy /lib/x86_64-linux-gnu/libnss_files.so.2 /lib/x86_64-linux-gnu/libnss_dns.so.2
copy "$tests" "$guest"
mv "$root$tests" "$root/swegym/tests" && mv "$root$guest" "$root/swegym/guest"
cp "$(command -v busybox)" "$root/busybox"
printf 'root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n' > "$root/etc/passwd"
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"

dpkg-deb -x "$deb" "$scratch/kernel"
cp "$(find "$scratch/kernel" -name overlay.ko)" "$root/overlay.ko"

# The root file system of an initial memory disk cannot be exchanged, so everything moves into another one first.
cat > "$root/init" <<'INIT'
#!/busybox sh
/busybox mount -t tmpfs -o mode=755,size=80% none /new
for path in /*; do [ "$path" = /new ] || /busybox cp -a "$path" /new; done
/busybox rm -rf /swegym /lib/python3*
exec /busybox switch_root /new /main
INIT
cat > "$root/main" <<'MAIN'
#!/bin/bash
export PATH=/usr/bin:/bin HOME=/root TMPDIR=/tmp
b=/busybox
chmod 1777 /tmp
$b mount -t proc none /proc; $b mount -t sysfs none /sys; $b mount -t devtmpfs none /dev
$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts -o ptmxmode=666 none /dev/pts; $b mount -t tmpfs none /dev/shm
$b insmod /overlay.ko; $b ip link set lo up
read -r cgroups < /swegym/cgroups
if [ "$cgroups" = v1 ]; then
    $b mount -t tmpfs none /sys/fs/cgroup
    for name in memory pids cpu,cpuacct blkio; do
        $b mkdir "/sys/fs/cgroup/$name" && $b mount -t cgroup -o "$name" none "/sys/fs/cgroup/$name"
    done
else
    $b mount -t cgroup2 none /sys/fs/cgroup
fi
mapfile -t filter < /swegym/filter
echo "kernel $($b uname -r), cgroups $cgroups: $(cat /proc/self/cgroup | tr '\n' ' ')"
if [ "$cgroups" = delegated ]; then
    echo '+memory +pids +cpu' > /sys/fs/cgroup/cgroup.subtree_control
    $b mkdir -p /sys/fs/cgroup/user/session /home/nobody
    $b chown -R 65534:65534 /sys/fs/cgroup/user /home/nobody
    $b cp /swegym/guest /home/nobody/guest
    echo $$ > /sys/fs/cgroup/user/session/cgroup.procs
    HOME=/home/nobody TMPDIR=/home/nobody SWEGYM_TEST_GUEST=/home/nobody/guest \
        python3 -c 'import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.execv("/swegym/tests", ["tests", "--nocapture", *[f for f in open("/swegym/filter").read().split("\n") if f]])'
else
    SWEGYM_TEST_GUEST=/swegym/guest /swegym/tests --nocapture ${filter[0]:+"${filter[@]}"}
fi
echo "the tests ended with $?"
$b poweroff -f
MAIN
chmod +x "$root/init" "$root/main"
echo "$cgroups" > "$root/swegym/cgroups"
printf '%s\n' "$@" > "$root/swegym/filter"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) > "$scratch/initrd"
qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 4096 -smp 2 -nographic -no-reboot -nic none \
    -kernel "$(find "$scratch/kernel/boot" -name 'vmlinuz-*')" -initrd "$scratch/initrd" \
    -append 'console=ttyS0 panic=-1 quiet rdinit=/init' < /dev/null | tee "$scratch/console"
grep -q 'the tests ended with 0' "$scratch/console"
