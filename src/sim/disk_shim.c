/* Stands between a program and its files, loaded by LD_PRELOAD: makes writes and syncs fail, short or slow as the page of
 * orders says, and keeps a diary from which a power loss can be cut. Only files under WARDD_SHIM_FOLDER are touched.
 *
 * The page (WARDD_SHIM_ORDERS, 128 bytes, numbers of 8 bytes in the machine's order) is shared with whoever gives orders:
 * 0 disk is full; 1 and 2 count down to the write and the sync that fails with EIO; 3 microseconds that a sync takes longer;
 * 4 writes are short; 5 and 6 count writes and syncs; 7 counts failures that were made; 8 syncs do nothing and say that
 * they did.
 * The diary (WARDD_SHIM_DIARY, may be absent) holds records: kind, inode, offset, length, and for a write the bytes before
 * and after. Kinds: W write, b and e begin and good end of the sync with the number in `offset`, U the inode is gone,
 * T cut to `length`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FULL, WRITE_FAILS, SYNC_FAILS, SYNC_DELAY, SHORT, WRITES, SYNCS, FAILED, LIES };

static int64_t *orders;
static int diary = -1;
static char folder[4096];
static size_t folder_length;
static uint64_t sync_number;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *page = getenv("WARDD_SHIM_ORDERS"), *where = getenv("WARDD_SHIM_FOLDER"), *log = getenv("WARDD_SHIM_DIARY");
    int file = page ? open(page, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0 || !where || !realpath(where, folder)) return;
    folder_length = strlen(folder);
    void *mapped = mmap(NULL, 128, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) orders = mapped;
    if (log) diary = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_ours(int fd, struct stat *about) {
    if (!orders || fd < 0 || fstat(fd, about) != 0 || !S_ISREG(about->st_mode)) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > (ssize_t)folder_length && memcmp(path, folder, folder_length) == 0 && path[folder_length] == '/';
}

static int fails(int order) {
    if (__atomic_load_n(&orders[order], __ATOMIC_SEQ_CST) <= 0) return 0;
    int is_due = __atomic_sub_fetch(&orders[order], 1, __ATOMIC_SEQ_CST) == 0;
    if (is_due) __atomic_add_fetch(&orders[FAILED], 1, __ATOMIC_SEQ_CST);
    return is_due;
}

static void note(char kind, uint64_t inode, uint64_t offset, uint64_t length, const void *before, const void *after) {
    if (diary < 0) return;
    char head[25];
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)before, before ? length : 0}, {(void *)after, after ? length : 0}};
    /* In one call: a kill does not leave half of a record for a write that was made. */
    if (real_writev(diary, parts, 3) < 0) _exit(99);
}

/* Writes for real, with the bytes that stood there kept in the diary. */
static ssize_t noted_write(int fd, const void *bytes, size_t count, off_t at, int is_positioned, uint64_t inode) {
    if (diary < 0) return is_positioned ? real_pwrite(fd, bytes, count, at) : real_write(fd, bytes, count);
    pthread_mutex_lock(&lock);
    void *before = calloc(1, count);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = open(link, O_RDONLY | O_CLOEXEC);
    if (!before || reader < 0 || pread(reader, before, count, at) < 0) _exit(98);
    close(reader);
    note('W', inode, (uint64_t)at, count, before, bytes);
    free(before);
    ssize_t written = is_positioned ? real_pwrite(fd, bytes, count, at) : real_write(fd, bytes, count);
    pthread_mutex_unlock(&lock);
    return written;
}

/* -1 with errno when the write must fail; else how many bytes may be written. */
static ssize_t allowed(size_t count) {
    __atomic_add_fetch(&orders[WRITES], 1, __ATOMIC_SEQ_CST);
    if (fails(WRITE_FAILS)) { errno = EIO; return -1; }
    if (__atomic_load_n(&orders[FULL], __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&orders[FAILED], 1, __ATOMIC_SEQ_CST);
        errno = ENOSPC;
        return -1;
    }
    int is_short = __atomic_load_n(&orders[SHORT], __ATOMIC_SEQ_CST) && count > 1;
    return (ssize_t)(is_short ? count / 2 : count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    struct stat about;
    if (!is_ours(fd, &about)) return real_pwrite(fd, bytes, count, at);
    ssize_t most = allowed(count);
    return most < 0 ? -1 : noted_write(fd, bytes, (size_t)most, at, 1, about.st_ino);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat about;
    if (!is_ours(fd, &about)) return real_write(fd, bytes, count);
    ssize_t most = allowed(count);
    if (most < 0) return -1;
    off_t at = fcntl(fd, F_GETFL) & O_APPEND ? about.st_size : lseek(fd, 0, SEEK_CUR);
    return noted_write(fd, bytes, (size_t)most, at, 0, about.st_ino);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct stat about;
    if (!is_ours(fd, &about) || count < 1) return real_writev(fd, parts, count);
    /* The first part alone: a short write, which every caller must live with. */
    return write(fd, parts[0].iov_base, parts[0].iov_len);
}

static int noted_sync(int fd, int (*sync)(int)) {
    struct stat about;
    if (!is_ours(fd, &about)) return sync(fd);
    __atomic_add_fetch(&orders[SYNCS], 1, __ATOMIC_SEQ_CST);
    int64_t delay = __atomic_load_n(&orders[SYNC_DELAY], __ATOMIC_SEQ_CST);
    if (delay > 0) usleep((useconds_t)delay);
    if (fails(SYNC_FAILS)) { errno = EIO; return -1; }
    if (__atomic_load_n(&orders[LIES], __ATOMIC_SEQ_CST)) return 0;
    uint64_t number = __atomic_add_fetch(&sync_number, 1, __ATOMIC_SEQ_CST);
    note('b', about.st_ino, number, 0, NULL, NULL);
    int result = sync(fd);
    if (result == 0) note('e', about.st_ino, number, 0, NULL, NULL);
    return result;
}
int fdatasync(int fd) { return noted_sync(fd, real_fdatasync); }
int fsync(int fd) { return noted_sync(fd, real_fsync); }

int ftruncate64(int fd, off_t length) {
    struct stat about;
    if (is_ours(fd, &about)) note('T', about.st_ino, 0, (uint64_t)length, NULL, NULL);
    return real_ftruncate(fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static void gone(const char *path) {
    struct stat about;
    if (orders && stat(path, &about) == 0 && S_ISREG(about.st_mode)) note('U', about.st_ino, 0, 0, NULL, NULL);
}
int rename(const char *from, const char *to) { gone(to); return real_rename(from, to); }
int unlink(const char *path) { gone(path); return real_unlink(path); }
