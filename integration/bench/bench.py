#!/usr/bin/env python3
"""bench.py [--rounds N] [RUNTIME...]   runs spec-examples/hello with each runtime, interleaved and in shuffled order.

Prints wall time (median and p10), CPU time, peak RSS and system calls, each with its ratio to crun. Wall time repeats
within 10 to 20 % on a shared machine, the others within 6 %: trust the ratios, not the milliseconds. The runs are
inside integration/contained.sh, with cgroup v1 alone in view where the machine has both (crun refuses to see both).
"""

import argparse
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
BUSYBOX = os.path.join(TOP, "spec-examples/rootfs/bin/busybox")
BUNDLE = os.path.join(TOP, "spec-examples/hello")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", 60)))
    parser.add_argument("runtimes", nargs="*", default=[os.path.join(TOP, "target/release/rt"), "crun", "runc"])
    asked = parser.parse_args()
    if "RT_CONTAINED" not in os.environ:
        view = os.environ.get("CGROUP_VIEW") or ("v1" if os.path.isdir("/sys/fs/cgroup/unified") else "host")
        os.environ["CGROUP_VIEW"] = view
        contained = os.path.join(TOP, "integration/contained.sh")
        os.execv(contained, [contained, sys.executable, os.path.abspath(__file__)] + sys.argv[1:])

    found = [path for path in map(shutil.which, asked.runtimes) if path]
    runs = {path: [] for path in found}
    for path in found:  # one run each to fill the caches, and to see that it works
        measure(path, quiet=False)
    for _ in range(asked.rounds):
        for path in random.sample(found, len(found)):
            runs[path].append(measure(path))
            time.sleep(0.02)  # as on an idle host: a busy one hides the waits for RCU grace periods
    report(runs, {path: peak_rss(path) for path in found}, {path: count_calls(path) for path in found})


def arguments(path, root):
    return [path, "--root", root, "run", "--bundle", BUNDLE, "bench"]


def measure(path, quiet=True):
    """Wall milliseconds and CPU milliseconds of one run."""
    with tempfile.TemporaryDirectory() as root:
        null = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        begin = time.perf_counter()
        pid = os.posix_spawn(path, arguments(path, root), os.environ, file_actions=null)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - begin
    if status != 0:
        sys.exit(f"{path}: exit code {os.waitstatus_to_exitcode(status)}")
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def peak_rss(path):
    """MB of the largest process of a run. Started by busybox: a child's figure begins at the size of its parent."""
    def timed(command):
        with tempfile.NamedTemporaryFile("r") as log:
            done = subprocess.run([BUSYBOX, "time", "-f", "%M", "-o", log.name] + command, stdout=subprocess.PIPE, check=True)
            return int(log.read()), done.stdout.decode()

    # busybox takes kilobytes for pages and says four times too much; a version that does not is seen here
    said, shown = timed([BUSYBOX, "grep", "VmHWM", "/proc/self/status"])
    factor = max(1, round(said / int(shown.split()[1])))
    with tempfile.TemporaryDirectory() as root:
        return max(timed(arguments(path, root))[0] for _ in range(5)) / factor / 1024


def count_calls(path):
    """System calls of the runtime and of the container's process until it executes the program; None without strace."""
    strace = shutil.which("strace")
    if not strace:
        return None
    with tempfile.TemporaryDirectory() as root:
        log = os.path.join(root, "log")
        command = [strace, "-f", "-qq", "-o", log] + arguments(path, os.path.join(root, "state"))
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            return None
        count, programs = 0, set()
        with open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                pid, call = line.split(None, 1)
                if pid not in programs and not re.match(r"<\.\.\.|---|\+\+\+", call):
                    count += 1
                if re.search(r'execve(at)?\((\d+, )?"/bin/(sh|stat)"', call):
                    programs.add(pid)
        return count


def report(runs, rss, calls):
    columns = [
        ("wall ms", lambda rows: statistics.median(row[0] for row in rows)),
        ("p10", lambda rows: sorted(row[0] for row in rows)[len(rows) // 10]),
        ("cpu ms", lambda rows: statistics.median(row[1] for row in rows)),
    ]
    table = {path: [value(rows) for _, value in columns] + [rss[path], calls[path]] for path, rows in runs.items()}
    base = next((values for path, values in table.items() if os.path.basename(path) == "crun"), None)
    count = len(next(iter(runs.values())))
    print(f"run of spec-examples/hello, {count} times each, interleaved; in brackets the ratio to crun")
    print(f"{'':8}" + "".join(f"{name:>16}" for name in [name for name, _ in columns] + ["rss MB"]) + f"{'system calls':>18}")
    for path, values in table.items():
        cells = []
        for index, value in enumerate(values):
            if value is None:
                cells.append("-")
                continue
            text = f"{value:.2f}" if isinstance(value, float) else str(value)
            ratio = f" ({value / base[index]:.2f})" if base and base[index] else ""
            cells.append(text + ratio)
        print(f"{os.path.basename(path):8}" + "".join(f"{cell:>16}" for cell in cells[:-1]) + f"{cells[-1]:>18}")


if __name__ == "__main__":
    main()
