/*
 * Records what a process does to one directory: every write, sync and change of a name, in order, with the
 * bytes. Loaded with LD_PRELOAD; a replayer builds from the record what a power cut would have left.
 *
 *   POWERLOSS_DIR   absolute path of the directory, without a link in it
 *   POWERLOSS_LOG   file that the record is appended to
 *   POWERLOSS_FAIL  optional, "WHAT N": the N-th data write or sync (from 0) in the directory, and all later
 *                   ones, fail. WHAT is EIO, ENOSPC, SHORT (the N-th write alone writes half, which is no error)
 *                   or KILL (the process dies before it). "LIES 0": syncs succeed without being recorded
 *
 * What goes to standard output is recorded too: it is the moment of acknowledgement.
 *
 * A record is: kind (1 byte), inode, number, length of text, length of data (8 bytes each, little-endian), text,
 * data. Kinds: O file created, W data at offset, T truncated to number, S synced, D directory synced,
 * R renamed (text "from\0to"), L linked (the same), U unlinked, M directory made, X directory removed,
 * P printed. Paths are relative to the directory.
 *
 * One lock orders calls and record alike. Sockets, maps and copy_file_range are not followed: the test compares
 * the replay of the whole record with the real directory, so a path that is missed is noticed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 65536

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char *paths[MAX_FD]; /* relative path of each open descriptor in the directory */
static char dir[PATH_MAX];
static size_t dir_len;
static int log_fd = -1;
static char fail_what[16];
static long fail_at = -1, io_count;

__attribute__((constructor)) static void start(void) {
    const char *d = getenv("POWERLOSS_DIR"), *l = getenv("POWERLOSS_LOG"), *f = getenv("POWERLOSS_FAIL");
    if (!d || strlen(d) >= sizeof dir) return;
    strcpy(dir, d);
    dir_len = strlen(dir);
    if (f) sscanf(f, "%15s %ld", fail_what, &fail_at);
    if (l) log_fd = syscall(SYS_openat, AT_FDCWD, l, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void record(char kind, uint64_t inode, uint64_t number, const char *text, size_t text_len, const void *data,
                   size_t data_len) {
    if (log_fd < 0) return;
    unsigned char head[33];
    uint64_t fields[4] = {inode, number, text_len, data_len};
    head[0] = (unsigned char)kind;
    memcpy(head + 1, fields, sizeof fields);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)text, text_len}, {(void *)data, data_len}};
    size_t left = sizeof head + text_len + data_len;
    for (int i = 0; left > 0;) {
        ssize_t n = syscall(SYS_writev, log_fd, parts + i, 3 - i);
        if (n < 0) {
            if (errno == EINTR) continue;
            abort(); /* a record with a gap would blame the program for it */
        }
        left -= (size_t)n;
        while (i < 3 && (size_t)n >= parts[i].iov_len) n -= (ssize_t)parts[i++].iov_len;
        if (i < 3) {
            parts[i].iov_base = (char *)parts[i].iov_base + n;
            parts[i].iov_len -= (size_t)n;
        }
    }
}

/* The path below the directory, or NULL when it is elsewhere. */
static const char *inside(int at, const char *path, char *buffer) {
    char whole[2 * PATH_MAX], name[PATH_MAX], parent[PATH_MAX];
    if (!dir_len || !path) return NULL;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char link[64], base[PATH_MAX];
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return NULL;
        base[n] = 0;
        snprintf(whole, sizeof whole, "%s/%s", base, path);
    }
    /* The last part need not exist; what leads to it does. */
    size_t len = strlen(whole);
    while (len > 1 && whole[len - 1] == '/') whole[--len] = 0;
    char *slash = strrchr(whole, '/');
    snprintf(name, sizeof name, "%s", slash + 1);
    if (!strcmp(name, ".") || !strcmp(name, "..")) {
        if (!realpath(whole, parent)) return NULL;
        name[0] = 0;
    } else {
        *slash = 0;
        if (!realpath(whole[0] ? whole : "/", parent)) return NULL;
    }
    snprintf(whole, sizeof whole, "%s%s%s", parent, name[0] ? "/" : "", name);
    if (strncmp(whole, dir, dir_len) || (whole[dir_len] && whole[dir_len] != '/')) return NULL;
    snprintf(buffer, PATH_MAX, "%s", whole + dir_len + (whole[dir_len] == '/'));
    return buffer;
}

static uint64_t inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) ? 0 : (uint64_t)st.st_ino;
}

static int followed(int fd) { return fd >= 0 && fd < MAX_FD && paths[fd]; }

