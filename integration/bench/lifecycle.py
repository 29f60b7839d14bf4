#!/usr/bin/env python3
"""Compares low-level runtimes, interleaved and shuffled: medians, p10, CPU time, peak memory, page faults.

    sudo bench/compare.py [-n ROUNDS] NAME=PATH[,FLAG...] ...
    sudo bench/compare.py -n 100 rt=target/release/rt crun=/usr/bin/crun runc=/usr/sbin/runc

The first runtime is what the others' ratios are against. The bundle is that of `runc spec` around a static busybox.
Everything happens in a private mount namespace; crun refuses a hybrid host, so cgroup2 is unmounted there (`--hybrid`
keeps it). Cgroups are made below /rt-test/bench, states in a directory of our own.

A small C program spawns and waits: with vfork(2), so that the measured process does not begin with Python's memory.
"""
import argparse, json, os, random, shutil, statistics, subprocess, sys, tempfile

SPAWNER = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
extern char **environ;
/* A line of words in; exit code, nanoseconds, user and system microseconds, KiB, minor faults out. */
int main(void) {
    static char line[65536];
    while (fgets(line, sizeof line, stdin)) {
        char *argv[128]; int n = 0;
        for (char *w = strtok(line, " \n"); w; w = strtok(0, " \n")) argv[n++] = w;
        argv[n] = 0;
        struct timespec a, b; struct rusage u; int s;
        clock_gettime(CLOCK_MONOTONIC, &a);
        pid_t p = vfork();
        if (!p) { dup2(2, 1); execve(argv[0], argv, environ); _exit(127); }
        wait4(p, &s, 0, &u);
        clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%d %lld %lld %lld %ld %ld\n", WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s),
            (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec,
            u.ru_utime.tv_sec * 1000000LL + u.ru_utime.tv_usec, u.ru_stime.tv_sec * 1000000LL + u.ru_stime.tv_usec,
            u.ru_maxrss, u.ru_minflt);
        fflush(stdout);
    }
}
"""
CYCLE = ["create", "state", "start", "exec", "kill", "delete"]


def bundle(directory, name, args):
    """A bundle as `runc spec` makes it, whose program is `args`."""
    os.makedirs(f"{directory}/{name}/rootfs/bin")
    for applet in ["true", "sleep", "sh"]:
        shutil.copy("/bin/busybox", f"{directory}/{name}/rootfs/bin/{applet}")
    for place in ["proc", "dev", "sys"]:
        os.mkdir(f"{directory}/{name}/rootfs/{place}")
    subprocess.run(["runc", "spec", "-b", f"{directory}/{name}"], check=True)
    path = f"{directory}/{name}/config.json"
    config = json.load(open(path))
    config["ociVersion"] = "1.0.2"
    config["process"].update(terminal=False, args=args)
    config["linux"]["cgroupsPath"] = "/rt-test/bench/x"
    json.dump(config, open(path, "w"))
    return f"{directory}/{name}"


class Bench:
    def __init__(self, directory, seen):
        subprocess.run(["cc", "-O2", "-static", "-x", "c", "-", "-o", f"{directory}/spawner"],
                       input=SPAWNER.encode(), check=True)
        log = open(f"{directory}/messages", "w")
        self.spawner = subprocess.Popen([f"{directory}/spawner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=log, text=True)
        self.directory, self.seen = directory, seen

    def call(self, name, verb, command):
        print(*command, file=self.spawner.stdin, flush=True)
        code, ns, user, system, kib, faults = map(int, self.spawner.stdout.readline().split())
        if code:
            sys.exit(f"{name} {verb}: exit code {code}\n" + open(f"{self.directory}/messages").read()[-2000:])
        self.seen.setdefault((verb, name), []).append((ns / 1e6, (user + system) / 1e3, kib, faults))

    def round(self, name, program, once, long):
        rt = [*program, "--root", f"{self.directory}/state-{name}"]
        for verb, words in once.items():
            self.call(name, verb, [*rt, *words, "b1"])
        for verb in long:
            words = {"create": ["create", "-b", f"{self.directory}/sleep", "b2"], "exec": ["exec", "b2", "/bin/true"],
                     "kill": ["kill", "b2", "KILL"]}.get(verb, [verb, "b2"])
            self.call(name, verb, [*rt, *words])
            if verb == "kill":
                self.wait_stopped(rt)

    def wait_stopped(self, rt):
        while '"stopped"' not in subprocess.run([*rt, "state", "b2"], capture_output=True, text=True).stdout:
            pass


def report(names, seen):
    print(f"{'':8} {'':8} {'median':>8} {'p10':>8} {'CPU':>7} {'KiB':>7} {'faults':>7}   ratio to {names[0]}: median p10 CPU")
    for verb in dict.fromkeys(verb for verb, _ in seen):
        first = None
        for name in names:
            rows = seen[verb, name]
            wall = sorted(row[0] for row in rows)
            figures = [statistics.median(wall), wall[len(wall) // 10], statistics.fmean(row[1] for row in rows)]
            first = first or figures
            ratios = " ".join(f"{own / other:6.2f}" for own, other in zip(first, figures))
            print(f"{verb:8} {name:8} {figures[0]:8.2f} {figures[1]:8.2f} {figures[2]:7.2f} "
                  f"{statistics.median(row[2] for row in rows):7.0f} {statistics.median(row[3] for row in rows):7.0f}   "
                  + (ratios if name != names[0] else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=50, help="rounds")
    parser.add_argument("--hybrid", action="store_true", help="leave cgroup2 mounted")
    parser.add_argument("--only", default=",".join(["run", *CYCLE]), help="verbs")
    parser.add_argument("runtime", nargs="+", help="NAME=PATH[,FLAG...]")
    asked = parser.parse_args()
    if os.environ.get("BENCH_INSIDE") != "1":
        os.environ["BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    if not asked.hybrid:
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False)
    runtimes = {name: path.split(",") for name, path in (word.split("=", 1) for word in asked.runtime)}
    verbs = asked.only.split(",")
    seen = {}
    with tempfile.TemporaryDirectory(prefix="rt-bench-") as directory:
        once = {"run": ["run", "-b", bundle(directory, "true", ["/bin/true"])]} if "run" in verbs else {}
        bundle(directory, "sleep", ["/bin/sleep", "1000"])
        bench = Bench(directory, seen)
        for number in range(asked.n + 1):
            for name, program in random.sample(list(runtimes.items()), len(runtimes)):
                bench.round(name, program, once, CYCLE if any(verb in verbs for verb in CYCLE) else [])
            if number == 0:
                seen.clear()  # whatever was read from disk
        bench.spawner.stdin.close()
    report(list(runtimes), seen)


main()
