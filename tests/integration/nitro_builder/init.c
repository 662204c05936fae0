/* A stand-in for AWS's init, the first process of an image by nitro-cli: what init/init.c of
 * aws-nitro-enclaves-sdk-bootstrap does, written anew from that description of it:
 *
 *   /dev is mounted and the console opened, the security module's driver loaded, the heartbeat exchanged, /env and /cmd
 *   read and removed, the root changed to /rootfs, file systems and control groups mounted there, the command started
 *   in a session of its own with all signals unblocked; when it ends, the machine reboots. Any failure ends it.
 *
 * Two things are otherwise here. It loads no driver: the kernel of these tests has it built in, and takes no modules.
 * And the heartbeat is tried at CID 2 too, where the emulator's parent is; AWS's goes to CID 3 alone.
 *
 * With -DCHROOT the root is changed by chroot(2) alone, as one of the published versions does; else /rootfs is first
 * moved over /, as another one does.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

enum { LONGEST = 256, PORT = 9000, BEAT = 0xb7 };

static const unsigned long PLAIN = MS_NODEV | MS_NOSUID | MS_NOEXEC;

static void must(int good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void mount_dev(void) {
    int failed = mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL);
    must(!failed || errno == EBUSY, "/dev");
}

static void open_console(void) {
    must(freopen("/dev/console", "r", stdin) != NULL, "stdin");
    must(freopen("/dev/console", "w", stdout) != NULL, "stdout");
    must(freopen("/dev/console", "w", stderr) != NULL, "stderr");
}

static int beat(unsigned int cid) {
    struct sockaddr_vm parent = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = PORT};
    struct timeval patience = {.tv_sec = 2};
    unsigned char byte = BEAT;
    int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    must(fd >= 0, "vsock");
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int good = connect(fd, (struct sockaddr *)&parent, sizeof parent) == 0 && write(fd, &byte, 1) == 1 &&
               read(fd, &byte, 1) == 1 && byte == BEAT;
    close(fd);
    return good;
}

static char **lines(const char *path) {
    char **found = calloc(LONGEST + 1, sizeof *found);
    FILE *file = fopen(path, "r");
    size_t size = 0;
    must(file != NULL && found != NULL, path);
    for (int count = 0; count < LONGEST && getline(&found[count], &size, file) > 0; count++, size = 0)
        found[count][strcspn(found[count], "\n")] = 0;
    for (int count = 0; count < LONGEST; count++)
        if (found[count] && !*found[count])
            found[count] = NULL;
    fclose(file);
    must(unlink(path) == 0, path);
    return found;
}

static void change_root(void) {
#ifdef CHROOT
    must(chdir("/rootfs") == 0 && chroot("/rootfs") == 0, "chroot");
#else
    must(mount("/rootfs", "/rootfs", NULL, MS_BIND, NULL) == 0 && chdir("/rootfs") == 0, "bind");
    must(mount(".", "/", NULL, MS_MOVE, NULL) == 0 && chroot(".") == 0 && chdir("/") == 0, "move");
#endif
}

static void link_in_dev(const char *path, const char *target) {
    must(symlink(target, path) == 0 || errno == EEXIST, path);
}

static void mount_one(const char *source, const char *path, const char *type, unsigned long flags, const char *data) {
    must(mount(source, path, type, flags, data) == 0, path);
}

static void mount_all(void) {
    mount_one("proc", "/proc", "proc", PLAIN, NULL);
    link_in_dev("/dev/fd", "/proc/self/fd");
    link_in_dev("/dev/stdin", "/proc/self/fd/0");
    link_in_dev("/dev/stdout", "/proc/self/fd/1");
    link_in_dev("/dev/stderr", "/proc/self/fd/2");
    mount_one("tmpfs", "/run", "tmpfs", PLAIN, "mode=0755");
    mount_one("tmpfs", "/tmp", "tmpfs", PLAIN, NULL);
    must(mkdir("/dev/shm", 0755) == 0 || errno == EEXIST, "/dev/shm");
    mount_one("shm", "/dev/shm", "tmpfs", PLAIN, NULL);
    must(mkdir("/dev/pts", 0755) == 0 || errno == EEXIST, "/dev/pts");
    mount_one("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, NULL);
    mount_one("sysfs", "/sys", "sysfs", PLAIN, NULL);
    mount_one("cgroup_root", "/sys/fs/cgroup", "tmpfs", PLAIN, "mode=0755");
}

static void mount_control_groups(void) {
    char line[LONGEST], name[LONGEST], path[2 * LONGEST];
    int enabled;
    FILE *file = fopen("/proc/cgroups", "r");
    must(file != NULL && fgets(line, sizeof line, file) != NULL, "/proc/cgroups");
    while (fscanf(file, "%255s %*d %*d %d", name, &enabled) == 2) {
        if (!enabled)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name);
        must(mkdir(path, 0755) == 0, path);
        mount_one(name, path, "cgroup", PLAIN, name);
    }
    fclose(file);
}

static pid_t start(char **command, char **environment) {
    static char *nothing[] = {"PATH=/sbin:/usr/sbin:/bin:/usr/bin", NULL};
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_UNBLOCK, &all, NULL);
        setsid();
        execvpe(command[0], command, environment[0] ? environment : nothing);
        must(0, command[0]);
    }
    return pid;
}

int main(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    mount_dev();
    open_console();
    must(beat(3) || beat(2), "heartbeat");
    fprintf(stderr, "init: the heartbeat was answered\n");
    char **environment = lines("/env");
    char **command = lines("/cmd");
    change_root();
    mount_dev();
    mount_all();
    mount_control_groups();
    pid_t app = start(command, environment);
    while (wait(NULL) != app)
        continue;
    reboot(RB_AUTOBOOT);
    return 1;
}
