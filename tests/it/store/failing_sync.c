// Loaded before the C library: while the file $FAIL_SYNC exists, every fsync of a file whose path has $FAIL_SYNC_OF in it (at
// its end, if a $ is behind that) fails with EIO. If the file has a content, only the first: the file is removed then.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fails(int fd) {
    char link[64], path[PATH_MAX + 1];
    struct stat found;
    const char *on = getenv("FAIL_SYNC"), *of = getenv("FAIL_SYNC_OF");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (!on || !of || length < 0 || stat(on, &found)) return 0;
    path[length] = 0;
    ssize_t named = strlen(of);
    int is_end = named && of[named - 1] == '$';
    if (is_end ? length < named - 1 || memcmp(path + length - named + 1, of, named - 1) : !strstr(path, of)) return 0;
    if (found.st_size) unlink(on);
    errno = EIO;
    return 1;
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return fails(fd) ? -1 : real(fd);
}
