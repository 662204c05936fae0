/* The smallest guest that speaks the enclave's side: PID 1 of the emulator's tests, linked statically.
 *
 * What it does is told by the kernel's command line, which the kernel hands to init as its environment:
 *   guest=exit        heartbeat, log, then {"status":"exited","code":42}
 *   guest=chatter     the same with 2,000,000 bytes of log
 *   guest=die         heartbeat, {"status":"running"}, then the machine ends without a final status
 *   guest=panic       PID 1 ends at once, so the kernel panics
 *   guest=sleep       {"status":"running"}, and no more
 */
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

static int vsock(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) perror("socket(AF_VSOCK)");
  return fd;
}

static int listening(unsigned port) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int fd = vsock();
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8)) perror("listen");
  return fd;
}

/* To the host as QEMU's guests know it; Nitro's is 3. */
static void heartbeat(void) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = 9000};
  unsigned char beat = 0xb7;
  int fd = vsock();
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) perror("connect");
  if (write(fd, &beat, 1) != 1) perror("write");
  beat = 0;
  if (read(fd, &beat, 1) == 1 && beat == 0xb7) puts("guest: the heartbeat was answered");
  close(fd);
}

static void say(int fd, const char *text) {
  size_t size = strlen(text);
  while (size) {
    ssize_t sent = write(fd, text, size);
    if (sent <= 0) {
      perror("write");
      return;
    }
    text += sent;
    size -= (size_t)sent;
  }
}

/* To every reader, from the start: one that gave up before it was accepted must not cost the next one anything. */
static void serve_log(int listener, const char *what, int done) {
  char line[128];
  for (;;) {
    int log = accept(listener, NULL, NULL);
    say(log, "hello from the guest\n");
    if (!strcmp(what, "sleep")) continue;
    if (!strcmp(what, "chatter"))
      for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "%099d\n", i);
        say(log, line);
      }
    say(log, "the last line\n");
    /* Left open: closing it could take back what the reader has not read. */
    shutdown(log, SHUT_WR);
    if (write(done, "", 1) != 1) perror("write");
  }
}

int main(void) {
  const char *what = getenv("guest") ? getenv("guest") : "exit";
  char byte;
  int done[2], logged = 0;
  setvbuf(stdout, NULL, _IONBF, 0);
  signal(SIGPIPE, SIG_IGN);
  printf("guest: %s\n", what);
  if (!strcmp(what, "panic") || pipe(done)) return 1;
  int statuses = listening(17000), logs = listening(17001);
  heartbeat();
  if (!fork()) serve_log(logs, what, done[1]);
  for (;;) {
    int status = accept(statuses, NULL, NULL);
    say(status, "{\"status\":\"running\"}\n");
    if (!strcmp(what, "die")) {
      /* The parent may need to be told twice that it runs, but never that it ended. */
      sleep(1);
      reboot(RB_AUTOBOOT);
    }
    if (!logged && read(done[0], &byte, 1) == 1) logged = 1;
    say(status, "{\"status\":\"exited\",\"code\":42}\n");
    /* The parent hangs up when it has read this, or had hung up long before and tries again. */
    if (read(status, &byte, 1) < 0) perror("read");
    close(status);
    struct pollfd again = {.fd = statuses, .events = POLLIN};
    if (poll(&again, 1, 300) == 0) reboot(RB_AUTOBOOT);
  }
}
