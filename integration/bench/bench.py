#!/usr/bin/env python3
"""bench.py [--rounds N] [--bundle hello,docker] [--verbs run,create,...] [NAME=PATH...]

Compares runtimes, verb by verb: wall time (median and p10), CPU time, system calls, page faults, peak memory, each with
its ratio to crun. `old=PATH new=PATH` compares two builds of rt. The calls are interleaved and shuffled, inside
integration/contained.sh; with cgroup v1 alone in view where the machine has both (crun refuses to see both). Wall time
repeats within 10 to 20 % on a shared machine, the others within 6 %: trust the ratios, not the milliseconds.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
VERBS = ["run", "create", "state", "start", "exec", "list", "kill", "delete"]
# Those whose calls include the first ones of a container's process, up to the execution of its program.
PROGRAM = re.compile(r'execve(at)?\((\d+, )?"/bin/(true|sleep)"')

# Reads a line of words; writes exit code, nanoseconds, microseconds of CPU time, KiB, minor faults. By vfork(2), so that
# the measured process does not begin with Python's memory.
SPAWNER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
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
        printf("%d %lld %lld %ld %ld\n", WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s),
            (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec,
            (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000LL + u.ru_utime.tv_usec + u.ru_stime.tv_usec,
            u.ru_maxrss, u.ru_minflt);
        fflush(stdout);
    }
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", 40)))
    parser.add_argument("--bundle", default="hello,docker", help="hello: the example; docker: as dockerd writes it")
    parser.add_argument("--verbs", default=",".join(VERBS))
    parser.add_argument("runtimes", nargs="*", metavar="NAME=PATH")
    asked = parser.parse_args()
    if "RT_CONTAINED" not in os.environ:
        view = os.environ.get("CGROUP_VIEW") or ("v1" if os.path.isdir("/sys/fs/cgroup/unified") else "host")
        os.environ["CGROUP_VIEW"] = view
        contained = os.path.join(TOP, "integration/contained.sh")
        os.execv(contained, [contained, "python3", os.path.abspath(__file__)] + sys.argv[1:])

    named = asked.runtimes or ["rt=" + os.path.join(TOP, "target/release/rt"), "crun=crun", "runc=runc"]
    paths = {name: shutil.which(path) for name, path in (word.split("=", 1) for word in named)}
    runtimes = {name: path for name, path in paths.items() if path}
    load = os.getloadavg()[0]
    for kind in asked.bundle.split(","):
        with tempfile.TemporaryDirectory() as directory:
            bench = Bench(directory, kind, asked.verbs.split(","))
            for number in range(asked.rounds + 1):
                for name in random.sample(list(runtimes), len(runtimes)):
                    bench.round(name, runtimes[name])
                    time.sleep(0.02)  # as on an idle host: a busy one hides the waits for RCU grace periods
                if number == 0:
                    bench.seen.clear()  # whatever was read from disk
            calls = {name: bench.count_calls(name, path) for name, path in runtimes.items()}
        print(f"bundle {kind}, {asked.rounds} times each, interleaved, on {os.cpu_count()} processors with load {load:.1f}; "
              "in brackets the ratio to crun")
        report(list(runtimes), bench.seen, calls)


def config(kind):
    """A config.json of that kind, whose program is still to be said."""
    if kind == "hello":
        with open(os.path.join(TOP, "spec-examples/hello/config.json"), encoding="utf-8") as file:
            return json.load(file)
    with open(os.path.join(TOP, "src/spec/captured/docker.json"), encoding="utf-8") as file:
        found = json.load(file)
    del found["hooks"]  # the network of dockerd
    found["linux"]["resources"].update(memory={"limit": 1 << 28}, cpu={"shares": 512, "quota": 50000, "period": 100000},
                                       pids={"limit": 100})
    return found


class Bench:
    def __init__(self, directory, kind, verbs):
        self.directory, self.verbs, self.seen = directory, verbs, {}
        for name, args in ("true", ["/bin/true"]), ("sleep", ["/bin/sleep", "1000"]):
            self.bundle(config(kind), name, args)
        spawner = f"{directory}/spawner"
        subprocess.run(["cc", "-O2", "-static", "-x", "c", "-", "-o", spawner], input=SPAWNER.encode(), check=True)
        with open(f"{directory}/messages", "w", encoding="utf-8") as log:
            self.spawner = subprocess.Popen([spawner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def bundle(self, wanted, name, args):
        place = f"{self.directory}/{name}"
        for part in "bin", "dev", "etc", "proc", "sys":
            os.makedirs(f"{place}/rootfs/{part}")
        for applet in "true", "sleep":
            shutil.copy("/bin/busybox", f"{place}/rootfs/bin/{applet}")
        for mount in wanted["mounts"]:
            if mount["type"] == "bind":
                mount["source"] = f"{place}/{os.path.basename(mount['destination'])}"
                open(mount["source"], "w", encoding="utf-8").close()
        wanted["ociVersion"] = "1.0.2"
        wanted["root"]["path"] = "rootfs"
        wanted["process"]["args"] = args
        wanted["linux"]["cgroupsPath"] = "/rt-bench/x"
        with open(f"{place}/config.json", "w", encoding="utf-8") as file:
            json.dump(wanted, file)

    def commands(self, name, path):
        """Verb and words, in the order of a container's life."""
        runtime = [path, "--root", f"{self.directory}/state-{name}"]
        words = {"run": ["-b", f"{self.directory}/true", "b1"], "create": ["-b", f"{self.directory}/sleep", "b2"],
                 "exec": ["b2", "/bin/true"], "list": [], "kill": ["b2", "KILL"]}
        life = VERBS if set(self.verbs) - {"run"} else ["run"]
        return [(verb, [*runtime, verb, *words.get(verb, ["b2"])]) for verb in life if verb != "run" or verb in self.verbs]

    def round(self, name, path):
        for verb, command in self.commands(name, path):
            print(*command, file=self.spawner.stdin, flush=True)
            code, ns, cpu_us, kib, faults = map(int, self.spawner.stdout.readline().split())
            if code:
                with open(f"{self.directory}/messages", encoding="utf-8") as log:
                    sys.exit(f"{name} {verb}: exit code {code}\n{log.read()[-2000:]}")
            if verb in self.verbs:
                self.seen.setdefault(verb, {}).setdefault(name, []).append((ns / 1e6, cpu_us / 1e3, faults, kib))
            if verb == "kill":
                self.wait_stopped(command)

    def wait_stopped(self, kill):
        while '"stopped"' not in subprocess.run([*kill[:3], "state", "b2"], capture_output=True, text=True, check=False).stdout:
            pass

    def count_calls(self, name, path):
        """System calls of each verb, with those of the container's process until it executes its program."""
        counts, log = {}, f"{self.directory}/calls"
        for verb, command in self.commands(name, path):
            # INIT lives on after `create`: whoever waits for it as well would wait for `start`.
            traced = subprocess.Popen(["strace", "-f", "-qq", "-I", "2", "-o", log, *command], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                traced.wait(1.5 if verb in ("create", "start") else None)
            except subprocess.TimeoutExpired:
                traced.terminate()  # detaches
                traced.wait()
            with open(log, encoding="utf-8", errors="replace") as lines:
                counts[verb] = count_lines(lines)
            if verb == "kill":
                self.wait_stopped(command)
        return counts


def count_lines(lines):
    count, programs = 0, set()
    for line in lines:
        pid, call = line.split(None, 1)
        if pid not in programs and not re.match(r"<\.\.\.|---|\+\+\+", call):
            count += 1
        if PROGRAM.search(call):
            programs.add(pid)
    return count


def report(names, seen, calls):
    columns = ["wall ms", "p10", "CPU ms", "calls", "faults", "KiB"]
    print(f"{'':8}{'':8}" + "".join(f"{column:>15}" for column in columns))
    for verb, rows_of in seen.items():
        table = {}
        for name in names:
            wall, cpu, faults, kib = zip(*rows_of[name])
            table[name] = [statistics.median(wall), sorted(wall)[len(wall) // 10], statistics.median(cpu),
                           calls[name].get(verb, 0), statistics.median(faults), statistics.median(kib)]
        base = table.get("crun", table[names[0]])
        for name, values in table.items():
            cells = [f"{value:.2f}" if place < 3 else f"{value:.0f}" for place, value in enumerate(values)]
            ratios = [f" ({value / other:.2f})" if other else "" for value, other in zip(values, base)]
            print(f"{verb:8}{name:8}" + "".join(f"{cell + ratio:>15}" for cell, ratio in zip(cells, ratios)))


if __name__ == "__main__":
    main()
