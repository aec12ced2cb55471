/* Files far away: preload it, and each reader of a large file gets no more than FAR_RATE MiB a second.
 *
 * So reads a network volume: one reader waits for each answer, several wait at the same time. What a read owes is waited
 * for when it comes to a millisecond, since shorter sleeps are longer than they say. Small files are near.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LARGE (1 << 20)
#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

static _Thread_local double owed; /* seconds */

static ssize_t waited(int fd, ssize_t count) {
  struct stat found;
  if (count > 0 && !fstat(fd, &found) && S_ISREG(found.st_mode) && found.st_size >= LARGE) {
    owed += count / (atof(getenv("FAR_RATE")) * 1048576);
    if (owed >= 1e-3) {
      struct timespec wait = {(time_t)owed, (long)((owed - (time_t)owed) * 1e9)};
      nanosleep(&wait, NULL);
      owed = 0;
    }
  }
  return count;
}

ssize_t read(int fd, void *data, size_t count) {
  REAL(ssize_t, "read", int, void *, size_t);
  return waited(fd, real(fd, data, count));
}
ssize_t preadv(int fd, const struct iovec *into, int count, off_t offset) {
  REAL(ssize_t, "preadv", int, const struct iovec *, int, off_t);
  return waited(fd, real(fd, into, count, offset));
}
ssize_t preadv64(int fd, const struct iovec *into, int count, off_t offset) { return preadv(fd, into, count, offset); }
ssize_t preadv2(int fd, const struct iovec *into, int n, off_t offset, int flags) {
  REAL(ssize_t, "preadv2", int, const struct iovec *, int, off_t, int);
  return waited(fd, real(fd, into, n, offset, flags));
}
ssize_t preadv64v2(int fd, const struct iovec *into, int n, off_t offset, int flags) {
  return preadv2(fd, into, n, offset, flags);
}
