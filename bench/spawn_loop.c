/* The least that can start processes: posix_spawn and waitpid, one thread for each slot.
 *
 * spawn_loop COUNT SLOTS free|pinned [FOLDER]
 *
 * Runs /bin/true COUNT times, stdin, stdout and stderr on /dev/null; with FOLDER, stdout and
 * stderr on a file of its own there. pinned: each thread, and so what it starts, stays on one CPU.
 * Prints: seconds, own CPU seconds, CPU seconds of what it started.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static atomic_long taken;
static long count;
static int pinned;
static const char *folder;
static cpu_set_t allowed;

static void fail(const char *what, int error) {
    fprintf(stderr, "spawn_loop: %s: %s\n", what, strerror(error));
    exit(1);
}

static void must(const char *what, int error) {
    if (error)
        fail(what, error);
}

/* Put the calling thread on the nth CPU that this process may use, counted round. */
static void pin(long nth) {
    long left = nth % CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left--)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        must("affinity", pthread_setaffinity_np(pthread_self(), sizeof one, &one));
        return;
    }
}

static void output_to(posix_spawn_file_actions_t *actions, const char *path) {
    int flags = O_WRONLY | O_CREAT | O_TRUNC;
    must("actions", posix_spawn_file_actions_init(actions));
    must("stdin", posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0));
    must("stdout", posix_spawn_file_actions_addopen(actions, 1, path, flags, 0666));
    must("stderr", posix_spawn_file_actions_adddup2(actions, 1, 2));
}

static void run(posix_spawn_file_actions_t *actions) {
    char *argv[] = {"/bin/true", NULL};
    pid_t pid;
    int status;
    must("posix_spawn", posix_spawn(&pid, argv[0], actions, NULL, argv, environ));
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail("/bin/true", 0);
}

static void *slot(void *nth) {
    posix_spawn_file_actions_t actions;
    long element;
    if (pinned)
        pin((long)nth);
    if (!folder)
        output_to(&actions, "/dev/null");
    while ((element = atomic_fetch_add(&taken, 1)) < count) {
        if (folder) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%ld", folder, element);
            output_to(&actions, path);
        }
        run(&actions);
        if (folder)
            posix_spawn_file_actions_destroy(&actions);
    }
    return NULL;
}

static double cpu_seconds(int whose) {
    struct rusage usage;
    getrusage(whose, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fputs("usage: spawn_loop COUNT SLOTS free|pinned [FOLDER]\n", stderr);
        return 2;
    }
    count = atol(argv[1]);
    long slots = atol(argv[2]);
    pinned = !strcmp(argv[3], "pinned");
    folder = argc > 4 ? argv[4] : NULL;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        fail("affinity", 0);
    pthread_t threads[slots];
    double began = now();
    for (long nth = 0; nth < slots; nth++)
        must("thread", pthread_create(&threads[nth], NULL, slot, (void *)nth));
    for (long nth = 0; nth < slots; nth++)
        must("thread", pthread_join(threads[nth], NULL));
    printf("%.6f %.6f %.6f\n", now() - began, cpu_seconds(RUSAGE_SELF),
           cpu_seconds(RUSAGE_CHILDREN));
    return 0;
}
