/* A file system's faults, from below the C library's callers: preload it, and say in the environment what goes wrong.

   FAULT_CALLS  pwrite pread fsync fdatasync close rename mkdir unlink: those that fail
   FAULT_ON     a part of the path that they fail on
   FAULT_ERRNO  the number they fail with; 0: pwrite takes a part of what it is given instead, often a single byte
   FAULT_AFTER  how many bytes (pwrite, pread) or calls (others) go well before
   FAULT_TIMES  how many times; without it, always from then on
   FAULT_LOSES  "all": who fails leaves an empty file; "last": what was written last, and never flushed, is zeros
   FAULT_LOG    a file that gets a line for each fault

   Programs built with 64-bit offsets call the names that end in 64; both are taken. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(result, name, ...) \
  static result (*real)(__VA_ARGS__); \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static long long passed, failed;
static struct { off_t at; size_t length; } last[4096]; /* by descriptor: the write that no flush has followed */

static const char *setting(const char *name) { const char *value = getenv(name); return value ? value : ""; }

static int concerns(const char *call, const char *path) {
  const char *on = setting("FAULT_ON"), *found = strstr(setting("FAULT_CALLS"), call);
  size_t length = strlen(call);
  return found && (found[length] == 0 || found[length] == ' ') && *on && strstr(path, on) != NULL;
}

static int of_fd(const char *call, int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return concerns(call, path);
}

static int at(const char *call, int folder, const char *name) {
  char link[64], path[8192];
  if (folder == AT_FDCWD || name[0] == '/') return concerns(call, name);
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  ssize_t length = readlink(link, path, 4095);
  if (length < 0) return 0;
  snprintf(path + length, sizeof path - length, "/%s", name);
  return concerns(call, path);
}

static void tell(const char *call) {
  int log = open(setting("FAULT_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (log < 0) return;
  dprintf(log, "%s\n", call);
  syscall(SYS_close, log); /* not by way of our own */
}

/* How much of `wanted` still goes well; -1: it fails now, with errno set. */
static long long allowance(const char *call, long long wanted) {
  pthread_mutex_lock(&guard);
  long long left = atoll(setting("FAULT_AFTER")) - passed, allowed = wanted;
  int always = !*setting("FAULT_TIMES");
  if (always || failed < atoll(setting("FAULT_TIMES"))) {
    if (atoi(setting("FAULT_ERRNO")) == 0) {
      static unsigned long long state = 88172645463325252ull;
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      if (left <= 0) allowed = state % 3 == 0 ? 1 : 1 + (long long)(state % (unsigned long long)wanted);
      if (allowed < wanted) tell(call);
    } else if (left <= 0) {
      failed++, allowed = -1;
      tell(call);
    } else if (left < wanted) {
      allowed = left;
    }
  }
  if (allowed > 0) passed += allowed;
  pthread_mutex_unlock(&guard);
  if (allowed < 0) errno = atoi(setting("FAULT_ERRNO"));
  return allowed;
}

static ssize_t write_through(int fd, const void *data, size_t count, off_t offset) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
  ssize_t written = real(fd, data, count, offset);
  if (written > 0 && fd < 4096) last[fd].at = offset, last[fd].length = written;
  return written;
}

static void lose(int fd) {
  static const char zeros[65536];
  int number = errno;
  if (!strcmp(setting("FAULT_LOSES"), "all")) {
    if (ftruncate(fd, 0)) abort();
  } else if (!strcmp(setting("FAULT_LOSES"), "last") && fd < 4096 && last[fd].length) {
    size_t length = last[fd].length < sizeof zeros ? last[fd].length : sizeof zeros;
    write_through(fd, zeros, length, last[fd].at);
  }
  errno = number;
}

static ssize_t pwrite_(int fd, const void *data, size_t count, off_t offset) {
  long long allowed = count && of_fd("pwrite", fd) ? allowance("pwrite", count) : (long long)count;
  return allowed < 0 ? -1 : write_through(fd, data, allowed, offset);
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) { return pwrite_(fd, data, count, offset); }
ssize_t pwrite64(int fd, const void *data, size_t count, off_t offset) { return pwrite_(fd, data, count, offset); }

static ssize_t pread_(int fd, void *data, size_t count, off_t offset) {
  REAL(ssize_t, "pread64", int, void *, size_t, off_t);
  long long allowed = count && of_fd("pread", fd) ? allowance("pread", count) : (long long)count;
  return allowed < 0 ? -1 : real(fd, data, allowed, offset);
}
ssize_t pread(int fd, void *data, size_t count, off_t offset) { return pread_(fd, data, count, offset); }
ssize_t pread64(int fd, void *data, size_t count, off_t offset) { return pread_(fd, data, count, offset); }
/* provision reads into one buffer at a time, without flags; Python asks with flags where there are any to ask with. */
static ssize_t preadv_(int fd, const struct iovec *into, int count, off_t offset) {
  return count ? pread_(fd, into->iov_base, into->iov_len, offset) : 0;
}
ssize_t preadv(int fd, const struct iovec *into, int n, off_t offset) { return preadv_(fd, into, n, offset); }
ssize_t preadv64(int fd, const struct iovec *into, int n, off_t offset) { return preadv_(fd, into, n, offset); }
ssize_t preadv2(int fd, const struct iovec *into, int n, off_t offset, int flags) {
  return flags ? (errno = ENOTSUP, -1) : preadv_(fd, into, n, offset);
}
ssize_t preadv64v2(int fd, const struct iovec *into, int n, off_t offset, int flags) {
  return preadv2(fd, into, n, offset, flags);
}

static int flush(const char *call, int fd, int (*real)(int)) {
  if (of_fd(call, fd) && allowance(call, 1) < 0) return lose(fd), -1;
  int done = real(fd);
  if (!done && fd < 4096) last[fd].length = 0;
  return done;
}
int fsync(int fd) { REAL(int, "fsync", int); return flush("fsync", fd, real); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); return flush("fdatasync", fd, real); }

int close(int fd) {
  REAL(int, "close", int);
  int fails = of_fd("close", fd) && allowance("close", 1) < 0, number = errno;
  if (fails) lose(fd);
  if (fd >= 0 && fd < 4096) last[fd].length = 0;
  int done = real(fd);
  return fails ? (errno = number, -1) : done;
}

int renameat(int from, const char *old, int to, const char *new) {
  REAL(int, "renameat", int, const char *, int, const char *);
  return at("rename", to, new) && allowance("rename", 1) < 0 ? -1 : real(from, old, to, new);
}
int mkdirat(int folder, const char *name, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  return at("mkdir", folder, name) && allowance("mkdir", 1) < 0 ? -1 : real(folder, name, mode);
}
int unlinkat(int folder, const char *name, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  return at("unlink", folder, name) && allowance("unlink", 1) < 0 ? -1 : real(folder, name, flags);
}
