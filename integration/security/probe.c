/* What becomes of one system call, getppid, under a seccomp filter; static, and run inside of a container.
 *
 *   probe call     the call, in a thread: what it gave, or that the thread is gone
 *   probe trap     the same, with a handler for SIGSYS: what the signal says
 *   probe trace    the same, in a child that is traced: what the tracer is told
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *call(void *end)
{
    long result = syscall(SYS_getppid);
    *(const char **)end = "returned";
    printf("%s %ld\n", result < 0 ? "errno" : "value", result < 0 ? (long)errno : result);
    return NULL;
}

static void trapped(int number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d call %d errno %d\n", number, info->si_code, info->si_syscall == SYS_getppid, info->si_errno);
    fflush(stdout);
    _exit(0);
}

static int traced(void)
{
    unsigned long message = 0;
    int status;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(syscall(SYS_getppid) == getpid() ? 1 : 42);
    }
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP);
    ptrace(PTRACE_CONT, child, 0, 0);
    waitpid(child, &status, 0);
    int asked = status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    ptrace(PTRACE_GETEVENTMSG, child, 0, &message);
    ptrace(PTRACE_CONT, child, 0, 0);
    waitpid(child, &status, 0);
    printf("asked %d with %lu, then exit %d\n", asked, message, WEXITSTATUS(status));
    return 0;
}

int main(int count, char **words)
{
    const char *end = "gone";
    pthread_t thread;
    if (count != 2)
        return 2;
    if (!strcmp(words[1], "trace"))
        return traced();
    if (!strcmp(words[1], "trap")) {
        struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
        sigaction(SIGSYS, &action, NULL);
    }
    pthread_create(&thread, NULL, call, &end);
    pthread_join(thread, NULL);
    printf("thread %s\n", end);
    return 0;
}
