/* The body of a job whose start is timed: writes CLOCK_MONOTONIC, in ns, to the FIFO it is given. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time); /* first: opening a FIFO may wait */
    uint64_t stamp = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    int fifo = argc > 1 ? open(argv[1], O_WRONLY) : -1;
    return fifo < 0 || write(fifo, &stamp, sizeof stamp) != sizeof stamp;
}