/* Counts an I/O; says whether it is to fail, with errno set. */
static int fails(size_t *len) {
    if (fail_at < 0 || !strcmp(fail_what, "LIES")) return 0;
    long n = io_count++;
    if (!strcmp(fail_what, "SHORT")) {
        if (n == fail_at && len && *len > 1) *len /= 2;
        return 0;
    }
    if (n < fail_at) return 0;
    if (!strcmp(fail_what, "KILL")) kill(getpid(), SIGKILL);
    errno = !strcmp(fail_what, "ENOSPC") ? ENOSPC : EIO;
    return 1;
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
    char relative[PATH_MAX];
    pthread_mutex_lock(&lock);
    const char *in = inside(at, path, relative);
    struct stat before;
    int existed = in && !fstatat(at, path, &before, 0);
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && in && fd < MAX_FD) {
        free(paths[fd]);
        paths[fd] = strdup(in);
        uint64_t inode = inode_of(fd);
        if (!existed && (flags & O_CREAT)) record('O', inode, 0, in, strlen(in), NULL, 0);
        else if (flags & O_TRUNC) record('T', inode, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list args) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list args; \
        va_start(args, flags); \
        mode_t mode = mode_of(flags, args); \
        va_end(args); \
        return open_any(AT_FDCWD, path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        va_list args; \
        va_start(args, flags); \
        mode_t mode = mode_of(flags, args); \
        va_end(args); \
        return open_any(at, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (followed(fd)) {
        free(paths[fd]);
        paths[fd] = NULL;
    }
    int result = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* `offset` < 0: at the descriptor's own position. */
static ssize_t write_any(int fd, const void *data, size_t len, off_t offset) {
    if (fd != STDOUT_FILENO && !followed(fd))
        return offset < 0 ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, offset);
    pthread_mutex_lock(&lock);
    ssize_t n = -1;
    int printed = fd == STDOUT_FILENO && !followed(fd);
    if (printed || !fails(&len)) {
        off_t at = offset;
        if (!printed && offset < 0) {
            struct stat st;
            int append = fcntl(fd, F_GETFL) & O_APPEND;
            at = append && !fstat(fd, &st) ? st.st_size : lseek(fd, 0, SEEK_CUR);
        }
        n = offset < 0 ? syscall(SYS_write, fd, data, len) : syscall(SYS_pwrite64, fd, data, len, offset);
        int saved = errno;
        if (n > 0 && printed) record('P', 0, 0, NULL, 0, data, (size_t)n);
        else if (n > 0) record('W', inode_of(fd), (uint64_t)at, NULL, 0, data, (size_t)n);
        errno = saved;
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return n;
}

ssize_t write(int fd, const void *data, size_t len) { return write_any(fd, data, len, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return write_any(fd, data, len, offset); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) { return write_any(fd, data, len, offset); }

static ssize_t writev_any(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t total = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t n = write_any(fd, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + total);
        if (n < 0) {
            if (!total) total = -1;
            break;
        }
        total += n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return total;
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return writev_any(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return writev_any(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return writev_any(fd, parts, count, offset); }

static int sync_any(int fd, long number) {
    if (!followed(fd)) return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails(NULL)) {
        result = (int)syscall(number, fd);
        struct stat st;
        if (!result && strcmp(fail_what, "LIES") && !fstat(fd, &st)) {
            if (S_ISDIR(st.st_mode)) record('D', 0, 0, paths[fd], strlen(paths[fd]), NULL, 0);
            else record('S', (uint64_t)st.st_ino, 0, NULL, 0, NULL, 0);
        }
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

static int truncate_any(int fd, off_t len) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, len);
    int saved = errno;
    if (!result && followed(fd)) record('T', inode_of(fd), (uint64_t)len, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int ftruncate(int fd, off_t len) { return truncate_any(fd, len); }
int ftruncate64(int fd, off64_t len) { return truncate_any(fd, len); }

/* Reserving space changes no byte; when it moves the end of the file, that is a truncation to the new length. */
static int fallocate_any(int fd, int mode, off_t offset, off_t len) {
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    int saved = errno;
    struct stat st;
    if (!result && followed(fd) && !(mode & FALLOC_FL_KEEP_SIZE) && !fstat(fd, &st))
        record('T', (uint64_t)st.st_ino, (uint64_t)st.st_size, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int fallocate(int fd, int mode, off_t offset, off_t len) { return fallocate_any(fd, mode, offset, len); }
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return fallocate_any(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) { return fallocate_any(fd, 0, offset, len) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t len) { return fallocate_any(fd, 0, offset, len) ? errno : 0; }

static int pair_any(char kind, long number, int from_at, const char *from, int to_at, const char *to, int flags) {
    char a[PATH_MAX], b[PATH_MAX], both[2 * PATH_MAX + 1];
    pthread_mutex_lock(&lock);
    const char *in_a = inside(from_at, from, a), *in_b = inside(to_at, to, b);
    int result = (int)syscall(number, from_at, from, to_at, to, flags);
    int saved = errno;
    if (!result && in_a && in_b) {
        size_t len = strlen(in_a) + 1 + strlen(in_b);
        memcpy(both, in_a, strlen(in_a) + 1);
        memcpy(both + strlen(in_a) + 1, in_b, strlen(in_b));
        record(kind, 0, 0, both, len, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int rename(const char *from, const char *to) { return pair_any('R', SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return pair_any('R', SYS_renameat2, from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return pair_any('R', SYS_renameat2, from_at, from, to_at, to, (int)flags);
}
int link(const char *from, const char *to) { return pair_any('L', SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    return pair_any('L', SYS_linkat, from_at, from, to_at, to, flags);
}

static int name_any(char kind, int at, const char *path, mode_t mode) {
    char relative[PATH_MAX];
    pthread_mutex_lock(&lock);
    const char *in = inside(at, path, relative);
    int result = kind == 'M' ? (int)syscall(SYS_mkdirat, at, path, mode)
                             : (int)syscall(SYS_unlinkat, at, path, kind == 'X' ? AT_REMOVEDIR : 0);
    int saved = errno;
    if (!result && in) record(kind, 0, 0, in, strlen(in), NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int unlink(const char *path) { return name_any('U', AT_FDCWD, path, 0); }
int remove(const char *path) {
    struct stat st;
    return name_any(!lstat(path, &st) && S_ISDIR(st.st_mode) ? 'X' : 'U', AT_FDCWD, path, 0);
}
int unlinkat(int at, const char *path, int flags) { return name_any(flags & AT_REMOVEDIR ? 'X' : 'U', at, path, 0); }
int rmdir(const char *path) { return name_any('X', AT_FDCWD, path, 0); }
int mkdir(const char *path, mode_t mode) { return name_any('M', AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return name_any('M', at, path, mode); }
