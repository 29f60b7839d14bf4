/* The SELinux label of the session keyring; static, and run inside of a container. */
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    char label[256] = "";
    if (syscall(SYS_keyctl, KEYCTL_GET_SECURITY, KEY_SPEC_SESSION_KEYRING, label, sizeof label - 1) < 0) {
        perror("keyctl");
        return 1;
    }
    puts(label);
    return 0;
}
