// A disk whose flushes do not return: loaded before the C library (LD_PRELOAD), it holds fsync and fdatasync back for as long as the file is there that
// HOLDFAST_HANG names.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hang(void) {
    const char *file = getenv("HOLDFAST_HANG");
    while (file && access(file, F_OK) == 0) usleep(5000);
}

int fsync(int fd) {
    hang();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    hang();
    return (int)syscall(SYS_fdatasync, fd);
}
