import json, os, sys, sysconfig

names = ("posix_prefix", "deb_system", "posix_local")
schemes = [name for name in names if name in sysconfig.get_scheme_names()]
folders = {sysconfig.get_path(key, name) for name in schemes for key in ("purelib", "platlib")}
executable = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps({
    "executable": os.path.realpath(executable),
    "prefix": os.path.realpath(sys.base_prefix),
    "version": "%d.%d.%d" % sys.version_info[:3],
    "packages": sorted(folder for folder in folders if os.path.isdir(folder)),
}))
