#!/usr/bin/env python3
"""order.py RT

Writes the names of the functions that usual calls of RT run, in the order of their first time, hashes left out: what
.cargo/order holds, and .cargo/order-cc goes by. RT is a release build that keeps its symbols: `make order` makes it.
"""

import os
import re
import subprocess
import sys
import tempfile

import bench

# tracer FUNCTIONS LOG PROGRAM WORDS... runs the program with a breakpoint at each function, which goes when it is hit.
# FUNCTIONS has lines of an offset in the file's memory, and a name; names that were hit are appended to LOG. Ends when
# the program ends; a second process stays with those that live on.
TRACER = r"""
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
static struct function { unsigned long at; char name[4096]; unsigned char byte; int hit; } *functions;
static int count;
static Elf64_Ehdr header;
static unsigned long base, low, high;

static int memory(pid_t pid, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    return open(path, flags | O_CLOEXEC);
}
/* The base of the image, if the process runs the program: its entry tells. */
static int runs_it(pid_t pid) {
    char path[64];
    Elf64_auxv_t value;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/auxv", pid);
    FILE *file = fopen(path, "r");
    while (file && fread(&value, sizeof value, 1, file) == 1)
        if (value.a_type == AT_ENTRY && (value.a_un.a_val & 4095) == (header.e_entry & 4095))
            found = 1, base = value.a_un.a_val - header.e_entry;
    if (file) fclose(file);
    return found;
}
static void set_breakpoints(pid_t pid) {
    unsigned char *text = malloc(high - low);
    int fd = memory(pid, O_RDWR);
    if (pread(fd, text, high - low, base + low) != (ssize_t)(high - low)) { perror("read the text"); exit(125); }
    for (int i = 0; i < count; i++) {
        functions[i].byte = text[functions[i].at - low];
        if (!functions[i].hit) text[functions[i].at - low] = 0xcc;
    }
    if (pwrite(fd, text, high - low, base + low) != (ssize_t)(high - low)) { perror("write the text"); exit(125); }
    close(fd);
    free(text);
}
static int compare(const void *key, const void *one) {
    unsigned long at = *(unsigned long *)key, other = ((struct function *)one)->at;
    return at < other ? -1 : at > other;
}
int main(int argc, char **argv) {
    functions = calloc(20000, sizeof *functions);
    FILE *list = fopen(argv[1], "r"), *log = fopen(argv[2], "a");
    while (fscanf(list, "%lx %4095s", &functions[count].at, functions[count].name) == 2) count++;
    low = functions[0].at, high = functions[count - 1].at + 1;
    int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
    if (read(fd, &header, sizeof header) != sizeof header) { perror(argv[3]); return 125; }
    int end[2], status, code, begun = 0;
    if (pipe2(end, O_CLOEXEC)) return 125;
    if (fork()) {
        close(end[1]);
        return read(end[0], &code, sizeof code) == sizeof code ? code : 125;
    }
    pid_t first = fork(), pid;
    if (!first) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[3], argv + 3);
        _exit(127);
    }
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (pid != first) continue;
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            fflush(log);
            if (write(end[1], &code, sizeof code) < 0) return 125;
            close(0), close(1), close(2);
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        if (!begun++) {
            ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
            event = PTRACE_EVENT_EXEC;
        }
        if (event == PTRACE_EVENT_EXEC) {
            if (!runs_it(pid)) { ptrace(PTRACE_DETACH, pid, 0, 0); continue; }
            set_breakpoints(pid);
            signal = 0;
        } else if (event || signal == SIGSTOP) {
            signal = 0;
        } else if (signal == SIGTRAP) {
            struct user_regs_struct registers;
            ptrace(PTRACE_GETREGS, pid, 0, &registers);
            unsigned long at = registers.rip - 1 - base;
            struct function *function = bsearch(&at, functions, count, sizeof *functions, compare);
            if (function) {
                if (!function->hit++) fprintf(log, "%s\n", function->name), fflush(log);
                int fd = memory(pid, O_RDWR);
                if (pwrite(fd, &function->byte, 1, base + at) != 1) { perror("take a breakpoint away"); return 125; }
                close(fd);
                registers.rip--;
                ptrace(PTRACE_SETREGS, pid, 0, &registers);
                signal = 0;
            }
        }
        ptrace(PTRACE_CONT, pid, 0, signal);
    }
    return 0;
}
"""
# More than bench.py measures, before `kill`: verb and words.
MORE = [("ps", ["b2"]), ("pause", ["b2"]), ("resume", ["b2"]), ("update", ["--memory", "512m", "b2"]), ("events", ["--stats", "b2"])]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if "RT_CONTAINED" not in os.environ:
        contained = os.path.join(bench.TOP, "integration/contained.sh")
        os.execv(contained, [contained, "python3", os.path.abspath(__file__)] + sys.argv[1:])
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/functions", "w", encoding="utf-8") as file:
            file.writelines(functions(program))
        tracer, log = f"{directory}/tracer", f"{directory}/log"
        subprocess.run(["cc", "-O2", "-x", "c", "-", "-o", tracer], input=TRACER.encode(), check=True)
        for kind in "hello", "docker":
            life = bench.Bench(f"{directory}/{kind}", kind, bench.VERBS)
            runtime = [program, "--root", f"{directory}/{kind}/state-rt"]
            for verb, command in life.commands("rt", program):
                more = [(word, [*runtime, word, *words]) for word, words in MORE] if verb == "kill" else []
                for word, words in [*more, (verb, command)]:
                    subprocess.run([tracer, f"{directory}/functions", log, *words], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, check=True)
                    print(f"{kind} {word}: {len(lines_of(log))} functions until here", file=sys.stderr)
                if verb == "kill":
                    life.wait_stopped(command)
        for name in dict.fromkeys(map(without_hashes, lines_of(log))):
            print(name)


def functions(program):
    """Where each function begins, and its name. What has more names than one has the first."""
    table = subprocess.run(["readelf", "--wide", "--symbols", program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in table.splitlines():
        words = line.split()
        if len(words) == 8 and words[3] in ("FUNC", "IFUNC") and words[6].isdigit():
            found.setdefault(int(words[1], 16), words[7])
    return [f"{at:x} {name}\n" for at, name in sorted(found.items())]


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def without_hashes(name):
    """As .cargo/order-cc does it: what another compiler or version changes in the name of a function."""
    return re.sub(r"\.llvm\.[0-9]+$", "", re.sub(r"Cs[0-9A-Za-z]+_", "C_", name))


if __name__ == "__main__":
    main()
