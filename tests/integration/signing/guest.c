/* A first process that asks the security module for PCR8, tells it on the console, and ends, so that the kernel panics.
 *
 * /dev/nsm takes two iovecs, request and response, in CBOR (Linux, include/uapi/linux/nsm.h). */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct part {
  uint64_t address, length;
};
struct raw {
  struct part request, response;
};
#define NSM_RAW _IOWR(0x0A, 0, struct raw)

/* {"DescribePCR": {"index": 8}} */
static const unsigned char request[] = "\xa1\x6b" "DescribePCR" "\xa1\x65" "index" "\x08";

int main(void) {
  static unsigned char response[4096];
  struct raw raw = {{(uintptr_t)request, sizeof request - 1}, {(uintptr_t)response, sizeof response}};
  int fd;

  mkdir("/dev", 0755);
  if (mount("dev", "/dev", "devtmpfs", 0, "")) perror("mount");
  fd = open("/dev/nsm", O_RDWR);
  if (fd < 0 || ioctl(fd, NSM_RAW, &raw)) perror("/dev/nsm");
  printf("\nguest: ");
  for (uint64_t at = 0; at < raw.response.length && at < sizeof response; at++) printf("%02x", response[at]);
  printf("\n");
  fflush(stdout);
  return 0;
}
